//! Sizes as people type them, `20GB`, and read them.

/// Bytes of a size.
///
/// # Errors
/// What a size looks like.
pub fn parse(text: &str) -> Result<u64, String> {
    let units = [("TB", 1e12), ("GB", 1e9), ("MB", 1e6)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, bytes)| Some((text.trim().strip_suffix(name)?, bytes)))
        .ok_or("a size ends with MB, GB or TB, as 20GB")?;
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| "a size is a number and a unit, as 20GB")?;
    let bytes = number * unit;
    if !(0.0..=1e18).contains(&bytes) {
        return Err("a size is neither negative nor endless".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above"
    )]
    Ok(bytes as u64)
}

/// Bytes in the unit that suits them.
pub fn bytes(n: u64) -> String {
    match n {
        0..10_000 => format!("{n} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_refused() {
        assert_eq!(parse("20GB"), Ok(20_000_000_000));
        assert_eq!(parse("1.5TB"), Ok(1_500_000_000_000));
        assert_eq!(parse("0MB"), Ok(0));
        for wrong in ["20", "GB", "-1GB", "20 gigs", "1e300TB", "NaNMB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
