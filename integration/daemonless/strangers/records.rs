//! A run's record that others wrote: looking at it, or asking after its run, runs nothing.

use std::io::{Read as _, Write as _};

use crate::support::mlbuild::{Project, Ran};

/// A kubeconfig whose log-in is a program that leaves a mark.
fn kubeconfig(server: &str, mark: &std::path::Path) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
         clusters: [{{ name: c, cluster: {{ server: \"{server}\" }} }}]\n\
         contexts: [{{ name: prod, context: {{ cluster: c, user: u }} }}]\n\
         users: [{{ name: u, user: {{ exec: {{ apiVersion: client.authentication.k8s.io/v1, \
         interactiveMode: Never, command: sh, args: [\"-c\", \"touch {}\"] }} }} }}]\n",
        mark.display()
    )
}

fn record(file: &str) -> String {
    format!(
        "version = 3\nid = \"job-1\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\nreference = \"r.example/a:1\"\n\
         digest = \"sha256:{}\"\n\n[command]\nprogram = \"kubernetes\"\nargv = []\n\n[cluster]\ncontext = \"prod\"\n\
         kubeconfig = \"{file}\"\nserver = \"https://127.0.0.1:1\"\nnamespace = \"n\"\njob = \"j\"\n\
         options = [\n  \"--kubeconfig={file}\",\n]\n\n[outcome]\nstatus = \"started\"\nstarted = \"2026-03-01T12:00:00Z\"\n\n# end of record\n",
        "01".repeat(32)
    )
}

const LOOKS: [&[&str]; 8] = [
    &["runs", "show", "job-1"],
    &["runs", "show", "job-1", "--live"],
    &["runs", "list"],
    &["logs", "job-1"],
    &["bash", "job-1"],
    &["jobs", "show", "job-1"],
    &["jobs", "logs", "job-1"],
    &["jobs", "cancel", "job-1"],
];

#[test]
fn a_kubeconfig_that_a_record_names_is_never_opened() {
    let project = Project::new(&[]);
    let mark = project.outside().join("mark");
    project.write(
        "mlbuild.runs/job-1.patch",
        &kubeconfig("https://127.0.0.1:1", &mark),
    );
    let file = project.path("mlbuild.runs/job-1.patch");
    project.write(
        "mlbuild.runs/job-1.toml",
        &record(&file.display().to_string()),
    );
    for words in LOOKS {
        let ran = project.run(words);
        println!("{words:?}: {:?} {}", ran.code, ran.stderr);
        assert!(!mark.exists(), "{words:?} ran the program: {}", ran.stderr);
    }
    project.run(["runs", "show", "job-1"]).answer();
}

#[test]
fn ones_own_context_of_that_name_is_used_for_its_own_server_only() {
    let project = Project::new(&[]);
    let mark = project.outside().join("mark");
    let own = project.outside().join("kubeconfig");
    std::fs::write(&own, kubeconfig("https://127.0.0.1:2", &mark)).unwrap();
    project.write("mlbuild.runs/job-1.toml", &record("/nowhere"));
    for words in LOOKS.iter().filter(|words| words[0] != "runs") {
        let ran = Ran::of(project.command(*words).env("KUBECONFIG", &own));
        assert_ne!(ran.code, Some(0));
        println!("{words:?}: {}", ran.stderr);
        assert!(!mark.exists(), "{words:?} ran the program: {}", ran.stderr);
    }
    let ran = Ran::of(project.command(["logs", "job-1"]).env("KUBECONFIG", &own));
    let said = ran.refusal(2);
    assert!(
        said.contains("the run's record names https://127.0.0.1:1"),
        "{said}"
    );
}

/// A registry on loopback that says of each manifest that it is there.
fn registry() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let digest = "01".repeat(32);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\
                 Content-Type: application/vnd.oci.image.manifest.v1+json\r\n\
                 Docker-Content-Digest: sha256:{digest}\r\n\r\n"
            );
        }
    });
    address
}

/// The record of a stranger names the person's own cluster, and what the Job is to have of it.
#[test]
fn no_record_submits_a_job_unasked() {
    let project = Project::new(&[]);
    let mark = project.outside().join("mark");
    let own = kubeconfig("https://127.0.0.1:1", &mark);
    project.write("../home/.kube/config", &own);
    let options = "  \"--secret=db:/s\",\n  \"--trust\",\n  \"--service-account=admin\",\n";
    let text = record("-")
        .replace("r.example/a:1", &format!("{}/a:1", registry()))
        .replace("kubeconfig = \"-\"\n", "")
        .replace("  \"--kubeconfig=-\",\n", options)
        .replace(
            "argv = []",
            "options = [\n  \"--kubeconfig=evil\",\n]\nargv = []",
        );
    project.write("mlbuild.runs/job-1.toml", &text);
    let restore = ["restore", "job-1", "--no-code", "--no-shell"];
    let shown = project.run(restore);
    let command = shown.answer();
    assert!(command.contains("--secret=db:/s"), "{command}");
    for word in ["--trust", "--kubeconfig"] {
        assert!(!command.contains(word), "{command}");
    }
    let restore = ["restore", "job-1", "--no-code", "--exec"];
    let ran = project.run(restore);
    let text = ran.refusal(2);
    for said in [
        "submits a Job to your cluster with --context=prod --namespace=n --secret=db:/s",
        "--service-account=admin",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(!mark.exists(), "the cluster was asked");
    println!("{}", project.filtered(text));
    // Once it is agreed to, it is submitted as any other.
    let ran = project.run([&restore[..], &["--trust"]].concat());
    assert!(mark.exists(), "{}", ran.stderr);
}

/// A record of a run with data at a place.
fn with_data(name: &str) -> String {
    let digest = format!("sha256:{}", "01".repeat(32));
    format!(
        "version = 4\nid = \"job-1\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\nreference = \"r.example/a:1\"\n\
         digest = \"{digest}\"\n\n[[data]]\nname = \"{name}\"\nfiles = 1\nbytes = 1\nsample = \"{digest}\"\n\
         times = \"{digest}\"\n\n# end of record\n"
    )
}

#[test]
fn data_outside_the_project_is_not_looked_at_because_a_record_names_it() {
    let project = Project::new(&[("data/x", "x"), ("sub/y", "y")]);
    let outside = project.outside().join("private");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("key"), "k").unwrap();
    std::os::unix::fs::symlink(&outside, project.path("link")).unwrap();
    std::os::unix::fs::symlink("/", project.path("sub/top")).unwrap();
    let outside = outside.display().to_string();
    let inside_top = format!("sub/top{outside}");
    let now = |name: &str, flags: &[&str]| {
        project.write("mlbuild.runs/job-1.toml", &with_data(name));
        let words = [&["runs", "show", "job-1", "--format", "json"], flags].concat();
        let shown = project.run(words).json();
        let text = project.run([&["runs", "show", "job-1"], flags].concat());
        println!("{name}: {}", text.answer());
        shown["data"][0]["now"].as_str().unwrap().to_owned()
    };
    for name in [
        outside.as_str(),
        "../../private",
        "data/../../private",
        "link",
        "link/key",
        &inside_top,
    ] {
        assert_eq!(now(name, &[]), "not-looked-at", "{name}");
    }
    for name in ["data", "data/x", "sub"] {
        assert_eq!(now(name, &[]), "changed", "{name}");
    }
    assert_eq!(now("nowhere", &[]), "gone");
    // Who asks for it has it looked at.
    assert_eq!(now(&outside, &["--live"]), "changed");
}
