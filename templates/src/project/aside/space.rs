//! The front matter of a README that describes a Space of Hugging Face's: what that installs by itself.
//! <https://huggingface.co/docs/hub/spaces-config-reference>

use std::path::Path;

use serde_json::Value;

use super::super::NextStep;
use super::super::detect::minor_of;
use super::scripts::text_of;

/// What is said of a Space whose packages and start no other file names: `None` where the README describes
/// none, or one that is built from a Dockerfile or holds pages alone. `has` says whether a package is asked for.
pub(in crate::project) fn of_space(
    folder: &Path,
    has: &dyn Fn(&str) -> bool,
) -> Option<(String, NextStep)> {
    let text = text_of(&folder.join("README.md"))?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let front = text.strip_prefix("---\n")?.split_once("\n---")?.0;
    let front: Value = serde_saphyr::from_str(front).ok()?;
    let word = |key: &str| match front.get(key)? {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let sdk = word("sdk").filter(|sdk| ["gradio", "streamlit"].contains(&sdk.as_str()))?;
    // `3.10` that stands without quotes is the number 3.1, which no Space has.
    let python = word("python_version").map(|version| match version.as_str() {
        "3.1" => "3.10".to_owned(),
        version => minor_of(version).unwrap_or_else(|| version.to_owned()),
    });
    let app = word("app_file").unwrap_or_else(|| "app.py".to_owned());
    let version =
        word("sdk_version").filter(|version| version.parse::<pep440_rs::Version>().is_ok());
    let package = match &version {
        Some(version) => format!("{sdk}=={version}"),
        None => sdk.clone(),
    };
    let mut settings = Vec::new();
    if !has(&sdk) {
        settings.push(format!(
            "packages = [{}]",
            toml::Value::from(package.as_str())
        ));
    }
    settings.extend(
        python
            .as_ref()
            .map(|python| format!("python = {}", toml::Value::from(python.as_str()))),
    );
    let start: Vec<&str> = match sdk.as_str() {
        "streamlit" => vec!["streamlit", "run", &app],
        _ => vec!["python", &app],
    };
    settings.push(format!("command = {}", toml::Value::from(start)));
    let with = python
        .map(|python| format!(" with Python {python}"))
        .unwrap_or_default();
    Some((
        format!("it describes a Space, which brings {package} itself and starts {app}{with}"),
        format!("to have the same: {} under [image]", settings.join(", ")).into(),
    ))
}
