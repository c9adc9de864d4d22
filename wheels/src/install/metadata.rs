//! METADATA and WHEEL: whether a wheel is the package that its name says, in a format that is known.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use pep440_rs::Version;

use crate::error::Fault;
use crate::name::normalize;
use crate::wheel::Wheel;

pub(super) fn bad(file: &str, why: impl Into<String>) -> Fault {
    Fault::Metadata {
        file: file.to_owned(),
        why: why.into(),
    }
}

/// `NAME-VERSION` of the one folder `NAME-VERSION.dist-info`.
pub(super) fn stem(entries: &BTreeMap<&str, usize>) -> Result<String, Fault> {
    let mut stems: Vec<&str> = entries
        .keys()
        .filter_map(|path| path.split_once('/')?.0.strip_suffix(".dist-info"))
        .collect();
    stems.dedup();
    match stems[..] {
        [stem] => Ok(stem.to_owned()),
        [] => Err(bad("its .dist-info folder", "it is missing")),
        _ => Err(bad("its .dist-info folder", "there are several")),
    }
}

/// Name and version must be those of the file's name; without its local part (`+cu121`) a version
/// is also taken.
pub(super) fn check_package(file: &str, bytes: &[u8], wheel: &Wheel) -> Result<(), Fault> {
    let stated = |key: &str| {
        let value = header(bytes, key);
        value.ok_or_else(|| bad(file, format!("it has no {key}")))
    };
    let (name, version) = (stated("Name")?, stated("Version")?);
    let of_file = wheel.name();
    if normalize(&name) != of_file.name {
        return Err(bad(file, format!("it is of the package {name:?}")));
    }
    let parsed = Version::from_str(&version).ok();
    let without_local = of_file.version.clone().without_local();
    if parsed.is_none_or(|v| v != of_file.version && v != without_local) {
        return Err(bad(file, format!("it is of the version {version:?}")));
    }
    Ok(())
}

/// The format must be version 1, or 0.1, which some old wheels say.
pub(super) fn check_format(file: &str, bytes: &[u8]) -> Result<(), Fault> {
    let version = header(bytes, "Wheel-Version");
    let version = version.ok_or_else(|| bad(file, "it has no Wheel-Version"))?;
    if version.starts_with("1.") || version == "0.1" {
        return Ok(());
    }
    let why = format!("Wheel-Version is {version:?}, and 1.0 is known");
    Err(bad(file, why))
}

/// The first value of a header, with the lines that continue it.
fn header(bytes: &[u8], key: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.lines().take_while(|line| !line.is_empty());
    let mut lines = head.skip_while(|line| {
        let name = line.split_once(':').map(|(name, _)| name);
        !name.is_some_and(|name| name.eq_ignore_ascii_case(key))
    });
    let (_, first) = lines.next()?.split_once(':')?;
    let mut value = first.trim().to_owned();
    for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(more.trim());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_to_the_first_empty_line() {
        let text = b"Metadata-Version: 2.1\r\nname:  Foo\nVersion: 1\n .0\n\nSummary: body\n";
        assert_eq!(header(text, "Name").as_deref(), Some("Foo"));
        assert_eq!(header(text, "Version").as_deref(), Some("1 .0"));
        assert_eq!(header(text, "Summary"), None);
    }
}
