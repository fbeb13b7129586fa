//! What was sent and what came of it: what the oracle holds a cluster to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::load::{Answer, Target};
use crate::support::TestEvent;
use crate::support::event::TYPE_A;

/// The largest data of an event, in bytes.
const MAX_DATA: u64 = 2_000;

/// Keys of events: enough for every group to have some of them.
const KEYS: u64 = 64;

/// The event of a number: always the same, so that the subscriber knows every byte of it.
pub fn event(number: u64) -> TestEvent {
    TestEvent::sized(number, TYPE_A, (number.wrapping_mul(977) % MAX_DATA) as usize)
}

/// The key of the event of a number. Without one a node takes an event for a group that it leads. Every other event has
/// one, so that no group can be without a leader unnoticed.
pub fn key(number: u64) -> Option<u64> {
    number.is_multiple_of(2).then_some(number % KEYS)
}

/// What a producer knows of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged.
    Taken,
    /// Refused, and nothing was stored.
    Refused,
    /// It may have been stored: there was no answer, or one that says so.
    Unknown,
}

/// One time that an event was sent.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// To which node.
    pub node: usize,
    pub sent: Instant,
    /// When there was an answer, or the producer gave up.
    pub ended: Instant,
    pub fate: Fate,
}

/// An acknowledged event.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// When it was sent for the first time.
    pub sent: Instant,
    /// When it was acknowledged first.
    pub at: Instant,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub struct Ledger {
    next: AtomicU64,
    tries: Mutex<BTreeMap<u64, Vec<Try>>>,
    given_up: Mutex<Option<BTreeSet<u64>>>,
    by_node: Mutex<BTreeMap<usize, usize>>,
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    /// The number of the next event.
    pub fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::AcqRel)
    }

    /// Every try of every event, in the order in which they ended.
    pub fn tries(&self) -> BTreeMap<u64, Vec<Try>> {
        self.tries.lock().clone()
    }

    /// What was acknowledged and must be there.
    pub fn acks(&self) -> BTreeMap<u64, Ack> {
        let given_up = self.given_up.lock();
        let tries = self.tries.lock();
        let is_kept = |number: &u64| given_up.as_ref().is_none_or(|given_up| !given_up.contains(number));
        let acks = tries.iter().filter(|(number, _)| is_kept(number));
        acks.filter_map(|(number, tries)| Some((*number, ack(tries)?))).collect()
    }

    /// A quorum was given up, and with it these events may be lost, although they were acknowledged.
    pub fn give_up(&self, numbers: &BTreeSet<u64>) {
        self.given_up.lock().get_or_insert_default().extend(numbers);
    }

    /// What was given up, if a quorum was.
    pub fn given_up(&self) -> Option<BTreeSet<u64>> {
        self.given_up.lock().clone()
    }

    /// How many events have been acknowledged by a node.
    pub fn count(&self, node: usize) -> usize {
        self.by_node.lock().get(&node).copied().unwrap_or_default()
    }

    /// How many have been acknowledged by any.
    pub fn count_all(&self) -> usize {
        self.by_node.lock().values().sum()
    }

    /// Events that a node acknowledged although they were sent, and acknowledged, while it cannot have reached a quorum.
    pub fn stale(&self, node: usize, since: Instant, until: Instant) -> Vec<u64> {
        let is_stale =
            |one: &Try| one.node == node && one.fate == Fate::Taken && one.sent >= since && one.ended <= until;
        let tries = self.tries.lock();
        tries.iter().filter(|(_, tries)| tries.iter().any(is_stale)).map(|(number, _)| *number).collect()
    }

    /// Answers that neither acknowledge nor ask to come again, and events that nobody ever acknowledged.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().clone()
    }

    /// Notes what should not have been answered.
    pub fn complain(&self, what: String) {
        self.wrong.lock().push(what);
    }

    /// How often a node asked to come again, and how often it is not known what it did.
    pub fn failures(&self) -> (usize, usize) {
        let tries = self.tries.lock();
        let count = |fate: Fate| tries.values().flatten().filter(|one| one.fate == fate).count();
        (count(Fate::Refused), count(Fate::Unknown))
    }

    /// Sends an event once to a node, and notes what came of it.
    pub fn send(&self, number: u64, target: &mut Target) -> Answer {
        self.note(number, target, |target| target.post(&event(number)))
    }

    /// Sends an event once to a node, and does not wait for what it says.
    pub fn send_and_leave(&self, number: u64, target: &mut Target) {
        self.note(number, target, |target| target.post_and_leave(&event(number)));
    }

    /// Sends a new event once, and gives it up unless it is taken.
    pub fn try_once(&self, target: &mut Target) -> Answer {
        self.send(self.next(), target)
    }

    fn note(&self, number: u64, target: &mut Target, post: impl FnOnce(&mut Target) -> Answer) -> Answer {
        let sent = Instant::now();
        let answer = post(target);
        let fate = match &answer {
            Answer::NotSent => return answer,
            Answer::Taken => Fate::Taken,
            Answer::ComeAgain(_) => Fate::Refused,
            Answer::Unknown => Fate::Unknown,
            Answer::Wrong(said) => {
                self.complain(format!("event {number}: {said}"));
                Fate::Unknown
            }
        };
        let one = Try { node: target.node, sent, ended: Instant::now(), fate };
        self.tries.lock().entry(number).or_default().push(one);
        if fate == Fate::Taken {
            *self.by_node.lock().entry(target.node).or_default() += 1;
        }
        answer
    }
}

/// The first acknowledgement of an event, if it has one.
pub fn ack(tries: &[Try]) -> Option<Ack> {
    let taken = tries.iter().filter(|one| one.fate == Fate::Taken).map(|one| one.ended).min()?;
    Some(Ack { sent: tries.iter().map(|one| one.sent).min()?, at: taken })
}
