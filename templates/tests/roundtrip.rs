//! What is rendered reads back as the same values: by a Dockerfile parser for the instructions,
//! and by the rules of Docker's word lexer for what is inside them.

use std::time::Duration;

use mlbuild_templates::dockerfile::{
    CacheMount, Copy, Dockerfile, Healthcheck, Instruction, Mount, Network, Run, Script, Sharing,
    Word,
};
use parse_dockerfile::{Command, Instruction as Parsed, Source};
use proptest::prelude::*;

/// Splits and unquotes as Docker's lexer does; `${V}` becomes `<V>`.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\'' if !quoted => {
                let word = word.get_or_insert_default();
                word.extend(chars.by_ref().take_while(|c| *c != '\''));
            }
            '\\' if !quoted => word.get_or_insert_default().extend(chars.next()),
            '\\' => match chars.peek() {
                Some('"' | '\\' | '$') => word.get_or_insert_default().extend(chars.next()),
                _ => word.get_or_insert_default().push('\\'),
            },
            '$' => {
                assert_eq!(
                    chars.next(),
                    Some('{'),
                    "only ${{NAME}} is ever rendered: {text}"
                );
                let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                word.get_or_insert_default().push_str(&format!("<{name}>"));
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "an open quote: {text}");
    words.extend(word);
    words
}

fn only(instruction: Instruction) -> String {
    let from = Instruction::From {
        image: "base".into(),
        alias: None,
    };
    Dockerfile {
        instructions: vec![from, instruction],
    }
    .render()
    .unwrap()
}

/// Any text of one line.
fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[^\\x00\\n\\r]{0,24}", r#"[ \\"'$#{}a-c=\t]{0,16}"#]
}

proptest! {
    #[test]
    fn env_and_label_values(a in value(), b in value()) {
        let word = Word::literal(&a).then_variable("X".parse().unwrap()).then(&b);
        let pairs = vec![("A".parse().unwrap(), Word::literal(&a)), ("B".parse().unwrap(), word)];
        let text = only(Instruction::Env(pairs));
        let parsed = parse_dockerfile::parse(&text).unwrap();
        let Parsed::Env(env) = &parsed.instructions[1] else { panic!("{text}") };
        prop_assert_eq!(words(&env.arguments.value), [format!("A={a}"), format!("B={a}<X>{b}")]);
    }

    #[test]
    fn arg_defaults(a in value()) {
        let text = only(Instruction::Arg { name: "A".parse().unwrap(), default: Some(a.as_str().into()) });
        let parsed = parse_dockerfile::parse(&text).unwrap();
        let Parsed::Arg(arg) = &parsed.instructions[1] else { panic!("{text}") };
        prop_assert_eq!(words(&arg.arguments.value), [format!("A={a}")]);
    }

    #[test]
    fn copied_paths(a in "[a-z '\"$\\\\-]{1,12}", b in "[a-z '\"$\\\\-]{1,12}") {
        prop_assume!(!a.trim().is_empty() && !b.trim().is_empty());
        // A name that begins with `-` is written as ./-name by whoever makes the word.
        let (a, b) = (format!("./{a}"), format!("/{b}"));
        let copy = Copy { sources: vec![a.as_str().into()], destination: b.as_str().into(), ..Copy::default() };
        let text = only(Instruction::Copy(copy));
        let parsed = parse_dockerfile::parse(&text).unwrap();
        let Parsed::Copy(copy) = &parsed.instructions[1] else { panic!("{text}") };
        let Source::Path(source) = &copy.src[0] else { panic!("{text}") };
        prop_assert_eq!(copy.src.len(), 1);
        // In the JSON form each string is one word, spaces and all.
        let one = |text: &str| words(text).join(" ");
        prop_assert_eq!(one(&source.value), one(&format!("\"{}\"", a.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))));
        prop_assert_eq!(one(&copy.dest.value), one(&format!("\"{}\"", b.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))));
    }

    #[test]
    fn commands(list in prop::collection::vec("[^\\x00]{0,12}", 1..4)) {
        let text = only(Instruction::Cmd(list.clone()));
        let parsed = parse_dockerfile::parse(&text).unwrap();
        let Parsed::Cmd(cmd) = &parsed.instructions[1] else { panic!("{text}") };
        let Command::Exec(words) = &cmd.arguments else { panic!("{text}") };
        let json: Vec<String> = serde_json::from_str(text.lines().nth(1).unwrap().trim_start_matches("CMD ")).unwrap();
        prop_assert_eq!(&json, &list);
        prop_assert_eq!(words.value.len(), list.len());
    }
}

#[test]
fn a_run_is_one_command_and_its_comments_are_none() {
    let mut script = Script::strict();
    script.lines("a;\n# comment\nb 'x y';\n# last");
    let run = Run {
        mounts: Vec::new(),
        network: Default::default(),
        script: script.finish(),
        purpose: Default::default(),
    };
    let text = only(Instruction::Run(run));
    let parsed = parse_dockerfile::parse(&text).unwrap();
    let Parsed::Run(run) = &parsed.instructions[1] else {
        panic!("{text}")
    };
    let Command::Shell(shell) = &run.arguments else {
        panic!("{text}")
    };
    let lines = shell
        .value
        .lines()
        .map(|l| l.trim().trim_end_matches('\\').trim());
    let words: Vec<&str> = lines.filter(|l| !l.starts_with('#')).collect();
    assert_eq!(words.join(" "), "set -eu; a; b 'x y'");
}

#[test]
fn a_line_break_in_a_value_is_refused() {
    let env = Instruction::Env(vec![("A".parse().unwrap(), Word::literal("a\nb"))]);
    let file = Dockerfile {
        instructions: vec![env],
    };
    insta::assert_snapshot!(file.render().unwrap_err(), @r#"ENV can't hold "a\nb": a Dockerfile has no way to write a line break inside a value"#);
}

#[test]
fn every_kind_of_instruction_is_read_by_the_parser() {
    let run = Run {
        mounts: vec![
            Mount::Cache(CacheMount {
                id: Some("c".into()),
                target: "/c".into(),
                sharing: Sharing::Private,
            }),
            Mount::Secret {
                id: "s".into(),
                for_all: false,
            },
            Mount::Bind {
                from: Some("base".into()),
                source: Some("/a".into()),
                target: "/b".into(),
            },
            Mount::Tmpfs {
                target: "/tmp".into(),
            },
            Mount::Ssh,
        ],
        network: Network::None,
        script: Script::strict(),
        purpose: Default::default(),
    };
    let copy = Copy {
        from: Some("base".into()),
        chown: Some("1:2".into()),
        chmod: Some("0644".into()),
        link: true,
        sources: vec!["a".into(), "b".into()],
        destination: "/c/".into(),
    };
    let check = Healthcheck::Command {
        interval: Some(Duration::from_secs(30)),
        timeout: None,
        words: vec!["true".into()],
    };
    let file = Dockerfile {
        instructions: vec![
            Instruction::Comment("one\n\ntwo".into()),
            Instruction::From {
                image: "a:1".into(),
                alias: Some("base".into()),
            },
            Instruction::Run(run),
            Instruction::Copy(copy),
            Instruction::Shell(vec!["/bin/bash".into(), "-c".into()]),
            Instruction::Stopsignal("SIGINT".into()),
            Instruction::Volume(vec!["/data".into()]),
            Instruction::Healthcheck(check),
            Instruction::Healthcheck(Healthcheck::None),
            Instruction::Label([("a.b/c".parse().unwrap(), "d e".into())].into()),
            Instruction::Expose(vec!["1/udp".parse().unwrap()]),
            Instruction::Entrypoint(vec!["a\nb".into()]),
        ],
    };
    let text = file.render().unwrap();
    assert_eq!(
        parse_dockerfile::parse(&text).unwrap().instructions.len(),
        11
    );
    insta::assert_snapshot!(text, @r#"
    # one
    #
    # two
    FROM a:1 AS base
    RUN --network=none \
        --mount=type=cache,id=c,target=/c,sharing=private \
        --mount=type=secret,id=s \
        --mount=type=bind,from=base,source=/a,target=/b \
        --mount=type=tmpfs,target=/tmp \
        --mount=type=ssh \
        set -eu;
    COPY --from=base --chown=1:2 --chmod=0644 --link a b /c/
    SHELL ["/bin/bash", "-c"]
    STOPSIGNAL SIGINT
    VOLUME ["/data"]
    HEALTHCHECK --interval=30000ms CMD ["true"]
    HEALTHCHECK NONE
    LABEL a.b/c="d e"
    EXPOSE 1/udp
    ENTRYPOINT ["a\nb"]
    "#);
}
