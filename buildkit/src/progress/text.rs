//! How durations, byte counts and text of a given width are written.

use std::{borrow::Cow, time::Duration};

/// Seconds with one decimal up to a minute, then `1m05s`, then `1h02m`.
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1}s", (duration.as_millis() / 100) as f64 / 10.0),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Decimal units with three figures: `98B`, `5.24MB`, `1.2GB`, as image sizes are usually told.
pub fn human_bytes(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes.unsigned_abs() < 1000 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value.abs() >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if value.abs() < 9.995 {
        2
    } else {
        usize::from(value.abs() < 99.95)
    };
    format!("{value:.decimals$}{}", UNITS[unit])
}

/// The text in at most `width` columns, ended with `ellipsis` where it was cut.
pub(crate) fn fit<'a>(text: &'a str, width: usize, ellipsis: &str) -> Cow<'a, str> {
    if console::measure_text_width(text) <= width {
        return Cow::Borrowed(text);
    }
    if width < console::measure_text_width(ellipsis) {
        return Cow::Borrowed("");
    }
    console::truncate_str(text, width, ellipsis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let show = |ms| human_duration(Duration::from_millis(ms));
        assert_eq!(show(0), "0.0s");
        assert_eq!(show(1_250), "1.2s");
        assert_eq!(show(59_990), "59.9s");
        assert_eq!(show(65_000), "1m05s");
        assert_eq!(show(3_725_000), "1h02m");
    }

    #[test]
    fn bytes() {
        assert_eq!(human_bytes(0), "0B");
        assert_eq!(human_bytes(999), "999B");
        assert_eq!(human_bytes(1_000), "1.00kB");
        assert_eq!(human_bytes(5_242_880), "5.24MB");
        assert_eq!(human_bytes(52_428_800), "52.4MB");
        assert_eq!(human_bytes(209_000_000), "209MB");
        assert_eq!(human_bytes(999_600), "1.00MB");
        assert_eq!(human_bytes(3_400_000_000), "3.40GB");
    }

    #[test]
    fn fitting_counts_columns_not_characters() {
        assert_eq!(fit("plain", 5, "…"), "plain");
        assert_eq!(fit("plainer", 5, "…"), "plai…");
        assert_eq!(fit("日本語のテスト", 8, "…"), "日本語…");
        assert_eq!(fit("anything", 0, "…"), "");
    }
}
