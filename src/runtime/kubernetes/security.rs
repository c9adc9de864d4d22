//! Who the process is, and what it may do.

use k8s_openapi::api::core::v1::{AppArmorProfile, SELinuxOptions, SeccompProfile, Sysctl};

use super::job_builder::JobBuilder;
use crate::runtime::value::Assignment;

/// `--user UID[:GID]`.
pub(super) fn user(builder: &mut JobBuilder, text: &str) {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u32>().ok().map(i64::from);
    match (number(user), group.map(number)) {
        (Some(user), None) => builder.security.run_as_user = Some(user),
        (Some(user), Some(Some(group))) => {
            builder.security.run_as_user = Some(user);
            builder.security.run_as_group = Some(group);
        }
        _ => builder.refuse(
            "--user",
            format!("Kubernetes takes numbers, and `{text}` is a name; write --user UID:GID"),
        ),
    }
}

/// `--group-add`.
pub(super) fn group(builder: &mut JobBuilder, text: &str) {
    match text.parse::<u32>() {
        Ok(group) => {
            let groups = builder
                .pod_security
                .supplemental_groups
                .get_or_insert_default();
            groups.push(i64::from(group));
        }
        Err(_) => builder.refuse(
            "--group-add",
            format!("Kubernetes takes numbers, and `{text}` is a name"),
        ),
    }
}

/// `--cap-add`, `--cap-drop`.
pub(super) fn capability(builder: &mut JobBuilder, adds: bool, name: &str) {
    let name = capability_name(name);
    let capabilities = builder.capabilities();
    let list = if adds {
        &mut capabilities.add
    } else {
        &mut capabilities.drop
    };
    list.get_or_insert_default().push(name);
}

/// A capability as Kubernetes names it: `SYS_PTRACE`.
pub(super) fn capability_name(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

/// `--security-opt`.
pub(super) fn option(builder: &mut JobBuilder, text: &str) {
    let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
    match (key, value) {
        ("no-new-privileges", "" | "true") => {
            builder.security.allow_privilege_escalation = Some(false)
        }
        ("no-new-privileges", _) => {}
        ("seccomp", "unconfined" | "builtin") => {
            let kind = if value == "builtin" {
                "RuntimeDefault"
            } else {
                "Unconfined"
            };
            builder.security.seccomp_profile = Some(SeccompProfile {
                type_: kind.to_owned(),
                localhost_profile: None,
            });
        }
        ("apparmor", "unconfined") => {
            builder.security.app_armor_profile = Some(apparmor("Unconfined", None))
        }
        ("apparmor", "docker-default") => {
            builder.security.app_armor_profile = Some(apparmor("RuntimeDefault", None));
        }
        ("apparmor", profile) => {
            builder.security.app_armor_profile = Some(apparmor("Localhost", Some(profile)));
        }
        ("systempaths", "unconfined") => builder.security.proc_mount = Some("Unmasked".to_owned()),
        ("label", label) if label.contains(':') => selinux(builder, label),
        _ => builder.refuse(
            format!("--security-opt {text}"),
            "Kubernetes can't say this in a Job",
        ),
    }
}

fn apparmor(kind: &str, profile: Option<&str>) -> AppArmorProfile {
    AppArmorProfile {
        type_: kind.to_owned(),
        localhost_profile: profile.map(str::to_owned),
    }
}

fn selinux(builder: &mut JobBuilder, label: &str) {
    let (part, value) = label.split_once(':').unwrap_or((label, ""));
    let options = builder
        .security
        .se_linux_options
        .get_or_insert_with(SELinuxOptions::default);
    let field = match part {
        "user" => &mut options.user,
        "role" => &mut options.role,
        "type" => &mut options.type_,
        "level" => &mut options.level,
        _ => {
            return builder.refuse(
                format!("--security-opt label={label}"),
                "there are user, role, type and level",
            );
        }
    };
    *field = Some(value.to_owned());
}

/// `--sysctl`.
pub(super) fn sysctl(builder: &mut JobBuilder, setting: &Assignment) {
    let list = builder.pod_security.sysctls.get_or_insert_default();
    list.push(Sysctl {
        name: setting.name.clone(),
        value: setting.value.clone().unwrap_or_default(),
    });
}
