//! Settings that can't hold together, and names that can't be: docker's own rules over a whole line.

use std::path::Path;

use super::flag::RuntimeCli;
use super::spec::RunSpec;
use super::value::{Device, Value};

/// A line that can't be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Disagreement {
    /// What doesn't hold.
    pub what: String,
    /// What to type instead.
    pub hint: String,
}

fn wrong(what: impl Into<String>, hint: impl Into<String>) -> Result<(), Disagreement> {
    Err(Disagreement {
        what: what.into(),
        hint: hint.into(),
    })
}

impl RunSpec {
    /// Whether docker would take the line, as far as its client can tell. `runtime` is the one that
    /// was asked for: podman takes some values that docker doesn't.
    ///
    /// # Errors
    /// [`Disagreement`].
    pub fn check(&self, runtime: Option<RuntimeCli>) -> Result<(), Disagreement> {
        self.check_image()?;
        let podman = runtime == Some(RuntimeCli::Podman);
        if !podman {
            self.only_of_podman()?;
        }
        self.together(podman)?;
        self.networks()?;
        self.sysctls()
    }

    /// The image's name. Identifiers of 64 digits name images of the store.
    fn check_image(&self) -> Result<(), Disagreement> {
        let image = self.image.as_str();
        if image.is_empty() {
            return Ok(());
        }
        let identifier = image.strip_prefix("sha256:").unwrap_or(image);
        if identifier.len() == 64 && identifier.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(());
        }
        match mlbuild_templates::reference::parse(image) {
            Ok(_) => Ok(()),
            Err(error) => wrong(
                format!("{image:?} isn't the name of an image: {error}"),
                "write [HOST[:PORT]/]NAME[:TAG][@DIGEST]",
            ),
        }
    }

    fn only_of_podman(&self) -> Result<(), Disagreement> {
        let own = [("userns", "host"), ("pid", "host"), ("uts", "host")];
        for (flag, docker) in own {
            let Some(text) = self.options.text(flag) else {
                continue;
            };
            let is_container = flag == "pid" && text.starts_with("container:");
            if !text.is_empty() && text != docker && !is_container {
                return wrong(
                    format!("--{flag} {text}: docker takes {docker} alone"),
                    "podman takes more: add --runtime-cli podman",
                );
            }
        }
        Ok(())
    }

    fn together(&self, podman: bool) -> Result<(), Disagreement> {
        let options = &self.options;
        let restarts = options
            .text("restart")
            .is_some_and(|policy| !matches!(policy, "" | "no"));
        if options.is_on("rm") && restarts && !podman {
            return wrong(
                "--rm and --restart exclude each other",
                "leave one of them out: a container that is removed isn't started again",
            );
        }
        if options.is_on("detach") && options.has("attach") {
            return wrong(
                "--detach and --attach exclude each other",
                "leave one of them out",
            );
        }
        let health = [
            "health-cmd",
            "health-interval",
            "health-timeout",
            "health-retries",
            "health-start-period",
            "health-start-interval",
        ];
        let is_set = |name: &&&str| {
            options
                .text(name)
                .is_some_and(|text| !matches!(text, "" | "0" | "0s"))
        };
        if let Some(name) = health.iter().find(is_set)
            && options.is_on("no-healthcheck")
        {
            return wrong(
                format!("--no-healthcheck and --{name} exclude each other"),
                "leave one of them out",
            );
        }
        if options.text("log-driver") == Some("none") && options.has("log-opt") {
            return wrong(
                "--log-opt: the log driver none has no options",
                "leave one of them out",
            );
        }
        let mut storage = options.all("storage-opt");
        if let Some(Value::Assignment(option)) = storage
            .find(|value| matches!(value, Value::Assignment(option) if option.value.is_none()))
        {
            return wrong(
                format!("--storage-opt {}: it has no value", option.name),
                "write NAME=VALUE",
            );
        }
        let mut labels = options.all("label");
        if let Some(Value::Assignment(label)) = labels.find(|value| {
            matches!(value, Value::Assignment(label) if label.name.trim_start_matches([' ', '\t']).is_empty()
                || label.name.trim_start_matches([' ', '\t']).contains([' ', '\t']))
        }) {
            return wrong(format!("--label {:?}: a name holds no blanks", label.name), "write NAME=VALUE");
        }
        let mut devices = options.all("device");
        if let Some(Value::Device(Device::Cdi(name))) =
            devices.find(|value| matches!(value, Value::Device(Device::Cdi(name)) if !is_cdi(name)))
        {
            return wrong(
                format!("--device {name}: not the name of a CDI device"),
                "write VENDOR/CLASS=NAME, such as nvidia.com/gpu=all",
            );
        }
        Ok(())
    }

    fn networks(&self) -> Result<(), Disagreement> {
        let networks: Vec<String> = self
            .options
            .all("network")
            .map(ToString::to_string)
            .collect();
        let names: Vec<&str> = networks.iter().map(|text| name_of(text)).collect();
        let own = |name: &str| {
            !matches!(name, "default" | "bridge" | "host" | "none")
                && !name.starts_with("container:")
        };
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return wrong(
                    format!("--network {name} stands there twice"),
                    "leave one of them out",
                );
            }
        }
        let is_own = names.iter().filter(|name| own(name)).count();
        if is_own > 0 && is_own < names.len() {
            return wrong(
                format!(
                    "--network {} can't be joined beside a network of your own",
                    names.iter().find(|n| !own(n)).unwrap_or(&"")
                ),
                "name networks of your own alone",
            );
        }
        let first = names.first().copied().unwrap_or("default");
        let fields = networks.first().map_or("", String::as_str);
        let has_field = |key: &str| {
            fields
                .split(',')
                .any(|field| field.to_lowercase().starts_with(&format!("{key}=")))
        };
        for (flag, key) in [
            ("network-alias", "alias"),
            ("ip", "ip"),
            ("ip6", "ip6"),
            ("mac-address", "mac-address"),
            ("link-local-ip", "link-local-ip"),
        ] {
            if self.options.has(flag) && has_field(key) {
                return wrong(
                    format!("--{flag} and --network {key}= exclude each other"),
                    "say it once",
                );
            }
        }
        let aliased = self.options.has("network-alias") || has_field("alias");
        if aliased && !own(first) {
            return wrong(
                format!("--network-alias: the network {first} knows no names"),
                "name a network of your own: --network NAME",
            );
        }
        let mac = fields
            .split(',')
            .find_map(|field| field.strip_prefix("mac-address="));
        match mac.filter(|_| fields.contains("name=")) {
            Some(mac) if super::value::Rule::Mac.takes(mac).is_err() => wrong(
                format!("--network {fields}: {mac} isn't a MAC address"),
                "write one such as 92:d0:c6:0a:29:33",
            ),
            _ => Ok(()),
        }
    }

    fn sysctls(&self) -> Result<(), Disagreement> {
        const KERNEL: [&str; 8] = [
            "kernel.msgmax",
            "kernel.msgmnb",
            "kernel.msgmni",
            "kernel.sem",
            "kernel.shmall",
            "kernel.shmmax",
            "kernel.shmmni",
            "kernel.shm_rmid_forced",
        ];
        for value in self.options.all("sysctl") {
            let Value::Assignment(option) = value else {
                continue;
            };
            let name = option.name.as_str();
            let known = KERNEL.contains(&name)
                || name.starts_with("net.")
                || name.starts_with("fs.mqueue.");
            if !known || option.value.is_none() {
                return wrong(
                    format!("--sysctl {name}: not one that a container may set"),
                    "write NAME=VALUE of net.*, fs.mqueue.* or a kernel.* of System V IPC",
                );
            }
        }
        Ok(())
    }

    /// The files that docker's client reads: variables, labels, a seccomp profile.
    ///
    /// # Errors
    /// [`Disagreement`] names the flag, the file and what is wrong with it.
    pub fn check_files(&self, folder: &Path) -> Result<(), Disagreement> {
        for flag in ["env-file", "label-file"] {
            for value in self.options.all(flag) {
                let file = value.to_string();
                if let Err(why) = pairs_of(&folder.join(&file)) {
                    return wrong(
                        format!("--{flag} {file}: {why}"),
                        "write one NAME=VALUE in a line",
                    );
                }
            }
        }
        for value in self.options.all("security-opt") {
            let text = value.to_string();
            let profile = text
                .strip_prefix("seccomp=")
                .or_else(|| text.strip_prefix("seccomp:"));
            let Some(profile) =
                profile.filter(|p| !matches!(*p, "unconfined" | "builtin") && !p.starts_with('{'))
            else {
                continue;
            };
            let read = std::fs::read(folder.join(profile)).map_err(|error| error.to_string());
            let read = read.and_then(|bytes| {
                serde_json::from_slice::<serde_json::Value>(&bytes)
                    .map_err(|error| error.to_string())
            });
            if let Err(why) = read {
                return wrong(
                    format!("--security-opt seccomp={profile}: {why}"),
                    "name a seccomp profile, JSON, or unconfined",
                );
            }
        }
        Ok(())
    }
}

fn name_of(text: &str) -> &str {
    let field = text
        .split(',')
        .find_map(|field| field.trim().strip_prefix("name="));
    field.unwrap_or(text)
}

/// `VENDOR/CLASS=NAME` as the CDI specification has it.
fn is_cdi(text: &str) -> bool {
    let Some(((vendor, class), name)) = text
        .split_once('=')
        .and_then(|(kind, name)| Some((kind.split_once('/')?, name)))
    else {
        return false;
    };
    let fits = |part: &str, first_is_letter: bool, more: &str| {
        let first = part.chars().next().is_some_and(|c| {
            if first_is_letter {
                c.is_ascii_alphabetic()
            } else {
                c.is_ascii_alphanumeric()
            }
        });
        first
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    fits(vendor, true, "_-.") && fits(class, true, "_-.") && fits(name, false, "_-.:")
}

/// A file of `NAME=VALUE` lines, by the rules of docker's reader.
fn pairs_of(file: &Path) -> Result<(), String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let line = std::str::from_utf8(line).map_err(|_| format!("line {number} isn't UTF-8"))?;
        let line = line.trim_end_matches('\r').trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or(line);
        if name.is_empty() {
            return Err(format!("line {number} has no name before ="));
        }
        if name.contains([' ', '\t']) {
            // The line itself may hold a secret.
            return Err(format!("line {number}: the name before = holds a blank"));
        }
    }
    Ok(())
}
