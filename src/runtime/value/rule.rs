//! What single flags take beyond their kind, by the rules of docker's own client: told before an
//! image is pulled or a record written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mlbuild_templates::value::nanoseconds;

use super::check;

/// A rule for text that is passed on as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `--add-host HOST:IP`.
    AddHost,
    /// `--attach`: a stream.
    Stream,
    /// `--blkio-weight`.
    BlkioWeight,
    /// `--blkio-weight-device DEVICE:WEIGHT`.
    DeviceWeight,
    /// `--device-read-bps DEVICE:RATE`: bytes.
    DeviceBytes,
    /// `--device-read-iops DEVICE:RATE`: operations.
    DeviceCount,
    /// `--device-cgroup-rule`.
    CgroupRule,
    /// `--cgroupns`.
    CgroupNamespace,
    /// `--dns`, `--link-local-ip`: an address.
    Address,
    /// `--dns-search`: a domain, or `.`.
    Domain,
    /// `--expose`: a port or a range.
    Ports,
    /// `--gpus`.
    Gpus,
    /// Times and counts that can't be negative.
    Time,
    /// A number that can't be negative.
    Count,
    /// `--ip`, `--ip6`.
    NetworkAddress {
        /// Whether it is IPv6.
        v6: bool,
    },
    /// `--link CONTAINER[:ALIAS]`.
    Link,
    /// `--mac-address`.
    Mac,
    /// `--memory-swap`: a size, or -1.
    Swap,
    /// `--memory-swappiness`: 0 to 100.
    Swappiness,
    /// `--network`.
    Network,
    /// `--pid`.
    Pid,
    /// `--platform`.
    Platform,
    /// `--restart`.
    Restart,
    /// `--security-opt`.
    Security,
    /// `--userns`.
    UserNamespace,
    /// `--uts`.
    UtsNamespace,
}

impl Rule {
    /// Says what is wrong with a value, and what to write.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::AddHost => add_host(text),
            Self::Stream => one_of(&text.to_lowercase(), &["stdin", "stdout", "stderr"]),
            Self::BlkioWeight => blkio_weight(text),
            Self::DeviceWeight => device(text, "WEIGHT", |weight| {
                matches!(weight.parse::<u16>(), Ok(0 | 10..=1000)) && !weight.starts_with('+')
            }),
            Self::DeviceBytes => device(text, "RATE", |rate| {
                rate != "-1" && check::bytes(rate).is_ok()
            }),
            Self::DeviceCount => device(text, "RATE", |rate| {
                rate.parse::<u64>().is_ok() && !rate.starts_with('+')
            }),
            Self::CgroupRule => cgroup_rule(text),
            Self::CgroupNamespace => one_of(text, &["", "private", "host"]),
            Self::Address => match text.trim().parse::<IpAddr>() {
                Ok(_) => Ok(()),
                Err(_) => Err("not an IP address; write one such as 10.0.0.2".into()),
            },
            Self::Domain => domain(text),
            Self::Ports => ports(text),
            Self::Gpus => gpus(text),
            Self::Time => match nanoseconds(text) {
                Some(time) if time >= 0 => Ok(()),
                Some(_) => Err("it can't be negative".into()),
                None => check::duration(text),
            },
            Self::Count => {
                check::integer(text)?;
                if text.starts_with('-') && text != "-0" {
                    Err("it can't be negative".into())
                } else {
                    Ok(())
                }
            }
            Self::NetworkAddress { v6: false } => match text.trim().parse::<Ipv4Addr>() {
                Ok(_) => Ok(()),
                Err(_) => Err("not an IPv4 address; write one such as 172.30.0.4".into()),
            },
            Self::NetworkAddress { v6: true } => match text.trim().parse::<Ipv6Addr>() {
                Ok(_) => Ok(()),
                Err(_) => Err("not an IPv6 address; write one such as 2001:db8::4".into()),
            },
            Self::Link => {
                if text.matches(':').count() < 2 && !text.is_empty() {
                    Ok(())
                } else {
                    Err("write CONTAINER or CONTAINER:ALIAS".into())
                }
            }
            Self::Mac if text.is_empty() => Ok(()),
            Self::Mac => mac(text.trim()),
            Self::Swap => check::bytes(text),
            Self::Swappiness => match text.parse::<i64>() {
                Ok(-1..=100) => Ok(()),
                _ => Err("write a number from 0 to 100".into()),
            },
            Self::Network => network(text),
            Self::Pid => namespace(text, &["", "host", "private"]),
            Self::Platform => platform(text),
            Self::Restart => restart(text),
            Self::Security => security(text),
            Self::UserNamespace => {
                // Podman's; who starts with docker is told by `RunSpec::check`.
                let podman = ["keep-id", "auto", "nomap", "private", "ns:"];
                if podman.iter().any(|own| text.starts_with(own)) {
                    Ok(())
                } else {
                    one_of(text, &["", "host"])
                }
            }
            Self::UtsNamespace => one_of(text, &["", "host", "private"]),
        }
    }
}

fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if text.is_empty() && words.contains(&"") {
        return Ok(());
    }
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.is_empty())
        .collect();
    check::one_of(text, &words)
}

fn add_host(text: &str) -> Result<(), String> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((host, address)) = pair.filter(|(host, _)| !host.is_empty() && !host.contains(':'))
    else {
        return Err("write HOST:IP, such as db:10.0.0.2".into());
    };
    let inner = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    let address = inner.filter(|inner| !inner.is_empty()).unwrap_or(address);
    if address == "host-gateway" || address.trim().parse::<IpAddr>().is_ok() {
        Ok(())
    } else {
        Err(format!(
            "`{address}` isn't an IP address of {host}, nor host-gateway"
        ))
    }
}

fn blkio_weight(text: &str) -> Result<(), String> {
    check::integer(text)?;
    match text.parse::<i64>() {
        Ok(0..=65535) => Ok(()),
        _ => Err("write a number from 10 to 1000, or 0".into()),
    }
}

fn device(text: &str, value: &str, fits: impl Fn(&str) -> bool) -> Result<(), String> {
    let form = || {
        format!(
            "write DEVICE:{value}, such as /dev/sda:{}",
            if value == "RATE" { "10" } else { "500" }
        )
    };
    let (path, number) = text.split_once(':').ok_or_else(form)?;
    if path.starts_with("/dev/") && fits(number) {
        Ok(())
    } else {
        Err(form())
    }
}

fn cgroup_rule(text: &str) -> Result<(), String> {
    let number =
        |part: &str| part == "*" || (!part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let mode =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b"rwm".contains(&b));
    let parts: Vec<&str> = text.split(' ').collect();
    let fits = match parts[..] {
        ["a" | "c" | "b", numbers, access] => numbers
            .split_once(':')
            .is_some_and(|(major, minor)| number(major) && number(minor) && mode(access)),
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err("write TYPE MAJOR:MINOR ACCESS, such as `c 189:* rmw`".into())
    }
}

/// Docker's own expression, whose groups begin with an optional colon by mistake.
fn domain(text: &str) -> Result<(), String> {
    let text = text.trim_matches(' ');
    if text == "." {
        return Ok(());
    }
    let labels = text.trim_end().strip_suffix('.').unwrap_or(text.trim_end());
    let is_label = |label: &str| {
        let label = label.trim_start_matches(':');
        let plain = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !label.is_empty() && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let fits = labels.split('.').all(is_label)
        && labels.len() < 255
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    if fits {
        Ok(())
    } else {
        Err("not a domain; write one such as example.com".into())
    }
}

fn ports(text: &str) -> Result<(), String> {
    let range = text.split('/').next().unwrap_or(text);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(()),
        _ => Err("write a port or a range, such as 8000 or 8000-8010/tcp".into()),
    }
}

fn gpus(text: &str) -> Result<(), String> {
    let count = |text: &str| text == "all" || text.parse::<i64>().is_ok();
    let mut seen = Vec::new();
    for field in super::mount::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value)),
            None => (field.clone(), None),
        };
        if seen.contains(&key) {
            return Err(format!("`{key}` stands there twice"));
        }
        let fits = match (key.as_str(), value) {
            (number, None) => count(number),
            ("count", Some(value)) => count(value),
            ("driver" | "device" | "capabilities", Some(_)) => true,
            ("options", Some(value)) => super::mount::fields(value).is_ok(),
            _ => {
                return Err(format!(
                    "`{key}` isn't known; write all, a number or device=0"
                ));
            }
        };
        if !fits {
            return Err("write all, a number or device=0".into());
        }
        // A number alone is a count.
        seen.push(if value.is_none() { "count".into() } else { key });
    }
    Ok(())
}

fn mac(text: &str) -> Result<(), String> {
    let wrong = || Err("not a MAC address; write one such as 92:d0:c6:0a:29:33".to_owned());
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let separator = match text.find([':', '-', '.']) {
        Some(at) => &text[at..=at],
        None => return wrong(),
    };
    let parts: Vec<&str> = text.split(separator).collect();
    let fits = match separator {
        "." => matches!(parts.len(), 3 | 4 | 10) && parts.iter().all(|part| hex(part, 4)),
        _ => matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(|part| hex(part, 2)),
    };
    if fits { Ok(()) } else { wrong() }
}

/// A name, or `name=NET,alias=…` with the fields that docker knows.
fn network(text: &str) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let pairs = text
        .char_indices()
        .filter(|(_, c)| *c == '=')
        .any(|(at, _)| text[..at].ends_with(word) && text[at + 1..].starts_with(word));
    if !pairs {
        return if text.trim().is_empty() {
            Err("the network's name is empty".into())
        } else {
            Ok(())
        };
    }
    let mut name = String::new();
    for field in super::mount::fields(text)? {
        let field = field.to_lowercase();
        let (key, value) = field.split_once('=').unwrap_or(("", ""));
        let (key, value) = (key.trim(), value.trim());
        let fits = match key {
            "name" => {
                name = value.to_owned();
                true
            }
            "alias" | "mac-address" => true,
            "ip" | "ip6" | "link-local-ip" => value.parse::<IpAddr>().is_ok(),
            "driver-opt" => value
                .split_once('=')
                .is_some_and(|(key, _)| !key.is_empty()),
            "gw-priority" => value.parse::<i64>().is_ok(),
            _ => {
                return Err(format!(
                    "`{field}` isn't a field; write name=NETWORK,alias=NAME"
                ));
            }
        };
        if !fits {
            return Err(format!("`{value}` is no value of {key}"));
        }
    }
    if name.is_empty() {
        Err("it names no network; add name=NETWORK".into())
    } else {
        Ok(())
    }
}

fn namespace(text: &str, words: &[&str]) -> Result<(), String> {
    match text.strip_prefix("container:") {
        Some("") => Err("write container:NAME".into()),
        Some(_) => Ok(()),
        None => one_of(text, words),
    }
}

const OS: [&str; 15] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "solaris",
    "windows",
];
const ARCH: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

fn platform(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let os = |part: &str| {
        let part = part
            .strip_suffix(')')
            .and_then(|p| p.split_once('('))
            .map_or(part, |(os, _)| os);
        plain(part)
    };
    let lower = text.to_lowercase();
    let aliases = [
        "x86_64", "x86-64", "aarch64", "armhf", "armel", "i386", "macos",
    ];
    let fits = match parts[..] {
        [_] => {
            OS.contains(&lower.as_str())
                || ARCH.contains(&lower.as_str())
                || aliases.contains(&lower.as_str())
        }
        [first, ref rest @ ..] if rest.len() < 3 => {
            os(first) && rest.iter().all(|part| plain(part))
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err("not a platform; write one such as linux/amd64".into())
    }
}

fn restart(text: &str) -> Result<(), String> {
    let (policy, count) = match text.split_once(':') {
        Some((policy, count)) => (policy, Some(count)),
        None => (text, None),
    };
    if text.is_empty() {
        return Ok(());
    }
    check::one_of(policy, &["no", "on-failure", "always", "unless-stopped"])?;
    match count {
        None | Some("") => Ok(()),
        Some(count) if policy == "on-failure" && count.parse::<u32>().is_ok() => Ok(()),
        Some(_) if policy == "on-failure" => {
            Err("the count of restarts is a number: on-failure:3".into())
        }
        Some(_) => Err("only on-failure takes a count".into()),
    }
}

fn security(text: &str) -> Result<(), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, value),
        None if text == "no-new-privileges" => return Ok(()),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if key == "no-new-privileges" || !value.is_empty() {
        Ok(())
    } else {
        Err("write NAME=VALUE, such as seccomp=unconfined, or no-new-privileges".into())
    }
}
