//! The time that a request has, from the moment at which an instance takes it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The timeouts of a revision (spec/serving.md, 1.5). What a request waits for an instance is not in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole request.
    pub total: Duration,
    /// Until the head of the answer is there; `None`: no bound of its own.
    pub response_start: Option<Duration>,
    /// The longest time without a piece of the answer, and until its first; `None`: no bound.
    pub idle: Option<Duration>,
    /// What becomes of an answer that is cut off in the middle.
    pub cut: Cut,
}

impl Timeouts {
    /// The same, each of them longer by `time`.
    #[must_use]
    pub fn later_by(self, time: Duration) -> Self {
        let later = |timeout: Duration| timeout.saturating_add(time);
        Self {
            total: later(self.total),
            response_start: self.response_start.map(later),
            idle: self.idle.map(later),
            cut: self.cut,
        }
    }
}

/// What becomes of an answer whose time is up in the middle of its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cut {
    /// The stream is reset, so that nobody takes it for whole.
    #[default]
    Reset,
    /// It ends as if it were whole, as Knative's does.
    Truncate,
}

/// Which time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUp {
    /// That of the whole request.
    Total,
    /// That until the answer begins.
    ResponseStart,
    /// That without a piece of the answer.
    Idle,
}

/// One timer for the three.
#[derive(Debug)]
pub struct Timers {
    timeouts: Timeouts,
    began: Instant,
    /// When the last piece of the answer came, or the request began.
    touched: Instant,
    has_started: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Timers {
    /// An instance takes the request now.
    #[must_use]
    pub fn begin(timeouts: Timeouts) -> Self {
        let now = Instant::now();
        let due = due(timeouts, now, now, false).0;
        Self { timeouts, began: now, touched: now, has_started: false, sleep: Box::pin(sleep_until(due)) }
    }

    /// Another instance takes the request, which has waited for it that long. Its time there is what `timeouts` say.
    pub fn go_on(&mut self, timeouts: Timeouts, waited: Duration) {
        self.timeouts = timeouts;
        self.began += waited;
        self.touched += waited;
        self.sleep.as_mut().reset(due(timeouts, self.began, self.touched, self.has_started).0);
    }

    /// The head of the answer is there.
    pub fn started(&mut self) {
        self.has_started = true;
        self.touched = Instant::now();
        // The time until the answer begins no longer counts; whether another is due is seen when the timer fires.
        let due = due(self.timeouts, self.began, self.touched, true).0;
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }

    /// A piece of the answer came. Gives what time is up all the same.
    pub fn touch(&mut self) -> Option<TimeUp> {
        let now = Instant::now();
        self.touched = now;
        // The timer may have been set for a time that was put off since: which is up, if any, is worked out anew.
        if now < self.sleep.deadline() {
            return None;
        }
        let (at, which) = due(self.timeouts, self.began, self.touched, self.has_started);
        (at <= now).then_some(which)
    }

    /// When the time of the whole request is up.
    #[must_use]
    pub fn ends(&self) -> Instant {
        self.began + self.timeouts.total
    }

    /// How an answer is cut off.
    #[must_use]
    pub const fn cut(&self) -> Cut {
        self.timeouts.cut
    }

    /// Ready when a time is up.
    pub fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<TimeUp> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let (due, which) = due(self.timeouts, self.began, self.touched, self.has_started);
            if due <= Instant::now() {
                return Poll::Ready(which);
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }

    /// Waits until a time is up.
    pub async fn up(&mut self) -> TimeUp {
        std::future::poll_fn(|cx| self.poll_up(cx)).await
    }
}

/// The first time that will be up, and which it is.
fn due(timeouts: Timeouts, began: Instant, touched: Instant, has_started: bool) -> (Instant, TimeUp) {
    let total = (began + timeouts.total, TimeUp::Total);
    let start = timeouts.response_start.filter(|_| !has_started).map(|t| (began + t, TimeUp::ResponseStart));
    let idle = timeouts.idle.map(|t| (touched + t, TimeUp::Idle));
    [Some(total), start, idle].into_iter().flatten().min_by_key(|(at, _)| *at).expect("there is a total")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_time_that_is_up_counts() {
        let t = |total, response_start: Option<u64>, idle: Option<u64>| Timeouts {
            total: s(total),
            response_start: response_start.map(s),
            idle: idle.map(s),
            cut: Cut::Reset,
        };
        // The answer begins after as many seconds, then a piece comes each second until the last.
        let rows = [
            (t(10, None, None), None, None, 10, TimeUp::Total),
            (t(10, Some(3), None), None, None, 3, TimeUp::ResponseStart),
            (t(10, Some(3), None), Some(2), None, 10, TimeUp::Total),
            (t(10, None, Some(4)), None, None, 4, TimeUp::Idle),
            (t(10, None, Some(4)), Some(3), None, 7, TimeUp::Idle),
            (t(10, Some(9), Some(4)), Some(1), Some(5), 9, TimeUp::Idle),
            (t(10, Some(3), Some(4)), Some(1), Some(60), 10, TimeUp::Total),
        ];
        for (timeouts, starts, last, want, which) in rows {
            let began = Instant::now();
            let mut timers = Timers::begin(timeouts);
            let mut second = 0;
            let up = loop {
                second += 1;
                tokio::select! {
                    biased;
                    up = timers.up() => break up,
                    () = tokio::time::sleep_until(began + s(second)) => {}
                }
                if starts == Some(second) {
                    timers.started();
                }
                if starts.is_some_and(|at| at < second) && last.is_some_and(|last| second <= last) {
                    timers.touch();
                }
            };
            assert_eq!((began.elapsed().as_secs(), up), (want, which), "{timeouts:?} {starts:?} {last:?}");
        }
    }

    /// Whoever polls only what has arrived looks at no timer.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_comes_without_end_is_cut_all_the_same() {
        let timeouts = Timeouts { total: s(10), response_start: None, idle: Some(s(4)), cut: Cut::Reset };
        let mut timers = Timers::begin(timeouts);
        timers.started();
        for second in 1..=12 {
            tokio::time::sleep(s(1)).await;
            assert_eq!(timers.touch(), (second >= 10).then_some(TimeUp::Total), "after {second} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_request_waits_for_its_next_instance_is_not_in_its_time() {
        let timeouts = Timeouts { total: s(10), response_start: Some(s(8)), idle: None, cut: Cut::Reset };
        let began = Instant::now();
        let mut timers = Timers::begin(timeouts);
        tokio::time::sleep(s(2) + s(15)).await;
        timers.go_on(Timeouts { response_start: None, ..timeouts }, s(15));
        assert_eq!((timers.up().await, began.elapsed()), (TimeUp::Total, s(25)));
    }
}
