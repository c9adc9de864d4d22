use std::fmt::Write as _;

use super::machine::SILENT;
use super::*;
use crate::runtime::RunSpec;
use crate::runtime::flag::{Kind, Owner};
use crate::runtime::table::FLAGS;
use crate::runtime::value::Rule;

fn spec(line: &str) -> RunSpec {
    let words = shlex::split(line).unwrap();
    crate::runtime::parse(&words).unwrap().spec
}

fn image() -> ImageDefaults {
    ImageDefaults {
        entrypoint: vec!["/entry".to_owned()],
        command: vec!["serve".to_owned(), "a b".to_owned()],
        workdir: Some("/app".to_owned()),
        user: None,
    }
}

fn of(line: &str) -> ApptainerLine {
    exec(
        &spec(line),
        Place {
            image: "/c/i.sif",
            defaults: &image(),
            folder: Some(Path::new("/t/run")),
        },
    )
}

/// The words, without those that every line has.
fn shown(line: &str) -> String {
    let made = of(line);
    assert_eq!(made.refused, [], "{line}");
    assert_eq!(made.warnings, [], "{line}");
    let usual = "--quiet exec --no-eval --cleanenv --contain --pid --ipc --writable-tmpfs ";
    let text = crate::runtime::shell_line(&made.args);
    let text = text.replacen(usual, "… ", 1);
    let variables: Vec<String> = made.variables.iter().map(ToString::to_string).collect();
    format!("{} {text}", variables.join(" ")).trim().to_owned()
}

#[test]
fn a_line_does_what_docker_run_does() {
    let lines = [
        "img",
        "img train --lr 1",
        "--entrypoint python img train.py",
        "--entrypoint= img sh -c 'echo $HOME'",
        "-w /data -it --rm img",
        "-v /a:/b -v '/c d:/e:ro' img",
        "--mount 'type=bind,\"source=/a,b\",target=/c,readonly,bind-propagation=rslave' img",
        "-e A=1 -e B -e 'C=x,y $Z' img",
        "--gpus all img",
        "--gpus '\"device=1,GPU-2\"' img",
        "--gpus 2 -e CUDA_VISIBLE_DEVICES=7 img",
        "--device nvidia.com/gpu=0 --device nvidia.com/gpu=3 img",
        "--device /dev/kfd --device /dev/dri img",
        "--device /dev/video0 --device /dev/dri:/dev/x img",
        "--read-only --hostname n1 --network host img",
        "--network none --pid host --uts host img",
        "--ipc private -u 0 img",
        "--cap-drop NET_RAW --cap-drop CHOWN --security-opt no-new-privileges img",
        "--tmpfs /scratch:size=1g -p 80 -p 8888:8888 --init --restart no --sig-proxy img",
    ];
    let text = lines.map(|line| format!("{line}\n    {}\n", shown(line)));
    insta::assert_snapshot!("lines", text.concat());
}

#[test]
fn a_line_for_a_person_needs_no_mlbuild() {
    let argv = |line: &str| {
        let rendered = spec(line).argv(RuntimeCli::Apptainer);
        assert_eq!(rendered.left_out, []);
        crate::runtime::shell_line(&rendered.form)
    };
    insta::assert_snapshot!(argv("-e 'A=b c' -e SECRET -w /x reg/img:1 ls -l"), @"env 'APPTAINERENV_A=b c' apptainer --quiet run --no-eval --cleanenv --contain --pid --ipc --writable-tmpfs --cwd=/x docker://reg/img:1 ls -l");
    insta::assert_snapshot!(argv("--entrypoint sh img -c id"), @"apptainer --quiet exec --no-eval --cleanenv --contain --pid --ipc --writable-tmpfs docker://img sh -c id");
}

#[test]
fn what_cannot_be_is_refused_and_says_what_can() {
    let refused = |line: &str| {
        let parts = of(line).refused;
        let text = parts
            .iter()
            .map(|part| format!("{}: {}", part.what, part.why));
        text.collect::<Vec<_>>().join("\n")
    };
    for (line, says) in [
        ("-d img", "tmux"),
        ("-p 80:8080 img", "under its own number"),
        ("-p 127.0.0.1:80:80 img", "under its own number"),
        ("-v name:/x img", "-v /FOLDER:DIR"),
        ("-v /x img", "-v /FOLDER:DIR"),
        ("-v /a:/b:z img", "`ro` or nothing"),
        ("--mount type=tmpfs,target=/x img", "-v /FOLDER:DIR"),
        (
            "--mount type=bind,source=/a,target=/b,bind-propagation=shared img",
            "no other option",
        ),
        ("-u 7 img", "as you"),
        ("--network mine img", "--network none"),
        ("--restart always img", "start it again"),
        ("--privileged img", "your rights"),
        ("--cap-add ALL img", "your rights"),
        ("-e HOME=/x img", "sets it itself"),
        ("-e A.B=1 img", "letters, digits"),
        ("--device vendor.com/nic=a img", "CDI"),
    ] {
        assert!(refused(line).contains(says), "{line}: {}", refused(line));
    }
    let none = ImageDefaults::default();
    let place = Place {
        image: "i",
        defaults: &none,
        folder: None,
    };
    assert!(
        exec(&spec("img"), place).refused[0]
            .why
            .contains("has none")
    );
}

#[test]
fn this_user_may_be_named() {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    // Root's is another word.
    let user = format!("{}:{}", uid.as_raw(), gid.as_raw());
    assert_eq!(of(&format!("-u {user} img")).refused, []);
}

#[test]
fn no_flag_of_docker_is_dropped_without_a_word() {
    /// How things are anyway.
    const QUIET: [(&str, &str); 12] = [
        ("uts", "host"),
        ("userns", "host"),
        ("network", "host"),
        ("security-opt", "no-new-privileges"),
        ("rm", "true"),
        ("no-healthcheck", "true"),
        ("disable-content-trust", "true"),
        ("init", "true"),
        ("sig-proxy", "true"),
        ("publish", "80"),
        ("interactive", "true"),
        ("cgroupns", "host"),
    ];
    let plain = of("img");
    let mut table = String::new();
    for flag in FLAGS.iter().filter(|flag| flag.owner == Owner::Docker) {
        let sample = match (flag.name, flag.kind) {
            (_, Kind::Rule(Rule::Ports)) => "80",
            (name, kind) => crate::runtime::kubernetes::tests::sample(name, kind),
        };
        let with = of(&format!("--{}={sample} img", flag.name));
        let kind = match (with.refused.is_empty(), with.warnings.is_empty()) {
            (false, _) => "refused",
            (true, false) => "noted",
            (true, true) => "carried",
        };
        let says = with != plain;
        let is_quiet = SILENT.contains(&flag.name) || QUIET.contains(&(flag.name, sample));
        assert!(says || is_quiet, "--{}={sample}", flag.name);
        writeln!(table, "{kind} --{}={sample}", flag.name).unwrap();
    }
    insta::assert_snapshot!("flags", table);
}

#[test]
fn no_value_of_a_variable_is_in_the_line() {
    let made = of("-e TOKEN=s3cr3t -e 'TEXT=two\nlines' img");
    assert!(
        !made
            .args
            .iter()
            .any(|word| word.contains("s3cr3t") || word.contains("lines"))
    );
    assert_eq!(made.variables.len(), 2);
}
