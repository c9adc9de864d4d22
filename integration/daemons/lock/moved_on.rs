//! Archives that drop a version, or serve another file under its name, after the lock was made.

use super::archive::Archive;
use super::{builder, error_of, words_of};
use crate::image::{Builder, unique};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

/// A day on which the archive still had the version.
const DAY: &str = "20260301T000000Z";

/// A project whose packages come from the archive, on a machine of its own.
struct Machine {
    project: Project,
    builder: Builder,
    base: String,
    tag: String,
    index: String,
}

impl Machine {
    fn new(archive: &Archive, tag: &str, lock: Option<&str>) -> Self {
        let engines = Engines::from_env();
        let project = Project::new(&[
            ("mlbuild.toml", "[build]\napt_sources = \"sources.list\"\n"),
            ("sources.list", &archive.sources()),
            ("requirements.txt", "mlpy\n"),
            (".dockerignore", "sources.list\n"),
        ]);
        if let Some(lock) = lock {
            project.write("mlbuild.lock", lock);
        }
        Self {
            project,
            builder: builder(&engines, "buildkitd"),
            base: engines.python_base.clone(),
            tag: tag.to_owned(),
            index: archive.index(),
        }
    }

    fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let image = ["--base", &self.base, "--apt", "mltest", "-t", &self.tag];
        let words = words_of(verb, &self.builder, &image, more);
        let mut command = self.project.command(&words);
        for name in ["SSL_CERT_FILE", "PIP_INDEX_URL"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
            .env("PIP_EXTRA_INDEX_URL", &self.index)
            .env("PIP_TRUSTED_HOST", "127.0.0.1");
        Ran::of(&mut command)
    }

    fn told(&self, ran: &str) -> String {
        error_of(&self.project, ran)
    }
}

#[test]
fn what_an_archive_no_longer_has_comes_from_beside_the_image_and_what_it_serves_instead_is_refused()
{
    let archive = Archive::new();
    archive.offer_deb("1.0", "first");
    archive.offer_wheels(&[("1.0", false)]);
    let tag = unique(&Engines::from_env().registry, "moved-on");
    let first = Machine::new(&archive, &tag, None);
    first.run("lock", &[]).answer();
    let plain = first.project.read("mlbuild.lock");
    assert!(
        plain.contains("name = \"mltest\", version = \"1.0\""),
        "{plain}"
    );
    assert!(
        plain.contains("name = \"mlpy\", version = \"1.0\""),
        "{plain}"
    );
    let port = archive.server.host.rsplit(':').next().unwrap();
    assert!(
        !plain.contains(port),
        "the lock names the archive's host:\n{plain}"
    );
    first.run("lock", &["--vendor"]).answer();
    let vendored = first.project.read("mlbuild.lock");
    assert_eq!(vendored.lines().count(), plain.lines().count() + 1);
    let built = first.run("image", &["--push", "--locked", "--no-skip"]);
    let digest = |ran: &Ran| ran.answer().rsplit('@').next().unwrap().to_owned();

    // Another file under the same name.
    archive.offer_deb("1.0", "second");
    let lied_to = Machine::new(&archive, &tag, Some(&plain));
    let ran = lied_to.run("image", &["--push", "--locked", "--no-skip"]);
    let mut said = lied_to.told(ran.refusal(4));

    // The version is gone, and the wheel was taken back; its file is still there.
    archive.offer_deb("1.0", "first");
    archive.keep(DAY);
    archive.offer_deb("2.0", "third");
    archive.offer_wheels(&[("1.0", true), ("2.0", false)]);
    let late = Machine::new(&archive, &tag, Some(&plain));
    let ran = late.run("image", &["--push", "--locked", "--no-skip"]);
    said += "\n";
    said += &late.told(ran.refusal(1));
    insta::assert_snapshot!(said, @"
    error: mltest_1.0_all.deb has sha256:[DIGEST], and the lock pins sha256:[DIGEST]
      hint: nothing was built; if the lock is right, whoever served that file is wrong
    error: no source of this machine has these pinned packages any more:
      mltest_1.0_all.deb
      hint: a lock made with --vendor keeps its packages beside the image; or take newer ones: mlbuild lock --upgrade
    ");
    assert_eq!(late.project.read("mlbuild.lock"), plain);

    // Unless the machine names an archive that keeps every state, as an archive of snapshots does.
    late.project.write("sources.list", &archive.sources_of(DAY));
    let ran = late.run("image", &["--push", "--locked", "--no-skip"]);
    assert_eq!(digest(&ran), digest(&built), "{}", ran.stderr);

    // The machine that made the lock still has it all; another finds it beside the image, offline.
    let again = first.run("image", &["--push", "--locked", "--no-skip"]);
    assert_eq!(digest(&again), digest(&built));
    let Archive { server, .. } = &archive;
    let sources = format!("deb [trusted=yes] http://{}/gone ./\n", server.host);
    let far = Machine::new(&archive, &tag, Some(&vendored));
    far.project.write("sources.list", &sources);
    let ran = far.run("image", &["--push", "--locked", "--no-skip"]);
    assert_eq!(digest(&ran), digest(&built), "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("pinned packages came from beside the image"),
        "{}",
        ran.stderr
    );

    // On purpose: the newer ones.
    first.run("lock", &["--upgrade"]).answer();
    let new = first.project.read("mlbuild.lock");
    assert!(
        new.contains("name = \"mltest\", version = \"2.0\""),
        "{new}"
    );
    assert!(new.contains("name = \"mlpy\", version = \"2.0\""), "{new}");
    assert!(
        new.contains("vendored = "),
        "what was kept beside the image stays so"
    );
}

#[test]
fn a_lock_for_another_platform_or_a_time_to_come_is_refused() {
    let archive = Archive::new();
    archive.offer_deb("1.0", "first");
    archive.offer_wheels(&[("1.0", false)]);
    let machine = Machine::new(&archive, "bad-lock:1", None);
    machine.run("lock", &[]).answer();
    let mut lock = machine.project.lock();
    let other = [
        "--locked",
        "--platform",
        "linux/arm64",
        "--print",
        "dockerfile",
    ];
    let mut said = machine.told(machine.run("image", &other).refusal(4));
    let mut entry = lock.images().next().unwrap().clone();
    entry.build.as_mut().unwrap().epoch = 4_000_000_000;
    lock.insert(entry);
    machine.project.write("mlbuild.lock", &lock.to_toml());
    let ran = machine.run("image", &["--locked", "--no-skip"]);
    let clock = regex::Regex::new(r"clock says \d+").unwrap();
    said += "\n";
    said += &clock.replace(&machine.told(ran.refusal(2)), "clock says [NOW]");
    insta::assert_snapshot!(said, @"
    error: the lock has packages for linux/amd64, and this build is for linux/arm64
      hint: pin those too: mlbuild lock --platform linux/amd64,linux/arm64, with the image's other flags
    error: the lock's epoch 4000000000 lies in the future: this machine's clock says [NOW]
      hint: set the clock, or pin anew: mlbuild lock --upgrade
    ");
}
