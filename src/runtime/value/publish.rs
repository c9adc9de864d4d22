//! `--publish [[IP:]HOST_PORT:]PORT[/PROTOCOL]`.

use std::fmt;
use std::str::FromStr;

/// A port of the host, and the one of the container that it leads to. Either may be a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Address of the host; `None`: every one.
    pub address: Option<String>,
    /// Port of the host; `None`: a free one.
    pub host: Option<String>,
    /// Port of the container.
    pub container: String,
    /// `tcp`, `udp` or `sctp`, where it was given.
    pub protocol: Option<String>,
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            return by_key(text);
        }
        let (ports, protocol) = match text.split_once('/') {
            Some((ports, protocol)) => (ports, Some(protocol.to_owned())),
            None => (text, None),
        };
        let (before, container) = match ports.rsplit_once(':') {
            Some((before, container)) => (Some(before), container),
            None => (None, ports),
        };
        let (address, host) = match before {
            None => (None, None),
            Some(before) => match before.rsplit_once(':') {
                Some((address, host)) => (Some(address), Some(host)),
                None => (None, Some(before)),
            },
        };
        Self {
            address: address.filter(|a| !a.is_empty()).map(str::to_owned),
            host: host.filter(|h| !h.is_empty()).map(str::to_owned),
            container: container.to_owned(),
            protocol,
        }
        .checked()
    }
}

/// `published=8080,target=80,protocol=tcp`.
fn by_key(text: &str) -> Result<Publish, String> {
    let mut port = Publish {
        address: None,
        host: None,
        container: String::new(),
        protocol: None,
    };
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("published", value)) => port.host = Some(value.to_owned()),
            Some(("target", value)) => port.container = value.to_owned(),
            Some(("protocol", value)) => port.protocol = Some(value.to_owned()),
            _ => {
                return Err(format!(
                    "`{field}` isn't published=, target= or protocol=; write HOST_PORT:PORT"
                ));
            }
        }
    }
    port.checked()
}

impl Publish {
    fn checked(self) -> Result<Self, String> {
        for port in [self.host.as_deref(), Some(&self.container)]
            .into_iter()
            .flatten()
        {
            let (first, last) = port.split_once('-').unwrap_or((port, port));
            let number = |text: &str| text.parse::<u16>().ok();
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => {}
                _ => {
                    return Err(format!(
                        "`{port}` isn't a port; write HOST_PORT:PORT, such as 8000:80"
                    ));
                }
            }
        }
        let count = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            last.parse::<u16>()
                .unwrap_or(0)
                .saturating_sub(first.parse::<u16>().unwrap_or(0))
        };
        if let Some(host) = self.host.as_deref()
            && count(&self.container) != 0
            && count(host) != count(&self.container)
        {
            return Err(format!(
                "{host} and {} are ranges of different lengths",
                self.container
            ));
        }
        if let Some(address) = self.address.as_deref() {
            let inner = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
            if inner
                .unwrap_or(address)
                .parse::<std::net::IpAddr>()
                .is_err()
            {
                return Err(format!("`{address}` isn't an IP address of this machine"));
            }
        }
        match self.protocol.as_deref().map(str::to_lowercase).as_deref() {
            None | Some("tcp" | "udp" | "sctp" | "") => Ok(self),
            Some(other) => Err(format!("`{other}` isn't tcp, udp or sctp")),
        }
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}:")?;
        }
        match (&self.host, &self.address) {
            (Some(host), _) => write!(f, "{host}:")?,
            (None, Some(_)) => f.write_str(":")?,
            (None, None) => {}
        }
        f.write_str(&self.container)?;
        match &self.protocol {
            Some(protocol) => write!(f, "/{protocol}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_is_written_back() {
        for text in [
            "80",
            "8000:80",
            "8000-8010:8000-8010/udp",
            "127.0.0.1:8000:80",
            "127.0.0.1::80",
            "[::1]:8000:80/tcp",
        ] {
            assert_eq!(text.parse::<Publish>().unwrap().to_string(), text);
        }
        let by_key: Publish = "published=8080,target=80,protocol=udp".parse().unwrap();
        assert_eq!(by_key.to_string(), "8080:80/udp");
        let v6: Publish = "[::1]:8000:80".parse().unwrap();
        assert_eq!(v6.address.as_deref(), Some("[::1]"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| text.parse::<Publish>().unwrap_err();
        insta::assert_snapshot!(wrong("http:80"), @"`http` isn't a port; write HOST_PORT:PORT, such as 8000:80");
        insta::assert_snapshot!(wrong("8000:"), @"`` isn't a port; write HOST_PORT:PORT, such as 8000:80");
        insta::assert_snapshot!(wrong("8000:80/icmp"), @"`icmp` isn't tcp, udp or sctp");
        insta::assert_snapshot!(wrong("70000:80"), @"`70000` isn't a port; write HOST_PORT:PORT, such as 8000:80");
    }
}
