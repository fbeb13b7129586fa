//! Two dispatchers, one group, leaders that change: whatever is applied when, no event is taken for done that nobody
//! delivered.
//!
//! What the test takes for granted is what the leader sees to: a session is given out only when this node has applied
//! everything of earlier terms, and a second one of a term only once no progress of the first is on its way. What the
//! state machine sees to is under test: progress that was on its way when its leader stepped down may get its place in
//! a later term.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{CursorUpdate, Progress, Upto};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One follows the tail from the beginning, the other comes from behind.
const TRIGGERS: [TriggerId; 2] = [TriggerId(1), TriggerId(2)];

fn matches(trigger: TriggerId, offset: u64) -> bool {
    offset % 3 != trigger.0 as u64 % 3
}

/// One trigger as a dispatcher knows it.
#[derive(Debug, Clone, Default)]
struct Known {
    /// `None` follows the tail.
    at: Option<u64>,
    pending: BTreeSet<u64>,
    matched: Vec<u64>,
    done: Vec<u64>,
}

/// A dispatcher in its session.
#[derive(Debug, Clone, Default)]
struct Dispatcher {
    term: u64,
    scanned: u64,
    triggers: BTreeMap<TriggerId, Known>,
    /// Progress that is on its way, and what it was made of.
    sent: Option<Bytes>,
}

impl Dispatcher {
    fn start(term: u64, core: &Core) -> Self {
        let known = |id: &TriggerId| {
            let cursor = &core.group.cursors[id];
            let at = (cursor.upto != Upto::Scanned).then(|| cursor.upto_offset(core.group.scanned).0);
            (*id, Known { at, pending: cursor.pending.iter().map(|offset| offset.0).collect(), ..Known::default() })
        };
        let triggers = TRIGGERS.iter().map(known).collect();
        Self { term, scanned: core.group.scanned.0, triggers, sent: None }
    }

    fn take(known: &mut Known, trigger: TriggerId, from: u64, to: u64) {
        for offset in (from..to).filter(|offset| matches(trigger, *offset)) {
            known.pending.insert(offset);
            known.matched.push(offset);
        }
    }

    /// Matches the tail for those that follow it.
    fn scan(&mut self, tail: u64) {
        for (id, known) in self.triggers.iter_mut().filter(|(_, known)| known.at.is_none()) {
            Self::take(known, *id, self.scanned, tail);
        }
        self.scanned = self.scanned.max(tail);
    }

    /// Matches a few events for those that are behind.
    fn catch_up(&mut self, count: u64) {
        for (id, known) in &mut self.triggers {
            let Some(at) = known.at else { continue };
            let to = (at + count).min(self.scanned);
            Self::take(known, *id, at, to);
            known.at = (to < self.scanned).then_some(to.max(at));
        }
    }

    fn deliver(&mut self, nth: usize, delivered: &mut BTreeSet<(TriggerId, u64)>) {
        let all: Vec<_> = self.triggers.iter().flat_map(|(id, k)| k.pending.iter().map(|o| (*id, *o))).collect();
        let Some(&(id, offset)) = all.get(nth % all.len().max(1)) else { return };
        delivered.insert((id, offset));
        let known = self.triggers.get_mut(&id).unwrap();
        known.pending.remove(&offset);
        known.done.push(offset);
    }

    /// Sends what was done since it last did. One at a time.
    fn send(&mut self) {
        if self.sent.is_some() {
            return;
        }
        let ranges = |offsets: &mut Vec<u64>| {
            let mut offsets = std::mem::take(offsets);
            offsets.sort_unstable();
            offsets.into_iter().map(|offset| (Offset(offset), Offset(offset + 1))).collect::<Vec<_>>()
        };
        let update = |(id, known): (&TriggerId, &mut Known)| CursorUpdate {
            trigger: *id,
            epoch: 1,
            upto: known.at.map_or(Upto::Scanned, |at| Upto::At(Offset(at))),
            matched: ranges(&mut known.matched),
            done: ranges(&mut known.done),
            attempts: vec![],
            dead_letters: vec![],
        };
        let cursors = self.triggers.iter_mut().map(update).collect();
        let progress = Progress { scanned: Offset(self.scanned), cursors };
        self.sent = Some(Change::Progress { term: self.term, progress }.encode(1));
    }
}

#[derive(Debug, Default)]
struct World {
    core: Core,
    term: u64,
    index: u64,
    dispatchers: [Dispatcher; 2],
    /// Who has the session.
    holder: usize,
    /// Progress whose leader stepped down before it got its place.
    adrift: Vec<Bytes>,
    delivered: BTreeSet<(TriggerId, u64)>,
}

impl World {
    fn commit(&mut self, kind: u8, count: u32, body: &Bytes) -> Effect {
        self.index += 1;
        let (index, term, first_offset) = (self.index, self.term, self.core.next);
        self.core.apply(GROUP, Entry { index, term, kind, first_offset, event_count: count, body, protocol: 1 })
    }

    fn grant(&mut self, to: usize) {
        self.holder = to;
        self.dispatchers[to] = Dispatcher::start(self.term, &self.core);
    }

    /// What was sent is committed.
    fn land(&mut self) {
        if let Some(body) = self.dispatchers[self.holder].sent.take() {
            self.commit(command::CHANGE, 0, &body);
        }
    }

    fn step(&mut self, what: u8, arg: u8) {
        let (tail, holder) = (self.core.next.0, self.holder);
        match what {
            0 => drop(self.commit(EVENTS, u32::from(arg % 4) + 1, &Bytes::new())),
            1 => self.dispatchers[holder].scan(tail),
            2 => self.dispatchers[holder].catch_up(u64::from(arg % 5)),
            3 => self.dispatchers[holder].deliver(usize::from(arg), &mut self.delivered),
            4 => self.dispatchers[holder].send(),
            5 => self.land(),
            // The other one gets the session in the same term.
            6 => {
                self.land();
                self.grant(1 - holder);
            }
            // A new leader. What was on its way is committed by it before anything else, or never, or gets its place
            // later, for all that the one who sent it knows.
            7 => {
                match arg % 3 {
                    0 => self.land(),
                    1 => self.adrift.extend(self.dispatchers[holder].sent.take()),
                    _ => self.dispatchers[holder].sent = None,
                }
                self.term += 1;
                self.grant(usize::from(arg / 3) % 2);
            }
            _ => {
                if let Some(body) = self.adrift.pop() {
                    assert_eq!(
                        self.commit(command::CHANGE, 0, &body),
                        Effect::Quiet(Err(OperationError::SessionEnded))
                    );
                }
            }
        }
    }

    /// Events that the stored state takes for done, and nobody delivered.
    fn lost(&self) -> Vec<(TriggerId, u64)> {
        let undone = |id: TriggerId, offset: u64| {
            let cursor = &self.core.group.cursors[&id];
            offset >= cursor.upto_offset(self.core.group.scanned).0 || cursor.pending.contains(Offset(offset))
        };
        let all = TRIGGERS.into_iter().flat_map(|id| (0..self.core.next.0).map(move |offset| (id, offset)));
        let matched = all.filter(|(id, offset)| matches(*id, *offset));
        matched.filter(|(id, offset)| !undone(*id, *offset) && !self.delivered.contains(&(*id, *offset))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn no_interleaving_of_two_dispatchers_loses_an_event(steps in vec((0_u8..9, any::<u8>()), 0..120)) {
        let mut world = World { term: 1, ..World::default() };
        world.commit(command::CHANGE, 0, &Change::Start { version: 1, triggers: TRIGGERS.iter().map(|id| (*id, None)).collect() }.encode(1));
        world.grant(0);
        for (what, arg) in steps {
            world.step(what, arg);
            prop_assert_eq!(world.lost(), vec![], "after step {} of {}", what, arg);
        }
    }
}
