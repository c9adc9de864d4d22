//! The run as a line of Run:ai's tools: files of variables and labels are read here, and what looks
//! like a secret is named in place of being printed.

use mlbuild_secrets::{is_secret, must_hide, redact_command};

use super::error::SubmitError;
use super::variables::{check_name, from_file};
use crate::reporter::Reporter;
use crate::runtime::kubernetes::{self, RunaiCli, SubmitFlags};
use crate::runtime::{Assignment, LeftOut, Options, Rendered, RunSpec, Value};

/// The words of the line, and what isn't in it.
///
/// # Errors
/// Where a file of variables or labels can't be read.
pub fn runai_line(
    mut spec: RunSpec,
    flags: &SubmitFlags,
    cli: RunaiCli,
    reporter: &dyn Reporter,
) -> Result<Rendered<Vec<String>>, SubmitError> {
    let mut hidden = Vec::new();
    let (variables, labels) = (variables(&spec, &mut hidden)?, labels(&spec, &mut hidden)?);
    let is_other = |name: &str| !matches!(name, "env" | "env-file" | "label" | "label-file");
    let (mut options, mut after) = (Options::default(), Vec::new());
    for setting in spec
        .options
        .iter()
        .filter(|setting| is_other(setting.flag.name))
    {
        match &setting.value {
            // Such as an annotation. One of a Secret of the cluster is a name only.
            Value::Assignment(of) if is_shown(of) => hidden.push(left_out(setting.flag.name, of)),
            _ => after.push(setting.clone()),
        }
    }
    for (name, assignments) in [("env", &variables), ("label", &labels)] {
        for assignment in assignments {
            options.add(name, &assignment.to_string());
        }
    }
    after.into_iter().for_each(|setting| options.push(setting));
    spec.options = options;
    let command = redact_command(&spec.command);
    if command != spec.command {
        reporter.note("the command holds what looks like a secret, which is not shown");
        spec.command = command;
    }
    let mut rendered = kubernetes::runai(&spec, flags, cli);
    rendered.left_out.splice(0..0, hidden);
    Ok(rendered)
}

/// The container's variables with their values, each name once; those that hold secrets are left out.
fn variables(spec: &RunSpec, hidden: &mut Vec<LeftOut>) -> Result<Vec<Assignment>, SubmitError> {
    let mut given = Vec::new();
    for file in spec.options.all("env-file") {
        given.extend(from_file("env-file", &file.to_string())?);
    }
    given.extend(spec.env().cloned());
    let mut all: Vec<Assignment> = Vec::new();
    for Assignment { name, value } in given {
        check_name(&name)?;
        // By name alone it has this machine's value; where it has none here, docker doesn't set it.
        let value = value.or_else(|| std::env::var(&name).ok());
        all.retain(|known| known.name != name);
        let is_hidden = must_hide(&name, value.as_deref().unwrap_or_default());
        hidden.retain(|part| part.what != format!("--env={name}"));
        if is_hidden {
            hidden.push(LeftOut {
                what: format!("--env={name}"),
                why: "it holds a secret: keep it in a Secret of the cluster, and write \
                      --secret-env NAME=SECRET:KEY"
                    .to_owned(),
            });
        } else {
            all.push(Assignment { name, value });
        }
    }
    Ok(all)
}

fn labels(spec: &RunSpec, hidden: &mut Vec<LeftOut>) -> Result<Vec<Assignment>, SubmitError> {
    let mut all = Vec::new();
    for file in spec.options.all("label-file") {
        all.extend(from_file("label-file", &file.to_string())?);
    }
    all.extend(spec.options.all("label").filter_map(|value| match value {
        Value::Assignment(assignment) => Some(assignment.clone()),
        _ => None,
    }));
    let (secret, plain): (Vec<_>, Vec<_>) = all.into_iter().partition(is_shown);
    hidden.extend(secret.iter().map(|label| left_out("label", label)));
    Ok(plain)
}

/// Whether a value, which everybody could read who sees the line, looks like a secret.
fn is_shown(assignment: &Assignment) -> bool {
    is_secret(
        &assignment.name,
        assignment.value.as_deref().unwrap_or_default(),
    )
}

fn left_out(flag: &str, assignment: &Assignment) -> LeftOut {
    LeftOut {
        what: format!("--{flag}={}", assignment.name),
        why: "its value looks like a secret, which is not shown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Silent;
    use crate::runtime::kubernetes::SUBMIT;
    use crate::runtime::shell_line;

    #[test]
    fn variables_have_values_and_secrets_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(
            &file,
            "# of the file\nEPOCHS=3\nHF_TOKEN=hf_kQ7xPlanted\nPATH\n",
        )
        .unwrap();
        let words = [
            format!("--env-file={}", file.display()),
            "--env=NAME=a b".into(),
            "--env=MLBUILD_NOT_SET_ANYWHERE".into(),
            "--env=WANDB_API_KEY=kQ7xPlanted".into(),
            "--secret-env=KEY=login:key".into(),
            "--label=db-password=kQ7xPlanted".into(),
            "img".into(),
            "train".into(),
            "--api-key".into(),
            "kQ7xPlanted".into(),
        ];
        let parsed = SUBMIT.parse_with_image(&words).unwrap();
        let flags = SubmitFlags::new(parsed.own);
        let line = runai_line(parsed.spec, &flags, RunaiCli::Submit, &Silent).unwrap();
        let named: Vec<&str> = line
            .left_out
            .iter()
            .map(|part| part.what.as_str())
            .collect();
        let wanted = [
            "--env=HF_TOKEN",
            "--env=WANDB_API_KEY",
            "--label=db-password",
            "--env=MLBUILD_NOT_SET_ANYWHERE",
        ];
        assert_eq!(named, wanted);
        let shown = shell_line(&line.form);
        let path = std::env::var("PATH").unwrap();
        for part in [
            "EPOCHS=3",
            "'NAME=a b'",
            &format!("PATH={path}"),
            "KEY=SECRET:login,key",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!format!("{line:?}").contains("kQ7xPlanted"), "{line:?}");
    }
}
