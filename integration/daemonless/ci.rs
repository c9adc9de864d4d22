//! `mlbuild ci` without any daemon: where the file goes, and what is refused.

use crate::support::mlbuild::Project;

#[test]
fn a_workflow_is_written_once() {
    let project = Project::new(&[("requirements.txt", "six\n")]);
    let ci = [
        "ci",
        "github",
        "--",
        "-t",
        "ghcr.io/me/cracks:1",
        "--uid",
        "1000",
    ];
    let ran = project.run(ci);
    assert!(ran.answer().ends_with(".github/workflows/image.yml"));
    assert!(
        ran.stderr.contains("pins no packages yet"),
        "{}",
        ran.stderr
    );
    let text = project.read(".github/workflows/image.yml");
    let image = "IMAGE=$(mlbuild image -t ghcr.io/me/cracks:1 --uid 1000 --locked --push";
    assert!(text.contains(image), "{text}");
    assert!(text.contains("docker login ghcr.io "), "{text}");
    assert!(
        !text.contains("@FLAGS@") && !text.contains("@REGISTRY@"),
        "{text}"
    );
    // The same again is no news; another one isn't written over it.
    project.run(ci).answer();
    let other = ["ci", "github", "--", "-t", "ghcr.io/me/cracks:2"];
    let why = project.run(other);
    assert!(why.refusal(2).contains("--force"), "{}", why.stderr);
    assert_eq!(project.read(".github/workflows/image.yml"), text);
    let forced = ["ci", "github", "--force", "--", "-t", "ghcr.io/me/cracks:2"];
    project.run(forced).answer();
    assert!(
        project
            .read(".github/workflows/image.yml")
            .contains("cracks:2")
    );
}

#[test]
fn flags_that_no_image_has_are_refused() {
    let project = Project::new(&[]);
    for (flags, why) in [
        (
            &["-t", "ghcr.io/me/x:1", "--uids", "1"][..],
            "after --: unexpected argument '--uids'",
        ),
        (&[], "which has no name"),
    ] {
        let words = [&["ci", "gitlab", "--"], flags].concat();
        let ran = project.run(words);
        assert!(ran.refusal(2).contains(why), "{}", ran.stderr);
    }
    assert_eq!(project.names(), [""; 0]);
}
