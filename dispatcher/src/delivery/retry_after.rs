//! The `Retry-After` header (RFC 9110, 10.2.3): seconds, or a date in one of HTTP's three forms.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pelton_env::UnixMillis;

/// What a `Retry-After` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long from now.
    Wait(Duration),
    /// Until this moment.
    Until(UnixMillis),
}

/// The forms of RFC 9110, 5.6.7: the preferred one, that of RFC 850 and that of C's `asctime`.
const DATE_FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

impl RetryAfter {
    /// Reads the header's value. `None` when it is neither a number of seconds nor a date.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            // More digits than fit are still a number: the cap of the policy decides.
            return Some(Self::Wait(Duration::from_secs(value.parse().unwrap_or(u64::MAX))));
        }
        let date = DATE_FORMS.iter().find_map(|form| DateTime::strptime(form, value).ok())?;
        let stamp = TimeZone::UTC.to_timestamp(date).ok()?;
        Some(Self::Until(UnixMillis(u64::try_from(stamp.as_millisecond()).unwrap_or(0))))
    }

    /// How long that is from `now`, at most `cap`.
    #[must_use]
    pub fn wait(self, now: UnixMillis, cap: Duration) -> Duration {
        match self {
            Self::Wait(wait) => wait,
            Self::Until(at) => at.since(now),
        }
        .min(cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        // 1994-11-06T08:49:37Z, the example of RFC 9110.
        let date = Some(RetryAfter::Until(UnixMillis(784_111_777_000)));
        let rows = [
            ("0", Some(RetryAfter::Wait(Duration::ZERO))),
            ("120", Some(RetryAfter::Wait(Duration::from_secs(120)))),
            (" 5 ", Some(RetryAfter::Wait(Duration::from_secs(5)))),
            ("99999999999999999999999", Some(RetryAfter::Wait(Duration::from_secs(u64::MAX)))),
            ("Sun, 06 Nov 1994 08:49:37 GMT", date),
            ("Sunday, 06-Nov-94 08:49:37 GMT", date),
            ("Sun Nov  6 08:49:37 1994", date),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ];
        for (value, want) in rows {
            assert_eq!(RetryAfter::parse(value), want, "{value:?}");
        }
    }

    #[test]
    fn a_wait_is_capped_and_never_negative() {
        let cap = Duration::from_secs(300);
        let now = UnixMillis(1_000_000);
        let rows = [
            (RetryAfter::Wait(Duration::from_secs(7)), 7_000),
            (RetryAfter::Wait(Duration::from_secs(301)), 300_000),
            (RetryAfter::Wait(Duration::from_secs(u64::MAX)), 300_000),
            (RetryAfter::Until(UnixMillis(1_004_000)), 4_000),
            (RetryAfter::Until(UnixMillis(999_000)), 0),
            (RetryAfter::Until(UnixMillis(u64::MAX)), 300_000),
        ];
        for (after, want) in rows {
            assert_eq!(after.wait(now, cap), Duration::from_millis(want), "{after:?}");
        }
        assert_eq!(RetryAfter::Wait(Duration::from_secs(9)).wait(now, Duration::ZERO), Duration::ZERO);
    }
}
