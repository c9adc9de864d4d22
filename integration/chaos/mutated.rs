//! Files that strangers made, damaged, and read by the whole program: an error or an answer, never a
//! panic. Their readers alone get many more in `fuzz`. `MLBUILD_TEST_MUTATIONS` makes it longer, and
//! `MLBUILD_TEST_SEED` repeats it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mlbuild::image::layer::{Packing, write_tar};
use serde_json::json;

use crate::diff::file;
use crate::fuzz::mutate::Mutator;
use crate::records::{finished, published};
use crate::support::layouts;
use crate::support::mlbuild::Project;
use crate::support::random::Random;

/// Inputs of a run that nobody asked to be longer.
const MUTATIONS: u64 = 120;
const WORKERS: u64 = 2;

/// A file, what is in it at first, and the words of a verb that reads it.
struct Read {
    file: String,
    text: Vec<u8>,
    verb: Vec<String>,
}

fn read(file: &str, text: &str, verb: &str) -> Read {
    Read {
        file: file.to_owned(),
        text: text.as_bytes().to_vec(),
        verb: verb.split(' ').map(str::to_owned).collect(),
    }
}

const CONFIG: &str = "[image]\nbase = \"registry.example/base:1\"\npackages = [\"six==1.0\"]\n[run]\nshm-size = \"1g\"\nenv = [\"A=b\"]\n";
const DOCKERFILE: &str = "# syntax=docker/dockerfile:1\nARG A=b\nFROM scratch AS x\nCOPY --chmod=644 a.txt /\nFROM x\nENV A=${A:-c}\n";
const WRITTEN_QUEUE: &str =
    "env:\n  - A=b\n  - C\nvolume: /data:/data\nrm: true\ngpus: all\nshm-size: 1g\n";
const LAUNCH: &str =
    "queues: [q]\nmax_jobs: 2\nbuilder:\n  type: noop\npolicy:\n  mounts: [/mnt/datasets]\n";
const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\nclusters:\n- {name: c, cluster: {server: \"http://127.0.0.1:1\"}}\nusers:\n- {name: u, user: {token: t}}\n";
const DEVCONTAINER: &str = "{\n  // one\n  \"image\": \"a:1\",\n  \"runArgs\": [\"--init\"],\n}\n";

/// The project, and all that is damaged in it.
fn project() -> (Project, Vec<Read>) {
    let project = Project::new(&[
        ("a.txt", "a"),
        ("q.yaml", WRITTEN_QUEUE),
        ("more.txt", "numpy\n"),
        ("Dockerfile", DOCKERFILE),
    ]);
    // What an agent asks for before it looks for what starts containers.
    project
        .run(["queue", "create", "q", "-c", "q.yaml"])
        .answer();
    finished(
        &project.path(""),
        "run-1",
        published(1),
        &["python", "train.py"],
        0,
    );
    let record = project.read("mlbuild.runs/run-1.toml");
    let lock = include_str!("../../manifests/tests/samples/v3.lock");
    let tar = write_tar(&[file("a.txt", "a")]);
    let made = layouts::built(&[("RUN make", tar)], Packing::Plain, json!({}));
    let copied = project.path("layout");
    let done = std::process::Command::new("cp")
        .arg("-r")
        .arg(made.folder.path())
        .arg(&copied)
        .status();
    assert!(done.unwrap().success());
    let index = project.read("layout/index.json");
    let print = "image --print plan -f Dockerfile -t a:1";
    let reads = vec![
        read("mlbuild.toml", CONFIG, "image --print plan -t a:1"),
        read(
            "mlbuild.toml",
            CONFIG,
            "run --dry-run registry.example/base:1",
        ),
        read(
            "mlbuild.lock",
            lock,
            "image --print plan -f Dockerfile -t a:1 --frozen",
        ),
        read(
            "mlbuild.runs/run-1.toml",
            &record,
            "runs list --format json",
        ),
        read("mlbuild.runs/run-1.toml", &record, "runs show run-1"),
        read("Dockerfile", DOCKERFILE, print),
        read(".dockerignore", "**/*.pyc\n!keep/**\n/data\n", print),
        read(
            "requirements.txt",
            "six==1.0 ; python_version > '3'\n-r more.txt\n",
            "image --print plan -t a:1 -r requirements.txt",
        ),
        read("q.yaml", WRITTEN_QUEUE, "queue render q.yaml --image a:1"),
        read(
            "launch.yaml",
            LAUNCH,
            "agent --config launch.yaml --exit-when-idle",
        ),
        read("kubeconfig", KUBECONFIG, "logs job --kubeconfig kubeconfig"),
        read(
            "../home/.docker/config.json",
            "{\"auths\":{\"127.0.0.1:1\":{\"auth\":\"YTpi\"}}}",
            "inspect 127.0.0.1:1/x:1",
        ),
        read("layout/index.json", &index, "inspect ./layout"),
        read("layout/index.json", &index, "diff ./layout ./layout"),
        read(
            ".devcontainer/devcontainer.json",
            DEVCONTAINER,
            "devcontainer --force registry.example/base:1",
        ),
    ];
    (project, reads)
}

fn mutate(random: &mut Random, wanted: u64, all: &AtomicU64) {
    let (project, reads) = project();
    let mut mutator = Mutator::of(random.below(1 << 31));
    for read in &reads {
        // What isn't damaged is no error of the file's: it is read to its end.
        let code = try_one(&project, read, &read.text);
        assert!(matches!(code, Some(0 | 3 | 4)), "{:?}: {code:?}", read.verb);
    }
    let mut done = 0;
    while done < wanted {
        for read in &reads {
            let text = mutator.changed(std::slice::from_ref(&read.text));
            try_one(&project, read, &text);
            done += 1;
        }
    }
    all.fetch_add(done, Ordering::Relaxed);
}

#[test]
fn damaged_files_are_an_error_or_an_answer() {
    let wanted = std::env::var("MLBUILD_TEST_MUTATIONS");
    let wanted = wanted.map_or(MUTATIONS, |text| text.parse().unwrap());
    let mut random = Random::from_env();
    let all = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let mut random = Random::of(random.below(1 << 31));
            let all = &all;
            scope.spawn(move || mutate(&mut random, wanted.div_ceil(WORKERS), all));
        }
    });
    println!("{all:?} damaged inputs");
}

/// What nobody writes by hand, in every file: far too deep, far too long, in no language.
#[test]
fn hostile_files_are_an_error_or_an_answer() {
    let (_, reads) = project();
    let deep = 20_000;
    let hostile: Vec<Vec<u8>> = vec![
        "[".repeat(deep).into_bytes(),
        "{\"a\":".repeat(deep).into_bytes(),
        format!("a = {}", "[".repeat(deep)).into_bytes(),
        format!("a = {}1{}", "[".repeat(deep), "]".repeat(deep)).into_bytes(),
        format!("[{}]\n", vec!["a"; deep].join(".")).into_bytes(),
        format!("{} = 1\n", vec!["a"; deep].join(".")).into_bytes(),
        (0..2_000)
            .map(|n| format!("{}a:\n", " ".repeat(n)))
            .collect::<String>()
            .into_bytes(),
        "- ".repeat(deep).into_bytes(),
        format!(
            "a: &a [x,x]\n{}",
            (0..30)
                .map(|n| format!(
                    "b{n}: &b{n} [*{0},*{0}]\n",
                    if n == 0 {
                        "a".into()
                    } else {
                        format!("b{}", n - 1)
                    }
                ))
                .collect::<String>()
        )
        .into_bytes(),
        format!(
            "six ; {}python_version > '3'{}",
            "(".repeat(deep),
            ")".repeat(deep)
        )
        .into_bytes(),
        "six ; python_version > 'é'é\nsix ; é\nsix[é]==é @ é\n".into(),
        format!("FROM scratch\nRUN {}", "$(".repeat(deep)).into_bytes(),
        format!("FROM scratch\nENV A={}", "${A:-".repeat(deep)).into_bytes(),
        format!("FROM scratch\nCOPY {}\n", "{a,".repeat(deep)).into_bytes(),
        format!("{}\n", "**/".repeat(deep)).into_bytes(),
        format!("[{}]\n", "[".repeat(deep)).into_bytes(),
        "FROM scratch\nCOPY <<é /\né\n".into(),
        "\u{feff}\u{202e}\0".into(),
        vec![0xff; 4096],
        b"a\n".repeat(200_000),
        vec![b'a'; 1 << 20],
    ];
    thread::scope(|scope| {
        for part in reads.chunks(reads.len().div_ceil(WORKERS as usize)) {
            let (hostile, project) = (&hostile, project().0);
            scope.spawn(move || {
                for read in part {
                    for text in hostile {
                        try_one(&project, read, text);
                    }
                }
            });
        }
    });
}

/// Reads a file with this in it; then the file is as it was.
fn try_one(project: &Project, read: &Read, text: &[u8]) -> Option<i32> {
    let path = project.path(&read.file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    let output = project.command(&read.verb).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let is_well = matches!(output.status.code(), Some(0..=4 | 125))
        && !told.contains("panicked")
        && !told.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
    let start = &text[..text.len().min(200)];
    let shown: String = told.chars().take(2000).collect();
    assert!(
        is_well,
        "{:?} {:?}: {shown}\ninput: {}",
        read.verb,
        output.status,
        start.escape_ascii()
    );
    std::fs::write(&path, &read.text).unwrap();
    output.status.code()
}
