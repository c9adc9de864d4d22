//! Names: users, environment variables, packages, labels, images.

use super::{InvalidValue, checked_string};
use crate::reference;

checked_string!(
    /// A user name that a shell, `/etc/passwd` and sudoers all read as one plain word.
    UserName,
    check_user_name,
    pattern = "^[A-Za-z_][A-Za-z0-9_.-]{0,31}$"
);

fn check_user_name(text: &str) -> Result<(), InvalidValue> {
    let hint = "use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a \
                letter or '_'";
    let bad = |reason: String| Err(InvalidValue::new("user name", text, reason, hint));
    let Some(first) = text.chars().next() else {
        return bad("is empty".into());
    };
    if !(first.is_ascii_alphabetic() || first == '_') {
        return bad(format!("begins with {first:?}"));
    }
    let allowed = |c: &char| c.is_ascii_alphanumeric() || "_-.".contains(*c);
    if let Some(c) = text.chars().find(|c| !allowed(c)) {
        return bad(format!(
            "holds {c:?}, which a shell or /etc/passwd would misread"
        ));
    }
    if text.len() > 32 {
        return bad(format!("is {} characters long", text.len()));
    }
    Ok(())
}

checked_string!(
    /// The name of an environment variable or of a build argument.
    EnvName,
    check_env_name,
    pattern = "^[A-Za-z_][A-Za-z0-9_]*$"
);

fn check_env_name(text: &str) -> Result<(), InvalidValue> {
    let first_ok = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first_ok && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(InvalidValue::new(
        "environment variable name",
        text,
        if text.is_empty() {
            "is empty"
        } else {
            "can't be set by a shell"
        },
        "use letters, digits and '_', not beginning with a digit",
    ))
}

checked_string!(
    /// The value of an environment variable or label: any text of one line.
    ///
    /// A Dockerfile has no way to write a line break inside a value, so one is refused here.
    EnvValue,
    check_env_value
);

fn check_env_value(text: &str) -> Result<(), InvalidValue> {
    match text.chars().find(|c| matches!(c, '\n' | '\r' | '\0')) {
        None => Ok(()),
        Some(c) => Err(InvalidValue::new(
            "value",
            text,
            format!("holds {c:?}, which a Dockerfile can't write inside a value"),
            "set it when the container runs (-e NAME=...), or put the text in a file that is \
             copied in",
        )),
    }
}

checked_string!(
    /// A Debian package name, with an optional `:arch`, `=version` or `/suite`.
    AptPackage,
    check_apt_package,
    pattern = "^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~*-]+|/[a-z0-9.-]+)?$"
);

fn check_apt_package(text: &str) -> Result<(), InvalidValue> {
    let hint = "write it as apt-get would take it: libgl1, git=1:2.39.5-0+deb12u2 or git/bookworm-backports";
    let bad = |reason: &str| Err(InvalidValue::new("apt package", text, reason, hint));
    let (name, version) = match text.find(['=', '/']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (name, arch) = match name.split_once(':') {
        Some((name, arch)) => (name, Some(arch)),
        None => (name, None),
    };
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() < 2 || !name.starts_with(lower) {
        return bad("has no package name");
    }
    if !name.chars().all(|c| lower(c) || "+.-".contains(c)) {
        return bad("has a name with characters that Debian doesn't allow");
    }
    if arch.is_some_and(|a| a.is_empty() || !a.chars().all(|c| lower(c) || c == '-')) {
        return bad("has an unreadable architecture");
    }
    let version_ok = |v: &str| {
        !v.is_empty()
            && v.chars()
                .all(|c| c.is_ascii_alphanumeric() || ".+:~*-".contains(c))
    };
    if version.is_some_and(|v| !version_ok(v)) {
        return bad("has an unreadable version");
    }
    Ok(())
}

checked_string!(
    /// A label key, such as `org.opencontainers.image.source`.
    LabelKey,
    check_label_key,
    pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]*$"
);

fn check_label_key(text: &str) -> Result<(), InvalidValue> {
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
    if ok {
        return Ok(());
    }
    Err(InvalidValue::new(
        "label",
        text,
        "isn't a usable key",
        "use letters, digits, '.', '_', '/' and '-', as in org.opencontainers.image.source",
    ))
}

checked_string!(
    /// The name a model is served under: one path segment.
    ModelName,
    check_model_name,
    pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
);

fn check_model_name(text: &str) -> Result<(), InvalidValue> {
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if ok {
        return Ok(());
    }
    Err(InvalidValue::new(
        "model name",
        text,
        "isn't one plain word",
        "use letters, digits, '_', '-' and '.', as in cracks",
    ))
}

checked_string!(
    /// A base image as it would be pulled: `ubuntu:24.04`, `nvcr.io/nvidia/tensorflow:21.02-tf2-py3`,
    /// optionally pinned by `@sha256:…`. The text is kept as it was written.
    BaseImage,
    check_base_image
);

fn check_base_image(text: &str) -> Result<(), InvalidValue> {
    let bad = |reason: String, hint: &str| Err(InvalidValue::new("base image", text, reason, hint));
    if text == "scratch" {
        return bad(
            "is empty: the templates need a shell to run in".into(),
            "name a base such as debian:12-slim, or build your own Dockerfile with -f",
        );
    }
    match reference::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => bad(
            format!("isn't an image reference ({error})"),
            "write it as docker pull would take it: ubuntu:24.04 or registry.example.com/team/base@sha256:...",
        ),
    }
}

impl BaseImage {
    /// The reference, with the registry and tag that the text leaves out filled in.
    pub fn reference(&self) -> oci_spec::distribution::Reference {
        reference::parse(&self.0).expect("checked when it was made")
    }

    /// The same image pinned to a manifest or index digest (`sha256:…`). A pin that is there
    /// already is replaced.
    pub fn pinned(&self, digest: &str) -> Result<Self, InvalidValue> {
        let name = self.0.split('@').next().unwrap_or(&self.0);
        format!("{name}@{digest}").parse()
    }

    /// The digest it is pinned to, if any.
    pub fn digest(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, digest)| digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_that_something_would_misread_are_refused() {
        for name in ["vorph", "_x", "john.doe", "A-b_9", "root"] {
            assert!(name.parse::<UserName>().is_ok(), "{name}");
        }
        let long = "a".repeat(33);
        for name in [
            "", "1000", "-rf", "a b", "a:b", "a$b", "é", "a\nb", "a/b", ".x", &long,
        ] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
        let error = "a:b".parse::<UserName>().unwrap_err();
        insta::assert_snapshot!(error, @r#"user name "a:b" holds ':', which a shell or /etc/passwd would misread; use 1 to 32 of the letters a-z, A-Z, digits, '_', '-' and '.', beginning with a letter or '_'"#);
    }

    #[test]
    fn apt_packages_take_versions_suites_and_architectures() {
        for name in [
            "libgl1",
            "g++",
            "git=1:2.39.5-0+deb12u2",
            "libc6:i386",
            "git/bookworm-backports",
            "python3.11-venv",
        ] {
            assert!(name.parse::<AptPackage>().is_ok(), "{name}");
        }
        for name in [
            "",
            "a",
            "Git",
            "git;rm -rf /",
            "-y",
            "--purge",
            "git=",
            "git=$(id)",
            "git/",
            "git:",
        ] {
            assert!(name.parse::<AptPackage>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn base_images_are_checked_and_pinned() {
        let base: BaseImage = "127.0.0.1:5000/base:12".parse().unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = base.pinned(&digest).unwrap();
        assert_eq!(pinned.as_str(), format!("127.0.0.1:5000/base:12@{digest}"));
        assert_eq!(pinned.digest(), Some(digest.as_str()));
        assert_eq!(pinned.pinned(&digest).unwrap(), pinned);
        for bad in ["", "scratch", "Ubuntu Latest", "ubuntu:", "a@sha256:12"] {
            assert!(bad.parse::<BaseImage>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_hold_anything_but_line_breaks() {
        for value in ["", " a  b ", "$HOME \"x\" 'y' \\", "é🦀"] {
            assert!(value.parse::<EnvValue>().is_ok(), "{value:?}");
        }
        assert!("a\nb".parse::<EnvValue>().is_err());
    }
}
