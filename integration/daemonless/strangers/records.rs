//! A run's record that others wrote: looking at it, or asking after its run, runs nothing.

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
