//! The small languages of buildx's flags: `type=local,dest=out`,
//! `id=token,src=FILE`, `NAME=WHERE`, sizes and limits.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use super::{Context, Output, Place, SecretSource, SshKeys, Typed};

/// A value that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {value}: {reason}")]
pub struct SpecError {
    /// Where it was given.
    pub place: Place,
    /// The value as given.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// A value on its way to a typed one.
#[derive(Clone, Copy)]
pub struct Spec<'a> {
    place: Place,
    value: &'a str,
}

impl<'a> Spec<'a> {
    /// `value` as it was given at `place`.
    pub fn new(place: Place, value: &'a str) -> Self {
        Spec { place, value }
    }

    /// The error of a value that can't be used, with the reason.
    pub fn error(&self, reason: impl Into<String>) -> SpecError {
        SpecError {
            place: self.place,
            value: self.value.to_owned(),
            reason: reason.into(),
        }
    }

    /// `NAME=VALUE`.
    pub fn pair(&self) -> Result<(String, String), SpecError> {
        match self.value.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(self.error("write NAME=VALUE")),
        }
    }

    /// `NAME=VALUE`, or `NAME` to take it from the environment.
    ///
    /// `None` where the environment has no such variable, as docker does.
    pub fn pair_or_env(&self) -> Result<Option<(String, String)>, SpecError> {
        if self.value.contains('=') {
            return self.pair().map(Some);
        }
        if self.value.is_empty() {
            return Err(self.error("write NAME=VALUE or NAME"));
        }
        match std::env::var(self.value) {
            Ok(value) => Ok(Some((self.value.to_owned(), value))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(self.error("the variable's value is not UTF-8"))
            }
        }
    }

    /// The fields of a comma-separated `key=value` line; quotes as in CSV.
    fn fields(&self) -> Result<Vec<(String, String)>, SpecError> {
        let mut fields = Vec::new();
        for field in csv(self.value).ok_or_else(|| self.error("a quote is not closed"))? {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| self.error(format!("`{field}` is not key=value")))?;
            fields.push((key.trim().to_ascii_lowercase(), value.to_owned()));
        }
        Ok(fields)
    }

    /// `type=registry,ref=…`; a value without `=` is a reference in a registry.
    pub fn cache(&self) -> Result<Typed, SpecError> {
        if !self.value.contains('=') && !self.value.is_empty() {
            return Ok(Typed {
                kind: "registry".into(),
                attrs: BTreeMap::from([("ref".into(), self.value.to_owned())]),
            });
        }
        let mut attrs: BTreeMap<_, _> = self.fields()?.into_iter().collect();
        let kind = attrs
            .remove("type")
            .ok_or_else(|| self.error("type= is missing, such as type=registry"))?;
        const KINDS: [&str; 6] = ["registry", "local", "inline", "gha", "s3", "azblob"];
        if !KINDS.contains(&kind.as_str()) {
            return Err(self.error(format!(
                "unknown cache type `{kind}`; there are {}",
                KINDS.join(", ")
            )));
        }
        let needed = match (kind.as_str(), self.place) {
            ("registry", _) => Some("ref"),
            ("local", Place::Request("cache_from")) => Some("src"),
            ("local", _) => Some("dest"),
            _ => None,
        };
        if let Some(needed) = needed.filter(|needed| !attrs.contains_key(*needed)) {
            return Err(self.error(format!("{needed}= is missing")));
        }
        if kind == "gha" {
            for (key, name) in [
                ("url", "ACTIONS_CACHE_URL"),
                ("url_v2", "ACTIONS_RESULTS_URL"),
                ("token", "ACTIONS_RUNTIME_TOKEN"),
            ] {
                if let (false, Ok(value)) = (attrs.contains_key(key), std::env::var(name)) {
                    attrs.insert(key.into(), value);
                }
            }
        }
        Ok(Typed { kind, attrs })
    }

    /// `type=local,dest=out`, or a folder, or `-` for a tar on stdout.
    pub fn output(&self) -> Result<Output, SpecError> {
        if self.value == "-" {
            return Ok(Output {
                kind: "tar".into(),
                attrs: BTreeMap::new(),
                dest: Some("-".into()),
            });
        }
        if !self.value.contains('=') {
            return Ok(Output {
                kind: "local".into(),
                attrs: BTreeMap::new(),
                dest: Some(self.value.into()),
            });
        }
        let mut attrs: BTreeMap<_, _> = self.fields()?.into_iter().collect();
        let mut kind = attrs
            .remove("type")
            .ok_or_else(|| self.error("type= is missing, such as type=oci"))?;
        let dest = attrs.remove("dest").map(PathBuf::from);
        if kind == "registry" {
            kind = "image".into();
            attrs.insert("push".into(), "true".into());
        }
        match kind.as_str() {
            "image" if dest.is_some() => Err(self.error("an image has no dest=")),
            "local" | "tar" | "oci" | "sif" if dest.is_none() => {
                Err(self.error(format!("dest= is missing for type={kind}")))
            }
            "sif" if !attrs.is_empty() => Err(self.error("a sif has dest= and nothing else")),
            "sif" if dest.as_deref() == Some("-".as_ref()) => {
                Err(self.error("a sif is written to a file: dest=image.sif"))
            }
            "image" | "local" | "tar" | "oci" | "docker" | "sif" => Ok(Output { kind, attrs, dest }),
            _ => Err(self.error(format!(
                "unknown output type `{kind}`; there are image, registry, docker, oci, sif, local, tar"
            ))),
        }
    }

    /// `id=token,src=FILE`, `id=token,env=NAME` or `id=token`.
    ///
    /// An id alone is a variable of that name if there is one, else a file.
    pub fn secret(&self) -> Result<(String, SecretSource), SpecError> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for (key, value) in self.fields()? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => variable = Some(value),
                "type" => kind = Some(value),
                _ => {
                    return Err(self.error(format!(
                        "unknown field `{key}`; there are id, src, env, type"
                    )));
                }
            }
        }
        let id = id
            .or_else(|| file.clone())
            .filter(|id| !id.is_empty())
            .ok_or_else(|| self.error("id= is missing"))?;
        match kind.as_deref() {
            None | Some("file" | "env") => {}
            Some(other) => {
                return Err(self.error(format!("unknown type `{other}`; there are file, env")));
            }
        }
        if kind.as_deref() == Some("env") && variable.is_none() {
            variable = file.take();
        }
        let source = match (file, variable) {
            (Some(_), Some(_)) => return Err(self.error("src= and env= exclude each other")),
            (Some(file), None) => SecretSource::File(file.into()),
            (None, Some(variable)) => SecretSource::Env(variable),
            (None, None) if std::env::var_os(&id).is_some() => SecretSource::Env(id.clone()),
            (None, None) => SecretSource::File(id.clone().into()),
        };
        match &source {
            SecretSource::File(path) if !path.is_file() => {
                Err(self.error(format!("there is no file {}", path.display())))
            }
            SecretSource::Env(name) if std::env::var_os(name).is_none() => {
                Err(self.error(format!("the variable {name} is not set")))
            }
            _ => Ok((id, source)),
        }
    }

    /// `default`, `ID`, `ID=SOCKET` or `ID=KEY[,KEY…]`; with nothing named, the agent of
    /// `SSH_AUTH_SOCK`.
    pub fn ssh(&self) -> Result<(String, SshKeys), SpecError> {
        let (id, named) = self.value.split_once('=').unwrap_or((self.value, ""));
        if id.is_empty() {
            return Err(self.error("write default, ID=SOCKET or ID=KEYFILE"));
        }
        let paths: Vec<PathBuf> = match (named, std::env::var_os("SSH_AUTH_SOCK")) {
            ("", Some(socket)) => vec![socket.into()],
            ("", None) => {
                return Err(self.error(
                    "SSH_AUTH_SOCK is not set: start an agent, or give ID=SOCKET or ID=KEYFILE",
                ));
            }
            (named, _) => named.split(',').map(PathBuf::from).collect(),
        };
        let kind = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(found) => Ok(found.file_type()),
            Err(_) => Err(self.error(format!("there is no {}", path.display()))),
        };
        if let [socket] = paths.as_slice()
            && kind(socket)?.is_socket()
        {
            return Ok((id.to_owned(), SshKeys::Agent(socket.clone())));
        }
        for path in &paths {
            if !kind(path)?.is_file() {
                return Err(self.error(format!("{} is no key file", path.display())));
            }
        }
        Ok((id.to_owned(), SshKeys::Files(paths)))
    }

    /// `type=sbom,generator=…`; the rest after `type=` stays one CSV line.
    pub fn attestation(&self) -> Result<(String, Option<String>), SpecError> {
        let mut kind = None;
        let mut disabled = false;
        let mut rest = Vec::new();
        for (key, value) in self.fields()? {
            match key.as_str() {
                "type" => kind = Some(value),
                "disabled" => disabled = value == "true",
                _ => rest.push(format!("{key}={value}")),
            }
        }
        match kind.as_deref() {
            Some("provenance" | "sbom") => {}
            _ => return Err(self.error("write type=provenance or type=sbom")),
        }
        let kind = kind.unwrap_or_default();
        Ok((kind, (!disabled).then(|| rest.join(","))))
    }

    /// Whether the builder attests something, and how: `true`, `false` or fields.
    pub fn attestation_switch(&self) -> Result<Option<String>, SpecError> {
        match self.value {
            "true" | "1" | "" => Ok(Some(String::new())),
            "false" | "0" => Ok(None),
            _ => self.fields().map(|_| Some(self.value.to_owned())),
        }
    }

    /// A size in bytes: `64m`, `1g`, `1073741824`. Units are powers of 1024.
    pub fn size(&self) -> Result<u64, SpecError> {
        let text = self.value.trim().to_ascii_lowercase();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim() {
            "" | "b" => 1u64,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(self.error("write a number with k, m or g")),
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .ok_or_else(|| self.error("write a number with k, m or g"))
    }

    /// `name=soft[:hard]`, in the order the frontend wants.
    pub fn ulimit(&self) -> Result<String, SpecError> {
        let (name, limits) = self.pair()?;
        const NAMES: [&str; 15] = [
            "as",
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
        ];
        if !NAMES.contains(&name.as_str()) && name != "stack" {
            return Err(self.error(format!("unknown limit `{name}`")));
        }
        let (soft, hard) = limits.split_once(':').unwrap_or((&limits, &limits));
        for number in [soft, hard] {
            if number.parse::<i64>().is_err() {
                return Err(self.error(format!("`{number}` is not a number")));
            }
        }
        Ok(format!("{name}={soft}:{hard}"))
    }

    /// `host:address` or `host=address`, as the frontend wants it.
    pub fn add_host(&self) -> Result<String, SpecError> {
        let (host, address) = self
            .value
            .split_once('=')
            .or_else(|| self.value.split_once(':'))
            .ok_or_else(|| self.error("write HOST:ADDRESS"))?;
        let plain = address.trim_matches(['[', ']']);
        if host.is_empty()
            || (plain != "host-gateway" && plain.parse::<std::net::IpAddr>().is_err())
        {
            return Err(self.error("write HOST:ADDRESS with an IP address, or host-gateway"));
        }
        Ok(format!("{host}={plain}"))
    }

    /// `default`, `none` or `host`.
    pub fn network(&self) -> Result<Option<String>, SpecError> {
        match self.value {
            "default" | "" => Ok(None),
            "none" | "host" => Ok(Some(self.value.to_owned())),
            _ => Err(self.error("write default, none or host")),
        }
    }

    /// A platform, `os/arch[/variant]`.
    pub fn platform(&self) -> Result<String, SpecError> {
        let text = self.value.trim().to_ascii_lowercase();
        let text = match text.as_str() {
            "amd64" | "x86_64" => "linux/amd64".to_owned(),
            "arm64" | "aarch64" => "linux/arm64".to_owned(),
            _ => text,
        };
        let parts: Vec<_> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(word) {
            return Err(self.error("write os/architecture, such as linux/amd64"));
        }
        let os = parts[0];
        let (architecture, variant) = match (parts[1], parts.get(2).copied()) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("arm64", Some("v8" | "8")) => ("arm64", None),
            (architecture, variant) => (architecture, variant),
        };
        Ok(match variant {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        })
    }

    /// A build context: a folder, `-`, a git or http(s) address, `docker-image://`,
    /// `oci-layout://`. Folders are made absolute.
    pub fn context(&self) -> Result<Context, SpecError> {
        let value = self.value;
        if value == "-" {
            return Ok(Context::Stdin);
        }
        if let Some(rest) = value.strip_prefix("oci-layout://") {
            let (path, reference) = match rest.split_once('@') {
                Some((path, digest)) => (path, Some(digest.to_owned())),
                None => match rest.rsplit_once(':') {
                    Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
                    _ => (rest, None),
                },
            };
            let path = self.existing(path)?;
            if !path.join("oci-layout").is_file() {
                return Err(self.error(format!("{} is not an OCI layout", path.display())));
            }
            return Ok(Context::OciLayout { path, reference });
        }
        let remote = [
            "http://",
            "https://",
            "git://",
            "ssh://",
            "git@",
            "docker-image://",
        ];
        if remote.iter().any(|prefix| value.starts_with(prefix)) || value.starts_with("github.com/")
        {
            return Ok(Context::Remote {
                url: value.to_owned(),
            });
        }
        let path = self.existing(value)?;
        if !path.is_dir() {
            return Err(self.error("it is a file, not a folder"));
        }
        Ok(Context::Folder { path })
    }

    fn existing(&self, path: &str) -> Result<PathBuf, SpecError> {
        std::fs::canonicalize(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.error("there is no such folder"),
            _ => self.error(error.to_string()),
        })
    }
}

/// One CSV line (RFC 4180); `None` where a quote is not closed.
fn csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut()?;
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec<'a>(field: &'static str, value: &'a str) -> Spec<'a> {
        Spec::new(Place::Request(field), value)
    }

    fn output(value: &str) -> Result<Output, String> {
        spec("outputs", value)
            .output()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_as_buildx_writes_them() {
        let folder = output("out").unwrap();
        assert_eq!(
            (folder.kind.as_str(), folder.dest),
            ("local", Some("out".into()))
        );
        let registry = output("type=registry,name=a/b").unwrap();
        assert_eq!(
            (registry.kind.as_str(), registry.attrs["push"].as_str()),
            ("image", "true")
        );
        let quoted = output(r#"type=oci,"dest=a,b.tar",tar=false"#).unwrap();
        assert_eq!(quoted.dest, Some("a,b.tar".into()));
        assert_eq!(quoted.attrs["tar"], "false");
    }

    #[test]
    fn wrong_outputs_say_what_is_right() {
        insta::assert_snapshot!(output("type=oci").unwrap_err(), @"outputs type=oci: dest= is missing for type=oci");
        insta::assert_snapshot!(output("type=ocu,dest=x").unwrap_err(), @"outputs type=ocu,dest=x: unknown output type `ocu`; there are image, registry, docker, oci, sif, local, tar");
        insta::assert_snapshot!(output("dest=x").unwrap_err(), @"outputs dest=x: type= is missing, such as type=oci");
        insta::assert_snapshot!(output("type=oci,\"dest=x").unwrap_err(), @r#"outputs type=oci,"dest=x: a quote is not closed"#);
    }

    #[test]
    fn caches() {
        let cache = spec("cache_from", "a/b:c").cache().unwrap();
        assert_eq!(
            (cache.kind.as_str(), cache.attrs["ref"].as_str()),
            ("registry", "a/b:c")
        );
        let error = spec("cache_to", "type=local").cache().unwrap_err();
        assert_eq!(error.reason, "dest= is missing");
        assert!(spec("cache_to", "type=none").cache().is_err());
    }

    #[test]
    fn secrets() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let value = format!("id=a,src={}", file.path().display());
        let (id, source) = spec("secrets", &value).secret().unwrap();
        assert_eq!(
            (id.as_str(), source),
            ("a", SecretSource::File(file.path().into()))
        );
        let (_, source) = spec("secrets", "id=p,env=PATH").secret().unwrap();
        assert_eq!(source, SecretSource::Env("PATH".into()));
        let error = spec("secrets", "id=p,env=NO_SUCH_VARIABLE")
            .secret()
            .unwrap_err();
        assert_eq!(error.reason, "the variable NO_SUCH_VARIABLE is not set");
        assert!(spec("secrets", "src=").secret().is_err());
        assert!(spec("secrets", "id=a,value=b").secret().is_err());
    }

    #[test]
    fn sizes_limits_hosts_and_platforms() {
        assert_eq!(spec("shm_size", "1g").size(), Ok(1 << 30));
        assert!(spec("shm_size", "g").size().is_err());
        assert!(spec("shm_size", "99999999999999999999").size().is_err());
        assert_eq!(spec("ulimits", "nofile=5").ulimit().unwrap(), "nofile=5:5");
        assert!(spec("ulimits", "nofiles=5").ulimit().is_err());
        assert_eq!(
            spec("add_hosts", "a:127.0.0.1").add_host().unwrap(),
            "a=127.0.0.1"
        );
        assert_eq!(spec("add_hosts", "a=[::1]").add_host().unwrap(), "a=::1");
        assert!(spec("add_hosts", "a:b").add_host().is_err());
        assert_eq!(
            spec("platforms", "linux/aarch64").platform().unwrap(),
            "linux/arm64"
        );
        assert!(spec("platforms", "linux").platform().is_err());
    }

    #[test]
    fn contexts() {
        let remote = spec("project", "https://example.com/a.git#main")
            .context()
            .unwrap();
        assert!(matches!(remote, Context::Remote { .. }));
        assert!(matches!(
            spec("project", ".").context(),
            Ok(Context::Folder { .. })
        ));
        let error = spec("project", "no/such/folder").context().unwrap_err();
        assert_eq!(
            error.to_string(),
            "project no/such/folder: there is no such folder"
        );
        let error = spec("project", "Cargo.toml").context().unwrap_err();
        assert_eq!(error.reason, "it is a file, not a folder");
    }

    #[test]
    fn attestations() {
        let sbom = spec("attests", "type=sbom,generator=x")
            .attestation()
            .unwrap();
        assert_eq!(sbom, ("sbom".into(), Some("generator=x".into())));
        assert_eq!(spec("provenance", "false").attestation_switch(), Ok(None));
        let max = spec("provenance", "mode=max").attestation_switch();
        assert_eq!(max, Ok(Some("mode=max".into())));
    }
}
