//! What must hold whatever happened: pure, from what was sent, what was delivered, what the logs hold and what the nodes
//! said. That it finds what it is there for is shown by `tests.rs`, with ledgers that were doctored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::ledger::{Ack, Fate, Try, ack, key};
use crate::logs::Copies;
use crate::sessions::{Session, Sessions};

/// An event may be delivered once more because the right to deliver moved if both deliveries are that close to the move.
/// Progress is stored every 100 ms and whoever comes next begins with what is not: this is for a busy machine.
const AROUND_A_MOVE: Duration = Duration::from_secs(15);

/// Times in the nodes' logs are of whole milliseconds, by another clock than the test's.
const CLOCKS_DIFFER: Duration = Duration::from_millis(20);

/// Violations that are told in full.
const MOST_TOLD: usize = 12;

/// A node that stood still, and woke up when others led what it had led.
#[derive(Debug, Clone)]
pub struct Sleep {
    pub node: usize,
    pub from: Instant,
    pub until: Instant,
    /// The groups that it led, and in which term.
    pub led: BTreeMap<u64, u64>,
}

/// Everything that is known of a scenario once its nodes have stopped.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Every try of every event, by number. One that nobody took may be there or not.
    pub sent: BTreeMap<u64, Vec<Try>>,
    /// Acknowledged events that the scenario gave up with a quorum, if it gave one up.
    pub given_up: Option<BTreeSet<u64>>,
    /// When each event came.
    pub delivered: BTreeMap<u64, Vec<Instant>>,
    /// Where each event is in the logs, on which all replicas agree.
    pub copies: Copies,
    pub sessions: Sessions,
    pub sleeps: Vec<Sleep>,
    /// Whether the Broker has a deduplication window that is longer than the scenario.
    pub keeps_one: bool,
}

/// What a scenario came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events.
    pub acknowledged: usize,
    /// Events that are stored although nobody acknowledged them: an answer was lost.
    pub unacknowledged: usize,
    /// Copies of an event beyond its first, because its producer sent it again.
    pub sent_again: usize,
    /// Deliveries beyond one for each copy, around a move of the right to deliver: the result of an attempt was not stored
    /// when it moved.
    pub repeated: usize,
    /// The longest that any event waited for its acknowledgement.
    pub longest_wait: Duration,
}

/// What is wrong, if anything, and what it came to.
pub fn judge(evidence: &Evidence) -> (Vec<String>, Outcome) {
    let (mut wrong, mut outcome) = (Vec::new(), Outcome::default());
    let numbers: BTreeSet<_> =
        evidence.sent.keys().chain(evidence.delivered.keys()).chain(evidence.copies.keys()).collect();
    for number in numbers {
        let mut event = Story::of(evidence, *number);
        event.is_there();
        event.is_there_no_more_often_than_sent();
        event.came_again_for_a_reason();
        event.was_not_taken_in_an_old_term();
        event.count(&mut outcome);
        wrong.extend(event.wrong.into_iter().map(|what| format!("event {number}: {what}")));
    }
    (wrong, outcome)
}

/// Panics with what is wrong.
#[track_caller]
pub fn accept(name: &str, evidence: &Evidence) -> Outcome {
    let (wrong, outcome) = judge(evidence);
    let told = wrong.iter().take(MOST_TOLD).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{name}: {} violations:\n{told}", wrong.len());
    outcome
}

/// One event.
struct Story<'a> {
    evidence: &'a Evidence,
    tries: &'a [Try],
    ack: Option<Ack>,
    given_up: bool,
    copies: &'a [crate::logs::Copy],
    delivered: &'a [Instant],
    /// Deliveries that the right to deliver explains.
    repeated: usize,
    wrong: Vec<String>,
}

impl<'a> Story<'a> {
    fn of(evidence: &'a Evidence, number: u64) -> Self {
        let tries = evidence.sent.get(&number).map_or(&[][..], Vec::as_slice);
        Self {
            evidence,
            tries,
            ack: ack(tries),
            given_up: evidence.given_up.as_ref().is_some_and(|given_up| given_up.contains(&number)),
            copies: evidence.copies.get(&number).map_or(&[], Vec::as_slice),
            delivered: evidence.delivered.get(&number).map_or(&[], Vec::as_slice),
            repeated: 0,
            wrong: Vec::new(),
        }
    }

    fn count_of(&self, fate: Fate) -> usize {
        self.tries.iter().filter(|one| one.fate == fate).count()
    }

    /// I1 and I2: what was acknowledged is stored and came; what is stored came; what came is stored and was sent.
    fn is_there(&mut self) {
        let (stored, came) = (self.copies.len(), self.delivered.len());
        if self.tries.is_empty() {
            self.wrong.push(format!("never sent, yet {stored} copies and {came} deliveries"));
        }
        if self.given_up {
            return;
        }
        if self.ack.is_some() && stored == 0 {
            self.wrong.push(format!("acknowledged and in no log: {:?}", self.tries));
        }
        if came < stored || (self.ack.is_some() && came == 0) {
            self.wrong.push(format!("{stored} copies, {came} deliveries"));
        }
        // Who gives up a quorum also gives up what it had delivered.
        if came > 0 && stored == 0 && self.ack.is_none() && self.evidence.given_up.is_none() {
            self.wrong.push(format!("delivered, and in no log: {:?}", self.tries));
        }
    }

    /// I4: our own retry writes nothing twice, a window keeps one, and what was refused is not stored.
    fn is_there_no_more_often_than_sent(&mut self) {
        let (taken, unknown) = (self.count_of(Fate::Taken), self.count_of(Fate::Unknown));
        let (least, most) = match self.evidence.keeps_one {
            true => (taken.min(1), (taken + unknown).min(1)),
            false => (taken, taken + unknown),
        };
        let stored = self.copies.len();
        if stored > most || (stored < least && stored > 0 && !self.given_up) {
            self.wrong.push(format!(
                "{stored} copies {:?}, where its producer was told {taken} times that it is stored, and {unknown} times \
                 it cannot know; the Broker keeps {}",
                self.copies,
                if self.evidence.keeps_one { "one" } else { "all" },
            ));
        }
    }

    /// A delivery beyond one for each copy needs a session that ended before its progress was stored.
    fn came_again_for_a_reason(&mut self) {
        let groups: BTreeSet<u64> = self.copies.iter().map(|copy| copy.group).collect();
        let Some(first) = self.delivered.first().copied() else { return };
        for again in self.delivered.iter().skip(self.copies.len().max(1)) {
            let moved = |group: &u64| {
                let sessions = self.evidence.sessions.get(group).map_or(&[][..], Vec::as_slice);
                sessions.windows(2).any(|pair| is_around(pair, first, *again))
            };
            if groups.iter().any(moved) {
                self.repeated += 1;
            } else {
                self.wrong.push(format!(
                    "delivered {} times for {} copies, last {:?} after the first, and no right to deliver moved then: \
                     {:?}",
                    self.delivered.len(),
                    self.copies.len(),
                    *again - first,
                    groups.iter().map(|group| (group, self.evidence.sessions.get(group))).collect::<Vec<_>>(),
                ));
            }
        }
    }

    /// F5: a leader that slept through an election takes nothing in the term in which it fell asleep.
    fn was_not_taken_in_an_old_term(&mut self) {
        for sleep in &self.evidence.sleeps {
            let while_it_slept =
                |one: &&Try| one.node == sleep.node && one.sent >= sleep.from && one.sent <= sleep.until;
            let taken = self.tries.iter().filter(while_it_slept).any(|one| one.fate == Fate::Taken);
            let is_of_old =
                |copy: &crate::logs::Copy| sleep.led.get(&copy.group).is_some_and(|term| copy.term <= *term);
            if taken && !self.copies.is_empty() && self.copies.iter().all(is_of_old) {
                self.wrong.push(format!("taken by a leader of an old term that woke up: {:?}", self.copies));
            }
        }
    }

    fn count(&self, outcome: &mut Outcome) {
        outcome.sent_again += self.copies.len().saturating_sub(1);
        outcome.repeated += self.repeated;
        match self.ack {
            Some(ack) => {
                outcome.acknowledged += usize::from(!self.given_up);
                outcome.longest_wait = outcome.longest_wait.max(ack.at - ack.sent);
            }
            None => outcome.unacknowledged += usize::from(!self.copies.is_empty()),
        }
    }
}

/// Whether the right to deliver moved from the first of two sessions to the second between two deliveries, or so close to
/// the first that an attempt of the old session came after one of the new.
fn is_around(pair: &[Session], first: Instant, again: Instant) -> bool {
    let began = pair[1].begin;
    let ended = pair[0].end.unwrap_or(began).min(began);
    again + CLOCKS_DIFFER >= began
        && again <= began + AROUND_A_MOVE
        && first + AROUND_A_MOVE >= ended
        && first <= began + AROUND_A_MOVE
}

/// When each group acknowledged events with a key, in order. Such an event has one group that can take it.
pub fn acks_of_groups(evidence: &Evidence) -> BTreeMap<u64, Vec<Instant>> {
    let mut acks = BTreeMap::<u64, Vec<Instant>>::new();
    for (number, tries) in evidence.sent.iter().filter(|(number, _)| key(**number).is_some()) {
        let group = evidence.copies.get(number).and_then(|copies| Some(copies.first()?.group));
        let taken = tries.iter().filter(|one| one.fate == Fate::Taken).map(|one| one.ended);
        if let Some(group) = group {
            acks.entry(group).or_default().extend(taken);
        }
    }
    acks.values_mut().for_each(|acks| acks.sort_unstable());
    acks
}

/// The longest that some group acknowledged nothing, of the times that touch those between `from` and `until`, while
/// producers went on until `stopped`.
pub fn unavailable(
    acks: &BTreeMap<u64, Vec<Instant>>,
    from: Instant,
    until: Instant,
    stopped: Instant,
) -> (Duration, u64) {
    let gaps = acks.iter().flat_map(|(group, acks)| {
        let ends = acks.iter().skip(1).chain([&stopped]);
        let gaps = acks.iter().zip(ends).filter(move |(begin, end)| **end >= from && **begin <= until);
        gaps.map(|(begin, end)| (end.saturating_duration_since(*begin), *group))
    });
    gaps.max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
