//! Projects of every kind, built by a real builder and used: small reconstructions of what stands in
//! public repositories. Each file of `cases/` is one, in the form that [`Case`] reads.

mod case;
mod show;

use std::path::PathBuf;

use crate::support::repository;

fn folder() -> PathBuf {
    repository().join("integration/daemons/projects/cases")
}

/// One test for each file of `cases/`, and one that none is forgotten.
macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            show::run(stringify!($name));
        })*

        #[test]
        fn every_case_is_tried() {
            let mut known: Vec<String> = vec![$(stringify!($name).to_owned()),*];
            known.sort();
            let entries = std::fs::read_dir(folder()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut there: Vec<String> = names
                .map(|name| name.trim_end_matches(".txtar").to_owned())
                .collect();
            there.sort();
            assert_eq!(known, there);
        }
    };
}

cases! {
    by_code
    cog
    compiled
    conda
    dockerfile
    grammar
    hashes
    libraries
    libraries_locked
    local
    locked
    pdm
    pep621
    pipfile
    poetry
    run
    setup_cfg
    setup_py
    old_pins
    undeclared
    workspace
}
