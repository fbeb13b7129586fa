//! What a trigger did since its last update: the difference between what is in memory and what is stored.

use std::collections::BTreeMap;

use pelton_client::{CursorUpdate, DeadLetter, Offset, RangeSet, TriggerId, Upto};

/// The changes that the stored cursor has not seen.
///
/// An event that matched and was done between two updates leaves nothing behind, so a trigger that keeps up stores
/// next to nothing.
#[derive(Debug, Default)]
pub struct Unsaved {
    matched: RangeSet,
    done: RangeSet,
    attempts: BTreeMap<Offset, u32>,
    dead_letters: Vec<DeadLetter>,
    given_up: RangeSet,
    upto: bool,
}

impl Unsaved {
    /// An event matched and waits.
    pub fn matched(&mut self, offset: Offset) {
        self.matched.insert(offset);
    }

    /// An event waits for another attempt, after so many that failed.
    pub fn attempted(&mut self, offset: Offset, attempts: u32) {
        self.attempts.insert(offset, attempts);
    }

    /// An event is done. The store learns of it only if it knows the event as pending.
    pub fn done(&mut self, offset: Offset) {
        self.attempts.remove(&offset);
        if !self.matched.remove(offset) {
            self.done.insert(offset);
        }
    }

    /// An event was given up.
    pub fn dead(&mut self, letter: DeadLetter) {
        let offset = letter.position.offset;
        self.attempts.remove(&offset);
        self.matched.remove(offset);
        self.given_up.insert(offset);
        self.dead_letters.push(letter);
    }

    /// The bound moved.
    pub fn moved(&mut self) {
        self.upto = true;
    }

    /// Whether the event was done or given up and the store does not know yet.
    #[must_use]
    pub fn ended(&self, offset: Offset) -> bool {
        self.done.contains(offset) || self.given_up.contains(offset)
    }

    /// What is pending below `first` is done with, in the store as well: left there it would hold the log for ever.
    pub fn forget_below(&mut self, first: Offset) {
        self.matched.remove_range(Offset(0), first);
        self.done.insert_range(Offset(0), first);
        self.attempts = self.attempts.split_off(&first);
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.upto
            && self.matched.is_empty()
            && self.done.is_empty()
            && self.attempts.is_empty()
            && self.dead_letters.is_empty()
    }

    /// How large the update would be, in units of 16 bytes: 1, and 1 for each range and count, and what each dead
    /// letter takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let letters = self.dead_letters.iter().map(|letter| letter.stored_bytes().div_ceil(16)).sum::<usize>();
        1 + self.matched.range_count() + self.done.range_count() + self.attempts.len() + letters
    }

    /// The update, after which nothing is unsaved.
    pub fn take(&mut self, trigger: TriggerId, epoch: u64, upto: Upto) -> CursorUpdate {
        let taken = std::mem::take(self);
        CursorUpdate {
            trigger,
            epoch,
            upto,
            matched: taken.matched.ranges().collect(),
            done: taken.done.ranges().collect(),
            attempts: taken.attempts.into_iter().collect(),
            dead_letters: taken.dead_letters,
        }
    }
}
