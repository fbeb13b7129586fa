//! From what happens, exactly and when it happens, to a value for each second.
//!
//! Knative asks for the numbers once a second. Here each change is told, and a second's value is the average over all
//! of it. The second that is running counts as what it comes to if it goes on as it was lately, so a load that does not
//! change reads the same at any moment. Idle seconds are zeros: they are known, not silent.

use std::time::Duration;

use super::target::Metric;
use super::window::rounded;
use super::windows::Windows;

/// The time between two decisions, and the shortest time over which load is looked at. What lasts for less, such as
/// some requests that come together and are answered at once, is no reason to panic.
pub const GAP: Duration = Duration::from_millis(100);

/// Counts what happens.
#[derive(Debug, Clone)]
pub struct Meter {
    metric: Metric,
    /// Everything before is counted.
    at: Duration,
    concurrency: u32,
    /// The concurrency of the running second so far, times how long it was so, in seconds.
    area: f64,
    /// Arrivals in the running second, and in the one before.
    arrivals: u64,
    arrivals_before: u64,
    period: Period,
    last_change: Duration,
    last_active: Duration,
}

/// What happened since the last decision.
#[derive(Debug, Clone)]
struct Period {
    since: Duration,
    area: f64,
    is_changed: bool,
    /// The average of the period before.
    before: f64,
}

impl Meter {
    /// Nothing is on its way.
    #[must_use]
    pub fn new(now: Duration, metric: Metric) -> Self {
        Self {
            metric,
            at: now,
            concurrency: 0,
            area: 0.0,
            arrivals: 0,
            arrivals_before: 0,
            period: Period { since: now, area: 0.0, is_changed: false, before: 0.0 },
            last_change: now,
            last_active: now,
        }
    }

    /// From now on so many requests are on their way or queued, and so many have come since this was said last.
    pub fn observe(&mut self, now: Duration, concurrency: u32, arrivals: u32, windows: &mut Windows) {
        self.advance(now, windows);
        if self.concurrency > 0 || concurrency > 0 || arrivals > 0 {
            self.last_active = self.at;
        }
        let is_news = match self.metric {
            Metric::Concurrency => concurrency != self.concurrency,
            // That nothing is on its way any more ends an instance's work, too.
            Metric::RequestsPerSecond => arrivals > 0 || (concurrency == 0) != (self.concurrency == 0),
        };
        if is_news {
            self.last_change = self.at;
            // What was long before the first change would only blur it.
            if !self.period.is_changed && self.at - self.period.since >= GAP {
                (self.period.since, self.period.area) = (self.at, 0.0);
            }
            self.period.is_changed = true;
        }
        self.concurrency = concurrency;
        self.arrivals += u64::from(arrivals);
    }

    /// Counts everything up to now, ends the period if it is long enough, and tells the windows of the running second.
    /// Time that went backwards stands still.
    pub fn count(&mut self, now: Duration, windows: &mut Windows) -> Duration {
        self.advance(now, windows);
        let length = self.at - self.period.since;
        if length >= GAP {
            let before = rounded(self.period.area / length.as_secs_f64());
            self.period = Period { since: self.at, area: 0.0, is_changed: false, before };
        }
        let goes_on = match self.metric {
            Metric::Concurrency => self.area + self.period.before * self.left(),
            Metric::RequestsPerSecond => self.arrivals.max(self.arrivals_before) as f64,
        };
        windows.set(self.at.as_secs(), goes_on);
        self.at
    }

    /// The load as of the last decision: the average of the latest [`GAP`] or more, or the arrivals of a second that is
    /// not over.
    #[must_use]
    pub fn recent(&self) -> f64 {
        match self.metric {
            Metric::Concurrency => self.period.before,
            Metric::RequestsPerSecond => self.arrivals as f64,
        }
    }

    /// When something is to be decided because of what happened since, or of what was seen for a part of a period only.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let is_blurred = self.metric == Metric::Concurrency && self.period.before != f64::from(self.concurrency);
        (self.period.is_changed || is_blurred).then(|| self.period.since + GAP)
    }

    /// Whether anything is on its way or queued.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.concurrency > 0
    }

    /// When there was anything to do last.
    #[must_use]
    pub fn last_active(&self) -> Duration {
        self.last_active
    }

    /// From then on averages over such a window stay as they are, if nothing changes.
    #[must_use]
    pub fn settles_at(&self, window: Duration) -> Duration {
        // The second of the change, and for a rate the one after it, do not have the value that lasts.
        self.last_change + window + Duration::from_secs(2)
    }

    fn advance(&mut self, now: Duration, windows: &mut Windows) {
        if now <= self.at {
            return;
        }
        let concurrency = f64::from(self.concurrency);
        self.period.area += concurrency * (now - self.at).as_secs_f64();
        if now.as_secs() > self.at.as_secs() {
            self.end_seconds(now.as_secs(), windows);
        }
        self.area += concurrency * (now - self.at).as_secs_f64();
        self.at = now;
    }

    /// Tells the windows of the running second and of those after it, up to `second`, which begins.
    fn end_seconds(&mut self, second: u64, windows: &mut Windows) {
        let running = self.at.as_secs();
        let (ended, later) = match self.metric {
            Metric::Concurrency => {
                let concurrency = f64::from(self.concurrency);
                (self.area + concurrency * self.left(), concurrency)
            }
            Metric::RequestsPerSecond => (self.arrivals as f64, 0.0),
        };
        windows.set(running, ended);
        for whole in (running + 1).max(second.saturating_sub(windows.seconds()))..second {
            windows.set(whole, later);
        }
        self.arrivals_before = if second == running + 1 { self.arrivals } else { 0 };
        (self.arrivals, self.area, self.at) = (0, 0.0, Duration::from_secs(second));
    }

    /// How much of the running second is left, in seconds.
    fn left(&self) -> f64 {
        1.0 - f64::from(self.at.subsec_nanos()) / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A meter that counts whenever it is due.
    struct Counted {
        windows: Windows,
        meter: Meter,
    }

    impl Counted {
        fn new(metric: Metric) -> Self {
            Self { windows: Windows::new(&Spec::default()), meter: Meter::new(at(0), metric) }
        }

        fn run(&mut self, until: Duration) {
            while let Some(due) = self.meter.due().filter(|due| *due < until) {
                self.meter.count(due, &mut self.windows);
            }
        }

        /// Takes in what happens, as (millisecond, concurrency, arrivals), and counts at a moment after it.
        fn follow(&mut self, happens: &[(u64, u32, u32)], now: u64) {
            for (millis, concurrency, arrivals) in happens {
                self.run(at(*millis));
                self.meter.observe(at(*millis), *concurrency, *arrivals, &mut self.windows);
            }
            self.run(at(now));
            self.meter.count(at(now), &mut self.windows);
        }
    }

    /// The averages over 60 s and 6 s at a moment after something happened.
    fn averages(metric: Metric, happens: &[(u64, u32, u32)], now: u64) -> (f64, f64) {
        let mut counted = Counted::new(metric);
        counted.follow(happens, now);
        let averages = counted.windows.averages(at(now)).unwrap();
        (averages.stable, averages.panic)
    }

    #[test]
    fn concurrency_is_weighed_by_time() {
        type Row = (&'static str, &'static [(u64, u32, u32)], u64, (f64, f64));
        let rows: [Row; 10] = [
            ("nothing", &[], 0, (0.0, 0.0)),
            ("not looked at yet", &[(0, 10, 10)], 0, (0.0, 0.0)),
            ("looked at", &[(0, 10, 10)], 100, (10.0, 10.0)),
            ("half of the first second", &[(500, 10, 10)], 999, (5.0, 5.0)),
            ("half of it, and then none", &[(0, 10, 10), (500, 0, 0)], 900, (5.0, 5.0)),
            ("the same at any moment", &[(0, 10, 10)], 1_234, (10.0, 10.0)),
            ("long after", &[(0, 10, 10)], 3_600_500, (10.0, 10.0)),
            ("zeros are known", &[(0, 12, 12), (1_000, 0, 0)], 5_999, (2.0, 2.0)),
            ("a short window forgets", &[(0, 60, 1), (1_000, 0, 0)], 59_000, (1.0, 0.0)),
            ("and the long one", &[(0, 60, 1), (1_000, 0, 0)], 60_000, (0.0, 0.0)),
        ];
        for (row, happens, now, want) in rows {
            assert_eq!(averages(Metric::Concurrency, happens, now), want, "{row}");
        }
    }

    /// It would be 50 over the short window if it lasted for the rest of its second.
    #[test]
    fn a_burst_at_the_moment_of_a_count_is_not_taken_for_a_load() {
        let (stable, panic) = averages(Metric::Concurrency, &[(10_000, 1, 1), (10_200, 300, 300)], 10_201);
        assert!(stable < 1.0 && panic < 1.0, "{stable}, {panic}");
    }

    #[test]
    fn a_rate_counts_arrivals() {
        type Row = (&'static str, &'static [(u64, u32, u32)], u64, (f64, f64));
        let rows: [Row; 5] = [
            ("so far", &[(100, 1, 30), (200, 1, 20)], 300, (50.0, 50.0)),
            ("a second goes on as the one before", &[(100, 0, 60)], 1_500, (60.0, 60.0)),
            ("but not for a second time", &[(100, 0, 60)], 2_000, (20.0, 20.0)),
            ("more than in the one before", &[(100, 0, 60), (1_100, 0, 80)], 1_200, (70.0, 70.0)),
            ("after a pause", &[(100, 0, 60)], 59_000, (1.0, 0.0)),
        ];
        for (row, happens, now, want) in rows {
            assert_eq!(averages(Metric::RequestsPerSecond, happens, now), want, "{row}");
        }
    }

    /// The load that a decision sees at a moment after some changes.
    #[test]
    fn a_short_burst_is_averaged_and_a_step_is_seen() {
        type Row = (&'static str, &'static [(u64, u32, u32)], u64, f64);
        let rows: [Row; 6] = [
            ("a step", &[(5_000, 500, 0)], 5_100, 500.0),
            ("a burst of 1 ms", &[(5_000, 500, 0), (5_001, 0, 0)], 5_100, 5.0),
            ("before the period is over", &[(5_000, 500, 0)], 5_099, 0.0),
            ("a step in the middle", &[(5_000, 10, 0), (5_050, 500, 0)], 5_100, 255.0),
            ("and one period later", &[(5_000, 10, 0), (5_050, 500, 0)], 5_200, 500.0),
            ("long after", &[(5_000, 10, 0), (5_050, 500, 0)], 9_000, 500.0),
        ];
        for (row, changes, now, want) in rows {
            let mut counted = Counted::new(Metric::Concurrency);
            counted.follow(changes, now);
            assert_eq!(counted.meter.recent(), want, "{row}");
        }
    }

    #[test]
    fn it_is_due_until_a_whole_period_was_seen() {
        let mut windows = Windows::new(&Spec::default());
        let mut meter = Meter::new(at(0), Metric::Concurrency);
        assert_eq!(meter.due(), None);
        meter.observe(at(5_000), 10, 10, &mut windows);
        meter.observe(at(5_050), 500, 490, &mut windows);
        for (now, due) in [(5_050, Some(at(5_100))), (5_100, Some(at(5_200))), (5_200, None)] {
            meter.count(at(now), &mut windows);
            assert_eq!(meter.due(), due, "after {now} ms");
        }
    }

    /// Else an instance whose last request has lasted for longer than the window would never be looked at again.
    #[test]
    fn the_end_of_the_last_request_is_news_for_a_rate() {
        let mut counted = Counted::new(Metric::RequestsPerSecond);
        counted.follow(&[(0, 1, 1)], 300_000);
        assert_eq!(counted.meter.due(), None);
        counted.meter.observe(at(300_000), 0, 0, &mut counted.windows);
        assert!(counted.meter.due().is_some());
        assert!(counted.meter.settles_at(at(60_000)) > at(360_000));
    }

    #[test]
    fn time_that_goes_backwards_stands_still() {
        let mut windows = Windows::new(&Spec::default());
        let mut meter = Meter::new(at(5_000), Metric::Concurrency);
        meter.observe(at(4_000), 10, 10, &mut windows);
        assert_eq!(meter.count(at(3_000), &mut windows), at(5_000));
        assert_eq!(meter.last_active(), at(5_000));
    }
}
