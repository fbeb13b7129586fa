//! Storing what was done: coalesced, one entry at a time, never ahead of what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::{Cause, Client, CursorUpdate, DeadLetter, Offset, OperationError, Progress};
use tokio::time::Instant;

use super::{Group, Happened, RETRY_AFTER};
use crate::Options;
use crate::metrics::TriggerMetrics;

/// What goes into one entry, in units of 16 bytes: an update weighs 1 and 1 a range, a dead letter its bytes. The rest
/// follows in the next. One update always goes, whatever it weighs: its ranges are bounded by the trigger's window, its
/// letters by [`MAX_UNSAVED_LETTER_BYTES`].
const MAX_WEIGHT: usize = 32_768;

/// No attempt starts while dead letters of so many bytes are not stored. With those of the attempts that are on their
/// way then, they fit into one entry of the log (28 MiB).
const MAX_UNSAVED_LETTER_BYTES: usize = 4 << 20;

/// What is to be stored, and how it stands with the storing.
#[derive(Debug)]
pub(super) struct ProgressKeeper {
    every: Duration,
    completions: usize,
    max_unsaved: usize,
    dirty: Vec<u32>,
    has_moved: bool,
    /// Triggers that follow the tail from above the scanned mark: where, and who.
    joining: BTreeMap<Offset, Vec<u32>>,
    unsaved: usize,
    letters: Vec<(Arc<TriggerMetrics>, Cause)>,
    letter_bytes: usize,
    /// The mark as it was stored last.
    stored: Offset,
    due: Option<Instant>,
    saving: Option<Saving>,
    starved: Vec<u32>,
}

/// An entry on its way, or one that did not get through and is sent again as it is: twice is the same as once.
#[derive(Debug)]
struct Saving {
    progress: Progress,
    /// What the entry stores of these; nothing for a part of what there was, which leaves them to the last part.
    unsaved: usize,
    letters: Vec<(Arc<TriggerMetrics>, Cause)>,
    letter_bytes: usize,
    again: Option<Instant>,
}

impl ProgressKeeper {
    pub fn new(options: &Options) -> Self {
        Self {
            every: options.progress_every,
            completions: options.progress_completions.max(1),
            max_unsaved: options.max_unsaved.max(1),
            dirty: Vec::new(),
            has_moved: false,
            joining: BTreeMap::new(),
            unsaved: 0,
            letters: Vec::new(),
            letter_bytes: 0,
            stored: Offset(0),
            due: None,
            saving: None,
            starved: Vec::new(),
        }
    }

    /// A trigger has something to store.
    pub fn dirty(&mut self, at: u32) {
        self.dirty.push(at);
    }

    /// The scanned mark moved.
    pub fn moved(&mut self) {
        self.has_moved = true;
    }

    /// The mark that is stored already.
    pub fn begins_at(&mut self, stored: Offset) {
        self.stored = stored;
    }

    /// A trigger follows the tail from `from` on; its bound is stored once the scan has come there.
    pub fn joins(&mut self, from: Offset, at: u32) {
        self.joining.entry(from).or_default().push(at);
    }

    /// A delivery ended.
    pub fn ended(&mut self) {
        self.unsaved += 1;
    }

    /// A dead letter was kept.
    pub fn kept(&mut self, metrics: Arc<TriggerMetrics>, letter: &DeadLetter) {
        self.letters.push((metrics, letter.cause));
        self.letter_bytes += letter.stored_bytes();
    }

    /// A trigger could not start for want of room here.
    pub fn starve(&mut self, at: u32) {
        self.starved.push(at);
    }

    /// The mark that is stored.
    pub fn stored(&self) -> Offset {
        self.stored
    }

    /// Whether so much is unsaved that nothing more may start.
    pub fn is_full(&self) -> bool {
        self.unsaved >= self.max_unsaved || self.letter_bytes >= MAX_UNSAVED_LETTER_BYTES
    }

    /// Whether an entry is on its way or waits to be sent again.
    pub fn is_busy(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether everything is stored.
    pub fn is_settled(&self) -> bool {
        self.saving.is_none() && !self.has_changes()
    }

    fn has_changes(&self) -> bool {
        self.has_moved || !self.dirty.is_empty()
    }
}

impl<C: Client> Group<C> {
    /// Stores progress if it is time.
    pub(super) fn store_progress(&mut self, now: Instant) {
        if let Some(saving) = &mut self.progress.saving {
            if saving.again.is_some_and(|again| again <= now) {
                saving.again = None;
                let progress = saving.progress.clone();
                self.send_progress(progress);
            }
            return;
        }
        // A cursor that is being read must not be changed meanwhile: what it calls pending would be taken for new.
        if !self.progress.has_changes() || self.cursors_reading {
            return;
        }
        let due = *self.progress.due.get_or_insert(now + self.progress.every);
        if now < due && self.progress.unsaved < self.progress.completions && !self.is_stopping() {
            return;
        }
        self.progress.due = None;
        let progress = self.build_progress();
        let mut saving =
            Saving { progress: progress.clone(), unsaved: 0, letters: vec![], letter_bytes: 0, again: None };
        if self.progress.dirty.is_empty() {
            saving.unsaved = self.progress.unsaved;
            saving.letters = std::mem::take(&mut self.progress.letters);
            saving.letter_bytes = self.progress.letter_bytes;
        }
        self.progress.saving = Some(saving);
        self.send_progress(progress);
    }

    fn send_progress(&mut self, progress: Progress) {
        let (client, group, session) = (self.client.clone(), self.group, self.session);
        self.begin(async move { Happened::Progress(client.progress(group, session, progress).await) });
    }

    /// Everything that happened since the last entry, or as much of it as fits. The mark moves only with the last
    /// part: below it, nothing may be missing.
    fn build_progress(&mut self) -> Progress {
        let mut dirty = std::mem::take(&mut self.progress.dirty);
        let mut weight = 0;
        let fits = dirty
            .iter()
            .take_while(|at| {
                weight += self.slots.get(**at).map_or(0, |slot| slot.state.unsaved_weight());
                weight <= MAX_WEIGHT
            })
            .count();
        if fits < dirty.len() {
            let later = dirty.split_off(fits.max(1));
            self.progress.dirty = later;
            self.progress.due = Some(Instant::now());
            let mark = self.progress.stored;
            return Progress { scanned: mark, cursors: self.take_updates(dirty, mark) };
        }
        let mark = self.scanned;
        let later = self.progress.joining.split_off(&mark.plus(1));
        let joined = std::mem::replace(&mut self.progress.joining, later);
        for at in joined.into_values().flatten() {
            if let Some(slot) = self.slots.get_mut(at)
                && slot.state.joins_at(self.progress.stored).is_some()
            {
                slot.state.store_bound();
                dirty.push(at);
            }
        }
        self.progress.has_moved = false;
        self.progress.stored = mark;
        Progress { scanned: mark, cursors: self.take_updates(dirty, mark) }
    }

    fn take_updates(&mut self, dirty: Vec<u32>, mark: Offset) -> Vec<CursorUpdate> {
        let mut updates = Vec::with_capacity(dirty.len());
        for at in dirty {
            self.show(at);
            let Some(slot) = self.slots.get_mut(at) else { continue };
            slot.dirty = false;
            if slot.state.is_dirty() {
                updates.push(slot.state.take_update(mark));
            }
        }
        updates
    }

    pub(super) fn on_progress(&mut self, result: Result<(), OperationError>) {
        let Some(saving) = &mut self.progress.saving else { return };
        if let Err(why) = result {
            #[cfg(feature = "bugs")]
            let why = match pelton_env::bugs::Bug::SessionOutlived.is_on() && why == OperationError::SessionEnded {
                true => OperationError::OutcomeUnknown,
                false => why,
            };
            if why == OperationError::SessionEnded {
                // Whoever has the group now does again what is not stored.
                self.has_ended = true;
                return;
            }
            if why == OperationError::TooLarge {
                // The same again would be refused for ever, and nothing more be stored.
                tracing::error!(group = %self.group, "progress does not fit into one entry: it is stored without the \
                    texts of its dead letters");
                drop_texts(&mut saving.progress);
            }
            tracing::warn!(group = %self.group, %why, "progress is not stored yet");
            saving.again = Some(Instant::now() + RETRY_AFTER);
            return;
        }
        let Some(saved) = self.progress.saving.take() else { return };
        self.progress.unsaved -= saved.unsaved;
        self.progress.letter_bytes -= saved.letter_bytes;
        for (metrics, cause) in saved.letters {
            metrics.dead_letter(cause);
        }
        for at in std::mem::take(&mut self.progress.starved) {
            self.queue(at);
        }
    }

    /// The next moment at which progress is to be stored.
    pub(super) fn next_store(&self) -> Option<Instant> {
        match &self.progress.saving {
            Some(saving) => saving.again,
            None if self.cursors_reading => None,
            None => self.progress.due,
        }
    }
}

fn drop_texts(progress: &mut Progress) {
    for letter in progress.cursors.iter_mut().flat_map(|update| &mut update.dead_letters) {
        letter.destination.clear();
        letter.answer.detail.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pelton_client::{GroupId, LastAnswer, Position, TriggerId};
    use pelton_env::UnixMillis;
    use pelton_resource::limits::MAX_URI_BYTES;

    use super::*;
    use crate::delivery::KEPT_BODY_BYTES;

    /// The largest letters there can be, until nothing more may start, and those of the attempts that are on their way
    /// then: two targets, each with as many as it may have.
    #[test]
    fn dead_letters_that_are_not_stored_are_bounded_in_bytes() {
        let options = Options::default();
        let mut keeper = ProgressKeeper::new(&options);
        let metrics = crate::metrics::Metrics::new(1).of("n", "t", "b");
        let letter = DeadLetter {
            trigger: TriggerId(1),
            position: Position { group: GroupId(1), offset: Offset(1) },
            attempts: 1,
            cause: Cause::Rejected,
            destination: "x".repeat(MAX_URI_BYTES),
            answer: LastAnswer { code: None, detail: Bytes::from(vec![b'x'; KEPT_BODY_BYTES]) },
            at: UnixMillis(0),
        };
        let mut letters = 0;
        while !keeper.is_full() {
            keeper.ended();
            keeper.kept(metrics.clone(), &letter);
            letters += 1;
        }
        letters += 2 * options.max_connections;
        assert!(letters * letter.stored_bytes() < 14 << 20, "{letters} letters");
    }
}
