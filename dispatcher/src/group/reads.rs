//! Reads of the log that fail. Each is tried again, for it may heal: a disk comes back, a replica repairs. It is never
//! skipped, and never quiet. What waits for it waits; everything else goes on.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};
use pelton_client::{GroupId, Offset, ReadError};
use tokio::time::Instant;

use super::RETRY_AFTER;

/// The longest wait before a read is tried again.
const RETRY_AT_LEAST_EVERY: Duration = Duration::from_secs(5);
/// How often a failure that goes on is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Offsets that are logged one by one when they begin to fail. With more, the log says how many.
const LOGGED_SINGLY: usize = 8;

/// The answer was none to what was asked.
pub(super) const OTHER_EVENTS: &str = "the log answered with other events than asked for";

/// What a read is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    /// The scan at the tail: while it fails, nothing new is matched for the triggers there.
    Tail,
    /// The scan of triggers behind the tail.
    CatchUp,
    /// An event that waits for its attempt.
    Fetch,
}

impl Reader {
    const ALL: [Self; 3] = [Self::Tail, Self::CatchUp, Self::Fetch];

    fn as_str(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::CatchUp => "catch-up",
            Self::Fetch => "fetch",
        }
    }
}

/// The reads of one group that fail, and what is counted about reading.
#[derive(Debug)]
pub(super) struct Reads {
    group: GroupId,
    /// How often in a row each read failed.
    failing: BTreeMap<(Reader, Offset), u32>,
    stalled: [usize; Reader::ALL.len()],
    logged: [Option<Instant>; Reader::ALL.len()],
    failures: [Counter; Reader::ALL.len()],
    stalled_shown: [Gauge; Reader::ALL.len()],
    undecodable: Counter,
    unmatched: Gauge,
}

impl Reads {
    pub fn new(group: GroupId) -> Self {
        let labels = |reader: Reader| [("group", group.to_string()), ("reader", reader.as_str().to_owned())];
        let own = [("group", group.to_string())];
        let stalled_shown = Reader::ALL.map(|reader| gauge!("pelton_dispatcher_stalled_reads", &labels(reader)));
        stalled_shown.iter().for_each(|gauge| gauge.set(0.0));
        Self {
            group,
            failing: BTreeMap::new(),
            stalled: [0; Reader::ALL.len()],
            logged: [None; Reader::ALL.len()],
            failures: Reader::ALL.map(|reader| counter!("pelton_dispatcher_read_failures_total", &labels(reader))),
            stalled_shown,
            undecodable: counter!("pelton_dispatcher_undecodable_events_total", &own),
            unmatched: gauge!("pelton_dispatcher_unmatched_events", &own),
        }
    }

    /// A read failed. Returns how long to wait before it is tried again.
    pub fn failed(&mut self, reader: Reader, at: Offset, why: &dyn Display, now: Instant) -> Duration {
        let times = self.failing.entry((reader, at)).or_default();
        *times = times.saturating_add(1);
        let times = *times;
        self.failures[reader as usize].increment(1);
        if times == 1 {
            self.stalled[reader as usize] += 1;
            self.show(reader);
        }
        let stalled = self.stalled[reader as usize];
        let logged = &mut self.logged[reader as usize];
        let is_news = times == 1 && stalled <= LOGGED_SINGLY;
        if is_news || logged.is_none_or(|logged| now >= logged + LOG_EVERY) {
            *logged = Some(now);
            let (group, reader) = (self.group, reader.as_str());
            tracing::error!(%group, reader, offset = %at, times, stalled, %why, "the log cannot be read; tried again");
        }
        RETRY_AFTER.saturating_mul(1 << (times - 1).min(16)).min(RETRY_AT_LEAST_EVERY)
    }

    /// A read at `at` succeeded, or nobody wants it any more.
    pub fn over(&mut self, reader: Reader, at: Offset) {
        if !self.failing.is_empty() && self.failing.remove(&(reader, at)).is_some() {
            self.stalled[reader as usize] -= 1;
            self.show(reader);
            if self.stalled[reader as usize] == 0 {
                tracing::info!(group = %self.group, reader = reader.as_str(), offset = %at, "the log is read again");
            }
        }
    }

    /// The scan at the tail is not stalled, wherever it was.
    pub fn tail_moves(&mut self) {
        if let Some(&(reader @ Reader::Tail, at)) = self.failing.keys().next() {
            self.over(reader, at);
        }
    }

    /// A scan passed over events that are there and cannot be decoded.
    pub fn passed_over(&self, events: u64) {
        self.undecodable.increment(events);
    }

    /// How many events the scan at the tail has not come to.
    pub fn unmatched(&self, events: u64) {
        self.unmatched.set(events as f64);
    }

    fn show(&self, reader: Reader) {
        self.stalled_shown[reader as usize].set(self.stalled[reader as usize] as f64);
    }
}

impl Drop for Reads {
    /// The group is not read here any more, so nothing is stalled or waits here.
    fn drop(&mut self) {
        self.stalled_shown.iter().for_each(|gauge| gauge.set(0.0));
        self.unmatched.set(0.0);
    }
}

/// The first offset that is still kept, when it is that what stood at `at` is not.
pub(super) fn purged_up_to<T>(read: &Result<T, ReadError>, at: Offset) -> Option<Offset> {
    match read {
        // An answer that purges nothing is no answer: it would be asked for again at once, for ever.
        Err(ReadError::Purged { first, .. }) if *first > at => Some(*first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_grow_up_to_their_bound_and_begin_again_once_it_is_over() {
        let (mut reads, now) = (Reads::new(GroupId(1)), Instant::now());
        let wait = |reads: &mut Reads| reads.failed(Reader::Tail, Offset(7), &"why", now).as_millis();
        assert_eq!([0; 6].map(|_| wait(&mut reads)), [200, 400, 800, 1_600, 3_200, 5_000]);
        for _ in 0..100 {
            assert_eq!(wait(&mut reads), 5_000);
        }
        reads.over(Reader::Fetch, Offset(7));
        assert_eq!(wait(&mut reads), 5_000, "another reader's success says nothing");
        reads.tail_moves();
        assert!(reads.failing.is_empty());
        assert_eq!(wait(&mut reads), 200);
    }
}
