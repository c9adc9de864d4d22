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

/// A step's name with what tells a person little taken out: the flags of RUN, runs of spaces,
/// most of a digest.
pub(crate) fn brief(name: &str) -> String {
    let mut words = Vec::new();
    let mut flags = false;
    for word in name.split_whitespace() {
        flags = (flags && word.starts_with("--")) || word == "RUN";
        let is_flag = |flag: &str| word.starts_with(flag);
        if !(flags
            && ["--mount=", "--network=", "--security=", "--device="]
                .into_iter()
                .any(is_flag))
        {
            words.push(short_digest(word));
        }
    }
    words.join(" ")
}

/// `sha256:` and twelve characters are enough to tell digests apart.
pub(crate) fn short_digest(text: &str) -> Cow<'_, str> {
    let Some(at) = text.find("sha256:").map(|at| at + "sha256:".len()) else {
        return Cow::Borrowed(text);
    };
    let digits = text[at..].bytes().take_while(u8::is_ascii_hexdigit).count();
    if digits < 64 {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{}", &text[..at + 12], &text[at + 64..]))
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

    #[test]
    fn names_are_told_without_mounts_and_digests() {
        let digest = "0123456789abcdef".repeat(4);
        let run =
            "[2/4] RUN --mount=type=cache,target=/c     --network=none uv pip install --mount=x";
        assert_eq!(brief(run), "[2/4] RUN uv pip install --mount=x");
        assert_eq!(
            brief("[1/4] RUN --mount=a apt update   &&   true"),
            "[1/4] RUN apt update && true"
        );
        assert_eq!(brief("COPY --link a b"), "COPY --link a b");
        assert_eq!(
            brief(&format!("FROM r/x:1@sha256:{digest}")),
            "FROM r/x:1@sha256:0123456789ab"
        );
        assert_eq!(
            short_digest(&format!("extracting sha256:{digest} é")),
            "extracting sha256:0123456789ab é"
        );
        assert_eq!(short_digest("sha256:0123"), "sha256:0123");
    }
}
