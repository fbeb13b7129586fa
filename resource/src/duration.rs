//! ISO-8601 durations, as `spec.delivery` and the annotations write them.

use std::time::Duration;

use jiff::Span;
use jiff::fmt::temporal::SpanParser;

/// Why a text is not a duration that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is no ISO-8601 duration at all.
    #[error("expected an ISO-8601 duration such as PT0.2S, PT10M or P1D")]
    Syntax,
    /// It is below zero.
    #[error("a duration cannot be negative")]
    Negative,
    /// It has years or months, which are not always equally long. (Knative converts them approximately.)
    #[error("years and months have no fixed length; use days, hours, minutes or seconds")]
    Calendar,
}

/// Reads an ISO-8601 duration such as `PT0.2S`, `PT10M` or `P1DT12H`. A week is 7 days and a day is 24 hours.
///
/// # Errors
/// See [`DurationError`]: years and months are refused rather than approximated.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    static PARSER: SpanParser = SpanParser::new();
    let span: Span = PARSER.parse_span(text).map_err(|_| DurationError::Syntax)?;
    if span.is_negative() {
        return Err(DurationError::Negative);
    }
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err(DurationError::Calendar);
    }
    let days = i128::from(span.get_weeks()) * 7 + i128::from(span.get_days());
    let hours = days * 24 + i128::from(span.get_hours());
    let minutes = hours * 60 + i128::from(span.get_minutes());
    let seconds = minutes * 60 + i128::from(span.get_seconds());
    let millis = seconds * 1000 + i128::from(span.get_milliseconds());
    let micros = millis * 1000 + i128::from(span.get_microseconds());
    let nanos = micros * 1000 + i128::from(span.get_nanoseconds());
    let whole = u64::try_from(nanos / 1_000_000_000).map_err(|_| DurationError::Syntax)?;
    let rest = u32::try_from(nanos % 1_000_000_000).map_err(|_| DurationError::Syntax)?;
    Ok(Duration::new(whole, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        let good = [
            ("PT0S", 0),
            ("PT0.2S", 200),
            ("PT10S", 10_000),
            ("PT5M", 300_000),
            ("PT24H", 86_400_000),
            ("P1D", 86_400_000),
            ("P1W", 604_800_000),
            ("P1DT12H30M", 131_400_000),
            ("PT1.5H", 5_400_000),
        ];
        for (text, millis) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let bad = [
            ("", DurationError::Syntax),
            ("5m", DurationError::Syntax),
            ("5 minutes", DurationError::Syntax),
            ("10", DurationError::Syntax),
            ("P", DurationError::Syntax),
            ("PT", DurationError::Syntax),
            ("PT5", DurationError::Syntax),
            ("1PT5S", DurationError::Syntax),
            ("PT5S ", DurationError::Syntax),
            ("-PT5S", DurationError::Negative),
            ("P1M", DurationError::Calendar),
            ("P1Y2DT3H", DurationError::Calendar),
        ];
        for (text, why) in bad {
            assert_eq!(parse_duration(text), Err(why), "{text}");
        }
    }
}
