//! The values of the latest seconds, and their average ("linear", spec/serving.md 3.2).

use std::time::Duration;

/// A ring with one bucket for each second. Nothing in it grows after it was made.
#[derive(Debug, Clone)]
pub struct Window {
    buckets: Vec<f64>,
    /// The first second that counts and the last that was written. Buckets of seconds before the first are zero.
    span: Option<(u64, u64)>,
}

impl Window {
    /// An empty window of so many whole seconds, one at least; a part of a second counts as one.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { buckets: vec![0.0; seconds(length)], span: None }
    }

    /// How many seconds it holds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.buckets.len() as u64
    }

    /// Adds to the second of `at`. A second that lies a whole window before the last written one is ignored; a later
    /// one counts, even if it comes before the first.
    pub fn record(&mut self, at: Duration, value: f64) {
        if let Some(bucket) = self.bucket(at.as_secs()) {
            *bucket += value;
        }
    }

    /// Replaces what a second holds. The rules are those of [`record`](Self::record).
    pub fn set(&mut self, second: u64, value: f64) {
        if let Some(bucket) = self.bucket(second) {
            *bucket = value;
        }
    }

    /// The average as of `now`, rounded to 6 decimals. Silent seconds between two writes count as zeros. Seconds after
    /// the last write are not known, so they make the divisor smaller; after a whole window of them it is 0.
    #[must_use]
    pub fn average(&self, now: Duration) -> f64 {
        let known = self.known(now);
        if known == 0 {
            return 0.0;
        }
        rounded(self.newest_first().take(known).sum::<f64>() / known as f64)
    }

    /// Whether nothing was written for more than a window.
    #[must_use]
    pub fn is_empty(&self, now: Duration) -> bool {
        self.span.is_none() || self.silent_seconds(now) > self.seconds()
    }

    /// Makes it longer or shorter. The newest seconds stay, and a longer window counts only those until more follow.
    pub fn resize(&mut self, length: Duration) {
        let count = seconds(length);
        if count == self.buckets.len() {
            return;
        }
        let mut resized = Self { buckets: vec![0.0; count], span: None };
        if let Some((first, last)) = self.span {
            let kept = count.min(self.buckets.len()) as u64;
            let first = first.max((last + 1).saturating_sub(kept));
            for (second, value) in (first..=last).rev().zip(self.newest_first()) {
                resized.buckets[(second % count as u64) as usize] = *value;
            }
            resized.span = Some((first, last));
        }
        *self = resized;
    }

    /// What was written, the last second first. Seconds before the first that counts read as zeros.
    pub fn newest_first(&self) -> impl Iterator<Item = &f64> {
        let newest = self.span.map_or(0, |(_, last)| (last % self.seconds()) as usize);
        self.buckets[..=newest].iter().rev().chain(self.buckets[newest + 1..].iter().rev())
    }

    /// How many of the newest values count as of `now`.
    #[must_use]
    pub fn known(&self, now: Duration) -> usize {
        let Some((first, last)) = self.span else { return 0 };
        self.seconds().saturating_sub(self.silent_seconds(now)).min(last - first + 1) as usize
    }

    /// Seconds that have begun since the last written one.
    #[must_use]
    pub fn silent_seconds(&self, now: Duration) -> u64 {
        self.span.map_or(0, |(_, last)| now.as_secs().saturating_sub(last))
    }

    /// The bucket of a second, if it is not too old to count.
    fn bucket(&mut self, second: u64) -> Option<&mut f64> {
        let count = self.seconds();
        self.span = Some(match self.span {
            None => (second, second),
            Some((_, last)) if second + count <= last => return None,
            Some((_, last)) if second >= last + count => {
                self.buckets.fill(0.0);
                (second, second)
            }
            Some((first, last)) => {
                for silent in last + 1..=second {
                    self.buckets[(silent % count) as usize] = 0.0;
                }
                (first.min(second), last.max(second))
            }
        });
        self.buckets.get_mut((second % count) as usize)
    }
}

/// To 6 decimals, so that what adding fractions leaves over never counts as load.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn seconds(length: Duration) -> usize {
    let whole = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    whole.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn of_five(values: impl IntoIterator<Item = f64>, from: u64) -> Window {
        let mut window = Window::new(at(5));
        for (second, value) in (from..).zip(values) {
            window.record(at(second), value);
        }
        window
    }

    /// spec/serving.md 3.12, table A. A row writes, reads and names the average.
    #[test]
    fn averages_follow_table_a() {
        const T: u64 = 1_000;
        const U: u64 = T + 66;
        type Row = (&'static str, &'static [(u64, f64)], u64, f64);
        let rows: [Row; 11] = [
            ("the first value", &[(T, 1.0)], T, 1.0),
            ("four more", &[(T + 1, 2.0), (T + 2, 3.0), (T + 3, 4.0), (T + 4, 5.0)], T + 4, 3.0),
            ("two silent seconds at the end", &[], T + 6, 4.0),
            ("a whole window of silence", &[], T + 10, 0.0),
            ("a write after a silent second", &[(T + 6, 91.0)], T + 6, 20.6),
            ("a write after a minute", &[(U, 1984.0)], U, 1984.0),
            ("a late write moves the start back", &[(U - 3, 4.0)], U, 497.0),
            ("the next second", &[(U + 1, 5.0)], U + 1, 398.6),
            ("a late write inside", &[(U - 2, 10.0)], U + 1, 400.6),
            ("writes that are too old", &[(U - 5, 7.0), (U - 4, 7.0)], U + 1, 400.6),
            ("a write a whole window later", &[(U + 6, 10.0)], U + 6, 10.0),
        ];
        let mut window = Window::new(at(5));
        for (row, writes, read, want) in rows {
            for (second, value) in writes {
                window.record(at(*second), *value);
            }
            assert_eq!(window.average(at(read)), want, "{row}");
        }
    }

    #[test]
    fn values_of_one_second_add_up_and_a_set_replaces_them() {
        let mut window = of_five([1.0], 7);
        window.record(Duration::from_millis(7_999), 2.5);
        assert_eq!(window.average(at(7)), 3.5);
        window.set(7, 4.0);
        assert_eq!(window.average(at(7)), 4.0);
    }

    #[test]
    fn resizing_keeps_the_newest_seconds() {
        let mut window = of_five([2.0, 3.0, 4.0, 5.0, 6.0], 100);
        window.resize(at(10));
        assert_eq!(window.average(at(104)), 4.0, "grown");
        window.record(at(105), 7.0);
        assert_eq!(window.average(at(105)), 4.5, "one more");
        window.resize(at(4));
        assert_eq!(window.average(at(105)), 5.5, "shrunk");
    }

    #[test]
    fn resizing_what_is_not_full_invents_no_seconds() {
        let mut window = of_five([2.0, 4.0], 0);
        for seconds in [3, 9, 2] {
            window.resize(at(seconds));
            assert_eq!(window.average(at(1)), 3.0, "to {seconds} s");
        }
        let mut unwritten = Window::new(at(5));
        unwritten.resize(at(6));
        assert!(unwritten.is_empty(at(0)));
    }

    #[test]
    fn it_is_empty_after_more_than_a_window_of_silence() {
        assert!(Window::new(at(5)).is_empty(at(0)), "never written");
        let window = of_five([1.0], 10);
        for (now, want) in [(10, false), (14, false), (15, false), (16, true)] {
            assert_eq!(window.is_empty(at(now)), want, "at {now} s");
        }
    }

    #[test]
    fn a_window_has_whole_seconds_and_one_at_least() {
        for (length, want) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (60_000, 60)] {
            assert_eq!(Window::new(Duration::from_millis(length)).seconds(), want, "{length} ms");
        }
    }

    #[test]
    fn fractions_leave_nothing_over() {
        let mut window = Window::new(at(3));
        for value in [0.1, 0.2, -0.3] {
            window.record(at(5), value);
        }
        assert_eq!(window.average(at(5)), 0.0);
    }
}
