//! How far a trigger has come in one log group.
//!
//! Nearly every trigger stands at the tail with nothing left to do. So a cursor is not a list of what is done but of
//! what is *not*: an upper bound below which the trigger has been matched, and the offsets below it that matched and
//! are still to be delivered. All triggers that stand at the tail share one bound, the group's *scanned* mark, and an
//! idle trigger costs nothing when events pass it by (DESIGN section 1, rule 7).

use std::collections::BTreeMap;

use crate::{DeadLetter, Offset, RangeSet};

/// A trigger's identity: its uid as a number. A trigger that is deleted and made again is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(pub u128);

impl TriggerId {
    /// Reads a uid in its usual form of 32 hexadecimal digits, with or without dashes.
    #[must_use]
    pub fn parse(uid: &str) -> Option<Self> {
        let digits: String = uid.chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(Self)
    }
}

impl std::fmt::Display for TriggerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

/// Up to where a trigger has been matched against its group's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upto {
    /// The group's scanned mark, whatever it is: the trigger follows the tail.
    Scanned,
    /// This offset (exclusive): the trigger has its own place, behind the tail or paused.
    At(Offset),
}

/// The state of one trigger in one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Raised by every start and rewind. Progress that names another epoch comes from before it and is ignored.
    pub epoch: u64,
    /// The log index of the last start, rewind or redrive: what a dispatcher has not seen yet is above what it has.
    pub changed: u64,
    /// Events at and above this have not been matched for this trigger.
    pub upto: Upto,
    /// Offsets below `upto` that matched and are neither delivered nor dead letters.
    pub pending: RangeSet,
    /// Failed attempts so far, of those pending events that had any.
    pub attempts: BTreeMap<Offset, u32>,
}

impl Cursor {
    /// A trigger that begins at `at`.
    #[must_use]
    pub fn starting(epoch: u64, changed: u64, at: Offset) -> Self {
        Self { epoch, changed, upto: Upto::At(at), pending: RangeSet::new(), attempts: BTreeMap::new() }
    }

    /// The lowest offset that this trigger may still need; everything below is done. `scanned` is the group's mark.
    #[must_use]
    pub fn floor(&self, scanned: Offset) -> Offset {
        let upto = self.upto_offset(scanned);
        self.pending.first().map_or(upto, |first| first.min(upto))
    }

    /// `upto` as an offset. `scanned` is the group's mark.
    #[must_use]
    pub fn upto_offset(&self, scanned: Offset) -> Offset {
        match self.upto {
            Upto::Scanned => scanned,
            Upto::At(at) => at,
        }
    }

    /// Takes in what happened since. `false`, and nothing is changed, when `update` belongs to another epoch.
    ///
    /// Applying the same update twice is the same as once.
    pub fn apply(&mut self, update: &CursorUpdate) -> bool {
        if update.epoch != self.epoch {
            return false;
        }
        self.upto = update.upto;
        for &(from, to) in &update.matched {
            self.pending.insert_range(from, to);
        }
        for &(offset, attempts) in &update.attempts {
            self.attempts.insert(offset, attempts);
        }
        for &(from, to) in &update.done {
            self.pending.remove_range(from, to);
            self.forget_attempts(from, to);
        }
        for letter in &update.dead_letters {
            let offset = letter.position.offset;
            self.pending.remove(offset);
            self.attempts.remove(&offset);
        }
        true
    }

    fn forget_attempts(&mut self, from: Offset, to: Offset) {
        let gone: Vec<_> = self.attempts.range(from..to).map(|(&offset, _)| offset).collect();
        for offset in gone {
            self.attempts.remove(&offset);
        }
    }
}

/// What one trigger did since its last update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorUpdate {
    /// Whose cursor.
    pub trigger: TriggerId,
    /// The epoch this was done under.
    pub epoch: u64,
    /// The new bound.
    pub upto: Upto,
    /// Ranges that matched and are still to be delivered.
    pub matched: Vec<(Offset, Offset)>,
    /// Ranges that are done: delivered, or passed over.
    pub done: Vec<(Offset, Offset)>,
    /// Failed attempts so far, of events that wait for another.
    pub attempts: Vec<(Offset, u32)>,
    /// Events given up. Each leaves `pending` and is kept as a dead letter.
    pub dead_letters: Vec<DeadLetter>,
}

/// What a dispatcher did in one group since its last update. Becomes one entry of that group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every trigger that follows the tail has been matched against all events below this.
    pub scanned: Offset,
    /// The triggers whose state is more than that.
    pub cursors: Vec<CursorUpdate>,
}

/// Where a new or rewound trigger begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// After the last event there is now.
    Latest,
    /// At the first event still kept.
    Earliest,
    /// At this offset, or the first one kept if that is later.
    Offset(Offset),
    /// At the first event that arrived at this time or later.
    Time(pelton_env::UnixMillis),
}

/// All cursors of one group at one moment.
#[derive(Debug, Clone, Default)]
pub struct GroupCursors {
    /// The shared mark of the triggers that follow the tail.
    pub scanned: Offset,
    /// Each started trigger's cursor.
    pub cursors: BTreeMap<TriggerId, Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(done: &[(u64, u64)], matched: &[(u64, u64)]) -> CursorUpdate {
        let offsets = |pairs: &[(u64, u64)]| pairs.iter().map(|&(a, b)| (Offset(a), Offset(b))).collect();
        CursorUpdate {
            trigger: TriggerId(1),
            epoch: 1,
            upto: Upto::Scanned,
            matched: offsets(matched),
            done: offsets(done),
            attempts: vec![(Offset(5), 2)],
            dead_letters: vec![],
        }
    }

    #[test]
    fn the_floor_is_the_first_event_not_done() {
        let mut cursor = Cursor::starting(1, 0, Offset(3));
        assert_eq!(cursor.floor(Offset(100)), Offset(3));
        assert!(cursor.apply(&update(&[], &[(5, 6), (9, 12)])));
        assert_eq!(cursor.floor(Offset(100)), Offset(5));
        assert_eq!(cursor.attempts[&Offset(5)], 2);
        assert!(cursor.apply(&CursorUpdate { attempts: vec![], ..update(&[(5, 6), (10, 12)], &[]) }));
        assert_eq!(cursor.floor(Offset(100)), Offset(9));
        assert!(cursor.attempts.is_empty());
        assert!(cursor.apply(&CursorUpdate { attempts: vec![], ..update(&[(9, 10)], &[]) }));
        assert_eq!(cursor.floor(Offset(100)), Offset(100));
    }

    #[test]
    fn progress_from_before_a_rewind_is_ignored() {
        let mut cursor = Cursor::starting(2, 0, Offset(3));
        let before = cursor.clone();
        assert!(!cursor.apply(&update(&[(0, 50)], &[])));
        assert_eq!(cursor, before);
    }

    #[test]
    fn an_update_applied_twice_is_applied_once() {
        let mut once = Cursor::starting(1, 0, Offset(0));
        once.apply(&update(&[(4, 5)], &[(3, 7)]));
        let mut twice = once.clone();
        twice.apply(&update(&[(4, 5)], &[(3, 7)]));
        assert_eq!(once, twice);
    }

    #[test]
    fn a_uid_reads_back() {
        let id = TriggerId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(TriggerId::parse(&id.to_string()), Some(id));
        for bad in ["", "x", "0123", "g1234567-89ab-cdef-0123-456789abcdef"] {
            assert_eq!(TriggerId::parse(bad), None, "{bad}");
        }
    }
}
