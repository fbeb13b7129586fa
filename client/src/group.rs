//! The rules of one group's state: cursors and dead letters.
//!
//! Pure: every change is a value handed in, with the log index it came at. The replicated broker applies committed
//! entries to it, the in-memory client applies calls to it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pelton_env::UnixMillis;

use crate::{
    Cursor, DeadLetter, GroupCursors, GroupId, Offset, OperationError, Position, Progress, Selection, TriggerId,
};

/// Most dead letters that one group keeps. Those given up first make room, counted.
pub const MAX_DEAD_LETTERS: usize = 100_000;

/// Most bytes of answers that the dead letters of one group keep. Beyond it the letters stay and their answers' text
/// goes: state has to fit into a checkpoint.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Cursors and dead letters of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Below this every trigger that follows the tail has been matched.
    pub scanned: Offset,
    /// The cursor of each started trigger.
    pub cursors: BTreeMap<TriggerId, Cursor>,
    /// Kept dead letters.
    pub letters: BTreeMap<(TriggerId, Offset), DeadLetter>,
    /// Dead letters dropped to keep [`MAX_DEAD_LETTERS`], since this process has the state.
    pub letters_dropped: u64,
}

impl GroupState {
    /// Starts a trigger at `at`. One that was started before keeps its cursor, so that a repeated start is harmless.
    pub fn start(&mut self, trigger: TriggerId, at: Offset, index: u64) {
        self.cursors.entry(trigger).or_insert_with(|| Cursor::starting(1, index, at));
    }

    /// Puts a trigger's cursor at `at` and forgets what was pending.
    ///
    /// # Errors
    /// [`OperationError::UnknownTrigger`] when it was not started here.
    pub fn rewind(&mut self, trigger: TriggerId, at: Offset, index: u64) -> Result<(), OperationError> {
        let cursor = self.cursors.get_mut(&trigger).ok_or(OperationError::UnknownTrigger)?;
        *cursor = Cursor::starting(cursor.epoch + 1, index, at);
        Ok(())
    }

    /// Forgets a trigger's cursor. Its dead letters stay until they expire or are discarded.
    pub fn drop_trigger(&mut self, trigger: TriggerId) {
        self.cursors.remove(&trigger);
    }

    /// Takes in what a dispatcher did. Returns how many of its cursor updates were ignored: their trigger is gone or
    /// was rewound since.
    pub fn progress(&mut self, progress: &Progress) -> usize {
        self.scanned = self.scanned.max(progress.scanned);
        let mut ignored = 0;
        for update in &progress.cursors {
            let applied = self.cursors.get_mut(&update.trigger).is_some_and(|cursor| cursor.apply(update));
            if !applied {
                ignored += 1;
                continue;
            }
            for letter in &update.dead_letters {
                self.letters.insert((letter.trigger, letter.position.offset), letter.clone());
            }
        }
        self.bound_letters(progress);
        ignored
    }

    fn bound_letters(&mut self, newest: &Progress) {
        if newest.cursors.iter().all(|update| update.dead_letters.is_empty()) {
            return;
        }
        if self.letters.values().map(|letter| letter.answer.detail.len()).sum::<usize>() > MAX_ANSWER_BYTES {
            self.letters.values_mut().for_each(|letter| letter.answer.detail.clear());
        }
        let over = self.letters.len().saturating_sub(MAX_DEAD_LETTERS);
        if over > 0 {
            let mut oldest: Vec<_> = self.letters.iter().map(|(key, letter)| (letter.at, *key)).collect();
            oldest.select_nth_unstable(over - 1);
            oldest.truncate(over);
            for (_, key) in oldest {
                self.letters.remove(&key);
            }
            self.letters_dropped += over as u64;
        }
    }

    /// Makes dead letters pending again, with no attempts made. Those whose trigger is gone stay. Returns how many.
    ///
    /// # Errors
    /// A single letter that is not there, or whose trigger is gone.
    pub fn redrive(&mut self, selection: Selection, index: u64) -> Result<u64, OperationError> {
        let mut sent = 0;
        for (trigger, offset) in self.selected(selection)? {
            let Some(cursor) = self.cursors.get_mut(&trigger) else {
                if matches!(selection, Selection::One(..)) {
                    return Err(OperationError::UnknownTrigger);
                }
                continue;
            };
            cursor.pending.insert(offset);
            cursor.attempts.remove(&offset);
            cursor.changed = index;
            self.letters.remove(&(trigger, offset));
            sent += 1;
        }
        Ok(sent)
    }

    /// Drops dead letters. Returns how many.
    ///
    /// # Errors
    /// A single letter that is not there.
    pub fn discard(&mut self, selection: Selection) -> Result<u64, OperationError> {
        let selected = self.selected(selection)?;
        for key in &selected {
            self.letters.remove(key);
        }
        Ok(selected.len() as u64)
    }

    /// Drops dead letters given up before `before`, and those of events below `below`. Returns how many.
    pub fn expire(&mut self, before: UnixMillis, below: Offset) -> u64 {
        let whole = self.letters.len();
        self.letters.retain(|(_, offset), letter| letter.at >= before && *offset >= below);
        (whole - self.letters.len()) as u64
    }

    fn selected(&self, selection: Selection) -> Result<Vec<(TriggerId, Offset)>, OperationError> {
        Ok(match selection {
            Selection::One(trigger, position) => {
                let key = (trigger, position.offset);
                if !self.letters.contains_key(&key) {
                    return Err(OperationError::UnknownDeadLetter);
                }
                vec![key]
            }
            Selection::Trigger(trigger) => {
                self.letters.range((trigger, Offset(0))..=(trigger, Offset(u64::MAX))).map(|(key, _)| *key).collect()
            }
            Selection::All => self.letters.keys().copied().collect(),
        })
    }

    /// The lowest offset that a cursor still needs; `end` when none needs anything below it.
    #[must_use]
    pub fn cursors_need(&self, end: Offset) -> Offset {
        // With no cursor at all nothing holds events, and the scanned mark stands still.
        self.cursors.values().map(|cursor| cursor.floor(self.scanned)).min().unwrap_or(end).min(end)
    }

    /// The lowest offset that a cursor or a dead letter still needs; `end` when none needs anything below it.
    #[must_use]
    pub fn needed_from(&self, end: Offset) -> Offset {
        let letters = self.letters.keys().map(|(_, offset)| *offset).min();
        self.cursors_need(end).min(letters.unwrap_or(end))
    }

    /// The cursors as a dispatcher reads them.
    #[must_use]
    pub fn cursors(&self) -> GroupCursors {
        GroupCursors { scanned: self.scanned, cursors: self.cursors.clone() }
    }

    /// Dead letters after `after`, at most `limit`.
    #[must_use]
    pub fn dead_letters(
        &self,
        group: GroupId,
        trigger: Option<TriggerId>,
        after: Option<(TriggerId, Position)>,
        limit: usize,
    ) -> Vec<DeadLetter> {
        // In order of trigger, then group, then offset, as if all groups were one list.
        let from = match (after, trigger) {
            (Some((after, position)), _) => match position.group.cmp(&group) {
                Ordering::Less => (after, Offset(0)),
                Ordering::Equal => (after, position.offset.plus(1)),
                Ordering::Greater => (TriggerId(after.0.saturating_add(1)), Offset(0)),
            },
            (None, Some(trigger)) => (trigger, Offset(0)),
            (None, None) => (TriggerId(0), Offset(0)),
        };
        self.letters
            .range(from..)
            .take_while(|((owner, _), _)| trigger.is_none_or(|wanted| *owner == wanted))
            .take(limit)
            .map(|(_, letter)| letter.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Cause, CursorUpdate, LastAnswer, Upto};

    const TRIGGER: TriggerId = TriggerId(7);

    fn letter(offset: u64) -> DeadLetter {
        DeadLetter {
            trigger: TRIGGER,
            position: Position { group: GroupId(1), offset: Offset(offset) },
            attempts: 3,
            cause: Cause::Rejected,
            destination: "http://example.com/".into(),
            answer: LastAnswer { code: Some(400), detail: Bytes::new() },
            at: UnixMillis(offset),
        }
    }

    fn dead(offsets: &[u64], upto: u64) -> Progress {
        Progress {
            scanned: Offset(upto),
            cursors: vec![CursorUpdate {
                trigger: TRIGGER,
                epoch: 1,
                upto: Upto::Scanned,
                matched: vec![],
                done: vec![],
                attempts: vec![],
                dead_letters: offsets.iter().map(|&offset| letter(offset)).collect(),
            }],
        }
    }

    #[test]
    fn a_dead_letter_holds_its_event_until_it_is_decided() {
        let mut state = GroupState::default();
        state.start(TRIGGER, Offset(0), 1);
        assert_eq!(state.progress(&dead(&[4, 6], 10)), 0);
        assert_eq!(state.needed_from(Offset(10)), Offset(4));
        let one = Selection::One(TRIGGER, letter(4).position);
        assert_eq!(state.redrive(one, 9), Ok(1));
        assert_eq!(state.redrive(one, 9), Err(OperationError::UnknownDeadLetter));
        let cursor = &state.cursors[&TRIGGER];
        assert!(cursor.pending.contains(Offset(4)));
        assert_eq!((cursor.changed, cursor.epoch), (9, 1));
        assert_eq!(state.needed_from(Offset(10)), Offset(4), "pending now");
        assert_eq!(state.discard(Selection::All), Ok(1));
        assert_eq!(state.dead_letters(GroupId(1), None, None, 10), vec![]);
    }

    #[test]
    fn progress_of_a_trigger_that_is_gone_changes_nothing() {
        let mut state = GroupState::default();
        assert_eq!(state.progress(&dead(&[4], 10)), 1);
        assert!(state.letters.is_empty());
        assert_eq!(state.scanned, Offset(10));
    }

    #[test]
    fn pages_of_dead_letters_join_without_gap_or_repeat() {
        let mut state = GroupState::default();
        state.start(TRIGGER, Offset(0), 1);
        state.progress(&dead(&[1, 2, 3, 5, 8], 10));
        let mut seen = vec![];
        let mut after = None;
        loop {
            let page = state.dead_letters(GroupId(1), Some(TRIGGER), after, 2);
            let Some(last) = page.last() else { break };
            after = Some((last.trigger, last.position));
            seen.extend(page.iter().map(|letter| letter.position.offset.0));
        }
        assert_eq!(seen, [1, 2, 3, 5, 8]);
    }

    #[test]
    fn a_page_goes_on_in_every_group_where_the_last_one_ended() {
        let mut state = GroupState::default();
        state.start(TRIGGER, Offset(0), 1);
        state.progress(&dead(&[1, 5], 10));
        let page = |asked: u32| {
            let after = Some((TRIGGER, Position { group: GroupId(2), offset: Offset(3) }));
            let letters = state.dead_letters(GroupId(asked), None, after, 10);
            letters.iter().map(|letter| letter.position.offset.0).collect::<Vec<_>>()
        };
        assert_eq!(page(1), [0_u64; 0], "an earlier group's letters of this trigger were on an earlier page");
        assert_eq!(page(2), [5]);
        assert_eq!(page(3), [1, 5], "a later group's letters come after");
    }

    #[test]
    fn expiry_takes_the_old_ones() {
        let mut state = GroupState::default();
        state.start(TRIGGER, Offset(0), 1);
        state.progress(&dead(&[1, 2, 3], 10));
        assert_eq!(state.expire(UnixMillis(3), Offset(0)), 2);
        assert_eq!(state.letters.len(), 1);
    }
}
