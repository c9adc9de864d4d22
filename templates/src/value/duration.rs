//! Times as Go's `time.ParseDuration` reads them: `1m30s`, `500ms`.

/// A time in nanoseconds; `None` where it isn't a time, or too long a one.
pub fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let number: f64 = number.parse().ok()?;
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("μs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 6e10),
            ("h", 3.6e12),
        ];
        let (unit, size) = units.iter().find(|(unit, _)| after.starts_with(unit))?;
        rest = &after[unit.len()..];
        sum += number * size;
    }
    // Go counts in 64 bits.
    (sum < 9.223_372_036_854_776e18).then_some(if negative { -sum as i64 } else { sum as i64 })
}
