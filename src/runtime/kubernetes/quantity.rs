//! Sizes and shares as Kubernetes writes them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use mlbuild_templates::value::nanoseconds;

/// Bytes from a size as docker reads it, where `g` is 1024³; `None` for -1, which is no limit.
pub(in crate::runtime) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let power = match unit.trim_start().to_ascii_lowercase().chars().next() {
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        _ => 0,
    };
    let number: f64 = number.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((number * 1024f64.powi(power)) as u64)
}

/// Whole seconds of a time as docker reads it (`1h30m`, `90s`); parts of a second count as one.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let nanoseconds = nanoseconds(text).filter(|time| *time >= 0)?;
    Some(nanoseconds / 1_000_000_000 + i64::from(nanoseconds % 1_000_000_000 > 0))
}

/// Bytes, in the largest unit that holds them as a whole number.
pub(super) fn of_bytes(bytes: u64) -> Quantity {
    let mut number = bytes;
    let mut unit = "";
    for next in ["Ki", "Mi", "Gi", "Ti"] {
        if number == 0 || !number.is_multiple_of(1024) {
            break;
        }
        number /= 1024;
        unit = next;
    }
    Quantity(format!("{number}{unit}"))
}

/// Processors: `1500m` for 1.5.
pub(super) fn of_processors(number: f64) -> Quantity {
    let milli = (number * 1000.0).round();
    if milli % 1000.0 == 0.0 {
        Quantity(format!("{}", milli / 1000.0))
    } else {
        Quantity(format!("{milli}m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_written_as_kubernetes_reads_them() {
        let size = |text: &str| bytes(text).map(|bytes| of_bytes(bytes).0);
        assert_eq!(size("16G").as_deref(), Some("16Gi"));
        assert_eq!(size("1.5g").as_deref(), Some("1536Mi"));
        assert_eq!(size("512mb").as_deref(), Some("512Mi"));
        assert_eq!(size("1000").as_deref(), Some("1000"));
        assert_eq!(size("64 k").as_deref(), Some("64Ki"));
        assert_eq!(size("-1"), None);
        assert_eq!(of_processors(1.5).0, "1500m");
        assert_eq!(of_processors(2.0).0, "2");
        assert_eq!(of_processors(0.25).0, "250m");
    }
}
