//! `--device HOST[:CONTAINER[:rwm]]`, or the name of a CDI device.

use std::fmt;
use std::str::FromStr;

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// By path.
    Path {
        /// Path on the host.
        host: String,
        /// Path in the container, where it was given.
        container: Option<String>,
        /// Some of `rwm`, where given.
        permissions: Option<String>,
    },
    /// By CDI name: `nvidia.com/gpu=all`.
    Cdi(String),
}

impl Device {
    /// True if it is a GPU's CDI device.
    pub fn is_gpu(&self) -> bool {
        let gpu = |name: &str| {
            name.split('=')
                .next()
                .is_some_and(|kind| kind.ends_with("/gpu"))
        };
        matches!(self, Self::Cdi(name) if gpu(name))
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') && text.contains('/') && text.contains('=') {
            return Ok(Self::Cdi(text.to_owned()));
        }
        // Each of them once.
        let permissions = |text: &str| {
            let once = |b: u8| text.bytes().filter(|other| *other == b).count() == 1;
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| matches!(b, b'r' | b'w' | b'm') && once(b))
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (host, container, allowed) = match parts[..] {
            [host] => (host, None, None),
            [host, second] if permissions(second) => (host, None, Some(second)),
            [host, container] => (host, Some(container), None),
            [host, container, third] if permissions(third) => (host, Some(container), Some(third)),
            _ => return Err("write DEVICE, DEVICE:PATH or DEVICE:PATH:rwm".to_owned()),
        };
        if host.is_empty() {
            return Err("the device is empty; write DEVICE, such as /dev/video0".to_owned());
        }
        let inside = container.unwrap_or(host);
        if !inside.starts_with('/') {
            return Err(format!(
                "{inside} isn't an absolute path; write DEVICE, such as /dev/video0"
            ));
        }
        Ok(Self::Path {
            host: host.to_owned(),
            container: container.map(str::to_owned),
            permissions: allowed.map(str::to_owned),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cdi(name) => f.write_str(name),
            Self::Path {
                host,
                container,
                permissions,
            } => {
                f.write_str(host)?;
                for part in [container, permissions].into_iter().flatten() {
                    write!(f, ":{part}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_is_written_back() {
        for text in [
            "/dev/video0",
            "/dev/video0:/dev/video1",
            "/dev/kfd:rw",
            "/dev/a:/dev/b:rwm",
            "nvidia.com/gpu=all",
        ] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert!("nvidia.com/gpu=0".parse::<Device>().unwrap().is_gpu());
        assert!(!"/dev/dri".parse::<Device>().unwrap().is_gpu());
        assert!("/dev/a:/dev/b:xyz".parse::<Device>().is_err());
    }
}
