//! Layers: what changes together lies together, and nothing is left behind.

use super::Workshop;

#[test]
fn a_code_edit_installs_nothing_and_another_uid_changes_the_last_layer_alone() {
    let files = [("requirements.txt", "six\n"), ("train.py", "print(1)\n")];
    let workshop = Workshop::new(&files);
    let base = workshop.engines.python_base.clone();
    let build = |tag: &str, uid: &str, more: &[&str]| {
        workshop.build(tag, &[&["--base", &base, "--uid", uid][..], more].concat());
        workshop.layers(tag)
    };
    let first = build("templates-layers", "1000", &[]);
    let base_layers = first.len() - 7;

    workshop.write("train.py", "print(2)\n");
    let edited = build("templates-layers", "1000", &[]);
    // base, apt, requirements, packages, libraries, working folder | code, user
    assert_eq!(edited[..first.len() - 2], first[..first.len() - 2]);
    assert_ne!(edited[first.len() - 2], first[first.len() - 2], "the code");
    assert_eq!(workshop.sh("templates-layers", "python train.py"), "2");

    let other = build("templates-layers", "2000", &[]);
    assert_eq!(other[..first.len() - 1], edited[..first.len() - 1]);
    assert_ne!(other.last(), edited.last(), "the user");

    let environment = build("templates-layers", "2000", &["-e", "A=1", "-p", "5000"]);
    assert_eq!(environment[..first.len() - 1], other[..first.len() - 1]);

    workshop.write("requirements.txt", "six\nidna\n");
    let packages = build("templates-layers", "2000", &[]);
    assert_eq!(
        packages[..=base_layers],
        first[..=base_layers],
        "the base and its packages"
    );
    assert_ne!(
        packages[base_layers + 1],
        first[base_layers + 1],
        "the requirements"
    );
}

#[test]
fn nothing_is_left_behind() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.base.clone();
    workshop.build(
        "templates-left",
        &["--base", &base, "--apt", "tree", "--package", "six"],
    );
    let left = workshop.sh(
        "templates-left",
        "find /var/lib/apt/lists /var/cache/apt /root/.cache /run/secrets /tmp /var/log/apt \
         -type f -size +0 2>/dev/null || true; command -v uv || true; tree --version >/dev/null",
    );
    assert_eq!(left, "");
}

#[test]
fn values_arrive_as_they_were_written() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.base.clone();
    let values = [
        r#"A= two  spaces "#,
        r#"B=say "hi""#,
        "C=it's",
        "D=$HOME ${HOME} $$",
        r"E=C:\dir\",
        "F=# no comment",
        "G=",
        "H=é🦀",
        r#"I=\"\$"#,
    ];
    let mut arguments = vec!["--base", &base, "--workdir", "/a b/c", "-p", "8001,53/udp"];
    for value in &values {
        arguments.extend(["-e", value]);
    }
    workshop.build("templates-values", &arguments);
    let inspect =
        |what: &str| workshop.docker(&["image", "inspect", "--format", what, "templates-values"]);
    let env: Vec<String> = serde_json::from_str(&inspect("{{json .Config.Env}}")).expect("a list");
    for value in values {
        assert!(env.iter().any(|e| e == value), "{value} is not in {env:?}");
    }
    assert_eq!(inspect("{{.Config.WorkingDir}}"), "/a b/c");
    assert_eq!(
        inspect("{{json .Config.ExposedPorts}}"),
        r#"{"53/udp":{},"8001/tcp":{}}"#
    );
}
