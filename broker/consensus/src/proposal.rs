//! A command on its way into the log, and what becomes of the one who waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pelton_log::LogIndex;

use crate::types::LogId;
use crate::{Command, Outcome, ProposeError};

/// How many proposals may wait to learn what took their place. Each was in flight when its leader stepped down, so as a
/// rule they are three; one more is told at once that its outcome is not known.
const MAX_DISCARDED: usize = 1_024;

/// A command as openraft sees it.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) command: Command,
    /// Where it got its place, for the one who proposed it here. An entry that was read back or received has none.
    pub(crate) ticket: Option<Arc<Ticket>>,
}

impl std::fmt::Display for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.command, f)
    }
}

/// Term, leader and index that a proposal was appended with. Set by the log, once, just before the entry is in it.
///
/// openraft tells a proposer that its entry was discarded, but not which it was.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    place: OnceLock<LogId>,
}

impl Ticket {
    pub(crate) fn appended_at(&self, place: LogId) {
        // A proposal is appended once; were it twice, the first is the one that was asked about.
        let _ = self.place.set(place);
    }

    pub(crate) fn place(&self) -> Option<LogId> {
        self.place.get().copied()
    }
}

/// Proposals whose entry was cut from this node's log when another node led.
///
/// That alone says nothing: another voter may still have the entry, become leader and commit it. What says it is what
/// is committed in the end. The same term, leader and index: it is this entry. An entry of a later leader, at its index
/// or before it: this one is nowhere and never will be, for all that follow a committed entry are of its leader or a
/// later one. So they wait until this node applies the one or the other.
#[derive(Default)]
pub(crate) struct Discarded {
    inner: Mutex<Inner>,
}

type Waiting = (LogId, Arc<dyn Outcome>);

#[derive(Default)]
struct Inner {
    /// The highest index that is applied or lies behind an installed snapshot.
    passed: Option<u64>,
    /// By index; a node that was leader twice may have had two entries cut there.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    count: usize,
}

impl Discarded {
    /// Takes a proposal whose entry was cut from the log.
    pub(crate) fn wait(&self, place: LogId, outcome: Arc<dyn Outcome>) {
        let mut inner = self.inner.lock();
        // It was not applied here as long as it waited, so a snapshot passed over it, and does not say what it holds.
        if inner.passed >= Some(place.index) || inner.count >= MAX_DISCARDED {
            drop(inner);
            return outcome.failed(ProposeError::OutcomeUnknown);
        }
        inner.count += 1;
        inner.waiting.entry(place.index).or_default().push((place, outcome));
    }

    /// This entry is committed and is the one at its index, for good.
    pub(crate) fn applied(&self, entry: LogId) {
        let mut inner = self.inner.lock();
        inner.passed = inner.passed.max(Some(entry.index));
        if inner.waiting.is_empty() {
            return;
        }
        let mut settled = Vec::new();
        for waiting in inner.waiting.range_mut(entry.index..).map(|(_, waiting)| waiting) {
            settled.extend(
                waiting.extract_if(.., |(place, _)| place.index == entry.index || place.leader_id < entry.leader_id),
            );
        }
        inner.waiting.retain(|_, waiting| !waiting.is_empty());
        inner.count -= settled.len();
        drop(inner);
        for (place, outcome) in settled {
            if place == entry {
                outcome.committed(LogIndex(entry.index));
            } else {
                outcome.failed(ProposeError::Discarded);
            }
        }
    }

    /// A snapshot brought the group to `index`: what is committed up to there is not known one by one.
    pub(crate) fn passed(&self, index: u64) {
        let mut inner = self.inner.lock();
        inner.passed = inner.passed.max(Some(index));
        let later = inner.waiting.split_off(&(index + 1));
        let waited = std::mem::replace(&mut inner.waiting, later);
        inner.count -= waited.values().map(Vec::len).sum::<usize>();
        drop(inner);
        for (_, outcome) in waited.into_values().flatten() {
            outcome.failed(ProposeError::OutcomeUnknown);
        }
    }
}

impl Drop for Discarded {
    fn drop(&mut self) {
        self.passed(u64::MAX - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::LeaderId;

    #[derive(Default)]
    struct Told(Mutex<Vec<Result<LogIndex, ProposeError>>>);

    impl Outcome for Told {
        fn committed(&self, index: LogIndex) {
            self.0.lock().push(Ok(index));
        }

        fn failed(&self, error: ProposeError) {
            self.0.lock().push(Err(error));
        }
    }

    fn id(term: u64, node_id: u64, index: u64) -> LogId {
        LogId { leader_id: LeaderId { term, node_id }, index }
    }

    /// What is applied at the index of a discarded entry decides; a snapshot over it decides nothing.
    #[test]
    fn a_discarded_proposal_learns_from_the_entry_that_is_committed_in_its_place() {
        let unknown = || Err(ProposeError::OutcomeUnknown);
        type Pass = fn(&Discarded);
        let rows: [(&str, Pass, Result<LogIndex, ProposeError>); 6] = [
            ("itself, from another voter", |fates| fates.applied(id(2, 1, 7)), Ok(LogIndex(7))),
            ("of a later term", |fates| fates.applied(id(3, 1, 7)), Err(ProposeError::Discarded)),
            ("of another leader of its term", |fates| fates.applied(id(2, 3, 7)), Err(ProposeError::Discarded)),
            ("of a later term, before it", |fates| fates.applied(id(3, 1, 5)), Err(ProposeError::Discarded)),
            ("a snapshot at it", |fates| fates.passed(7), unknown()),
            ("a snapshot beyond it", |fates| fates.passed(90), unknown()),
        ];
        for (row, pass, want) in rows {
            let (fates, told) = (Discarded::default(), Arc::new(Told::default()));
            fates.wait(id(2, 1, 7), told.clone());
            fates.applied(id(2, 1, 4));
            fates.passed(4);
            assert_eq!(*told.0.lock(), [], "{row}: nothing is known yet");
            pass(&fates);
            drop(fates);
            assert_eq!(*told.0.lock(), [want], "{row}");
        }
    }

    #[test]
    fn what_waits_has_a_bound_and_is_told_when_the_group_ends() {
        let (fates, told) = (Discarded::default(), Arc::new(Told::default()));
        for index in 0..MAX_DISCARDED as u64 {
            fates.wait(id(1, 1, index), told.clone());
        }
        assert_eq!(told.0.lock().len(), 0);
        fates.wait(id(1, 1, 9), told.clone());
        assert_eq!(*told.0.lock(), [Err(ProposeError::OutcomeUnknown)]);
        drop(fates);
        assert_eq!(told.0.lock().len(), MAX_DISCARDED + 1);
        let late = Discarded::default();
        late.passed(5);
        late.wait(id(1, 1, 5), told.clone());
        assert_eq!(told.0.lock().len(), MAX_DISCARDED + 2, "a snapshot passed over it before it was cut");
    }
}
