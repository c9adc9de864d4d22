//! Dockerfiles beside BuildKit's own reader, and references beside distribution's.

use std::collections::BTreeMap;

use mlbuild::pin::{self, PinContext};
use mlbuild_templates::reference;
use serde_json::{Value, json};

use super::{agree, ask, module};

/// The bases of all stages that our reader finds: a probe copies from each, so that all are needed.
fn bases(text: &str, args: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let context = PinContext {
        build_args: args.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        platform: Some("linux/amd64"),
        ..PinContext::default()
    };
    let images = pin::images(text, &context).map_err(|error| error.to_string())?;
    Ok(images.into_iter().map(|image| image.reference).collect())
}

/// BuildKit's own table of words, each as the base of a stage.
#[test]
fn words_of_from_are_filled_in_as_buildkit_does() {
    let file = module("github.com/moby/buildkit").join("frontend/dockerfile/shell/envVarTest");
    let table = std::fs::read_to_string(file).unwrap();
    let declared = "ARG PWD=/home\nARG SHELL=bash\nARG NULL=\nARG KOREAN=한국어\n";
    let words = table.lines().filter_map(|line| {
        let line = line
            .split('#')
            .next()
            .filter(|l| !l.trim().is_empty())
            .and(Some(line))?;
        let (platform, rest) = line.split_once('|')?;
        let word = rest.rsplit_once('|').map_or(rest, |(word, _)| word).trim();
        let fits =
            !word.is_empty() && !word.contains(char::is_whitespace) && platform.trim() != "W";
        fits.then(|| word.to_owned())
    });
    let mut words: Vec<String> = words.collect();
    for operator in [
        "-", ":-", "+", ":+", "?", ":?", "#", "##", "%", "%%", "/", "//", ":#", ":", "!",
    ] {
        for word in ["", "x", "${PWD}", "*o", "h*", "/x", "o/x", "\\}", "?"] {
            for name in ["PWD", "NULL", "NONE", "SHELL", ""] {
                words.push(format!("a${{{name}{operator}{word}}}b"));
            }
        }
    }
    let texts: Vec<String> = words
        .iter()
        .map(|word| format!("{declared}FROM x{word}\n"))
        .collect();
    let questions: Vec<Value> = texts
        .iter()
        .map(|text| json!({"text": text, "args": {}}))
        .collect();
    let theirs = ask("from", &questions);
    // Ours says which variable is missing, where BuildKit says of the rest that it is no reference.
    let named: Vec<Value> = theirs
        .iter()
        .map(|answer| answer.as_ref().map_or(json!(""), |bases| bases[0].clone()))
        .collect();
    let references = ask("reference", &named);
    let mut differences = Vec::new();
    for (((text, theirs), word), reference) in
        texts.iter().zip(&theirs).zip(&words).zip(&references)
    {
        let ours = bases(text, &BTreeMap::new());
        let alike = match (&ours, theirs) {
            (Ok(ours), Ok(theirs)) => json!(ours) == *theirs,
            (Err(ours), Ok(_)) => ours.ends_with("has no value") && reference.is_err(),
            (ours, theirs) => ours.is_err() == theirs.is_err(),
        };
        if !alike {
            differences.push(format!("{word}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    agree("words of FROM", words.len(), &differences);
}

/// Every Dockerfile that stands in BuildKit's own tests.
fn test_files() -> Vec<String> {
    let folder = module("github.com/moby/buildkit").join("frontend/dockerfile");
    let mut texts = Vec::new();
    for kind in ["testfiles", "testfiles-negative"] {
        for entry in std::fs::read_dir(folder.join("parser").join(kind)).unwrap() {
            texts.extend(std::fs::read_to_string(
                entry.unwrap().path().join("Dockerfile"),
            ));
        }
    }
    let mut sources: Vec<_> = ["", "parser", "instructions", "dockerfile2llb"]
        .iter()
        .flat_map(|name| std::fs::read_dir(folder.join(name)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with("_test.go"))
        .collect();
    sources.sort();
    for source in sources {
        let source = std::fs::read_to_string(source).unwrap();
        let literals = source.split('`').skip(1).step_by(2);
        texts.extend(
            literals
                .filter(|text| text.to_uppercase().contains("FROM "))
                .map(str::to_owned),
        );
    }
    texts
}

#[test]
fn dockerfiles_of_buildkits_tests_are_taken_and_refused_alike() {
    let texts = test_files();
    let questions: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    let theirs = ask("dockerfile", &questions);
    let mut differences = Vec::new();
    for (text, theirs) in texts.iter().zip(&theirs) {
        let ours = pin::check(text);
        // A file without a stage is read, and refused one step later.
        let theirs_refused =
            theirs.is_err() || *theirs == Ok(json!(0)) || *theirs == Ok(Value::Null);
        if ours.is_err() != theirs_refused {
            differences.push(format!("{text:?}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    assert!(texts.len() > 300, "{}", texts.len());
    agree("Dockerfiles", texts.len(), &differences);
}

#[test]
fn references_are_read_as_distribution_reads_them() {
    let source = module("github.com/distribution/reference");
    let mut texts: Vec<String> = Vec::new();
    for name in ["reference_test.go", "normalize_test.go"] {
        let source = std::fs::read_to_string(source.join(name)).unwrap();
        for line in source.lines().filter(|line| line.contains('"')) {
            let literals = line
                .split('"')
                .skip(1)
                .step_by(2)
                .filter(|text| !text.contains('\\'));
            texts.extend(
                literals
                    .filter(|text| !text.contains("%"))
                    .map(str::to_owned),
            );
        }
    }
    for host in [
        "",
        "a.io/",
        "LOCAL/",
        "localhost/",
        "[::1]/",
        "[::1]:5000/",
        "[2001:db8::g]/",
        "a:b/",
        "A.b:1/",
        "-a.b/",
    ] {
        for path in ["a", "A", "a/b", "a__b", "a___b", "a--b", "-a", "a.", ""] {
            for end in ["", ":1", ":", ":.x", "@sha256:00", ":1@sha256:AA"] {
                texts.push(format!("{host}{path}{end}"));
            }
        }
    }
    texts.sort();
    texts.dedup();
    let questions: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    let theirs = ask("reference", &questions);
    let mut differences = Vec::new();
    for (text, theirs) in texts.iter().zip(&theirs) {
        let ours = reference::parse(text).map(|reference| reference.whole());
        let alike = match (&ours, theirs) {
            (Ok(ours), Ok(theirs)) => json!(ours) == *theirs,
            (ours, theirs) => ours.is_err() == theirs.is_err(),
        };
        if !alike {
            differences.push(format!("{text:?}: ours {ours:?}, theirs {theirs:?}"));
        }
    }
    agree("references", texts.len(), &differences);
}
