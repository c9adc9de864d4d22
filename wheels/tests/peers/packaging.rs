//! The order of tags is the one of PyPA's `packaging`, for every Python and C library.

use std::process::Command;

use crate::support::{run, tools};
use mlbuild_wheels::{Libc, Platform, Tags};

/// Prints the tags of one Python on one platform, best first.
const SCRIPT: &str = r#"
import sys
from packaging import tags, _manylinux, _musllinux
minor, machine, libc, version = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
version = tuple(map(int, version.split(".")))
_manylinux._get_glibc_version = lambda: version if libc == "glibc" else (-1, -1)
_manylinux._have_compatible_abi = lambda *a: libc == "glibc"
_musllinux._get_musl_version = lambda *a: _musllinux._MuslVersion(*version) if libc == "musl" else None
tags.sysconfig.get_platform = lambda: "linux-" + machine
platforms = list(tags._linux_platforms(is_32bit=False))
python, cp = (3, minor), f"cp3{minor}"
for tag in tags.cpython_tags(python, abis=[cp], platforms=platforms):
    print(tag)
for tag in tags.compatible_tags(python, interpreter=cp, platforms=platforms):
    print(tag)
"#;

#[test]
fn tags_are_in_the_order_of_packaging() {
    for (minor, machine, libc) in [
        (8, "x86_64", Libc::Glibc(2, 17)),
        (9, "x86_64", Libc::Glibc(2, 36)),
        (11, "x86_64", Libc::Glibc(2, 36)),
        (14, "x86_64", Libc::Glibc(2, 41)),
        (12, "aarch64", Libc::Glibc(2, 39)),
        (12, "aarch64", Libc::Glibc(2, 16)),
        (13, "ppc64le", Libc::Glibc(2, 28)),
        (11, "x86_64", Libc::Musl(1, 2)),
        (13, "aarch64", Libc::Musl(1, 1)),
    ] {
        let (name, version) = match libc {
            Libc::Glibc(major, minor) => ("glibc", format!("{major}.{minor}")),
            Libc::Musl(major, minor) => ("musl", format!("{major}.{minor}")),
        };
        let mut python = Command::new(tools().join("python"));
        python.args(["-c", SCRIPT, &minor.to_string(), machine, name, &version]);
        let theirs = run(&mut python);
        let mut theirs: Vec<&str> = theirs.lines().collect();
        // Some stand there twice; the first place counts.
        let mut seen = std::collections::HashSet::new();
        theirs.retain(|tag| seen.insert(*tag));
        let platform = Platform {
            machine: machine.to_owned(),
            libc,
        };
        let ours = Tags::of(format!("3.{minor}").parse().unwrap(), &platform);
        let ours: Vec<String> = ours.in_order().iter().map(ToString::to_string).collect();
        assert!(theirs.len() > 20);
        assert_eq!(ours, theirs, "3.{minor} on {machine} with {libc}");
    }
}
