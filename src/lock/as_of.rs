//! The world as of a day: packages as archives and indexes offered them then.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::LockingError;
use crate::settings::ImageSettings;

/// What stands for the time in a list of snapshots.
const PLACE: &str = "{time}";

/// A day, which is meant with all that was offered on it, in UTC; or a time as RFC 3339 has it.
pub fn parse(text: &str) -> Result<Timestamp, String> {
    let time = match text.parse::<Date>() {
        Ok(day) if !text.contains('T') => {
            let next = day.tomorrow().and_then(|day| day.to_zoned(TimeZone::UTC));
            let next = next.map_err(|_| "no calendar goes that far")?;
            next.timestamp() - SignedDuration::from_secs(1)
        }
        _ => text
            .parse::<Timestamp>()
            .map_err(|_| "write a day, 2026-03-01, or a time, 2026-03-01T12:00:00Z")?,
    };
    if time > Timestamp::now() {
        Err(format!("{time} is still to come"))
    } else {
        Ok(whole_seconds(time))
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).expect("it was a time before")
}

/// That Debian packages of that time can be found: an ordinary archive has today's alone.
///
/// # Errors
/// Where no archive of snapshots is named, or its list has no place for the time.
pub(super) fn check_snapshots(
    settings: &ImageSettings,
    as_of: Timestamp,
    has_apt: bool,
) -> Result<(), LockingError> {
    let Some(list) = &settings.build.apt_snapshots else {
        return if has_apt {
            Err(LockingError::NoSnapshots { as_of })
        } else {
            Ok(())
        };
    };
    let path = settings.project.join(list);
    let text = match mlbuild_files::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LockingError::Snapshots { path, source }),
    };
    if text.contains(PLACE) {
        Ok(())
    } else {
        Err(LockingError::SnapshotsWithoutTime { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_as_a_whole_and_none_to_come() {
        let read = |text| parse(text).map(|time| time.to_string());
        assert_eq!(read("2024-02-29").unwrap(), "2024-02-29T23:59:59Z");
        assert_eq!(
            read("2024-02-29T12:00:00.5+02:00").unwrap(),
            "2024-02-29T10:00:00Z"
        );
        let wrong = ["", "march", "2025-02-29", "30d", "2024-02-29T12:00"];
        let said: Vec<String> = wrong.iter().map(|text| parse(text).unwrap_err()).collect();
        assert!(
            said.iter().all(|said| said.starts_with("write a day")),
            "{said:?}"
        );
        let far = parse("9000-01-01").unwrap_err();
        assert_eq!(far, "9000-01-01T23:59:59Z is still to come");
    }
}
