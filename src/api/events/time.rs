//! Moments as they are asked for and told.

use pelton_env::UnixMillis;
use pelton_resource::Time;

use crate::config::parse_duration;

/// A moment as RFC 3339 has it, with milliseconds.
#[must_use]
pub fn rfc3339(at: UnixMillis) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    format!("{:.3}", jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX))
}

/// The moment that `text` means at `now`: a time, or so long ago.
///
/// # Errors
/// What was expected.
pub fn moment(text: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    if let Ok(age) = parse_duration(text) {
        return Ok(now.minus(age));
    }
    let expected = || {
        format!(
            "expected a time such as 2026-11-22T08:00:00Z, or how long ago, such as 10m, 24h or PT24H, got {text:?}"
        )
    };
    Time::parse(text).map(|time| UnixMillis(time.unix_millis())).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_an_age() {
        let now = UnixMillis(1_000_000);
        for (text, want) in [
            ("10s", 990_000),
            ("PT10S", 990_000),
            ("1970-01-01T00:00:00.5Z", 500),
            ("1970-01-01T01:00:00+01:00", 0),
            ("30d", 0),
        ] {
            assert_eq!(moment(text, now), Ok(UnixMillis(want)), "{text}");
        }
        for bad in ["", "yesterday", "-5m", "5", "2026-11-22", "2026-11-22T08:00:00", "2026-13-22T08:00:00Z"] {
            assert!(moment(bad, now).is_err(), "{bad}");
        }
        assert_eq!(rfc3339(UnixMillis(500)), "1970-01-01T00:00:00.500Z");
    }
}
