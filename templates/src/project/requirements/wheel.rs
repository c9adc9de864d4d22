//! What the address of a wheel says by the file's name: which Python and machine it is for.

use mlbuild_wheels::WheelName;

/// The name that an address or path ends in; `None` where that is no wheel's.
pub(super) fn at(address: &str) -> Option<WheelName> {
    let path = address.split(['#', '?']).next()?;
    let file = path.rsplit('/').next()?;
    WheelName::parse(&file.replace("%2B", "+").replace("%2b", "+")).ok()
}

/// Why a Linux image of a machine type can't install it.
pub(super) fn unfit(wheel: &WheelName, machine: &str) -> Option<String> {
    let mut platforms: Vec<&str> = wheel.tags.iter().map(|tag| &*tag.platform).collect();
    platforms.dedup();
    let fits = platforms.iter().any(|platform| {
        *platform == "any" || (platform.contains("linux") && platform.ends_with(machine))
    });
    (!fits).then(|| {
        let platforms = platforms.join(".");
        format!("is a wheel for {platforms}, and the image is for Linux on {machine}")
    })
}

/// The one Python that can install it: `3.8` of `cp38-cp38`.
pub(super) fn python(wheel: &WheelName) -> Option<String> {
    let first = &wheel.tags.first()?.python;
    let minor: u32 = first.strip_prefix("cp3")?.parse().ok()?;
    let mut tags = wheel.tags.iter();
    let is_only = tags.all(|tag| tag.python == *first && tag.abi.starts_with("cp"));
    is_only.then(|| format!("3.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_and_machines() {
        for (file, of_python, fits) in [
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
            let wheel = at(&format!("https://x.org/{file}#sha256=0")).unwrap();
            assert_eq!(python(&wheel).as_deref(), of_python, "{file}");
            assert_eq!(unfit(&wheel, "x86_64").is_none(), fits, "{file}");
        }
        assert!(at("https://x.org/x.tar.gz").is_none());
    }
}
