//! BuildKit's own linter finds nothing in the Dockerfiles that are composed, nor in the built-in
//! templates.

use std::collections::BTreeMap;

use mlbuild_buildkit::{Client, ConnectOptions};

use crate::support::engines::Engines;
use crate::support::{read, repository};

fn dockerfiles() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in [
        "integration/goldens/dockerfiles",
        "templates/data/dockerfiles",
    ] {
        for entry in std::fs::read_dir(repository().join(folder)).expect("the folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "Dockerfile") {
                found.push((path.display().to_string(), read(&path)));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn buildkit_has_nothing_to_say_about_any_golden() {
    let engines = Engines::from_env();
    let endpoint = engines.buildkitd.parse().expect("an endpoint");
    let client = Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .expect("a builder");
    let dockerfiles = dockerfiles();
    assert!(dockerfiles.len() > 24, "the goldens are gone");
    // The linter looks at the base too, so it is one that the tests' registry has.
    let args = BTreeMap::from([("BASE_IMAGE".to_owned(), engines.base.clone())]);
    let mut said = Vec::new();
    for (name, text) in &dockerfiles {
        // A locked one mounts a context that a build would be given.
        let text = if text.contains("from=mlbuild-inputs") {
            &text.replacen("FROM ", "FROM scratch AS mlbuild-inputs\nFROM ", 1)
        } else {
            text
        };
        match client.lint(text.as_bytes(), &args).await {
            Ok(warnings) => said.extend(warnings.iter().map(|w| format!("{name}: {w:?}"))),
            Err(error) => said.push(format!("{name}: {error}")),
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
    // The linter does speak where there is something to say.
    let bad = format!("FROM {}\nENV A b\nCMD echo hi\n", engines.base);
    let warnings = client
        .lint(bad.as_bytes(), &BTreeMap::new())
        .await
        .expect("an answer");
    assert!(warnings.len() >= 2, "{warnings:?}");
}
