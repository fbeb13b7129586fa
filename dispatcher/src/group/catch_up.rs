//! Triggers with a place of their own: behind the tail, or after a full window. They take turns, batch by batch, and
//! those in the same batch share it.

use std::sync::Arc;

use pelton_client::{Client, EventBatch, Offset, ReadError};

use super::cache::Decoded;
use super::scan::lane_of;
use super::{Group, Happened, Wake};
use crate::trigger::Follow;

/// Triggers that are taken through one batch in one turn, so that the tail is not kept waiting.
const TRIGGERS_PER_TURN: usize = 32;

impl<C: Client> Group<C> {
    /// Lists the trigger for its own scan, has it join the tail, or leaves it alone, as things stand.
    pub(super) fn place(&mut self, at: u32) {
        let scanned = self.scanned;
        let Some(slot) = self.slots.get_mut(at) else { return };
        if let Some(listed) = slot.lagging_at.take() {
            self.lagging.remove(&(listed, at));
        }
        if slot.plan.paused {
            slot.state.leave_tail(scanned);
        } else if slot.state.follow() == Follow::Own && slot.state.has_room() {
            if slot.state.join_tail(scanned) {
                if let Some(from) = slot.state.joins_at(self.progress.stored()) {
                    self.progress.joins(from, at);
                }
            } else {
                let own = slot.state.at();
                slot.lagging_at = Some(own);
                self.lagging.insert((own, at));
            }
        }
        self.touched(at);
    }

    /// Takes the next of those that lag behind through a batch.
    pub(super) fn catch_up(&mut self) {
        if self.catching_up || self.is_stopping() || self.progress.is_full() {
            return;
        }
        let next = self.lagging.range(self.lagging_next..).next().or_else(|| self.lagging.first()).copied();
        let Some((at, slot)) = next else { return };
        self.lagging_next = (at, slot.saturating_add(1));
        self.catching_up = true;
        if let Some(batch) = self.cache.batch(at).cloned() {
            self.take_through(&batch);
            // The next turn comes at once, but after everything else had its own.
            self.begin(async {
                tokio::task::yield_now().await;
                Happened::Waited(Wake::CatchUp)
            });
            return;
        }
        let (client, group) = (self.client.clone(), self.group);
        let bytes = self.shared.options.read_bytes;
        self.begin(async move { Happened::CaughtUp { at, read: client.read(group, at, bytes).await } });
    }

    pub(super) fn on_caught_up(&mut self, at: Offset, read: Result<Vec<EventBatch>, ReadError>) {
        match read {
            Ok(batches) if batches.is_empty() => self.wait_for(Wake::CatchUp),
            Ok(batches) => {
                let decoded: Vec<Arc<Decoded>> = batches.iter().map(|batch| self.cache.insert(batch)).collect();
                let is_there = decoded.iter().any(|batch| batch.base() <= at && at < batch.end());
                for batch in decoded {
                    self.take_through(&batch);
                }
                if is_there {
                    self.catching_up = false;
                } else {
                    tracing::error!(group = %self.group, %at, "the log answered with other events than asked for");
                    self.wait_for(Wake::CatchUp);
                }
            }
            Err(ReadError::Purged { first, .. }) => {
                self.catching_up = false;
                let behind: Vec<_> = self.lagging.range(..(first, 0)).copied().collect();
                for (own, slot) in behind {
                    tracing::error!(slot, %own, %first, "events were purged before they were matched");
                    if let Some(slot) = self.slots.get_mut(slot) {
                        slot.metrics.lost(first.0.saturating_sub(own.0));
                        slot.state.forget_below(first);
                        slot.state.scanned_to(first);
                    }
                    self.place(slot);
                }
            }
            Err(why) => {
                tracing::warn!(group = %self.group, %at, %why, "the log could not be read");
                self.wait_for(Wake::CatchUp);
            }
        }
    }

    fn take_through(&mut self, batch: &Decoded) {
        let within: Vec<_> =
            self.lagging.range((batch.base(), 0)..(batch.end(), 0)).take(TRIGGERS_PER_TURN).copied().collect();
        for (_, at) in within {
            self.take_one_through(at, batch);
            self.place(at);
            self.queue(at);
        }
    }

    fn take_one_through(&mut self, at: u32, batch: &Decoded) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Some(index) = self.brokers.get(&slot.plan.broker) else { return };
        for (offset, stored) in batch.from(slot.state.at()) {
            let is_ours = batch.broker(stored) == slot.plan.broker.as_str();
            let before = slot.state.pending();
            let taken =
                slot.state.scan(offset, lane_of(&stored.event), || is_ours && index.matches_one(at, &stored.event));
            if !taken {
                return;
            }
            if slot.state.pending() > before {
                slot.metrics.matched();
            }
        }
        slot.state.scanned_to(batch.end());
    }
}
