//! The tail: one scan for all triggers that follow it.

use std::fmt::Display;

use pelton_client::{Client, EventBatch, Offset, ReadError};
use pelton_event::Event;
use tokio::time::Instant;

use super::cache::Decoded;
use super::reads::{OTHER_EVENTS, Reader, purged_up_to};
use super::{Group, Happened, Wake};
use crate::trigger::{Follow, LaneId};

impl<C: Client> Group<C> {
    /// Reads on at the tail, unless a read is on its way.
    pub(super) fn follow_tail(&mut self) {
        while !self.tail_reading && !self.is_stopping() && !self.progress.is_full() {
            let committed = *self.committed.borrow_and_update();
            if self.scanned >= committed || self.has_stranger_at_tail() {
                return;
            }
            if self.slots.len() == 0 {
                // Nobody is interested in what stands there.
                self.scanned = committed;
                self.reads.tail_moves();
                self.progress.moved();
                return;
            }
            // Another scan may have read it already.
            if let Some(batch) = self.cache.batch(self.scanned).cloned() {
                self.scan(&batch);
                continue;
            }
            self.tail_reading = true;
            let (client, group, from) = (self.client.clone(), self.group, self.scanned);
            let bytes = self.shared.options.read_bytes;
            self.begin(async move { Happened::Tail { from, read: client.read(group, from, bytes).await } });
        }
    }

    pub(super) fn on_tail(&mut self, from: Offset, read: Result<Vec<EventBatch>, ReadError>) {
        if let Some(first) = purged_up_to(&read, from) {
            return self.on_tail_purged(from, first);
        }
        match read {
            Ok(batches) => {
                for batch in &batches {
                    let decoded = self.cache.insert(batch);
                    self.scan(&decoded);
                }
                if self.scanned > from {
                    self.tail_reading = false;
                } else {
                    self.tail_failed(from, &OTHER_EVENTS);
                }
            }
            Err(why) => self.tail_failed(from, &why),
        }
    }

    fn tail_failed(&mut self, from: Offset, why: &dyn Display) {
        let wait = self.reads.failed(Reader::Tail, from, why, Instant::now());
        self.wait_for(wait, Wake::Tail);
    }

    /// What was to be matched is not in the log any more. Whether it would have matched nobody knows: all of it counts
    /// as lost.
    fn on_tail_purged(&mut self, from: Offset, first: Offset) {
        tracing::error!(group = %self.group, %from, %first, "events were purged before they were matched");
        self.tail_reading = false;
        self.reads.tail_moves();
        for (_, slot) in self.slots.places() {
            if let Follow::Tail { from: joined } = slot.state.follow() {
                slot.metrics.lost(first.0.saturating_sub(self.scanned.max(joined).0));
            }
        }
        self.scanned = self.scanned.max(first);
        self.progress.moved();
        self.forget_below(first);
    }

    /// Matches the events of a batch that were not matched before.
    fn scan(&mut self, batch: &Decoded) {
        if batch.end() <= self.scanned || batch.base() > self.scanned {
            return;
        }
        let damaged = batch.damaged_from(self.scanned);
        if damaged > 0 {
            self.reads.passed_over(damaged);
        }
        let mut found = Vec::new();
        for (offset, stored) in batch.from(self.scanned) {
            let Some(index) = self.brokers.get(batch.broker(stored)) else { continue };
            found.clear();
            index.matches(&stored.event, |at| found.push(at));
            let lane = lane_of(&stored.event);
            for &at in &found {
                self.matched(at, offset, lane);
            }
        }
        self.scanned = batch.end();
        self.reads.tail_moves();
        self.progress.moved();
    }

    fn matched(&mut self, at: u32, offset: Offset, lane: LaneId) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Follow::Tail { from } = slot.state.follow() else { return };
        if offset < from {
            return;
        }
        if slot.state.matched_at_tail(offset, lane) {
            slot.metrics.matched();
            slot.tally.matched();
            slot.matched += 1;
        } else {
            tracing::debug!(trigger = %slot.id, %offset, "the window is full: it goes on from its own place");
        }
        self.touched(at);
        self.queue(at);
    }

    /// Events below `first` are gone: nobody waits for them any longer.
    pub(super) fn forget_below(&mut self, first: Offset) {
        let places: Vec<_> = self.slots.places().map(|(at, _)| at).collect();
        for at in places {
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let lost = slot.state.forget_below(first);
            if lost > 0 {
                tracing::error!(trigger = %slot.id, lost, %first, "events were purged before they were delivered");
                slot.metrics.lost(lost);
                self.touched(at);
            }
        }
    }

    /// Has the trigger's changes stored.
    pub(super) fn touched(&mut self, at: u32) {
        if let Some(slot) = self.slots.get_mut(at)
            && !slot.dirty
            && slot.state.is_dirty()
        {
            slot.dirty = true;
            self.progress.dirty(at);
        }
    }
}

/// The lane of an event in an ordered trigger.
pub(super) fn lane_of(event: &Event) -> LaneId {
    use std::hash::BuildHasher as _;
    let Some(key) = event.extension("partitionkey") else { return LaneId::KEYLESS };
    let key = key.to_canonical();
    if key.is_empty() {
        return LaneId::KEYLESS;
    }
    let hash = foldhash::quality::FixedState::default().hash_one(&*key);
    // The lanes that are no keys.
    LaneId(hash.max(LaneId::REDRIVEN.0 + 1))
}
