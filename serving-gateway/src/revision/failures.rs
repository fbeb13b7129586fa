//! Instances that fail one after the other: when the next is tried, and when that is a crash loop.

use std::time::Duration;

/// The pause after the first failure. It doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Failures in a row from which on requests are refused at once during the pause: 6.3 s after the first.
const CRASH_LOOP_FROM: u32 = 6;

/// How long an instance must have been ready for the failures before it to be forgotten.
const SOUND_AFTER: Duration = Duration::from_secs(10);

/// Failures in a row of one revision.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: u32,
    not_before: Option<Duration>,
    ready_since: Option<Duration>,
    last: Option<String>,
}

impl Failures {
    /// An instance failed: it did not start, never answered, or ended by itself.
    pub fn failed(&mut self, why: String, now: Duration) {
        self.forget_if_sound(now);
        self.ready_since = None;
        let pause = FIRST_PAUSE.saturating_mul(1 << self.in_a_row.min(16)).min(LONGEST_PAUSE);
        self.in_a_row += 1;
        self.not_before = Some(now + pause);
        self.last = Some(why);
    }

    /// An instance answers.
    pub fn became_ready(&mut self, now: Duration) {
        self.ready_since.get_or_insert(now);
        self.not_before = None;
    }

    /// Forgets failures once an instance has been well for a while. It is looked at when it matters, not by a timer.
    fn forget_if_sound(&mut self, now: Duration) {
        if self.ready_since.is_some_and(|since| now.saturating_sub(since) >= SOUND_AFTER) {
            self.in_a_row = 0;
        }
    }

    /// When the next may be tried, if not now.
    #[must_use]
    pub fn not_before(&self, now: Duration) -> Option<Duration> {
        self.not_before.filter(|at| *at > now)
    }

    /// Whether so many failed that waiting for the next is of no use.
    #[must_use]
    pub fn is_crash_loop(&self) -> bool {
        self.in_a_row >= CRASH_LOOP_FROM && self.ready_since.is_none()
    }

    /// Why the last one failed.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_six_in_a_row_are_a_crash_loop() {
        let mut failures = Failures::default();
        let mut now = Duration::ZERO;
        for (at, want) in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000].iter().enumerate() {
            failures.failed(format!("failure {at}"), now);
            assert_eq!(failures.not_before(now), Some(now + ms(*want)), "failure {at}");
            assert_eq!(failures.is_crash_loop(), at >= 5, "failure {at}");
            now += ms(*want);
            assert_eq!(failures.not_before(now), None, "failure {at}");
        }
        assert_eq!(failures.last(), Some("failure 10"));
    }

    #[test]
    fn failures_are_forgotten_after_ten_good_seconds_and_not_before() {
        for (good, want) in [(9_999, ms(800)), (10_000, ms(100))] {
            let mut failures = Failures::default();
            for _ in 0..3 {
                failures.failed("bad".to_owned(), Duration::ZERO);
            }
            failures.became_ready(ms(1_000));
            failures.failed("bad".to_owned(), ms(1_000 + good));
            let now = ms(1_000 + good);
            assert_eq!(failures.not_before(now), Some(now + want), "{good} ms");
        }
    }

    #[test]
    fn an_instance_that_answers_ends_the_pause_and_the_loop() {
        let mut failures = Failures::default();
        for _ in 0..8 {
            failures.failed("bad".to_owned(), Duration::ZERO);
        }
        failures.became_ready(ms(1));
        assert_eq!(failures.not_before(ms(1)), None);
        assert!(!failures.is_crash_loop());
    }
}
