use super::*;

fn found(text: &str) -> Vec<(String, usize)> {
    found_with(text, &PinContext::default())
}

fn found_with(text: &str, context: &PinContext) -> Vec<(String, usize)> {
    let uses = images(text, context).unwrap();
    uses.into_iter()
        .map(|used| (used.reference, used.line))
        .collect()
}

fn pinned(text: &str) -> String {
    let uses = images(text, &PinContext::default()).unwrap();
    pin(text, &uses, |name| Some(format!("{name}@sha256:ab")))
}

#[test]
fn from_is_pinned_and_keeps_its_tag() {
    assert_eq!(
        pinned("# c\nFROM --platform=linux/amd64 python:3.12 AS app\nRUN true\n"),
        "# c\nFROM --platform=linux/amd64 python:3.12@sha256:ab AS app\nRUN true\n"
    );
}

#[test]
fn a_digest_that_is_written_stays() {
    let text = "FROM python@sha256:cd\n";
    assert_eq!(pinned(text), text);
}

#[test]
fn stages_scratch_indexes_and_named_contexts_are_no_images() {
    let text = "FROM a AS one\nFROM One\nFROM scratch\nCOPY --from=0 /x /x\nCOPY --from=one /x /x\nCOPY --from=two /x /x\n";
    let context = PinContext {
        named_contexts: BTreeSet::from(["two"]),
        ..PinContext::default()
    };
    assert_eq!(found_with(text, &context), [("a".to_owned(), 1)]);
}

#[test]
fn copy_and_mounts_are_found() {
    let text = "FROM a\nCOPY --chown=1:1 --from=b:1 /x /x\nRUN --mount=type=bind,from=c,target=/c \\\n  --mount=type=cache,target=/d true --mount=from=no\n";
    assert_eq!(
        found(text),
        [("a".into(), 1), ("b:1".into(), 2), ("c".into(), 3)]
    );
    assert!(pinned(text).contains("type=bind,from=c@sha256:ab,target=/c"));
}

#[test]
fn arguments_are_filled_in() {
    let text = "ARG TAG=3.12\nARG BASE=\"python:${TAG}-slim\"\nFROM ${BASE}\nFROM x:${NONE:-1}${TAG:+y}\nCOPY --from=0 /x /x\n";
    assert_eq!(
        found(text),
        [("python:3.12-slim".into(), 3), ("x:1y".into(), 4)]
    );
    let context = PinContext {
        build_args: BTreeMap::from([("TAG", "3.13")]),
        ..PinContext::default()
    };
    assert_eq!(found_with(text, &context)[0].0, "python:3.13-slim");
}

#[test]
fn an_unset_argument_is_named() {
    let error = images("ARG BASE\nFROM $BASE\n", &PinContext::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Dockerfile:2: ARG BASE in `FROM $BASE` has no value"
    );
}

#[test]
fn a_platform_argument_is_filled_in_for_one_platform_only() {
    let text = "FROM app-$TARGETARCH\n";
    assert_eq!(found(text), []);
    let context = PinContext {
        platform: Some("linux/arm64"),
        ..PinContext::default()
    };
    assert_eq!(found_with(text, &context)[0].0, "app-arm64");
}

#[test]
fn here_documents_and_continuations_are_passed_over() {
    let text = "FROM a\nRUN cat <<EOF && cat <<-'TWO'\nFROM no\nEOF\nFROM no\n\tTWO\nRUN a \\\n# comment\n\n  FROM no\nFROM \\\n  b \\\n  AS c\nFROM C\nCOPY --from=0 /x /x\n";
    assert_eq!(found(text), [("a".into(), 1), ("b".into(), 11)]);
}

#[test]
fn the_escape_directive_is_followed() {
    let text = "# escape=`\nFROM a\nRUN dir C:\\\nFROM `\n b\nCOPY --from=0 /x /x\n";
    assert_eq!(found(text), [("a".into(), 2), ("b".into(), 4)]);
}

#[test]
fn line_ends_of_windows_are_fine() {
    assert_eq!(
        pinned("FROM a\r\nRUN b\r\n"),
        "FROM a@sha256:ab\r\nRUN b\r\n"
    );
}

#[test]
fn the_last_stage_gets_a_name_if_it_has_none() {
    let (text, name) = name_last_stage("FROM a AS b\nFROM --platform=x c\nRUN d\n").unwrap();
    assert_eq!(
        text,
        "FROM a AS b\nFROM --platform=x c AS mlbuild-last-stage\nRUN d\n"
    );
    assert_eq!(name, "mlbuild-last-stage");
    let (text, name) = name_last_stage("FROM a as b\n").unwrap();
    assert_eq!((text.as_str(), name.as_str()), ("FROM a as b\n", "b"));
}

#[test]
fn what_runs_on_the_target_platform() {
    for text in [
        "FROM a\nRUN b\n",
        "FROM --platform=x a\nRUN b\nFROM c\nrun d\n",
    ] {
        assert!(runs_on_target(text), "{text}");
    }
    for text in [
        "FROM scratch\nCOPY a /\n",
        "FROM --platform=$BUILDPLATFORM a\nRUN b\nFROM scratch\nCOPY --from=0 /b /\n",
    ] {
        assert!(!runs_on_target(text), "{text}");
    }
}

#[test]
fn a_byte_order_mark_and_a_syntax_line() {
    let text = "\u{feff}# syntax=docker/dockerfile:1\nFROM a\n";
    assert_eq!(
        found(text),
        [("docker/dockerfile:1".into(), 1), ("a".into(), 2)]
    );
    assert_eq!(
        pinned(text),
        "\u{feff}# syntax=docker/dockerfile:1@sha256:ab\nFROM a@sha256:ab\n"
    );
}

#[test]
fn stages_that_the_target_needs_no_more_are_not_asked_for() {
    let text = "FROM a AS one\nFROM b AS two\nRUN x\nFROM one AS three\nCOPY --from=c /x /x\n";
    assert_eq!(found(text), [("a".into(), 1), ("c".into(), 5)]);
    let context = PinContext {
        target: Some("Two"),
        ..PinContext::default()
    };
    assert_eq!(found_with(text, &context), [("b".into(), 2)]);
}

#[test]
fn documents_of_copy_are_passed_over() {
    let text =
        "FROM a\nCOPY <<one <<two /x/\nFROM no\none\nFROM no\ntwo\nRUN <<'E' cat\nFROM no\nE\n";
    assert_eq!(found(text), [("a".into(), 1)]);
}

#[test]
fn what_buildkit_refuses_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("# only\n", 1),
        ("FROM a b\n", 1),
        ("FROM a AS 1b\n", 1),
        ("FROM a\n\nRAN b\n", 3),
        ("RUN a\nFROM b\n", 1),
        ("FROM a\nENV x\n", 2),
        ("FROM a\nENV x=1 y\n", 2),
        ("FROM a\nCOPY x\n", 2),
        ("FROM a\nCOPY --frm=b x y\n", 2),
        ("FROM a\nRUN <<E\nx\n", 2),
        ("FROM a\nCMD [\"a\", 1]\n", 2),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x\n", 2),
        ("FROM a\nONBUILD FROM b\n", 2),
        ("FROM a\nRUN --network=x y\n", 2),
        ("FROM a\nSHELL sh\n", 2),
        ("# escape=x\nFROM a\n", 1),
    ] {
        let error = check(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}

#[test]
fn how_deep_variables_are_nested_is_bounded() {
    let nested = |depth: usize| {
        let text = format!("FROM x{}{}\n", "${a:-".repeat(depth), "}".repeat(depth));
        images(&text, &PinContext::default())
    };
    assert!(nested(150).is_ok());
    let error = nested(100_000).unwrap_err().to_string();
    assert!(error.ends_with("nested more than 200 deep"), "{error}");
}

/// As BuildKit builds the same files: of two stages of a name files are of the last, a base is the last so far.
#[test]
fn stages_of_one_name_are_those_that_buildkit_means() {
    const TWO: &str = "FROM a AS x\nFROM b AS y\nCOPY --from=x /f /f\nFROM c AS x\n";
    for (text, target, found) in [
        (format!("{TWO}FROM x\n"), None, "c"),
        (TWO.to_owned(), Some("x"), "c"),
        (
            TWO.to_owned(),
            Some("y"),
            "Dockerfile:3: cannot copy from stage \"x\", it needs to be defined before current stage \"y\"",
        ),
        (
            "FROM a AS x\nFROM x AS y\nFROM c AS x\nFROM y\n".into(),
            None,
            "a",
        ),
        ("FROM a AS x\nFROM x AS x\n".into(), Some("x"), "a"),
        (
            "FROM a AS y\nRUN --mount=from=x,target=/x true\nFROM c AS x\n".into(),
            Some("y"),
            "Dockerfile:2: cannot mount from stage \"x\", it needs to be defined before current stage \"y\"",
        ),
        // A stage that isn't built may be wrong.
        (
            "FROM a AS y\nCOPY --from=x /f /f\nFROM c AS x\n".into(),
            None,
            "c",
        ),
        (
            "FROM a AS y\nCOPY --from=y /f /f\n".into(),
            None,
            "Dockerfile:2: circular dependency detected on stage: y",
        ),
        (
            "FROM a\nCOPY --from=7 /f /f\n".into(),
            None,
            "Dockerfile:2: invalid stage index 7",
        ),
    ] {
        let context = PinContext {
            target,
            ..PinContext::default()
        };
        let shown = match images(&text, &context) {
            Ok(images) => {
                let names = images.into_iter().map(|image| image.reference);
                names.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert!(shown.contains(found), "{text}: {shown}");
    }
}
