//! A subscriber gets an event twice only when a dispatcher could not know that it took it: the session changed, or the answer
//! was lost. (The fault catalogue's checker, I4: duplicates only where an outcome was unknown; F31.)

use std::collections::BTreeMap;

use pelton_client::{GroupId, Position};

use super::only_committed_is_delivered::Request;
use super::{Verdict, holds};
use crate::nemesis::Fault;
use crate::whole::oracle::Fate;

/// An attempt that a dispatcher made in an earlier session may arrive that much later: its timeout, and the way there.
const ATTEMPT_MILLIS: u64 = 4_000;

pub struct Duplicates {
    /// Answers of subscribers may be lost or too late in this run.
    answers_get_lost: bool,
    sessions: BTreeMap<GroupId, Vec<u64>>,
}

impl Duplicates {
    pub fn new(faults: &[Fault]) -> Self {
        let answers_get_lost = faults.contains(&Fault::SinkHangs) || faults.contains(&Fault::SinkCut);
        Self { answers_get_lost, sessions: BTreeMap::new() }
    }

    /// A dispatcher began to serve the group.
    pub fn session(&mut self, group: GroupId, now: u64) {
        self.sessions.entry(group).or_default().push(now);
    }

    /// The subscriber took the event, for the nth time.
    pub fn taken(&self, request: &Request, at: Position, fate: Fate, now: u64) -> Verdict {
        let earliest = fate.taken_at.saturating_sub(ATTEMPT_MILLIS);
        let sessions = self.sessions.get(&at.group).map_or(&[][..], Vec::as_slice);
        let is_explained = self.answers_get_lost || sessions.iter().any(|began| (earliest..=now).contains(began));
        holds(fate.taken == 1 || is_explained, "duplicates are explained", || {
            let Request { trigger, event, .. } = request;
            format!("trigger {trigger} gets event {event} again, {} times by now, and no session changed", fate.taken)
        })
    }
}
