//! Reads the log of all groups as one, in about the order of time, and no more of it than one request may.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use pelton_client::{Client, EventBatch, GroupId, Offset, Position, ReadError, Record};
use pelton_env::UnixMillis;

use super::places::{Place, Places};
use super::time::rfc3339;
use crate::api::events_view::Looked;

/// Events that one request looks at; beyond it the answer says where to go on.
pub const MAX_EVENTS: u64 = 100_000;

/// Bytes of the log that one request looks at.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// How much of the log is read at a time. Between two reads others have their turn.
const READ_BYTES: usize = 256 * 1024;

/// By how much the clocks of nodes may differ without an event being missed by its time.
pub const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(5);

/// A reader of all groups, and what it has seen.
#[derive(Debug)]
pub struct Scan<'a, C> {
    client: &'a C,
    places: Places,
    heads: BTreeMap<GroupId, VecDeque<EventBatch>>,
    events: u64,
    bytes: usize,
    missing: u64,
    to: Option<UnixMillis>,
}

impl<'a, C: Client> Scan<'a, C> {
    /// A reader of what is kept now, from the first event that was taken in at `since` or later.
    ///
    /// # Errors
    /// A group cannot be read.
    pub async fn begin(client: &'a C, since: Option<UnixMillis>) -> Result<Self, ReadError> {
        let mut places = Places::default();
        for group in client.groups() {
            let first = client.first(group).await?;
            let end = end_of(client, group, first).await?;
            let next = match since {
                Some(since) => seek(client, group, first, end, since.minus(CLOCKS_DIFFER_BY)).await?,
                None => first,
            };
            places.0.insert(group, Place { next, end });
        }
        Ok(Self::at(client, places))
    }

    /// A reader that goes on where another one was.
    pub fn at(client: &'a C, places: Places) -> Self {
        Self { client, places, heads: BTreeMap::new(), events: 0, bytes: 0, missing: 0, to: None }
    }

    /// Calls `visit` with each event, until that breaks off, or everything was looked at, or as much as one request may. What
    /// was taken in after `until` is left out.
    ///
    /// # Errors
    /// A group cannot be read.
    pub async fn run(
        &mut self,
        until: Option<UnixMillis>,
        mut visit: impl FnMut(Position, UnixMillis, &Record) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        while self.events < MAX_EVENTS && self.bytes < MAX_BYTES {
            self.fill().await?;
            let earliest = self.heads.iter().filter_map(|(group, head)| Some((head.front()?.sealed, *group))).min();
            let Some((sealed, group)) = earliest else { return Ok(()) };
            if until.is_some_and(|until| sealed > until.plus(CLOCKS_DIFFER_BY)) {
                // What comes after it in its group came later.
                self.heads.remove(&group);
                self.places.0.remove(&group);
                continue;
            }
            let Some(batch) = self.heads.get_mut(&group).and_then(VecDeque::pop_front) else { return Ok(()) };
            let is_wanted = until.is_none_or(|until| sealed <= until);
            if is_wanted && self.look_through(&batch, &mut visit).is_break() {
                return Ok(());
            }
            self.passed(&batch);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Goes back to an event, so that whoever goes on sees it again.
    pub fn back_to(&mut self, position: Position) {
        if let Some(place) = self.places.0.get_mut(&position.group) {
            place.next = place.next.min(position.offset);
        }
    }

    /// Where it stands in each group.
    pub fn places(&self) -> impl Iterator<Item = (GroupId, Offset)> + '_ {
        self.places.0.iter().map(|(group, place)| (*group, place.next))
    }

    /// How far it has come.
    pub fn looked(&self) -> Looked {
        Looked {
            events: self.events,
            to: self.to.map(rfc3339),
            missing: self.missing,
            next: (!self.places.are_done()).then(|| self.places.to_string()),
        }
    }

    /// Reads on in each group of which nothing is at hand.
    async fn fill(&mut self) -> Result<(), ReadError> {
        for (group, place) in &mut self.places.0 {
            let head = self.heads.entry(*group).or_default();
            while head.is_empty() && !place.is_done() {
                match self.client.read(*group, place.next, READ_BYTES).await {
                    Ok(batches) if batches.is_empty() => place.end = place.next,
                    Ok(batches) => head.extend(batches),
                    Err(ReadError::Purged { first, .. }) if first > place.next => {
                        let first = first.min(place.end);
                        self.missing = self.missing.saturating_add(first.0 - place.next.0);
                        place.next = first;
                    }
                    // It was left before it began, as when a cluster loses a group for good.
                    Err(ReadError::UnknownGroup(_)) => {
                        self.missing = self.missing.saturating_add(place.end.0 - place.next.0);
                        place.next = place.end;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn look_through(
        &mut self,
        batch: &EventBatch,
        visit: &mut impl FnMut(Position, UnixMillis, &Record) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(place) = self.places.0.get_mut(&batch.group) else { return ControlFlow::Continue(()) };
        for record in batch.records() {
            let Ok((position, record)) = record else {
                let rest = batch.end().min(place.end).0.saturating_sub(place.next.0);
                self.missing = self.missing.saturating_add(rest);
                break;
            };
            if position.offset < place.next {
                continue;
            }
            if place.is_done() {
                break;
            }
            place.next = position.offset.plus(1);
            self.events += 1;
            self.to = self.to.max(Some(batch.sealed));
            visit(position, batch.sealed, &record)?;
        }
        ControlFlow::Continue(())
    }

    fn passed(&mut self, batch: &EventBatch) {
        self.bytes += batch.body.len();
        if let Some(place) = self.places.0.get_mut(&batch.group) {
            place.next = place.next.max(batch.end());
            if place.is_done() {
                self.heads.remove(&batch.group);
            }
        }
    }
}

/// The end of what a group has committed, which is no less than `at_least`. What is watched of a group elsewhere may not be
/// told yet, so its leader is asked: by steps that double, then by halves, a batch at a time.
///
/// # Errors
/// The group cannot be read.
pub async fn end_of<C: Client>(client: &C, group: GroupId, at_least: Offset) -> Result<Offset, ReadError> {
    let told = *client.committed(group)?.borrow();
    end_above(client, group, at_least.max(told)).await
}

async fn end_above<C: Client>(client: &C, group: GroupId, at_least: Offset) -> Result<Offset, ReadError> {
    let (mut low, mut high, mut step) = (at_least, None::<Offset>, 0_u64);
    loop {
        let at = match high {
            None => low.plus(step),
            Some(high) if high <= low => return Ok(low),
            Some(high) => Offset(low.0 + (high.0 - low.0) / 2),
        };
        match client.read(group, at, 1).await?.last() {
            Some(batch) => {
                low = batch.end();
                step = (2 * step).max(1);
            }
            None => high = Some(at),
        }
    }
}

/// The first event of a group that was taken in at `since` or later: by halves, a batch at a time. Where the clock went back
/// it may be one of several; whoever asks leaves a margin.
async fn seek<C: Client>(
    client: &C,
    group: GroupId,
    first: Offset,
    end: Offset,
    since: UnixMillis,
) -> Result<Offset, ReadError> {
    let (mut low, mut high) = (first, end);
    while low < high {
        let middle = Offset(low.0 + (high.0 - low.0) / 2);
        match client.read(group, middle, 1).await {
            Ok(batches) => match batches.first() {
                Some(batch) if batch.sealed < since => low = batch.end(),
                Some(batch) => high = batch.base.min(middle),
                None => high = middle,
            },
            Err(ReadError::Purged { first, .. }) if first > middle => low = first,
            Err(error) => return Err(error),
        }
    }
    Ok(low.min(end))
}

#[cfg(test)]
mod tests;
