//! When a connection has been silent, slow or stuck for too long.
//!
//! One coarse timer a connection, none a request: a request costs the [`Marks`] it leaves, and the timer compares them
//! with those of its last turn. So every deadline here is met up to one turn late.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::FrontOptions;

/// What has happened on a connection so far, written where it happens and read by its watchdog.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Reads that gave bytes.
    reads: AtomicU64,
    /// Writes that took bytes.
    writes: AtomicU64,
    /// Whether the last write took nothing.
    write_blocked: AtomicBool,
    /// Requests whose head was read.
    requests: AtomicU64,
    /// Those of them that still need the connection.
    open: AtomicU32,
    /// Whether an answer was given to a request whose body was not read to its end.
    body_unread: AtomicBool,
    /// Whether the connection is another's.
    handed_over: AtomicBool,
    /// The number of the request that has two lengths, counted from 1; 0: none.
    ambiguous: AtomicU64,
}

impl Marks {
    pub(crate) fn read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.write_blocked.store(false, Ordering::Relaxed);
    }

    pub(crate) fn write_blocked(&self) {
        self.write_blocked.store(true, Ordering::Relaxed);
    }

    /// Counts a request, which is open until [`Marks::end_request`].
    pub(crate) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_request(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// The connection was upgraded and is another's now: nothing that comes on it is a head any more. So it counts as
    /// open, for good.
    pub(crate) fn hand_over(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.handed_over.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is another's.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// The request of that number, counted from 1, has both Content-Length and Transfer-Encoding. It comes to be answered
    /// later, or is about to.
    pub(crate) fn ambiguous_request(&self, number: u64) {
        self.ambiguous.store(number, Ordering::Relaxed);
    }

    /// Whether the last request whose head was read is that one.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let number = self.ambiguous.load(Ordering::Relaxed);
        number != 0 && number == self.requests()
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether one of them still needs the connection.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn leave_body_unread(&self) {
        self.body_unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn body_unread(&self) -> bool {
        self.body_unread.load(Ordering::Relaxed)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            write_blocked: self.write_blocked.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Snapshot {
    reads: u64,
    writes: u64,
    write_blocked: bool,
    requests: u64,
    open: u32,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Keep,
    /// No request for too long: tell the peer and let it go.
    Leave,
    /// The head of a request took too long: cut.
    SlowHead,
    /// The peer took nothing of what was written, or did not go when told: cut.
    Stalled,
}

/// The deadlines of one connection. Decides on values; its owner has the timer.
#[derive(Debug)]
pub(crate) struct Watchdog {
    header_timeout: Duration,
    idle_timeout: Duration,
    write_stall: Duration,
    /// Whether bytes without a request are the beginning of one. Not so in HTTP/2, whose frames may mean anything.
    bytes_are_head: bool,
    seen: Snapshot,
    quiet_since: Instant,
    head_since: Option<Instant>,
    stalled_since: Option<Instant>,
    left_since: Option<Instant>,
}

impl Watchdog {
    /// A connection that was accepted at `now`.
    pub(crate) fn new(options: &FrontOptions, http1: bool, now: Instant) -> Self {
        Self {
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
            write_stall: options.write_stall,
            bytes_are_head: http1,
            seen: Snapshot::default(),
            quiet_since: now,
            // A peer connects because it has something to ask.
            head_since: http1.then_some(now),
            stalled_since: None,
            left_since: None,
        }
    }

    /// How often to look: often enough that no deadline is missed by more than a quarter, and not all the time.
    pub(crate) fn turn(&self) -> Duration {
        let shortest = self.header_timeout.min(self.idle_timeout).min(self.write_stall);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(5))
    }

    /// Looks at what happened since the last turn.
    pub(crate) fn check(&mut self, marks: &Marks, now: Instant) -> Verdict {
        self.judge(marks.snapshot(), now)
    }

    fn judge(&mut self, is: Snapshot, now: Instant) -> Verdict {
        let was = std::mem::replace(&mut self.seen, is);
        if is.write_blocked && is.writes == was.writes {
            if now - *self.stalled_since.get_or_insert(now) >= self.write_stall {
                return Verdict::Stalled;
            }
        } else {
            self.stalled_since = None;
        }
        if is.open > 0 || is.requests != was.requests {
            self.head_since = None;
            return self.keep_busy(now);
        }
        if self.bytes_are_head && is.reads != was.reads {
            self.head_since.get_or_insert(now);
        }
        if let Some(since) = self.head_since {
            return if now - since >= self.header_timeout { Verdict::SlowHead } else { Verdict::Keep };
        }
        if is.write_blocked {
            // An answer is still on its way to a peer that takes it slowly. That is not idle, and has its own deadline.
            return self.keep_busy(now);
        }
        if let Some(since) = self.left_since {
            return if now - since >= self.write_stall { Verdict::Stalled } else { Verdict::Keep };
        }
        if now - self.quiet_since >= self.idle_timeout {
            self.left_since = Some(now);
            return Verdict::Leave;
        }
        Verdict::Keep
    }

    /// Neither being idle nor, for a peer that was told to go, going has begun yet.
    fn keep_busy(&mut self, now: Instant) -> Verdict {
        self.quiet_since = now;
        self.left_since = self.left_since.map(|_| now);
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn options() -> FrontOptions {
        FrontOptions {
            header_timeout: 10 * SECOND,
            idle_timeout: 60 * SECOND,
            write_stall: 30 * SECOND,
            ..FrontOptions::default()
        }
    }

    /// Runs one second a step until the verdict is not `Keep`; the second and the verdict.
    fn run(http1: bool, mut step: impl FnMut(u64, &mut Snapshot)) -> (u64, Verdict) {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(&options(), http1, start);
        let mut marks = Snapshot::default();
        for second in 1..1_000 {
            step(second, &mut marks);
            let verdict = watchdog.judge(marks, start + SECOND * second as u32);
            if verdict != Verdict::Keep {
                return (second, verdict);
            }
        }
        (1_000, Verdict::Keep)
    }

    #[test]
    fn a_connection_that_asks_nothing_is_cut() {
        assert_eq!(run(true, |_, _| {}), (10, Verdict::SlowHead));
    }

    #[test]
    fn an_http2_connection_may_wait_for_its_first_request_and_pings_are_none() {
        assert_eq!(run(false, |_, marks| marks.reads += 1), (60, Verdict::Leave));
    }

    #[test]
    fn a_head_that_drips_is_cut_ten_seconds_after_its_first_byte() {
        let verdict = run(true, |second, marks| match second {
            1 => marks.requests = 1,
            20.. => marks.reads += 1,
            _ => {}
        });
        assert_eq!(verdict, (30, Verdict::SlowHead));
    }

    #[test]
    fn an_idle_connection_is_asked_to_go_and_then_cut() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(&options(), true, start);
        let marks = Snapshot { reads: 1, writes: 1, requests: 1, ..Snapshot::default() };
        let mut verdicts = Vec::new();
        for second in 1..=100_u32 {
            match watchdog.judge(marks, start + SECOND * second) {
                Verdict::Keep => {}
                verdict => verdicts.push((second, verdict)),
            }
        }
        assert_eq!(verdicts[..2], [(61, Verdict::Leave), (91, Verdict::Stalled)]);
    }

    #[test]
    fn an_open_request_keeps_a_connection_and_so_do_requests_that_come_and_go_between_turns() {
        assert_eq!(run(true, |_, marks| marks.open = 1), (1_000, Verdict::Keep));
        assert_eq!(run(true, |_, marks| marks.requests += 1), (1_000, Verdict::Keep));
    }

    #[test]
    fn a_peer_that_takes_nothing_is_cut_and_one_that_takes_a_little_is_not() {
        let stuck = run(true, |_, marks| {
            marks.open = 1;
            marks.write_blocked = true;
        });
        assert_eq!(stuck, (31, Verdict::Stalled));
        let slow = run(true, |_, marks| {
            marks.open = 1;
            marks.write_blocked = true;
            marks.writes += 1;
        });
        assert_eq!(slow, (1_000, Verdict::Keep));
    }

    /// What a streaming answer leaves in buffers when its last piece was handed over may take a while.
    #[test]
    fn a_peer_that_takes_the_rest_of_an_answer_slowly_is_not_idle() {
        let verdict = run(true, |second, marks| {
            marks.requests = 1;
            marks.write_blocked = second < 500;
            marks.writes += 1;
        });
        assert_eq!(verdict, (559, Verdict::Leave));
    }

    /// On HTTP/2 a request may be on its way while the peer is told to go. It has its time, and the peer then has as
    /// long to go as others.
    #[test]
    fn a_request_that_crosses_the_farewell_is_not_cut() {
        let open = |marks: &mut Snapshot, busy| marks.open = u32::from(busy);
        let slow = |marks: &mut Snapshot, busy| (marks.write_blocked, marks.writes) = (busy, marks.writes + 1);
        for (what, set) in [("open", &open as &dyn Fn(&mut Snapshot, bool)), ("taken slowly", &slow)] {
            let start = Instant::now();
            let mut watchdog = Watchdog::new(&options(), false, start);
            let (mut marks, mut verdicts) = (Snapshot { requests: 1, ..Snapshot::default() }, Vec::new());
            for second in 1..=150_u32 {
                set(&mut marks, (62..100).contains(&second));
                match watchdog.judge(marks, start + SECOND * second) {
                    Verdict::Keep => {}
                    verdict => verdicts.push((second, verdict)),
                }
            }
            assert_eq!(verdicts[..2], [(61, Verdict::Leave), (129, Verdict::Stalled)], "{what}");
        }
    }
}
