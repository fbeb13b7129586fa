//! What a dispatcher remembers of its attempts, so that an operator can be told what became of an event.
//!
//! Each log group has two rings of fixed size ([`Options::remembered_successes`](crate::Options::remembered_successes),
//! [`Options::remembered_attempts`](crate::Options::remembered_attempts)): the many first attempts that succeed do not push
//! out the few that failed or brought a reply. An attempt costs a lock that nobody else wants and 56 bytes written; nothing is
//! allocated. What is forgotten is known by its time.
//!
//! Nothing is decided by it, nothing of it is stored, and it outlives the sessions in which groups are delivered.

mod ring;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pelton_client::{
    Attempt, AttemptResult, GroupId, MAX_ASKED_EVENTS, MAX_TOLD_ATTEMPTS, Moment, Offset, Position, TriggerCounts,
    TriggerId,
};
use pelton_env::UnixMillis;

use crate::Options;
use crate::delivery::{Attempted, NoAnswer, Verdict};
pub use ring::Entry;
use ring::Ring;

/// Entries that are looked at before the lock is given back for a moment: some 10 microseconds' worth.
const LOOKED_AT: usize = 4_096;

/// With fewer tallies than this nobody looks for those of triggers that are gone.
const LEAST_LOOKED_AT: usize = 128;

/// The journals of all groups that this process has delivered, and what triggers count.
#[derive(Debug)]
pub struct Journals {
    groups: Mutex<BTreeMap<GroupId, Arc<Journal>>>,
    tallies: Mutex<Tallies>,
    sizes: [usize; 2],
}

/// What triggers count.
#[derive(Debug, Default)]
struct Tallies {
    all: BTreeMap<TriggerId, Weak<Tally>>,
    /// How many there are when it is looked again for those of triggers that are gone.
    look_at: usize,
}

impl Journals {
    /// None yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let sizes = [options.remembered_successes, options.remembered_attempts];
        Self { groups: Mutex::default(), tallies: Mutex::default(), sizes }
    }

    /// The journal of a group for a session that begins now. Of what was done before it this process may have done a part
    /// only: that is told, and the journal is complete from now on.
    #[must_use]
    pub fn begin(&self, group: GroupId, now: UnixMillis) -> Arc<Journal> {
        let journal = {
            let mut groups = self.groups.lock();
            groups.entry(group).or_insert_with(|| Arc::new(Journal::new(group, self.sizes))).clone()
        };
        let mut rings = journal.rings.lock();
        rings.began = rings.began.max(now);
        drop(rings);
        journal
    }

    /// What a trigger counts, in all groups of this process together.
    #[must_use]
    pub fn tally(&self, trigger: TriggerId) -> Arc<Tally> {
        let Tallies { all, look_at } = &mut *self.tallies.lock();
        if let Some(tally) = all.get(&trigger).and_then(Weak::upgrade) {
            return tally;
        }
        // Those of triggers that are gone leave when there are twice as many as when it was looked last.
        if all.len() >= *look_at {
            all.retain(|_, tally| tally.strong_count() > 0);
            *look_at = (all.len() * 2).max(LEAST_LOOKED_AT);
        }
        let tally = Arc::<Tally>::default();
        all.insert(trigger, Arc::downgrade(&tally));
        tally
    }

    /// What all triggers count.
    #[must_use]
    pub fn counts(&self) -> Vec<TriggerCounts> {
        let tallies = self.tallies.lock();
        tallies.all.iter().filter_map(|(id, tally)| Some(tally.upgrade()?.counts(*id))).collect()
    }

    /// After when each group's attempts are all remembered.
    #[must_use]
    pub fn since(&self) -> BTreeMap<GroupId, Moment> {
        self.all().iter().map(|journal| (journal.group, journal.since().into())).collect()
    }

    /// The attempts of these events, and those whose reply one of these is: the newest [`MAX_TOLD_ATTEMPTS`], oldest first.
    #[must_use]
    pub fn attempts(&self, events: &[Position]) -> Vec<Attempt> {
        let events = &events[..events.len().min(MAX_ASKED_EVENTS)];
        let mut found: Vec<_> = self.all().iter().flat_map(|journal| journal.attempts(events)).collect();
        found.sort_by_key(|attempt| attempt.ended);
        found.split_off(found.len().saturating_sub(MAX_TOLD_ATTEMPTS))
    }

    fn all(&self) -> Vec<Arc<Journal>> {
        self.groups.lock().values().cloned().collect()
    }
}

/// The attempts of one group.
#[derive(Debug)]
pub struct Journal {
    group: GroupId,
    rings: Mutex<Rings>,
}

#[derive(Debug)]
struct Rings {
    /// When the latest session began.
    began: UnixMillis,
    successes: Ring,
    others: Ring,
}

impl Journal {
    fn new(group: GroupId, [successes, others]: [usize; 2]) -> Self {
        let rings = Rings { began: UnixMillis(0), successes: Ring::new(successes), others: Ring::new(others) };
        Self { group, rings: Mutex::new(rings) }
    }

    /// Remembers an attempt.
    pub fn push(&self, entry: Entry) {
        let mut rings = self.rings.lock();
        if entry.is_ordinary() { rings.successes.push(entry) } else { rings.others.push(entry) }
    }

    /// Every attempt that ended after this is remembered.
    fn since(&self) -> UnixMillis {
        let rings = self.rings.lock();
        rings.began.max(rings.successes.forgotten()).max(rings.others.forgotten())
    }

    fn attempts(&self, events: &[Position]) -> Vec<Attempt> {
        let offsets: Vec<Offset> = events.iter().filter(|it| it.group == self.group).map(|it| it.offset).collect();
        let is_wanted = |entry: &Entry| {
            offsets.iter().any(|offset| entry.is_of(*offset))
                || entry.reply().is_some_and(|reply| events.contains(&reply))
        };
        let mut found = Vec::new();
        for ring in [|rings: &Rings| &rings.successes, |rings: &Rings| &rings.others] as [fn(&Rings) -> &Ring; 2] {
            let mut at = 0;
            loop {
                let rings = self.rings.lock();
                let ring = ring(&rings);
                found.extend(ring.part(at, LOOKED_AT).iter().filter(|entry| is_wanted(entry)).copied());
                at += LOOKED_AT;
                if at >= ring.len() {
                    break;
                }
            }
        }
        found.iter().map(|entry| entry.told(self.group)).collect()
    }
}

/// What one trigger counts.
#[derive(Debug, Default)]
pub struct Tally {
    matched: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// An event matched.
    pub fn matched(&self) {
        self.matched.fetch_add(1, Ordering::Relaxed);
    }

    /// The subscriber took an event.
    pub fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt at the subscriber failed.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self, trigger: TriggerId) -> TriggerCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TriggerCounts { trigger, matched: of(&self.matched), delivered: of(&self.delivered), failed: of(&self.failed) }
    }
}

/// What an attempt came to, as it is remembered.
#[must_use]
pub fn result_of(verdict: Verdict, attempted: &Attempted) -> AttemptResult {
    match attempted {
        Err(NoAnswer::Connect(_)) => AttemptResult::NoConnection,
        Err(NoAnswer::NotServed(_)) => AttemptResult::NotServed,
        Err(NoAnswer::Timeout) => AttemptResult::Timeout,
        Err(NoAnswer::Broken(_)) => AttemptResult::Broken,
        Err(NoAnswer::NoRoom) => AttemptResult::NoRoom,
        Err(NoAnswer::Impossible(_)) => AttemptResult::Impossible,
        Ok(_) => match verdict {
            Verdict::Delivered | Verdict::DeliveredIgnored | Verdict::DeliveredForeign => AttemptResult::Delivered,
            Verdict::Reply => AttemptResult::Replied,
            Verdict::BadReply => AttemptResult::BadReply,
            Verdict::Retry => AttemptResult::Failed,
            Verdict::Reject | Verdict::Gone => AttemptResult::Rejected,
            Verdict::Impossible => AttemptResult::Impossible,
        },
    }
}
