//! How old something is, in the words of `kubectl get`.

use pelton_resource::Time;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// What stands for an age that makes no sense.
const INVALID: &str = "<invalid>";

/// The age at `now_unix_millis` of what began at the RFC 3339 time `from`, in two or three digits that matter: `12s`,
/// `3m10s`, `5h`, `2d`, `3y45d`. Less than two seconds ahead of the clock is `0s`, as clocks differ; further ahead, or
/// no time at all, is `<invalid>`.
///
/// Source: `duration.HumanDuration` of `k8s.io/apimachinery`.
#[must_use]
pub fn age(from: &str, now_unix_millis: u64) -> String {
    let Some(from) = Time::parse(from) else { return INVALID.to_owned() };
    let from = from.unix_millis();
    match now_unix_millis.checked_sub(from) {
        Some(millis) => human(millis / 1000),
        None if from - now_unix_millis < 2000 => human(0),
        None => INVALID.to_owned(),
    }
}

fn human(seconds: u64) -> String {
    // Below each bound: the unit that is counted, and the smaller one that is shown beside it.
    let (unit, beside) = match seconds {
        s if s < 2 * MINUTE => ((1, 's'), None),
        s if s < 10 * MINUTE => ((MINUTE, 'm'), Some((1, 's'))),
        s if s < 3 * HOUR => ((MINUTE, 'm'), None),
        s if s < 8 * HOUR => ((HOUR, 'h'), Some((MINUTE, 'm'))),
        s if s < 2 * DAY => ((HOUR, 'h'), None),
        s if s < 8 * DAY => ((DAY, 'd'), Some((HOUR, 'h'))),
        s if s < 2 * YEAR => ((DAY, 'd'), None),
        s if s < 8 * YEAR => ((YEAR, 'y'), Some((DAY, 'd'))),
        _ => ((YEAR, 'y'), None),
    };
    let mut text = format!("{}{}", seconds / unit.0, unit.1);
    if let Some((size, letter)) = beside
        && let rest @ 1.. = seconds % unit.0 / size
    {
        text.push_str(&format!("{rest}{letter}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BORN: u64 = 1_700_000_000_000;
    const BORN_TEXT: &str = "2023-11-14T22:13:20Z";

    /// `TestHumanDuration` and `TestHumanDurationBoundaries` of `k8s.io/apimachinery`, to the millisecond.
    #[test]
    fn ages_are_those_of_kubernetes() {
        let rows: [(i64, &str); 46] = [
            (-2_000, "<invalid>"),
            (-1_999, "0s"),
            (-1, "0s"),
            (0, "0s"),
            (999, "0s"),
            (1_000, "1s"),
            (70_000, "70s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (121_000, "2m1s"),
            (190_000, "3m10s"),
            (599_999, "9m59s"),
            (600_000, "10m"),
            (601_000, "10m"),
            (70 * 60_000, "70m"),
            (3 * 3_600_000 - 1, "179m"),
            (3 * 3_600_000, "3h"),
            (3 * 3_600_000 + 60_000, "3h1m"),
            (8 * 3_600_000 - 1, "7h59m"),
            (8 * 3_600_000, "8h"),
            (8 * 3_600_000 + 59 * 60_000, "8h"),
            (47 * 3_600_000, "47h"),
            (48 * 3_600_000 - 1, "47h"),
            (48 * 3_600_000, "2d"),
            (49 * 3_600_000, "2d1h"),
            (8 * DAYS - 1, "7d23h"),
            (8 * DAYS, "8d"),
            (8 * DAYS + 2 * 3_600_000, "8d"),
            (8 * DAYS + 23 * 3_600_000, "8d"),
            (367 * DAYS, "367d"),
            (2 * YEARS - 1, "729d"),
            (2 * YEARS, "2y"),
            (2 * YEARS + 23 * 3_600_000, "2y"),
            (2 * YEARS + DAYS - 1, "2y"),
            (2 * YEARS + DAYS, "2y1d"),
            (2 * YEARS + 25 * 3_600_000, "2y1d"),
            (3 * YEARS, "3y"),
            (3 * YEARS + 45 * DAYS, "3y45d"),
            (4 * YEARS, "4y"),
            (7 * YEARS, "7y"),
            (8 * YEARS - 1, "7y364d"),
            (8 * YEARS, "8y"),
            (8 * YEARS + 2 * 3_600_000, "8y"),
            (8 * YEARS + 364 * DAYS, "8y"),
            (9 * YEARS, "9y"),
            (40 * YEARS, "40y"),
        ];
        const DAYS: i64 = 24 * 3_600_000;
        const YEARS: i64 = 365 * DAYS;
        for (millis, want) in rows {
            assert_eq!(age(BORN_TEXT, BORN.checked_add_signed(millis).unwrap()), want, "{millis} ms");
        }
    }

    #[test]
    fn times_come_in_every_form_of_rfc_3339() {
        for from in ["2023-11-14T22:13:20Z", "2023-11-14T22:13:20.000000Z", "2023-11-15T00:13:20+02:00"] {
            assert_eq!(age(from, BORN + 5_000), "5s", "{from}");
        }
        for from in ["", "yesterday", "2023-11-14", "2023-11-14T22:13:20"] {
            assert_eq!(age(from, BORN), "<invalid>", "{from}");
        }
        assert_eq!(age(BORN_TEXT, 0), "<invalid>");
        assert!(age(BORN_TEXT, u64::MAX).ends_with('y'));
    }

    proptest! {
        #[test] // "It is some number and a letter" would also pass an age in the wrong unit.
        fn an_age_is_cut_by_a_second_or_an_eighth_at_most(seconds in prop_oneof![0..4 * HOUR, 0..20 * YEAR]) {
            let text = human(seconds);
            let mut shown = 0;
            for part in text.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
                let (number, unit) = part.split_at(part.len() - 1);
                let unit = match unit { "s" => 1, "m" => MINUTE, "h" => HOUR, "d" => DAY, "y" => YEAR, _ => 0 };
                shown += number.parse::<u64>().unwrap() * unit;
            }
            prop_assert!(shown <= seconds && seconds - shown <= shown / 8, "{text} for {seconds} s");
        }
    }
}
