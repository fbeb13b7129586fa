//! A moment as Kubernetes writes it: RFC 3339, UTC, whole seconds.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of wall-clock time in `metadata` and `status`. Read with any offset and fraction; written in UTC with
/// whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
pub struct Time(#[schemars(with = "String")] Timestamp);

impl Time {
    /// The moment so many milliseconds after 1970-01-01T00:00:00Z, cut to a whole second; the last moment that can
    /// be written (in the year 9999) when that is too far away.
    #[must_use]
    pub fn from_unix_millis(millis: u64) -> Self {
        let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
        Self(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; zero for a moment before that.
    #[must_use]
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.0.as_millisecond()).unwrap_or(0)
    }

    /// Reads an RFC 3339 time. The fraction is kept.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The offset is part of RFC 3339; a bare local time names no moment.
        text.parse::<Timestamp>().ok().map(Self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        assert_eq!(Time::from_unix_millis(1_700_000_000_999).to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(Time::parse("2024-02-29T12:00:00.5+02:00").unwrap().to_string(), "2024-02-29T10:00:00Z");
        assert_eq!(Time::parse("2024-02-29T12:00:00.5+02:00").unwrap().unix_millis(), 1_709_200_800_500);
        assert_eq!(Time::from_unix_millis(u64::MAX).to_string().get(..4), Some("9999"));
        for wrong in ["", "yesterday", "2024-02-29", "2024-02-29T12:00:00", "2024-02-30T12:00:00Z"] {
            assert_eq!(Time::parse(wrong), None, "{wrong}");
        }
    }
}
