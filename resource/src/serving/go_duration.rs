//! Durations as Go writes them, and so the annotations of Knative Serving: `90s`, `1m30s`, `1.5h`.

use std::time::Duration;

/// Why a text is not a duration that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    /// It is not written as a duration.
    #[error("expected a duration such as 5s, 1m30s or 1h")]
    Syntax,
    /// It is below zero.
    #[error("a duration cannot be negative")]
    Negative,
    /// It is above what Go can hold, about 292 years.
    #[error("a duration is at most 2562047h")]
    TooLong,
}

/// Reads a duration: one or more numbers, perhaps with a point, each with its unit (`ns`, `us`, `ms`, `s`, `m` or `h`),
/// or a `0` alone. What is finer than a nanosecond is cut off.
///
/// # Errors
/// See [`GoDurationError`].
pub fn parse_go_duration(text: &str) -> Result<Duration, GoDurationError> {
    let (is_negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(GoDurationError::Syntax);
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = first_part(rest)?;
        nanos = nanos.checked_add(part).filter(|sum| *sum <= MAX_NANOS).ok_or(GoDurationError::TooLong)?;
        rest = after;
    }
    if is_negative && nanos > 0 { Err(GoDurationError::Negative) } else { Ok(Duration::from_nanos(nanos)) }
}

/// Go counts nanoseconds in 63 bits.
const MAX_NANOS: u64 = i64::MAX as u64;

/// The first number with its unit in nanoseconds, and what follows.
fn first_part(text: &str) -> Result<(u64, &str), GoDurationError> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return Err(GoDurationError::Syntax),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(GoDurationError::Syntax);
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| GoDurationError::TooLong)? };
    let whole = whole.checked_mul(unit).ok_or(GoDurationError::TooLong)?;
    // Each digit counts a tenth of the one before. 17 digits are finer than a nanosecond of any unit.
    let mut fraction_nanos: u128 = 0;
    let mut place: u128 = 1;
    for digit in fraction.bytes().take(17) {
        fraction_nanos = fraction_nanos * 10 + u128::from(digit - b'0');
        place *= 10;
    }
    let fraction = fraction_nanos * u128::from(unit) / place;
    let fraction = u64::try_from(fraction).map_err(|_| GoDurationError::TooLong)?;
    Ok((whole.checked_add(fraction).ok_or(GoDurationError::TooLong)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `time.ParseDuration` of Go takes and refuses.
    #[test]
    fn durations_are_read_or_refused() {
        let good = [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("+5s", 5_000_000_000),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1s500ms", 1_500_000_000),
            ("100ms", 100_000_000),
            ("1us", 1_000),
            ("1µs", 1_000),
            ("7ns", 7),
            ("0.3ns", 0),
            ("0.333333333333333333333333333s", 333_333_333),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ];
        for (text, nanos) in good {
            assert_eq!(parse_go_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        let bad = [
            ("", GoDurationError::Syntax),
            ("-", GoDurationError::Syntax),
            ("5", GoDurationError::Syntax),
            ("s", GoDurationError::Syntax),
            (".s", GoDurationError::Syntax),
            ("1.2.3s", GoDurationError::Syntax),
            ("5 s", GoDurationError::Syntax),
            ("5d", GoDurationError::Syntax),
            ("5S", GoDurationError::Syntax),
            ("PT5S", GoDurationError::Syntax),
            ("5s ", GoDurationError::Syntax),
            ("5s3", GoDurationError::Syntax),
            ("never", GoDurationError::Syntax),
            ("-5s", GoDurationError::Negative),
            ("9223372036854775808ns", GoDurationError::TooLong),
            ("2562048h", GoDurationError::TooLong),
            ("99999999999999999999h", GoDurationError::TooLong),
        ];
        for (text, why) in bad {
            assert_eq!(parse_go_duration(text), Err(why), "{text}");
        }
    }
}
