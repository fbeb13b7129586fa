//! The gauges of each trigger: how much waits for it, and for how long. Set when something was done and, on a timer,
//! when nothing was: what hangs or rests changes nothing, and its age grows all the same.

use std::collections::BTreeSet;

use pelton_client::{Client, Offset};
use pelton_env::UnixMillis;
use tokio::time::Instant;

use super::{Group, Happened};

/// Reads of the log in one refresh, for the age of events whose batch was not read lately. The others have their turn
/// in the next.
const MAX_LOOKUPS: usize = 16;

/// Events that were sealed together, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    base: Offset,
    end: Offset,
    at: UnixMillis,
}

impl<C: Client> Group<C> {
    /// Sets the gauges of every trigger that has some, if it is time. Their number is bounded by
    /// `max_labelled_triggers`, the reads by [`MAX_LOOKUPS`].
    pub(super) fn refresh_gauges(&mut self, now: Instant) {
        if now < self.gauges_due {
            return;
        }
        self.gauges_due = now + self.shared.options.gauges_every;
        self.reads.unmatched(self.committed.borrow().0.saturating_sub(self.scanned.0));
        let own: Vec<_> = self.slots.places().filter(|(_, slot)| slot.metrics.has_gauges()).map(|(at, _)| at).collect();
        let unknown: BTreeSet<_> = own.into_iter().filter_map(|at| self.show(at)).collect();
        if unknown.is_empty() || self.looking_up || self.is_stopping() {
            return;
        }
        self.looking_up = true;
        // Begins where the last refresh ended, so that a batch that cannot be read does not stand in the way of others.
        let (later, first) = (unknown.range(self.lookup_from..), unknown.range(..self.lookup_from));
        let wanted: Vec<_> = later.chain(first).take(MAX_LOOKUPS).copied().collect();
        self.lookup_from = wanted.last().map_or(Offset(0), |last| last.plus(1));
        let (client, group) = (self.client.clone(), self.group);
        self.begin(async move {
            let mut found: Vec<Sealed> = Vec::new();
            for offset in wanted {
                if found.last().is_some_and(|last| (last.base..last.end).contains(&offset)) {
                    continue;
                }
                // One that cannot be read shows itself where it is to be delivered.
                let batches = client.read(group, offset, 1).await.unwrap_or_default();
                found.extend(
                    batches
                        .iter()
                        .map(|batch| Sealed { base: batch.base, end: batch.end(), at: batch.sealed })
                        .find(|sealed| (sealed.base..sealed.end).contains(&offset)),
                );
            }
            Happened::LookedUp(found)
        });
    }

    pub(super) fn on_looked_up(&mut self, found: &[Sealed]) {
        self.looking_up = false;
        let own: Vec<_> = self.slots.places().filter(|(_, slot)| slot.metrics.has_gauges()).map(|(at, _)| at).collect();
        for at in own {
            let Some(oldest) = self.show(at) else { continue };
            let Some(sealed) = found.iter().find(|sealed| (sealed.base..sealed.end).contains(&oldest)) else {
                continue;
            };
            if let Some(slot) = self.slots.get_mut(at) {
                slot.oldest = Some((oldest, sealed.at));
                self.show(at);
            }
        }
    }

    /// Sets the gauges of one trigger. Returns its oldest event when nobody knows how old that is: its batch has to be
    /// looked up.
    ///
    /// A trigger with a place of its own has not looked at what lies beyond it. All of that counts as waiting: it is
    /// the most that may wait.
    pub(super) fn show(&mut self, at: u32) -> Option<Offset> {
        let committed = *self.committed.borrow();
        let slot = self.slots.get_mut(at)?;
        if !slot.metrics.has_gauges() {
            return None;
        }
        let unseen = slot.state.unseen_from().filter(|from| *from < committed);
        let backlog = slot.state.pending() + unseen.map_or(0, |from| committed.0 - from.0);
        slot.gauges.stands(slot.state.in_flight(), backlog);
        let Some(oldest) = [slot.state.oldest(), unseen].into_iter().flatten().min() else {
            slot.oldest = None;
            slot.gauges.oldest(0.0);
            return None;
        };
        if slot.oldest.is_none_or(|(offset, _)| offset != oldest) {
            slot.oldest = self.cache.batch(oldest).map(|batch| (oldest, batch.sealed()));
        }
        match slot.oldest {
            Some((_, sealed)) => {
                slot.gauges.oldest(self.shared.clock.now().since(sealed).as_secs_f64());
                None
            }
            None => Some(oldest),
        }
    }
}
