//! Triggers with a place of their own: behind the tail, or after a full window. They take turns, batch by batch, and
//! those in the same batch share it.

use std::fmt::Display;
use std::sync::Arc;

use pelton_client::{Client, EventBatch, Offset, ReadError};
use tokio::time::Instant;

use super::cache::Decoded;
use super::reads::{OTHER_EVENTS, Reader, purged_up_to};
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
            } else if slot.unreadable_at != Some(slot.state.at()) {
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
            self.reads.over(Reader::CatchUp, at);
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
        self.catching_up = false;
        if let Some(first) = purged_up_to(&read, at) {
            self.reads.over(Reader::CatchUp, at);
            return self.on_own_purged(first);
        }
        match read {
            Ok(batches) if batches.iter().any(|batch| batch.base <= at && at < batch.end()) => {
                self.reads.over(Reader::CatchUp, at);
                let decoded: Vec<Arc<Decoded>> = batches.iter().map(|batch| self.cache.insert(batch)).collect();
                for batch in decoded {
                    self.take_through(&batch);
                }
            }
            Ok(_) => self.catch_up_failed(at, &OTHER_EVENTS),
            Err(why) => self.catch_up_failed(at, &why),
        }
    }

    /// Those who stand there wait; others that lag behind go on.
    fn catch_up_failed(&mut self, at: Offset, why: &dyn Display) {
        let slots: Vec<_> = self.lagging.range((at, 0)..=(at, u32::MAX)).map(|(_, slot)| *slot).collect();
        let wait = self.reads.failed(Reader::CatchUp, at, why, Instant::now());
        for slot in &slots {
            if let Some(slot) = self.slots.get_mut(*slot) {
                slot.unreadable_at = Some(at);
            }
            self.place(*slot);
        }
        self.wait_for(wait, Wake::Behind { at, slots });
    }

    pub(super) fn catch_up_again(&mut self, at: Offset, mut slots: Vec<u32>) {
        slots.retain(|slot| {
            self.slots.get_mut(*slot).is_some_and(|slot| slot.unreadable_at.take_if(|own| *own == at).is_some())
        });
        slots.iter().for_each(|slot| self.place(*slot));
        if self.lagging.range((at, 0)..=(at, u32::MAX)).next().is_none() {
            // Those who stood there went elsewhere, or are gone.
            self.reads.over(Reader::CatchUp, at);
        }
    }

    /// What was to be matched is not in the log any more. Whether it would have matched nobody knows: all of it counts
    /// as lost.
    fn on_own_purged(&mut self, first: Offset) {
        let behind: Vec<_> = self.lagging.range(..(first, 0)).copied().collect();
        for (own, at) in behind {
            if let Some(slot) = self.slots.get_mut(at) {
                let unseen = slot.state.unseen_from().map_or(0, |from| first.0.saturating_sub(from.0));
                let lost = slot.state.forget_below(first) + unseen;
                slot.state.scanned_to(first);
                slot.metrics.lost(lost);
                tracing::error!(trigger = %slot.id, %own, %first, lost, "events were purged before they were matched");
            }
            self.place(at);
            self.queue(at);
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
        let damaged = batch.damaged_from(slot.state.at());
        let mut is_through = true;
        for (offset, stored) in batch.from(slot.state.at()) {
            let is_ours = batch.broker(stored) == slot.plan.broker.as_str();
            let before = slot.state.pending();
            let taken =
                slot.state.scan(offset, lane_of(&stored.event), || is_ours && index.matches_one(at, &stored.event));
            if !taken {
                is_through = false;
                break;
            }
            if slot.state.pending() > before {
                slot.metrics.matched();
                slot.tally.matched();
            }
        }
        if is_through {
            slot.state.scanned_to(batch.end());
        }
        if damaged > 0 {
            self.reads.passed_over(damaged - batch.damaged_from(slot.state.at()));
        }
    }
}
