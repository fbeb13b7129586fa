//! When each event of an open loop is due, and a tick fine enough to keep to it.
//!
//! A latency counts from the moment at which an event *should* have been sent. A generator that waits for a slow
//! answer and then counts from the late sending leaves out exactly the slow cases ("coordinated omission").

use std::time::{Duration, Instant};

use super::error::{BenchError, Doing};

/// The shortest tick: events of a faster rate are sent a few at a time.
const SHORTEST_TICK: Duration = Duration::from_micros(50);

/// The planned send times of an open loop: one event each `interval`, from `start` on.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    start: Instant,
    interval_nanos: f64,
    events: u64,
}

impl Plan {
    /// `rate` events a second for `span` from `start`. At least one event.
    pub fn new(start: Instant, rate: f64, span: Duration) -> Self {
        let rate = rate.max(1e-3);
        Self { start, interval_nanos: 1e9 / rate, events: ((rate * span.as_secs_f64()) as u64).max(1) }
    }

    /// How many events the plan has.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// When event number `n` (from 0) is to be sent.
    pub fn planned(&self, n: u64) -> Instant {
        // In f64, so that no rounding of the interval adds up.
        self.start + Duration::from_nanos((n as f64 * self.interval_nanos) as u64)
    }

    /// How many events should have been sent by `now`.
    pub fn due(&self, now: Instant) -> u64 {
        match now.checked_duration_since(self.start) {
            None => 0,
            Some(past) => ((past.as_nanos() as f64 / self.interval_nanos) as u64 + 1).min(self.events),
        }
    }

    /// How often to look for due events.
    pub fn tick(&self) -> Duration {
        Duration::from_nanos(self.interval_nanos as u64).max(SHORTEST_TICK)
    }
}

/// A steady tick. tokio's own timer rounds to milliseconds, which is as long as the latencies to be measured.
#[cfg(target_os = "linux")]
pub struct Ticker(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Ticker {
    /// Ticks each `interval` from now on.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn new(interval: Duration) -> Result<Self, BenchError> {
        use rustix::time::{
            Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
        };
        let doing = || "setting a timer".to_owned();
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(std::io::Error::from).doing(doing)?;
        let span = Timespec { tv_sec: interval.as_secs() as i64, tv_nsec: i64::from(interval.subsec_nanos()) };
        let times = Itimerspec { it_interval: span, it_value: span };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times).map_err(std::io::Error::from).doing(doing)?;
        #[allow(deprecated, reason = "deprecated for descriptors that may close early, which an OwnedFd cannot")]
        let timer = tokio::io::unix::AsyncFd::new(timer);
        timer.doing(doing).map(Self)
    }

    /// Waits for the next tick; several that have passed are one.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub async fn tick(&mut self) -> Result<(), BenchError> {
        loop {
            let mut ready = self.0.readable().await.doing(|| "waiting for a timer".to_owned())?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
            match read {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error).doing(|| "reading a timer".to_owned()),
                Err(_would_block) => {}
            }
        }
    }
}

/// A steady tick, here as fine as tokio's timer: latencies are up to a millisecond too high.
#[cfg(not(target_os = "linux"))]
pub struct Ticker(tokio::time::Interval);

#[cfg(not(target_os = "linux"))]
impl Ticker {
    /// Ticks each `interval` from now on.
    ///
    /// # Errors
    /// None on this system.
    pub fn new(interval: Duration) -> Result<Self, BenchError> {
        Ok(Self(tokio::time::interval(interval)))
    }

    /// Waits for the next tick.
    ///
    /// # Errors
    /// None on this system.
    pub async fn tick(&mut self) -> Result<(), BenchError> {
        self.0.tick().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_times_are_even_and_do_not_drift() {
        let start = Instant::now();
        let plan = Plan::new(start, 3_000.0, Duration::from_secs(100));
        assert_eq!(plan.events(), 300_000);
        for (n, want_micros) in [(0, 0), (1, 333), (3, 1_000), (3_000, 1_000_000), (299_997, 99_999_000)] {
            assert_eq!((plan.planned(n) - start).as_micros(), want_micros, "event {n}");
        }
    }

    #[test]
    fn as_many_are_due_as_have_a_planned_time_in_the_past() {
        let start = Instant::now() + Duration::from_secs(1);
        let plan = Plan::new(start, 1_000.0, Duration::from_millis(10));
        for (after, want) in [(0, 1), (999, 1), (1_000, 2), (5_500, 6), (9_000, 10), (1_000_000, 10)] {
            assert_eq!(plan.due(start + Duration::from_micros(after)), want, "{after} us after the start");
        }
        assert_eq!(plan.due(start - Duration::from_millis(1)), 0);
    }

    #[test]
    fn a_plan_has_an_event_and_a_tick_at_any_rate() {
        for rate in [0.0, 1e-9, 1e9] {
            let plan = Plan::new(Instant::now(), rate, Duration::from_millis(1));
            assert!(plan.events() >= 1 && plan.tick() >= SHORTEST_TICK, "rate {rate}");
        }
    }

    #[tokio::test]
    async fn a_ticker_ticks() {
        let began = Instant::now();
        let mut ticker = Ticker::new(Duration::from_micros(200)).unwrap();
        for _ in 0..5 {
            ticker.tick().await.unwrap();
        }
        assert!(began.elapsed() >= Duration::from_micros(800));
    }
}
