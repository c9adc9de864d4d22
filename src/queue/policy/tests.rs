//! What a launcher could try, rule by rule.

use std::os::unix::fs::symlink;

use super::{Policy, PolicyError, PolicyQuestion, size};
use crate::queue::{GpuNeed, QueueConfig, gpu_need, override_of};
use crate::runtime::{Options, RuntimeCli};

fn policy(text: &str) -> Policy {
    serde_saphyr::from_str(text).unwrap()
}

/// What is started of a job, or the rule that refuses it.
fn admitted(policy: &Policy, queue: &str, overrides: &[&str]) -> Result<String, PolicyError> {
    let queue = QueueConfig::parse(queue, "q".as_ref()).unwrap();
    let overrides: Options = overrides
        .iter()
        .map(|text| override_of(text).unwrap())
        .collect();
    let (mut spec, _) = queue.spec("ghcr.io/me/a:1", &[], overrides.clone());
    let question = PolicyQuestion {
        queue: &queue,
        overrides: &overrides,
        gpus: match gpu_need(&spec.options) {
            Ok(GpuNeed::Count(count)) => count as usize,
            Ok(GpuNeed::All) => 8,
            _ => 0,
        },
    };
    policy.admit(&mut spec, &question)?;
    Ok(spec.argv(RuntimeCli::Docker).form[2..].join(" "))
}

fn refused(policy: &Policy, queue: &str, overrides: &[&str]) -> String {
    let error = admitted(policy, queue, overrides).unwrap_err();
    format!("{error} ({})", error.rule())
}

#[test]
fn jobs_get_the_variables_that_the_queue_or_the_policy_names() {
    let queue = |text: &str| QueueConfig::parse(text, "q".as_ref()).unwrap();
    let key = "WANDB_API_KEY";
    let none = Policy::default();
    assert!(!none.hands_on(key, &queue("env: [A=1]")));
    assert!(!none.hands_on(key, &queue("env: [WANDB_API_KEY=]")));
    assert!(none.hands_on(key, &queue("env: [WANDB_API_KEY]")));
    assert!(policy("env: [WANDB_API_KEY]").hands_on(key, &queue("")));
    assert!(policy("env: [\"WANDB_*\"]").hands_on(key, &queue("")));
    assert!(!policy("env: [WANDB_API_KEYS]").hands_on(key, &queue("")));
}

#[test]
fn without_a_word_nothing_of_the_machine_is_handed_out() {
    let none = Policy::default();
    for (setting, said) in [
        ("privileged", "starts no containers with privileged"),
        ("cap-add=SYS_ADMIN", "cap-add=SYS_ADMIN"),
        (
            "security-opt=seccomp=unconfined",
            "security-opt=seccomp=unconfined",
        ),
        ("pid=host", "pid=host"),
        ("ipc=host", "ipc=host"),
        ("network=host", "network=host"),
        ("network=container:other", "network=container:other"),
        ("userns=host", "userns=host"),
        ("uts=host", "uts=host"),
        ("cgroupns=host", "cgroupns=host"),
        ("device=/dev/sda", "device=/dev/sda"),
        ("device-cgroup-rule=c 1:* rwm", "device-cgroup-rule"),
        ("volume=/:/host", "doesn't mount /"),
        (
            "volume=/var/run/docker.sock:/s",
            "doesn't mount /var/run/docker.sock",
        ),
        ("volume=data:/x", "doesn't mount data"),
        (
            "mount=type=bind,source=/etc,target=/x",
            "doesn't mount /etc",
        ),
        (
            "mount=type=volume,source=v,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/",
            "starts no containers with mount=",
        ),
        ("volumes-from=other", "volumes-from=other"),
        ("env=PGPASSWORD", "doesn't hand on its variable PGPASSWORD"),
        ("env-file=/etc/environment", "env-file=/etc/environment"),
        ("label-file=/etc/shadow", "label-file=/etc/shadow"),
        ("add-host=a:1.2.3.4", "add-host=a:1.2.3.4"),
        ("use-api-socket", "use-api-socket"),
        ("runtime=other", "runtime=other"),
        ("cgroup-parent=/", "cgroup-parent=/"),
        ("sysctl=kernel.shm_rmid_forced=1", "sysctl"),
        ("group-add=docker", "group-add=docker"),
    ] {
        // Whoever says it: the launch or the queue.
        let text = refused(&none, "{}", &[setting]);
        assert!(
            text.contains(said) && text.contains("policy."),
            "{setting}: {text}"
        );
        if setting != "env=PGPASSWORD" {
            let (key, value) = setting.split_once('=').unwrap_or((setting, "true"));
            let queue = format!(
                "{{\"{key}\": {}}}",
                if value == "true" {
                    value.to_owned()
                } else {
                    format!("{value:?}")
                }
            );
            let text = refused(&none, &queue, &[]);
            assert!(text.contains(said), "{setting}: {text}");
        }
    }
}

#[test]
fn what_stays_inside_needs_no_policy() {
    let none = Policy::default();
    let queue =
        "env: [A=1, HF_TOKEN]\nshm-size: 8g\nrm: true\ngpus: all\nvolume: /scratch\nmemory: 4g\n";
    let line = admitted(
        &none,
        queue,
        &["env=B=2", "init", "user=1000", "privileged=false"],
    )
    .unwrap();
    assert!(
        line.contains("--env=HF_TOKEN") && line.contains("--env=B=2"),
        "{line}"
    );
    // A launch may leave out what the queue has, and name again what the queue hands on.
    admitted(
        &none,
        "privileged: true\nenv: [HF_TOKEN]",
        &["privileged=false", "env=HF_TOKEN"],
    )
    .unwrap();
}

#[test]
fn what_the_policy_names_is_let_pass_and_no_more() {
    let own = policy(
        "env: [WANDB_API_KEY, \"AWS_*\"]\noptions: [cap-add=SYS_PTRACE, sysctl]\nmounts: [cache]\n",
    );
    admitted(
        &own,
        "{}",
        &[
            "env=WANDB_API_KEY",
            "env=AWS_REGION",
            "cap-add=SYS_PTRACE",
            "sysctl=net.core.somaxconn=1",
            "volume=cache:/c",
        ],
    )
    .unwrap();
    for setting in [
        "env=WANDB_API_KEYS",
        "env=PGPASSWORD",
        "cap-add=SYS_ADMIN",
        "volume=other:/c",
        "volume=/cache:/c",
    ] {
        refused(&own, "{}", &[setting]);
    }
}

#[test]
fn roots_of_mounts_are_held_against_links_and_dots() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("data");
    std::fs::create_dir_all(root.join("set")).unwrap();
    symlink("/", root.join("out")).unwrap();
    symlink("set", root.join("in")).unwrap();
    let own = Policy {
        mounts: vec![root.display().to_string()],
        ..Policy::default()
    };
    let mounted = |source: &str| {
        let volume = format!("volume={}/{source}:/x", root.display());
        admitted(&own, "{}", &[&volume])
    };
    mounted("").unwrap();
    mounted("set").unwrap();
    let line = mounted("in").unwrap();
    assert!(
        line.contains("data/set:/x"),
        "the engine follows no link: {line}"
    );
    for source in ["out", "out/etc", "..", "set/../..", "new"] {
        let error = mounted(source).unwrap_err();
        assert!(matches!(error, PolicyError::Mount { .. }), "{error}");
    }
}

#[test]
fn images_users_gpus_and_memory_have_bounds() {
    let own = policy(
        "registries: [ghcr.io/me, r.example]\nusers: [\"1000:1000\"]\ngpus: 2\nmemory: 8g\n",
    );
    let line = admitted(&own, "user: \"1000:1000\"\ngpus: 2", &[]).unwrap();
    assert!(line.contains("--memory=8g"), "{line}");
    for (overrides, rule) in [
        (&["user=0"][..], "policy.users"),
        (&["gpus=3"], "policy.gpus"),
        (&["gpus=all"], "policy.gpus"),
        (&["memory=9g"], "policy.memory"),
        (&["memory=0"], "policy.memory"),
        (&["memory-swap=-1"], "policy.memory"),
    ] {
        let text = refused(&own, "user: \"1000:1000\"", overrides);
        assert!(text.contains(rule), "{text}");
    }
    assert!(refused(&own, "{}", &[]).contains("the one that the image names"));
    let elsewhere = policy("registries: [ghcr.io/m, docker.io]\n");
    assert!(refused(&elsewhere, "{}", &[]).contains("policy.registries"));
}

#[test]
fn a_queue_says_what_a_launch_may_set() {
    let none = Policy::default();
    let queue = "shm-size: 1g\noverrides: [shm-size, env]\n";
    admitted(&none, queue, &["shm-size=2g", "env=A=1"]).unwrap();
    let text = refused(&none, queue, &["memory=1g"]);
    assert_eq!(
        text,
        "the queue doesn't let a launch set `memory`; it lets set shm-size, env (overrides: [memory])"
    );
    assert!(refused(&none, "overrides: []", &["rm"]).contains("it lets set nothing"));
    assert!(QueueConfig::parse("overrides: [shm-siz]", "q".as_ref()).is_err());
}

#[test]
fn sizes_are_read_as_docker_reads_them() {
    for (text, bytes) in [
        ("512", 512),
        ("1k", 1024),
        ("64g", 64 << 30),
        ("1.5gb", 3 << 29),
        ("2GiB", 2 << 30),
    ] {
        assert_eq!(size(text), Some(bytes), "{text}");
    }
    for text in ["", "-1", "1x", "g", "nan", "inf", "1e400"] {
        assert_eq!(size(text), None, "{text}");
    }
}
