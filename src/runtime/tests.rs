//! The grammar, and that parsing and rendering undo each other.

use proptest::prelude::*;

use super::*;

fn read(line: &str) -> Result<Parsed, RunSpecError> {
    parse(&shlex::split(line).unwrap())
}

fn spec(line: &str) -> RunSpec {
    read(line).unwrap().spec
}

/// Image and command, for lines where finding the image is the question.
fn found(line: &str) -> (String, String) {
    let spec = spec(line);
    (spec.image, spec.command.join(" "))
}

fn argv(line: &str, cli: RuntimeCli) -> String {
    shell_line(&spec(line).argv(cli).form)
}

#[test]
fn the_image_is_found_by_grammar() {
    let pair = |image: &str, command: &str| (image.to_owned(), command.to_owned());
    for (line, image, command) in [
        (
            "--shm-size=1g img python src/train.py",
            "img",
            "python src/train.py",
        ),
        (
            "--shm-size 1g img python src/train.py",
            "img",
            "python src/train.py",
        ),
        ("-tid img cmd", "img", "cmd"),
        ("--read-only img bash", "img", "bash"),
        ("--read-only=false img bash", "img", "bash"),
        (
            "-it --rm -v /a:/b -p8000:80 -eA=1 img -it --rm",
            "img",
            "-it --rm",
        ),
        ("--name img other", "other", ""),
        ("-- -img --x", "-img", "--x"),
        ("img -- x", "img", "-- x"),
        ("-itu me img", "img", ""),
        ("-itu1000:1000 img", "img", ""),
        ("-it=false img", "img", ""),
        ("--gpu img cmd", "img", "cmd"),
        ("-h host img", "img", ""),
    ] {
        assert_eq!(found(line), pair(image, command), "{line}");
    }
}

#[test]
fn every_way_to_write_a_flag_means_the_same() {
    let one = spec("--env A=1 --publish 8000:80 --tty --network host --interactive img");
    for line in [
        "-e A=1 -p 8000:80 -t --net host -i img",
        "-eA=1 -p8000:80 -t --net=host -i img",
        "-e=A=1 -p=8000:80 -t=true --network=host -i=1 img",
    ] {
        assert_eq!(spec(line), one, "{line}");
    }
    assert_eq!(
        spec("-ite A=1 img").options,
        spec("-i -t -e A=1 img").options
    );
}

#[test]
fn the_last_value_stands_and_lists_grow() {
    let spec = spec("--name a --name b -e A=1 -e A=2 --tty --tty=false img");
    assert_eq!(spec.options.text("name"), Some("b"));
    assert_eq!(spec.env().count(), 2);
    assert!(!spec.options.is_on("tty"));
}

#[test]
fn own_flags_never_reach_the_runtime() {
    let parsed = read("--gpu=off --dry-run --no-defaults --rm img").unwrap();
    assert_eq!(parsed.own.text("gpu"), Some("off"));
    assert!(parsed.own.is_on("dry-run"));
    insta::assert_snapshot!(argv("--gpu=off --dry-run --rm img", RuntimeCli::Docker), @"docker run --rm img");
}

#[test]
fn mlbuilds_own_names_are_none_of_dockers() {
    let mut names: Vec<_> = FLAGS
        .iter()
        .flat_map(|f| [Some(f.name), f.alias])
        .flatten()
        .collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut short: Vec<_> = FLAGS.iter().filter_map(|f| f.short).collect();
    short.sort_unstable();
    let letters: String = short.iter().collect();
    assert_eq!(letters, "Pacdehilmpqtuvw");
    assert!(
        FLAGS
            .iter()
            .filter(|f| f.owner == Owner::Mlbuild)
            .all(|f| f.short.is_none())
    );
}

#[test]
fn help_needs_no_image() {
    assert!(read("--help").unwrap().own.is_on("help"));
    // After the image it is the program's.
    assert!(!read("img --help").unwrap().own.is_on("help"));
}

#[test]
fn each_runtime_gets_its_own_words() {
    let line = "-it --gpus all -v /data:/data:ro img python -c 'print(1)'";
    insta::assert_snapshot!(argv(line, RuntimeCli::Docker), @"docker run --interactive --tty --gpus=all --volume=/data:/data:ro img python -c 'print(1)'");
    insta::assert_snapshot!(argv(line, RuntimeCli::Podman), @"podman run --interactive --tty --device=nvidia.com/gpu=all --volume=/data:/data:ro img python -c 'print(1)'");
    insta::assert_snapshot!(argv(line, RuntimeCli::Nerdctl), @"nerdctl run --interactive --tty --gpus=all --volume=/data:/data:ro img python -c 'print(1)'");
    insta::assert_snapshot!(argv("--gpus '\"device=0,1\"' img", RuntimeCli::Podman), @"podman run --device=nvidia.com/gpu=0 --device=nvidia.com/gpu=1 img");
}

#[test]
fn what_a_runtime_lacks_is_said() {
    let said = |line: &str, cli| {
        let rendered = spec(line).argv(cli);
        let lines = rendered
            .left_out
            .iter()
            .map(|l| format!("{}: {}", l.what, l.why));
        lines.collect::<Vec<_>>().join("\n")
    };
    let line = "--link db --storage-opt size=1g --gpus 2 -P img";
    assert_eq!(said(line, RuntimeCli::Docker), "");
    insta::assert_snapshot!(said(line, RuntimeCli::Podman), @r"
    --link: podman has no such flag
    --storage-opt: podman has no such flag
    --gpus: podman takes GPUs by CDI name only, and `2` names none
    ");
    insta::assert_snapshot!(said(line, RuntimeCli::Nerdctl), @r"
    --link: nerdctl has no such flag
    --storage-opt: nerdctl has no such flag
    --publish-all: nerdctl has no such flag
    ");
}

#[test]
fn a_stronger_layer_wins_where_there_is_room_for_one() {
    let over = |strong: &str, weak: &str| {
        let mut merged = spec(strong);
        merged.options = merged.options.over(spec(weak).options);
        shell_line(&merged.argv(RuntimeCli::Docker).form[2..])
    };
    insta::assert_snapshot!(over(
        "-e A=2 -v /other:/data --ulimit stack=1 --shm-size 2g -p 80 --tty=false img",
        "-e A=1 -e B=1 --mount type=bind,source=/x,target=/data --ulimit memlock=-1 --ulimit stack=2 --shm-size 1g -p 80 -p 90 -t img",
    ), @"--env=B=1 --ulimit=memlock=-1 --publish=90 --env=A=2 --volume=/other:/data --ulimit=stack=1 --shm-size=2g --publish=80 --tty=false img");
}

#[test]
fn relative_sources_become_absolute() {
    let mut spec =
        spec("-v .:/app -v ../d:/d -v ~/m:/m -v vol:/v --mount type=bind,source=./x,target=/x img");
    spec.anchor("/home/ana/cracks".as_ref(), Some("/home/ana".as_ref()));
    insta::assert_snapshot!(spec.mounts().join("\n"), @r"
    /home/ana/cracks:/app
    /home/ana/d:/d
    /home/ana/m:/m
    vol:/v
    /home/ana/cracks/x:/x
    ");
}

#[test]
fn a_devcontainer_holds_what_it_can() {
    let spec = spec(
        "-it --rm -e A=1 -e HF_TOKEN -v /home/ana/cracks:/app -v data:/data:ro -v /x:/x:z -u ana:ana --init \
         --shm-size=1g --cap-add SYS_PTRACE --gpus all -p 8888:8888 img python train.py",
    );
    let rendered = devcontainer(&spec, "/home/ana/cracks".as_ref());
    insta::assert_snapshot!(serde_json::to_string_pretty(&rendered.form).unwrap(), @r#"
    {
      "capAdd": [
        "SYS_PTRACE"
      ],
      "containerEnv": {
        "A": "1",
        "HF_TOKEN": "${localEnv:HF_TOKEN}"
      },
      "containerUser": "ana:ana",
      "image": "img",
      "init": true,
      "mounts": [
        "type=volume,source=data,target=/data,readonly"
      ],
      "remoteUser": "ana",
      "runArgs": [
        "--volume=/x:/x:z",
        "--shm-size=1g",
        "--gpus=all",
        "--publish=8888:8888"
      ],
      "workspaceFolder": "/app",
      "workspaceMount": "type=bind,source=${localWorkspaceFolder},target=/app"
    }
    "#);
    let left_out: Vec<_> = rendered.left_out.iter().map(|l| l.what.as_str()).collect();
    assert_eq!(left_out, ["--interactive", "--tty", "--rm", "the command"]);
}

#[test]
fn debug_shows_no_values_of_variables() {
    let shown = format!("{:?}", spec("-e TOKEN=secret img"));
    assert!(
        shown.contains("TOKEN") && !shown.contains("secret"),
        "{shown}"
    );
}

/// Texts that a rule takes.
fn samples(rule: Rule) -> &'static [&'static str] {
    let samples: &[&str] = match rule {
        Rule::AddHost => &["db:10.0.0.2", "db=[::1]", "db:host-gateway"],
        Rule::Stream => &["stdin", "STDOUT"],
        Rule::BlkioWeight => &["0", "10", "1000"],
        Rule::DeviceWeight => &["/dev/sda:500"],
        Rule::DeviceBytes => &["/dev/sda:1mb"],
        Rule::DeviceCount => &["/dev/sda:10"],
        Rule::CgroupRule => &["c 189:* rmw", "a *:* r"],
        Rule::CgroupNamespace => &["host", "private"],
        Rule::Address => &["8.8.8.8", "::1"],
        Rule::Domain => &["example.com", "."],
        Rule::Ports => &["80", "8000-8010/tcp"],
        Rule::Gpus => &["all", "2", "device=0"],
        Rule::Time => &["30s", "0"],
        Rule::Count => &["0", "3"],
        Rule::NetworkAddress { v6: false } => &["172.30.0.4"],
        Rule::NetworkAddress { v6: true } => &["2001:db8::4"],
        Rule::Link => &["db", "db:alias"],
        Rule::Mac => &["92:d0:c6:0a:29:33"],
        Rule::Swap => &["-1", "2g"],
        Rule::Swappiness => &["-1", "0", "100"],
        Rule::Network => &["host", "mine", "name=mine,alias=a"],
        Rule::Pid => &["host", "container:a"],
        Rule::Platform => &["linux/amd64", "arm64"],
        Rule::Restart => &["no", "on-failure:3", "always"],
        Rule::Security => &["no-new-privileges", "seccomp=unconfined"],
        Rule::UserNamespace => &["host", "keep-id"],
        Rule::UtsNamespace => &["host"],
    };
    samples
}

/// Paths in a container or on the machine.
const PATH: &str = "/[a-z0-9_. -]{0,10}";

/// Texts that each kind of flag takes.
fn value_of(kind: Kind) -> BoxedStrategy<Value> {
    let name = "[A-Za-z_][A-Za-z0-9_.-]{0,8}";
    let text = |pattern: &'static str| pattern.prop_map(Value::Text).boxed();
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Text => text("\\PC{0,12}"),
        Kind::Integer => any::<i64>()
            .prop_map(|n| Value::Text(n.to_string()))
            .boxed(),
        Kind::Decimal => text("[0-9]{1,3}(\\.[0-9]{1,2})?"),
        Kind::Bytes => text("[0-9]{1,4}(\\.[0-9])?[kmgKMG]?b?"),
        Kind::Duration => text("[0-9]{1,3}(ms|s|m|h)([0-9]{1,2}s)?"),
        Kind::Rule(rule) => proptest::sample::select(samples(rule))
            .prop_map(|text| Value::Text(text.to_owned()))
            .boxed(),
        Kind::OneOf(words) => proptest::sample::select(words)
            .prop_map(|word| Value::Text(word.to_owned()))
            .boxed(),
        Kind::Assignment => (name, proptest::option::of("\\PC{0,12}"))
            .prop_map(|(name, value)| Value::Assignment(Assignment { name, value }))
            .boxed(),
        Kind::Volume => volume_value(),
        Kind::Mount => mount_value(),
        Kind::Publish => publish_value(),
        Kind::Device => device_value(),
        Kind::Ulimit => ulimit_value(),
    }
}

fn volume_value() -> BoxedStrategy<Value> {
    let source = proptest::option::of("[a-z0-9/._-]{1,10}");
    let options = proptest::collection::vec("[a-z]{1,4}", 0..3);
    (source, PATH, options)
        .prop_map(|(source, target, options)| {
            // Without a source there is no place for options.
            let options = if source.is_some() {
                options
            } else {
                Vec::new()
            };
            Value::Volume(Volume {
                source,
                target,
                options,
            })
        })
        .boxed()
}

fn mount_value() -> BoxedStrategy<Value> {
    let option = (
        Just("consistency".to_owned()),
        "[a-z,\"]{1,5}".prop_map(Some),
    );
    (
        proptest::sample::select(&["bind", "volume", "tmpfs"][..]),
        proptest::option::of("[a-z0-9/,\"=-]{1,10}"),
        "/[a-z,\"]{0,8}",
        any::<bool>(),
        proptest::collection::vec(option, 0..3),
    )
        .prop_map(|(kind, source, target, readonly, options)| {
            Value::Mount(Mount {
                kind: kind.to_owned(),
                source,
                target,
                readonly,
                options,
            })
        })
        .boxed()
}

fn publish_value() -> BoxedStrategy<Value> {
    let port = || (1u16..65535).prop_map(|p| p.to_string());
    (
        proptest::option::of(proptest::sample::select(&["127.0.0.1", "[::1]"][..])),
        proptest::option::of(port()),
        port(),
        proptest::option::of(proptest::sample::select(&["tcp", "udp"][..])),
    )
        .prop_map(|(address, host, container, protocol)| {
            Value::Publish(Publish {
                address: address.map(str::to_owned),
                host,
                container,
                protocol: protocol.map(str::to_owned),
            })
        })
        .boxed()
}

fn device_value() -> BoxedStrategy<Value> {
    let paths = (
        PATH,
        proptest::option::of(PATH),
        proptest::option::of("(r|rw|rwm|m)"),
    );
    prop_oneof![
        paths.prop_map(|(host, container, permissions)| {
            Value::Device(Device::Path {
                host,
                container,
                permissions,
            })
        }),
        Just(Value::Device(Device::Cdi("nvidia.com/gpu=0".into()))),
    ]
    .boxed()
}

fn ulimit_value() -> BoxedStrategy<Value> {
    (
        proptest::sample::select(&["memlock", "stack", "nofile"][..]),
        any::<i64>(),
        proptest::option::of(any::<i64>()),
    )
        .prop_map(|(name, soft, hard)| {
            // Above the hard limit there is no soft one.
            let hard = hard.filter(|hard| *hard >= soft && soft >= 0);
            Value::Ulimit(Ulimit {
                name: name.to_owned(),
                soft,
                hard,
            })
        })
        .boxed()
}

fn any_spec() -> impl Strategy<Value = RunSpec> {
    let flags: Vec<&'static Flag> = FLAGS.iter().filter(|f| f.owner == Owner::Docker).collect();
    let setting = proptest::sample::select(flags)
        .prop_flat_map(|flag| value_of(flag.kind).prop_map(move |value| Setting { flag, value }));
    let settings = proptest::collection::vec(setting, 0..8);
    let image = "-{0,2}[a-z0-9][a-z0-9./:@_-]{0,20}";
    let command = proptest::collection::vec("\\PC{0,10}", 0..4);
    (settings, image, command).prop_map(|(settings, image, command)| RunSpec {
        image,
        command,
        options: settings.into_iter().collect(),
    })
}

proptest! {
    #[test]
    fn what_is_rendered_reads_as_what_it_was(spec in any_spec()) {
        let rendered = spec.argv(RuntimeCli::Docker);
        prop_assert!(rendered.left_out.is_empty());
        let parsed = parse(&rendered.form[2..]).unwrap();
        prop_assert_eq!(parsed.spec, spec);
    }

    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec("(-{0,3}[a-zA-Z=:,/\"]{0,8}|\\PC{0,6}|--(env|mount|publish|volume|device|ulimit|gpus)=\\PC{0,12})", 0..6)) {
        if let Ok(parsed) = parse(&words) {
            if parsed.spec.image.is_empty() {
                return Ok(());
            }
            let again = parse(&parsed.spec.argv(RuntimeCli::Docker).form[2..]).unwrap();
            prop_assert_eq!(again.spec, parsed.spec);
        }
    }
}
