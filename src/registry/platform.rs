//! Platforms as people write them: `linux/amd64`, `linux/arm/v7`.

use oci_spec::image::{Arch, Os, Platform, PlatformBuilder};

/// The platform's short name, normalized: `linux/arm64` for `linux/arm64/v8`.
pub fn platform_name(platform: &Platform) -> String {
    let os = platform.os().to_string();
    let arch = platform.architecture().to_string();
    match normal_variant(&arch, platform.variant().as_deref()) {
        Some(variant) => format!("{os}/{arch}/{variant}"),
        None => format!("{os}/{arch}"),
    }
}

/// Reads `os/arch[/variant]` or `arch`. `None`: it is neither.
pub fn parse_platform(text: &str) -> Option<Platform> {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |s: &str| {
        !s.is_empty()
            && s.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
    };
    if !parts.iter().all(|p| word(p)) {
        return None;
    }
    let (os, arch, variant) = match parts[..] {
        [arch] => ("linux", arch, None),
        [os, arch] => (os, arch, None),
        [os, arch, variant] => (os, arch, Some(variant)),
        _ => return None,
    };
    let (arch, variant) = match arch {
        "x86_64" | "x86-64" => ("amd64", variant),
        "aarch64" => ("arm64", variant),
        "armhf" => ("arm", variant.or(Some("v7"))),
        "armel" => ("arm", variant.or(Some("v6"))),
        "i386" | "i686" => ("386", variant),
        arch => (arch, variant),
    };
    let builder = PlatformBuilder::default()
        .os(Os::from(os))
        .architecture(Arch::from(arch));
    match normal_variant(arch, variant) {
        Some(variant) => builder.variant(variant).build().ok(),
        None => builder.build().ok(),
    }
}

/// True if an image for `offered` is what someone who asks for `wanted` means.
pub fn platform_matches(wanted: &Platform, offered: &Platform) -> bool {
    platform_name(wanted) == platform_name(offered)
}

fn normal_variant(arch: &str, variant: Option<&str>) -> Option<String> {
    match (arch, variant) {
        ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) | (_, None | Some("")) => {
            (arch == "arm").then(|| "v7".to_owned())
        }
        (_, Some(variant)) => Some(variant.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
        let name = |text| parse_platform(text).map(|p| platform_name(&p));
        assert_eq!(name("linux/amd64").as_deref(), Some("linux/amd64"));
        assert_eq!(name("x86_64").as_deref(), Some("linux/amd64"));
        assert_eq!(name("linux/arm64/v8").as_deref(), Some("linux/arm64"));
        assert_eq!(name("linux/arm").as_deref(), Some("linux/arm/v7"));
        assert_eq!(name("linux/arm/v6").as_deref(), Some("linux/arm/v6"));
        assert_eq!(name("linux//x"), None);
        assert_eq!(name("a/b/c/d"), None);
        assert_eq!(name("linux/am d"), None);
    }
}
