//! What the name of a wheel says: name, version, and which Python and machine it is for (PEP 427).

/// A wheel's name, in its parts.
pub(super) struct WheelName {
    pub name: String,
    pub version: String,
    python: String,
    abi: String,
    platform: String,
}

impl WheelName {
    /// That of the last part of an address or path; `None` where that isn't a wheel.
    pub fn of(address: &str) -> Option<Self> {
        let path = address.split(['#', '?']).next()?;
        let file = path
            .rsplit('/')
            .next()?
            .replace("%2B", "+")
            .replace("%2b", "+");
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        let ([name, version, python, abi, platform] | [name, version, _, python, abi, platform]) =
            parts[..]
        else {
            return None;
        };
        Some(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            python: python.to_owned(),
            abi: abi.to_owned(),
            platform: platform.to_owned(),
        })
    }

    /// Why a Linux image of a machine type can't install it.
    pub fn unfit(&self, machine: &str) -> Option<String> {
        let mut platforms = self.platform.split('.');
        let fits = platforms.any(|platform| {
            let of_machine = platform.contains("linux") && platform.ends_with(machine);
            platform == "any" || of_machine
        });
        (!fits).then(|| {
            format!(
                "is a wheel for {}, and the image is for Linux on {machine}",
                self.platform
            )
        })
    }

    /// The one Python that can install it: `3.8` of `cp38-cp38`.
    pub fn python(&self) -> Option<String> {
        let digits = self.python.strip_prefix("cp3")?;
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
        (is_number && self.abi.starts_with("cp")).then(|| format!("3.{digits}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_and_machines() {
        for (file, python, fits) in [
            (
                "torch-1.13.1%2Bcu116-cp38-cp38-linux_x86_64.whl",
                Some("3.8"),
                true,
            ),
            (
                "torch-1.13.1%2Bcu116-cp38-cp38-win_amd64.whl",
                Some("3.8"),
                false,
            ),
            (
                "x-1-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                Some("3.10"),
                true,
            ),
            (
                "x-1-cp310-cp310-manylinux_2_28_aarch64.whl",
                Some("3.10"),
                false,
            ),
            ("x-1-cp39-abi3-manylinux2014_x86_64.whl", None, true),
            ("x-1-2-py3-none-any.whl", None, true),
            ("x-1-cp311-cp311-macosx_11_0_arm64.whl", Some("3.11"), false),
        ] {
            let wheel = WheelName::of(&format!("https://x.org/{file}#sha256=0")).unwrap();
            assert_eq!(wheel.python().as_deref(), python, "{file}");
            assert_eq!(wheel.unfit("x86_64").is_none(), fits, "{file}");
        }
        assert!(WheelName::of("https://x.org/x.tar.gz").is_none());
    }
}
