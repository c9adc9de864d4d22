//! `--mount type=bind,source=DIR,target=DIR`: one line of comma-separated values (RFC 4180).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::nearest::nearest;

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs` and the like.
    pub kind: String,
    /// A path of the host, or a volume's name.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// True if it can't be written to.
    pub readonly: bool,
    /// Everything else, in order.
    pub options: Vec<(String, Option<String>)>,
}

const KINDS: [&str; 6] = ["bind", "volume", "tmpfs", "image", "npipe", "cluster"];

impl Mount {
    /// A file or folder of the host, which the container may write to.
    pub fn bind(source: &Path, target: impl Into<String>) -> Self {
        Self {
            kind: "bind".to_owned(),
            source: Some(source.to_string_lossy().into_owned()),
            target: target.into(),
            readonly: false,
            options: Vec::new(),
        }
    }

    /// The same, and the container can't write to it.
    pub fn read_only(self) -> Self {
        Self {
            readonly: true,
            ..self
        }
    }

    /// As `--volume` would say it: `source:target[:ro]`.
    pub fn as_volume(&self) -> String {
        let source = self.source.as_deref().unwrap_or(&self.kind);
        let mode = if self.readonly { ":ro" } else { "" };
        format!("{source}:{}{mode}", self.target)
    }
}

impl FromStr for Mount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mount = Self {
            kind: "volume".to_owned(),
            source: None,
            target: String::new(),
            readonly: false,
            options: Vec::new(),
        };
        for field in fields(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (field.as_str(), None),
            };
            if key.trim() != key || value.as_deref().is_some_and(|value| value.trim() != value) {
                return Err(format!("`{field}` has blanks around its name or value"));
            }
            if value.as_deref() == Some("") {
                return Err(format!("`{key}` needs a value: {key}=…"));
            }
            let key = key.to_lowercase();
            let given = || {
                value
                    .clone()
                    .ok_or_else(|| format!("`{key}` needs a value: {key}=…"))
            };
            match key.as_str() {
                "" => return Err("a comma too many".to_owned()),
                "type" => mount.kind = given()?.to_lowercase(),
                "source" | "src" => mount.source = Some(given()?),
                "target" | "destination" | "dst" => mount.target = given()?,
                "readonly" | "ro" => {
                    mount.readonly = switch(&key, value.as_deref())?;
                }
                _ => {
                    option(&key, value.as_deref())?;
                    mount.options.push((key.clone(), value.clone()));
                }
            }
        }
        if !KINDS.contains(&mount.kind.as_str()) {
            let known = match nearest(&mount.kind, KINDS) {
                Some(kind) => format!("did you mean type={kind}?"),
                None => format!("there are {}", KINDS.join(", ")),
            };
            return Err(format!("unknown type `{}`; {known}", mount.kind));
        }
        if mount.target.is_empty() {
            return Err("it names no target; add target=DIR".to_owned());
        }
        mount.agrees()?;
        Ok(mount)
    }
}

impl Mount {
    /// Options are those of the mount's own type, and hold together.
    fn agrees(&self) -> Result<(), String> {
        for (key, _) in &self.options {
            let of = ["bind", "volume", "tmpfs", "image"].into_iter();
            let owner = of
                .into_iter()
                .find(|kind| key.starts_with(&format!("{kind}-")));
            if let Some(owner) = owner.filter(|owner| *owner != self.kind) {
                return Err(format!(
                    "`{key}` is of type={owner}, not of type={}",
                    self.kind
                ));
            }
        }
        let value = |name: &str| {
            let found = self.options.iter().rev().find(|(key, _)| key == name);
            found.and_then(|(_, value)| value.as_deref())
        };
        match value("bind-recursive") {
            Some("writable" | "readonly") if !self.readonly => {
                Err("this bind-recursive needs readonly beside it".to_owned())
            }
            Some("readonly") if value("bind-propagation") != Some("rprivate") => {
                Err("bind-recursive=readonly needs bind-propagation=rprivate beside it".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Docker's truth values of mounts: fewer than those of switches.
fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(format!("{key}: write true or false")),
    }
}

/// An option that docker knows, with a value that it takes.
fn option(key: &str, value: Option<&str>) -> Result<(), String> {
    let wrong = |forms: &str| Err(format!("{key}: write {forms}"));
    let Some(text) = value else {
        return match key {
            "volume-nocopy" | "bind-create-src" => Ok(()),
            _ if OPTIONS.contains(&key) => Err(format!("`{key}` needs a value: {key}=…")),
            _ => unknown(key),
        };
    };
    match key {
        "volume-nocopy" | "bind-create-src" => switch(key, value).map(|_| ()),
        "bind-nonrecursive" => {
            Err("write bind-recursive=disabled instead of bind-nonrecursive".to_owned())
        }
        "bind-recursive" if !["enabled", "disabled", "writable", "readonly"].contains(&text) => {
            wrong("enabled, disabled, writable or readonly")
        }
        "tmpfs-size" if text == "-1" || super::check::bytes(text).is_err() => {
            wrong("a size, such as 64m")
        }
        "tmpfs-mode" if u32::from_str_radix(text, 8).is_err() => {
            wrong("an octal mode, such as 1777")
        }
        _ if OPTIONS.contains(&key) => Ok(()),
        _ => unknown(key),
    }
}

const OPTIONS: [&str; 13] = [
    "consistency",
    "bind-propagation",
    "bind-recursive",
    "bind-nonrecursive",
    "bind-create-src",
    "volume-subpath",
    "volume-nocopy",
    "volume-label",
    "volume-driver",
    "volume-opt",
    "image-subpath",
    "tmpfs-size",
    "tmpfs-mode",
];

fn unknown(key: &str) -> Result<(), String> {
    let keys = OPTIONS
        .into_iter()
        .chain(["type", "source", "target", "readonly"]);
    Err(match nearest(key, keys) {
        Some(near) => format!("unknown option `{key}`; did you mean `{near}`?"),
        None => format!("unknown option `{key}`"),
    })
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&format!("type={}", self.kind)))?;
        if let Some(source) = &self.source {
            write!(f, ",{}", quoted(&format!("source={source}")))?;
        }
        write!(f, ",{}", quoted(&format!("target={}", self.target)))?;
        if self.readonly {
            f.write_str(",readonly")?;
        }
        for (key, value) in &self.options {
            let field = match value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            };
            write!(f, ",{}", quoted(&field))?;
        }
        Ok(())
    }
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The fields of one line; a field in quotes may hold commas, and quotes doubled.
pub(super) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(format!("a quote inside `{field}`; quote the whole field"));
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut tail = quoted;
        loop {
            let (before, after) = tail.split_once('"').ok_or("a quote isn't closed")?;
            field.push_str(before);
            tail = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    tail = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(after) => rest = after,
            None if tail.is_empty() => return Ok(fields),
            None => return Err(format!("`{tail}` stands after a closing quote")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_key_means_the_same() {
        let a: Mount = "type=bind,src=/data,dst=/d,ro".parse().unwrap();
        let b: Mount = "type=bind,source=/data,destination=/d,readonly=true"
            .parse()
            .unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "type=bind,source=/data,target=/d,readonly");
    }

    #[test]
    fn a_comma_in_a_path_is_quoted_as_docker_wants_it() {
        let mount: Mount = r#"type=bind,"source=/a,""b""",target=/d"#.parse().unwrap();
        assert_eq!(mount.source.as_deref(), Some(r#"/a,"b""#));
        assert_eq!(
            mount.to_string(),
            r#"type=bind,"source=/a,""b""",target=/d"#
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| text.parse::<Mount>().unwrap_err();
        insta::assert_snapshot!(wrong("type=bnd,source=/a,target=/b"), @"unknown type `bnd`; did you mean type=bind?");
        insta::assert_snapshot!(wrong("type=bind,source=/a"), @"it names no target; add target=DIR");
        insta::assert_snapshot!(wrong("type=bind,source,target=/b"), @"`source` needs a value: source=…");
        insta::assert_snapshot!(wrong("type=bind,\"source=/a,target=/b"), @"a quote isn't closed");
        insta::assert_snapshot!(wrong("type=bind,readonly=maybe,target=/b"), @"readonly: write true or false");
    }
}
