//! Real messages of pip 22.3.1, 24.0 and 25.3, of uv 0.5.31, 0.7.22 and 0.9.7, and of apt.

use super::*;

fn asked(project: &Path) -> AskedFor {
    let package = |(name, origin): (&str, &str)| AskedPackage {
        name: name.into(),
        origin: origin.into(),
    };
    let python = [
        ("six", "requirements.txt:1"),
        ("nosuchpkg-xyz", "requirements.txt:2"),
        ("idna", "requirements.txt:3"),
        ("requests", "requirements.txt:5"),
        ("tensorflow", "pyproject.toml:7"),
        ("pycairo", "packages"),
        ("urllib3", "requirements.txt:6"),
        ("botocore", "requirements.txt:7"),
    ];
    AskedFor {
        project: project.to_owned(),
        python: python.map(package).into(),
        apt: [("libnosuch-dev", "apt"), ("tree", "apt")]
            .map(package)
            .into(),
    }
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "requirements.txt",
            "six\nnosuchpkg_xyz==9  # ours\n  idna==99\n\nrequests==2.31.0\nurllib3==2.2.1\nbotocore==1.20.0\n",
        ),
        (
            "mlbuild.toml",
            "[image]\npackages = [\"pycairo==1.20.0\"]\napt = [\n  \"tree\",\n  \"libnosuch-dev\",\n]\n",
        ),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[track_caller]
fn lines(log: &str) -> Vec<String> {
    let project = project();
    let evidence = Evidence {
        log: log.lines().map(str::to_owned).collect(),
        ..Evidence::default()
    };
    let found = find(&evidence, &asked(project.path()));
    let line = |culprit: &Culprit| format!("{}: {}", culprit.place, culprit.text);
    found.iter().map(line).collect()
}

#[test]
fn what_pip_and_uv_say_leads_to_the_projects_lines() {
    let missing = "requirements.txt:2: nosuchpkg_xyz==9";
    let version = "requirements.txt:3: idna==99";
    let requests = "requirements.txt:5: requests==2.31.0";
    let old = "pyproject.toml:7: tensorflow";
    let cairo = "mlbuild.toml:2: packages = [\"pycairo==1.20.0\"]";
    for (log, expected) in [
        (
            "  \u{d7} No solution found when resolving dependencies:\n  \u{2570}\u{2500}\u{25b6} Because nosuchpkg-xyz was not found in the package registry and you\n      require nosuchpkg-xyz==9, we can conclude that your requirements are\n      unsatisfiable.",
            vec![missing],
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement nosuchpkg-xyz==9 (from versions: none)\nERROR: No matching distribution found for nosuchpkg-xyz==9",
            vec![missing],
        ),
        (
            "  \u{2570}\u{2500}\u{25b6} Because there is no version of idna==99 and you require idna==99, we can\n      conclude that your requirements are unsatisfiable.",
            vec![version],
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement idna==99 (from versions: 0.2, 3.10)\nERROR: No matching distribution found for idna==99",
            vec![version],
        ),
        (
            "  \u{2570}\u{2500}\u{25b6} Because requests==2.31.0 depends on idna>=2.5,<4 and you require\n      requests==2.31.0, we can conclude that you require idna>=2.5,<4.\n      And because you require idna==1.0, we can conclude that your\n      requirements are unsatisfiable.",
            vec![requests, version],
        ),
        (
            "ERROR: Cannot install -r /opt/mlbuild/requirements.txt (line 5) and idna==1.0 because these package versions have conflicting dependencies.\nERROR: ResolutionImpossible: for help visit",
            vec![requests, version],
        ),
        (
            "ERROR: Cannot install -r requirements.txt (line 5), -r requirements.txt (line 7) and urllib3==2.2.1 because these package versions have conflicting dependencies.",
            vec![
                requests,
                "requirements.txt:7: botocore==1.20.0",
                "requirements.txt:6: urllib3==2.2.1",
            ],
        ),
        (
            "  \u{d7} Failed to download `idna==2.8`\n  \u{2570}\u{2500}\u{25b6} Hash mismatch for `idna==2.8`",
            vec![version],
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package versions, please update the hashes.\n    idna==2.8 from https://index.example/idna-2.8-py2.py3-none-any.whl (from -r r.txt (line 1)):\n        Expected sha256 0000",
            vec![version],
        ),
        (
            "  \u{2570}\u{2500}\u{25b6} Because tensorflow==1.15.0 has no wheels with a matching Python ABI tag\n      (e.g., `cp311`) and you require tensorflow==1.15, we can conclude that\n      your requirements are unsatisfiable.",
            vec![old],
        ),
        ("  \u{d7} Failed to build `pycairo==1.20.0`", vec![cairo]),
        ("  ERROR: Failed building wheel for pycairo", vec![cairo]),
        (
            "ERROR: Package 'requests' requires a different Python: 3.9.2 not in '>=3.10'",
            vec![requests],
        ),
        (
            "E: Unable to locate package libnosuch-dev",
            vec!["mlbuild.toml:5: \"libnosuch-dev\","],
        ),
        // Nobody here asks for it by name.
        ("ERROR: Failed building wheel for other", vec![]),
        ("make: *** [all] Error 2", vec![]),
    ] {
        assert_eq!(lines(log), expected, "{log}");
    }
}

#[test]
fn who_was_named_long_before_the_end_is_found() {
    let project = project();
    let whole =
        "error: Failed to build `pycairo==1.20.0`\n  cause: The build backend returned an error";
    let end = "error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'";
    let evidence = Evidence {
        log: vec![end.to_owned()],
        whole: whole.lines().chain([end]).map(str::to_owned).collect(),
        ..Evidence::default()
    };
    let found = find(&evidence, &asked(project.path()));
    assert_eq!(found[0].package.as_deref(), Some("pycairo"));
    assert!(lacks_compiler(&evidence));
}

#[test]
fn that_a_compiler_is_missing_shows_itself_in_many_ways() {
    let lacks = |line: &str| {
        lacks_compiler(&Evidence {
            log: vec![line.to_owned()],
            ..Evidence::default()
        })
    };
    for line in [
        "error: command 'gcc' failed: No such file or directory",
        "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory",
        "error: command '/usr/bin/g++-12' failed: No such file or directory",
        "error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-g++'",
        "../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]",
        "unable to execute 'gcc': No such file or directory",
        "configure: error: no acceptable C compiler found in $PATH",
        "  No CMAKE_CXX_COMPILER could be found.",
        "error: linker `cc` not found",
        "fatal error: Python.h: No such file or directory",
    ] {
        assert!(lacks(line), "{line}");
    }
    for line in [
        "error: command 'gcc' failed with exit code 1",
        "error: [Errno 2] No such file or directory: 'README.md'",
        "error: [Errno 2] No such file or directory: 'ccache.txt'",
        "fatal error: zlib.h: No such file or directory",
    ] {
        assert!(!lacks(line), "{line}");
    }
}
