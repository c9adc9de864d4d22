//! Times as people type them: `30d`, `12h`, `2026-03-01`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A time that is given by how long ago it was, or by its date.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    if let Some(ago) = ago(text) {
        let then = Timestamp::now().checked_sub(ago);
        return then.map_err(|_| "that is too long ago".to_owned());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = |_| "write 30d, 12h, 45m, a date as 2026-03-01, or a time as 2026-03-01T12:00:00Z";
    let date: Date = text.parse().map_err(wrong)?;
    let start = date.to_zoned(TimeZone::system()).map_err(wrong)?;
    Ok(start.timestamp())
}

fn ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    let seconds = number.checked_mul(seconds).filter(|&s| s >= 0)?;
    Some(SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        let now = Timestamp::now();
        let day = now - parse("1d").unwrap();
        assert!((86_390..=86_400).contains(&day.get_seconds()), "{day}");
        assert!(parse("2w").unwrap() < parse("12h").unwrap());
        assert_eq!(
            parse("2026-03-01T12:00:00Z").unwrap().to_string(),
            "2026-03-01T12:00:00Z"
        );
        assert!(parse("2026-03-01").is_ok());
        for wrong in [
            "",
            "d",
            "-1d",
            "1y",
            "yesterday",
            "2026-13-01",
            "99999999999999999d",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
