//! Packages that are resolved without a builder: the same as inside the base, and the reasons why a base has
//! to be asked.

use std::thread;

use mlbuild_manifests::lock::Pins;

use crate::examples::uv;
use crate::image::unique;
use crate::lock::{builder, run};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::wheels::{file, wheel};

/// No builder is there.
const NOWHERE: [&str; 2] = ["--builder", "tcp://127.0.0.1:9"];

/// A project, by its files.
type Files = &'static [(&'static str, &'static str)];

/// Includes, constraints, extras, markers, an exact hash, an address, a wheel with compiled files.
const REQUIREMENTS: Files = &[
    (
        "requirements.txt",
        "-r more/others.txt\n-c constraints.txt\nrequests[socks]>=2.31  # a comment\n\
         tomli ; python_version < '3.11'\ncolorama ; sys_platform == 'win32'\n\
         typing-extensions ; python_full_version >= '3.11.1' and platform_machine == 'x86_64'\n\
         pyyaml==6.0.2\nmarkupsafe>=2\n",
    ),
    ("more/others.txt", "click<8.2\njinja2\n"),
    ("constraints.txt", "urllib3<2.3\njinja2<3.1.6\n"),
];

/// A lock for every platform, of which this one takes a part.
const LOCKED_PROJECT: Files = &[(
    "pyproject.toml",
    "[project]\nname = \"app\"\nversion = \"0.1.0\"\nrequires-python = \">=3.10\"\n\
     dependencies = [\"pyyaml>=6\", \"tomli; python_version < '3.11'\", \"colorama; sys_platform == 'win32'\"]\n\
     [project.optional-dependencies]\nweb = [\"click<8.2\"]\n",
)];

fn locked(engines: &Engines, files: Files, flags: &[String]) -> (Ran, Project) {
    let train = [("train.py", "print(1)\n")];
    let project = Project::new(&[files, &train].concat());
    if files.iter().any(|(name, _)| *name == "pyproject.toml") {
        uv(&project.path(""), &["lock", "-q"]);
    }
    let tag = unique(&engines.registry, "resolve");
    let base = [
        "lock",
        "--base",
        &engines.python_base,
        "--uid",
        "1000",
        "-t",
        &tag,
    ];
    let words = base
        .map(str::to_owned)
        .into_iter()
        .chain(flags.iter().cloned());
    (run(&project, &words.collect::<Vec<_>>()), project)
}

/// Assembled, without a builder.
fn here() -> Vec<String> {
    ["--method=assemble"]
        .iter()
        .chain(&NOWHERE)
        .map(ToString::to_string)
        .collect()
}

fn pins(project: &Project) -> Pins {
    let lock = project.lock();
    let entry = lock.images().next().expect("an image");
    entry.build.as_ref().unwrap().platforms["linux/amd64"].clone()
}

/// A machine that has none of the pinned wheels fetches them without a builder.
fn assembled_from_the_index(engines: &Engines, project: &Project) {
    let inputs = project.outside().join("state/inputs/sha256");
    std::fs::remove_dir_all(&inputs).unwrap();
    let lock = project.lock();
    let entry = lock.images().next().unwrap();
    let tag = format!("{}:{}", entry.name, entry.tag.as_deref().unwrap());
    let image = [
        "image",
        "--base",
        &engines.python_base,
        "--uid",
        "1000",
        "-t",
        &tag,
    ];
    let out = ["-o", "type=oci,dest=out", "--method=assemble"];
    let words = image
        .iter()
        .chain(&out)
        .chain(&NOWHERE)
        .map(ToString::to_string);
    let made = run(project, &words.collect::<Vec<_>>());
    made.answer();
    let count = pins(project).python_packages.len();
    let fetched = format!("fetching {count} pinned packages");
    assert!(made.stderr.contains(&fetched), "{}", made.stderr);
    assert!(project.path("out").exists());
}

#[test]
fn packages_are_those_that_the_base_would_get_on_a_builder() {
    let engines = Engines::from_env();
    thread::scope(|scope| {
        for files in [REQUIREMENTS, LOCKED_PROJECT] {
            let engines = &engines;
            scope.spawn(move || {
                let (done, project) = locked(engines, files, &here());
                done.answer();
                let found_here = pins(&project);
                assembled_from_the_index(engines, &project);
                let mut flags = builder(engines, "buildkitd").flags;
                flags.push("--method=buildkit".to_owned());
                let (done, project) = locked(engines, files, &flags);
                done.answer();
                let there = pins(&project);
                assert_eq!(found_here, there);
                assert!(!there.python_packages.is_empty(), "{there:?}");
            });
        }
    });
}

/// A wheel that lies in the project comes from no index: its lock needs no builder, and a machine that never
/// met it takes it from the project.
#[test]
fn a_wheel_of_the_project_needs_no_builder() {
    let engines = Engines::from_env();
    let (name, content) = wheel("own", "py3-none-any", &[file("own.py", b"X = 1\n")], "");
    let rows = [
        format!("./wheels/{name}\n"),
        format!("six==1.17.0\n./wheels/{name} ; python_version >= '3'\n"),
        "--find-links 'my r\u{e4}der'\nown==1.0\n".to_owned(),
    ];
    thread::scope(|scope| {
        for requirements in rows {
            let (engines, name, content) = (&engines, &name, &content);
            scope.spawn(move || {
                let project = Project::new(&[("requirements.txt", &requirements)]);
                let folder = if requirements.contains("find-links") {
                    "my r\u{e4}der"
                } else {
                    "wheels"
                };
                let folder = project.path(folder);
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(folder.join(name), content).unwrap();
                let tag = unique(&engines.registry, "own-wheel");
                let base = ["--base", &engines.python_base, "-t", &tag];
                let words = |verb: &[&str]| {
                    let words = verb.iter().chain(&base).map(ToString::to_string);
                    words.chain(here()).collect::<Vec<_>>()
                };
                run(&project, &words(&["lock"])).answer();
                let packages = pins(&project).python_packages;
                assert!(packages.iter().any(|package| package.file == *name));
                std::fs::remove_dir_all(project.outside().join("state/inputs")).unwrap();
                let out = ["image", "--locked", "-o", "type=oci,dest=out"];
                run(&project, &words(&out)).answer();
                assert!(project.path("out").exists());
            });
        }
    });
}

#[test]
fn why_a_base_has_to_be_asked_is_said() {
    let engines = Engines::from_env();
    let rows: [(Files, &str); 5] = [
        (
            &[("requirements.txt", "docopt==0.6.2\n")],
            "docopt==0.6.2 is a source archive that tells what it needs by its code alone",
        ),
        (
            &[("requirements.txt", "lightgbm==4.5.0\n")],
            "its packages look for libraries that the base may lack: libgomp.so.1",
        ),
        (
            &[("requirements.txt", "six==1.16.0\nsix==1.17.0\n")],
            "No solution found when resolving dependencies",
        ),
        (
            &[("requirements.txt", "not-a-package-that-anybody-has==1\n")],
            "No solution found when resolving dependencies: Because not-a-package-that-anybody-has was not found",
        ),
        (
            &[("requirements.txt", "--no-binary :all:\nsix==1.17.0\n")],
            "six has no wheel for the base",
        ),
    ];
    thread::scope(|scope| {
        for (files, why) in rows {
            let engines = &engines;
            scope.spawn(move || {
                let (refused, _project) = locked(engines, files, &here());
                let said = refused.refusal(3);
                let note = format!("packages are looked for in the base: {why}");
                assert!(said.contains(&note), "{said}");
                assert!(said.contains("127.0.0.1:9"), "{said}");
            });
        }
    });
}
