//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads a duration: whole numbers, each with `ms`, `s`, `m`, `h` or `d`, as `30s` or `1m30s`, or an ISO-8601 duration such
/// as `PT24H`.
///
/// # Errors
/// What would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("expected a duration such as 30s, 24h, 7d or PT24H, got {text:?}");
    if text.starts_with('P') {
        return pelton_resource::parse_duration(text).map_err(|_| expected());
    }
    let (mut sum, mut rest) = (0_u64, text);
    loop {
        let (number, after) = split(rest).ok_or_else(expected)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let millis = match &after[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(expected()),
        };
        sum = number.checked_mul(millis).and_then(|part| sum.checked_add(part)).ok_or_else(expected)?;
        rest = &after[end..];
        if rest.is_empty() {
            return Ok(Duration::from_millis(sum));
        }
    }
}

/// Reads a size in bytes: a whole number, alone or with `B`, `KiB`, `MiB`, `GiB` or `TiB`.
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || format!("expected a size such as 65536, 512MiB or 10GiB, got {text:?}");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(expected()),
    };
    number.checked_mul(1 << shift).ok_or_else(expected)
}

/// Digits, and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        let good = [
            ("0s", 0),
            ("1m30s", 90_000),
            ("1d2h250ms", 93_600_250),
            ("250ms", 250),
            ("30s", 30_000),
            ("90m", 5_400_000),
            ("24h", 86_400_000),
        ];
        for (text, millis) in good.into_iter().chain([("7d", 604_800_000), ("PT24H", 86_400_000), ("P1D", 86_400_000)])
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "1m30",
            "1m-30s",
            "1m 30s",
            "18446744073709551615ms1ms",
            "-5s",
            "1.5h",
            "5 weeks",
            "P1M",
            "PT",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_or_refused() {
        let good =
            [("0", 0), ("65536", 65_536), ("1B", 1), ("96KiB", 98_304), ("512MiB", 1 << 29), ("10 GiB", 10 << 30)];
        for (text, bytes) in good {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "-1", "1.5GiB", "10GB", "10gib", "99999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
