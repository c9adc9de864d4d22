//! The user: the asked name and ids, whatever the base has.

use super::Workshop;
use crate::support::engines::Engines;

const WHO: &str = "echo $(id -un) $(id -u) $(id -gn) $(id -g) $HOME; touch here ~/there; stat -c %u:%g here ~/there";

#[test]
fn the_asked_name_and_ids_whatever_is_taken() {
    let workshop = Workshop::new(&[]);
    let ubuntu = workshop.engines.ubuntu_base.clone();
    let debian = workshop.engines.base.clone();
    for (base, name, uid, gid) in [
        // The id is taken by `ubuntu`, the name is free.
        (&ubuntu, "vorph", "1000", "1000"),
        // The name is taken, and the group id by `users`.
        (&ubuntu, "ubuntu", "1234", "100"),
        (&ubuntu, "ubuntu", "1000", "1000"),
        // A system's name with another id; a name that needs care in patterns.
        (&debian, "www-data", "501", "20"),
        (&debian, "john.doe", "1000055", "1000055"),
        (&debian, "me", "0", "0"),
        (&debian, "last", "4294967294", "4294967294"),
    ] {
        let tag = "templates-users";
        workshop.build(
            tag,
            &["--base", base, "--user", name, "--uid", uid, "--gid", gid],
        );
        let said = workshop.sh(tag, WHO);
        let ids = format!("{uid}:{gid}");
        assert_eq!(
            said,
            format!("{name} {uid} {name} {gid} /home/{name}\n{ids}\n{ids}")
        );
        let accounts = workshop.sh(tag, "id -u root; cut -d: -f1 /etc/passwd | sort | uniq -d");
        assert_eq!(
            accounts, "0",
            "{name}: root is gone or an account is there twice"
        );
    }
}

#[test]
fn root_stays_root() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.base.clone();
    workshop.build("templates-root", &["--base", &base, "--uid", "0"]);
    assert_eq!(
        workshop.sh("templates-root", "echo $(id -un) $HOME"),
        "root /root"
    );
    let refused = workshop.image(
        "templates-root",
        &["--base", &base, "--user", "root", "--uid", "5"],
    );
    assert!(!refused.status.success());
}

#[test]
fn a_large_id_makes_no_large_files() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.base.clone();
    workshop.build("templates-large", &["--base", &base, "--uid", "1000055"]);
    let apparent = workshop.sh(
        "templates-large",
        "cat /var/log/lastlog /var/log/faillog | wc -c",
    );
    assert!(
        apparent.parse::<u64>().expect("a number") < 1_000_000,
        "{apparent} bytes"
    );
}

#[test]
fn every_docker_makes_the_same_user() {
    let engines = Engines::from_env();
    for (name, endpoint) in engines.dockers() {
        let workshop = Workshop::on(
            engines.clone(),
            endpoint.to_owned(),
            &[("train.py", "print('trained')\n")],
        );
        let base = engines.python_base.clone();
        workshop.build(
            "templates-every",
            &[
                "--base",
                &base,
                "--user",
                "vorph",
                "--uid",
                "1234",
                "--package",
                "six",
            ],
        );
        let said = workshop.sh(
            "templates-every",
            "id -un; python -c 'import six'; python train.py",
        );
        assert_eq!(said, "vorph\ntrained", "{name}");
    }
}

#[test]
fn a_sudo_user_may_become_root() {
    let workshop = Workshop::new(&[]);
    let base = workshop.engines.base.clone();
    workshop.build(
        "templates-sudo",
        &[
            "--base", &base, "--user", "john.doe", "--uid", "1000", "--sudo",
        ],
    );
    let said = workshop.sh(
        "templates-sudo",
        "sudo -n id -u; sudo -n stat -c %a:%u /etc/sudoers.d/mlbuild-user; id -nG",
    );
    assert_eq!(said, "0\n440:0\njohn.doe sudo");
}
