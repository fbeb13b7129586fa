//! Events that wait, by the host that they are for, and which revisions know of them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::revision::{Revision, WaitingEvents, divide};

/// Events that wait for the hosts of a gateway.
#[derive(Debug, Default)]
pub(crate) struct WaitingFor(HashMap<Box<str>, Host>);

#[derive(Debug, Default)]
struct Host {
    events: WaitingEvents,
    /// Those that were told of them.
    told: Vec<Arc<Revision>>,
}

impl WaitingFor {
    /// The hosts that something waits for.
    pub fn hosts(&self) -> Vec<Box<str>> {
        self.0.keys().cloned().collect()
    }

    /// From now on so much waits for a host that leads to these revisions; so many events have matched since.
    pub fn set(&mut self, host: &str, events: WaitingEvents, matched: u64, shares: &[(Arc<Revision>, u32)]) {
        if !self.0.contains_key(host) {
            self.0.insert(host.into(), Host::default());
        }
        let waiting = self.0.get_mut(host).expect("it was put in");
        waiting.events = events;
        waiting.tell(host, matched, shares);
        if events.events == 0 {
            self.0.remove(host);
        }
    }

    /// A host leads to these revisions from now on.
    pub fn lead(&mut self, host: &str, shares: &[(Arc<Revision>, u32)]) {
        if let Some(waiting) = self.0.get_mut(host) {
            waiting.tell(host, 0, shares);
        }
    }
}

impl Host {
    /// Tells each revision its part, and those that have none any more that they have none.
    fn tell(&mut self, host: &str, matched: u64, shares: &[(Arc<Revision>, u32)]) {
        let percents: Vec<u32> = shares.iter().map(|(_, percent)| *percent).collect();
        let events = divide(self.events.events, &percents);
        let at_once = divide(self.events.at_once, &percents);
        let matched = divide(matched, &percents);
        for revision in &self.told {
            if !shares.iter().any(|(its, _)| Arc::ptr_eq(its, revision)) {
                revision.events_wait(host, WaitingEvents::default(), 0);
            }
        }
        for (at, (revision, _)) in shares.iter().enumerate() {
            revision.events_wait(host, WaitingEvents { events: events[at], at_once: at_once[at] }, matched[at]);
        }
        self.told = shares.iter().map(|(revision, _)| Arc::clone(revision)).collect();
    }
}
