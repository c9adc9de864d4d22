//! Values that are passed on as written, after a look at them.

use mlbuild_templates::value::nanoseconds;

use crate::nearest::nearest;

/// A truth value, as Go's `strconv.ParseBool` reads it.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

pub(super) fn integer(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let read = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16),
        None => digits.parse::<i64>(),
    };
    match read {
        Ok(_) if !digits.starts_with(['-', '+']) => Ok(()),
        _ => Err("write a whole number".to_owned()),
    }
}

pub(super) fn decimal(text: &str) -> Result<(), String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    // Docker counts in billionths.
    let fine = text
        .split_once('.')
        .map_or(0, |(_, digits)| digits.trim_end_matches('0').len());
    match text.parse::<f64>() {
        Ok(_) if plain && fine > 9 => Err("at most nine digits after the point".to_owned()),
        Ok(_) if plain => Ok(()),
        _ => Err("write a number such as 2 or 1.5".to_owned()),
    }
}

/// A size as Docker reads it: a number, then `k`, `m`, `g`, `t` or `p`, then `b` or `ib`.
pub(super) fn bytes(text: &str) -> Result<(), String> {
    if text == "-1" {
        return Ok(());
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start_matches(' ').to_lowercase();
    let known = match unit.strip_prefix(['k', 'm', 'g', 't', 'p']) {
        Some(rest) => matches!(rest, "" | "b" | "ib"),
        None => matches!(unit.as_str(), "" | "b"),
    };
    match number.parse::<f64>() {
        Ok(_) if known => Ok(()),
        _ => Err("not a size; write a number with b, k, m or g, such as 512m or 1g".to_owned()),
    }
}

/// A time as Go's `time.ParseDuration` reads it.
pub(super) fn duration(text: &str) -> Result<(), String> {
    match nanoseconds(text) {
        Some(_) => Ok(()),
        None => Err("not a time; write a number with ms, s, m or h, such as 1m30s".to_owned()),
    }
}

pub(super) fn one_of(text: &str, words: &[&str]) -> Result<(), String> {
    if words.contains(&text) {
        return Ok(());
    }
    let known = words.join(", ");
    Err(match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`? There are {known}"),
        None => format!("there are {known}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_docker_reads() {
        for good in [
            "1g", "512m", "64M", "1.5g", "8gb", "1GiB", "1024", "10b", "-1", "64 k",
        ] {
            assert_eq!(bytes(good), Ok(()), "{good}");
        }
        for bad in ["", "g", "1x", "1gg", "-2", "one", "1.2.3"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_those_that_go_reads() {
        for good in ["0", "30s", "1m30s", "1.5h", "100ms", "2h45m10s"] {
            assert_eq!(duration(good), Ok(()), "{good}");
        }
        for bad in ["", "30", "s", "1d", "1m30"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers() {
        for good in ["0", "-1", "+5", "0x10"] {
            assert_eq!(integer(good), Ok(()), "{good}");
        }
        for bad in ["", "1.5", "--1", "ten", "-+1"] {
            assert!(integer(bad).is_err(), "{bad}");
        }
        assert!(decimal("1.5").is_ok() && decimal("2").is_ok());
        assert!(decimal("1,5").is_err() && decimal("").is_err() && decimal("inf").is_err());
    }
}
