//! Packages as they were on a day: Debian's from an archive of snapshots, Python's by the times
//! that the real index gives.

use super::archive::Archive;
use super::{builder, error_of, run, words_of};
use crate::image::{Builder, unique};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

const SETTINGS: &str = "[build]\napt_sources = \"now.list\"\napt_snapshots = \"snapshots.list\"\n";

struct Machine {
    project: Project,
    builder: Builder,
    base: String,
    tag: String,
}

impl Machine {
    fn new(archive: &Archive, tag: &str) -> Self {
        let engines = Engines::from_env();
        let project = Project::new(&[
            ("mlbuild.toml", SETTINGS),
            ("now.list", &archive.sources()),
            ("snapshots.list", &archive.sources_of("{time}")),
            ("requirements.txt", "six\n"),
            (".dockerignore", "*.list\n"),
        ]);
        Self {
            project,
            builder: builder(&engines, "buildkitd"),
            base: engines.python_base.clone(),
            tag: tag.to_owned(),
        }
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let image = ["--base", &self.base, "--apt", "mltest", "-t", &self.tag];
        let words = words_of(verb, &self.builder, &image, more);
        run(&self.project, &words)
    }

    /// The lock's packages as `NAME VERSION`, and the time they are of.
    fn pinned(&self) -> (Vec<String>, Option<String>) {
        let lock = self.project.lock();
        let build = lock.images().next().unwrap().build.clone().unwrap();
        let pins = build.platforms.into_values().next().unwrap();
        let debs = pins.apt.iter().map(|deb| (&deb.name, &deb.version));
        let files = pins.python_packages.iter();
        let files = files.map(|file| (&file.name, &file.version));
        let all = debs
            .chain(files)
            .map(|(name, version)| format!("{name} {version}"));
        (all.collect(), build.as_of.map(|time| time.to_string()))
    }
}

#[test]
fn the_packages_of_a_day_are_pinned_and_stay_those_of_that_day_until_they_are_to_move() {
    let archive = Archive::new();
    archive.offer_deb("1.0", "first");
    archive.keep("20200601T235959Z");
    archive.offer_deb("2.0", "second");
    let tag = unique(&Engines::from_env().registry, "as-of");
    let machine = Machine::new(&archive, &tag);
    machine.run("lock", &[]).answer();
    let (today, as_of) = machine.pinned();
    assert_eq!((today[0].as_str(), as_of), ("mltest 2.0", None));

    let day = Some("2020-06-01T23:59:59Z".to_owned());
    machine.run("lock", &["--as-of", "2020-06-01"]).answer();
    let then = vec!["mltest 1.0".to_owned(), "six 1.15.0".to_owned()];
    assert_eq!(machine.pinned(), (then.clone(), day.clone()));
    let old = machine.project.read("mlbuild.lock");
    machine.run("lock", &["--locked"]).answer();

    // Another machine finds the package where it was found, and builds.
    let other = Machine::new(&archive, &tag);
    other.project.write("mlbuild.lock", &old);
    let built = other.run("image", &["--push", "--locked"]);
    assert!(built.answer().contains("@sha256:"), "{}", built.stderr);

    // pip sees the same.
    let by_pip = ["--as-of", "2020-06-01", "--installer", "pip"];
    machine.run("lock", &by_pip).answer();
    assert_eq!(machine.pinned(), (then, day.clone()));
    machine.project.write("mlbuild.lock", &old);

    // What is added later is of that day too.
    machine
        .project
        .write("requirements.txt", "six\npackaging\n");
    let ran = machine.run("image", &["--push"]);
    ran.answer();
    let note = "looking for packages as of 2020-06-01T23:59:59Z";
    assert!(ran.stderr.contains(note), "{}", ran.stderr);
    let more = [
        "mltest 1.0",
        "packaging 20.4",
        "pyparsing 2.4.7",
        "six 1.15.0",
    ];
    assert_eq!(machine.pinned(), (more.map(str::to_owned).into(), day));

    machine.run("lock", &["--upgrade"]).answer();
    let (new, as_of) = machine.pinned();
    assert_eq!((new[0].as_str(), as_of), ("mltest 2.0", None));
    assert!(!new.contains(&"six 1.15.0".to_owned()), "{new:?}");
}

#[test]
fn a_day_that_cannot_be_had_is_refused_and_pins_nothing() {
    let archive = Archive::new();
    let machine = Machine::new(&archive, "as-of:1");
    let mut said = String::new();
    let mut tell = |settings: &str, list: &str, more: &[&str]| {
        machine.project.write("mlbuild.toml", settings);
        machine.project.write("snapshots.list", list);
        let ran = machine.run("lock", more);
        said += &format!("{}\n", error_of(&machine.project, ran.refusal(2)));
    };
    let day = ["--as-of", "2020-06-01"];
    tell("", "", &day);
    tell(
        SETTINGS,
        "deb http://a.example/debian bookworm main\n",
        &day,
    );
    tell(SETTINGS, "", &["--as-of", "2020-06-01", "--locked"]);
    tell(SETTINGS, "", &["--as-of", "march"]);
    tell(SETTINGS, "", &["--as-of", "9000-01-01"]);
    machine.project.write("Dockerfile", "FROM scratch\n");
    let words = ["lock", "-f", "Dockerfile", "--as-of", "2020-06-01"];
    said += machine.project.run(words).refusal(2);
    insta::assert_snapshot!(said, @r#"
    error: as of 2020-06-01T23:59:59Z: Debian's packages of that time are in an archive of snapshots, and none is named
      hint: mlbuild.toml: [build] apt_snapshots = "snapshots.list"; there: deb https://snapshots.example/debian/{time} bookworm main
    error: apt_snapshots: /project/snapshots.list: no address in it has {time}
      hint: write {time} where the archive of snapshots has the time: deb https://snapshots.example/debian/{time} bookworm main
    error: the argument '--as-of <DAY>' cannot be used with '--locked'

    Usage: mlbuild lock --builder <URL> --base <IMAGE> --apt <PACKAGE> --tag <REFERENCE> --as-of <DAY> [CONTEXT]

    For more information, try '--help'.
    error: invalid value 'march' for '--as-of <DAY>': write a day, 2026-03-01, or a time, 2026-03-01T12:00:00Z

    For more information, try '--help'.
    error: invalid value '9000-01-01' for '--as-of <DAY>': 9000-01-01T23:59:59Z is still to come

    For more information, try '--help'.
    error: --as-of: a Dockerfile of your own says itself what its steps fetch
      hint: name the day in its steps, or use a template
    "#);
    assert!(!machine.project.path("mlbuild.lock").exists());
}
