//! One trigger in one group: what waits, what is on its way, what is done. Pure; time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{Cursor, CursorUpdate, DeadLetter, Offset, TriggerId, Upto};
use tokio::time::Instant;

use super::{LaneId, Lanes, OrderedLanes, SinkErrand, Unsaved};
use crate::service::Waiting;

/// Most events of one trigger that may be pending at once. Beyond it the trigger stops matching and reads on later
/// from its own place in the log.
pub const WINDOW: u64 = 65_536;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asked {
    /// The trigger's subscriber.
    Subscriber,
    /// Its dead-letter sink.
    Sink,
}

/// Whether a trigger follows the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// It is matched by the group's one scan, from this offset on.
    Tail {
        /// Where it came in; above the scanned mark for a trigger that starts at the end while the scan is behind.
        from: Offset,
    },
    /// It has its own place: behind the tail, paused, or with a full window.
    Own,
}

/// An event whose first attempt was started and that is not done.
#[derive(Debug)]
struct Active {
    lane: LaneId,
    attempts: u32,
    phase: Phase,
    errand: Option<Box<SinkErrand>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Due,
    InFlight,
    Delayed(Instant),
}

/// One trigger in one group.
#[derive(Debug)]
pub struct TriggerState {
    trigger: TriggerId,
    epoch: u64,
    max_in_flight: usize,
    follow: Follow,
    /// The next event to be looked at by the trigger's own scan.
    at: Offset,
    /// Ordered triggers after a restart: below this, only `restored` is taken, in the order of the log. What is in
    /// `restored` above it was matched already, too.
    restored_upto: Offset,
    restored: pelton_client::RangeSet,
    /// Events that were pending or done before a scan came to them. It must not take them a second time.
    ahead: pelton_client::RangeSet,
    lanes: Lanes,
    /// Failed attempts of waiting events, from before a restart.
    known_attempts: BTreeMap<Offset, u32>,
    active: BTreeMap<Offset, Active>,
    due: BTreeSet<Offset>,
    sink_due: BTreeSet<Offset>,
    delayed: BTreeSet<(Instant, Offset)>,
    in_flight: usize,
    errands: usize,
    held_until: Option<Instant>,
    unsaved: Unsaved,
}

impl TriggerState {
    /// The state that a stored cursor describes. Nothing is on its way; what was pending waits again.
    #[must_use]
    pub fn restore(trigger: TriggerId, cursor: &Cursor, scanned: Offset, ordered: bool, max_in_flight: usize) -> Self {
        let upto = cursor.upto_offset(scanned);
        let pending = cursor.pending.clone();
        // A crash between two parts of one progress, or a dead letter that is sent again after a rewind, leaves pending
        // offsets above the bound.
        let mut ahead = pelton_client::RangeSet::new();
        if !ordered {
            ahead = pending.clone();
            ahead.remove_range(Offset(0), upto);
        }
        let behind = ordered && !pending.is_empty();
        let (lanes, restored) = match (ordered, behind) {
            (false, _) => (Lanes::Unordered(pending.clone()), pelton_client::RangeSet::new()),
            (true, true) => (Lanes::Ordered(OrderedLanes::default()), pending.clone()),
            (true, false) => (Lanes::Ordered(OrderedLanes::default()), pelton_client::RangeSet::new()),
        };
        let follow = match cursor.upto {
            Upto::Scanned if !behind => Follow::Tail { from: Offset(0) },
            Upto::Scanned | Upto::At(_) => Follow::Own,
        };
        Self {
            trigger,
            epoch: cursor.epoch,
            max_in_flight: max_in_flight.max(1),
            follow,
            at: if behind { pending.first().map_or(upto, |first| first.min(upto)) } else { upto },
            restored_upto: if behind { upto } else { Offset(0) },
            restored,
            ahead,
            lanes,
            #[cfg(feature = "bugs")]
            known_attempts: match pelton_env::bugs::Bug::AttemptsForgotten.is_on() {
                true => BTreeMap::new(),
                false => cursor.attempts.clone(),
            },
            #[cfg(not(feature = "bugs"))]
            known_attempts: cursor.attempts.clone(),
            active: BTreeMap::new(),
            due: BTreeSet::new(),
            sink_due: BTreeSet::new(),
            delayed: BTreeSet::new(),
            in_flight: 0,
            errands: 0,
            held_until: None,
            unsaved: Unsaved::default(),
        }
    }

    /// Goes over to ordered delivery, or back. What is on its way is forgotten and will be made again: the caller
    /// sees to it that its outcomes do not count.
    pub fn reorder(&mut self, ordered: bool, scanned: Offset) {
        let mut pending = self.lanes.offsets();
        let mut attempts = std::mem::take(&mut self.known_attempts);
        for (from, to) in self.restored.ranges() {
            pending.insert_range(from, to);
        }
        for (&offset, active) in &self.active {
            pending.insert(offset);
            attempts.insert(offset, active.attempts);
        }
        let upto = self.upto(scanned);
        let cursor = Cursor { epoch: self.epoch, changed: 0, upto, pending, attempts };
        let mut state = Self::restore(self.trigger, &cursor, scanned, ordered, self.max_in_flight);
        state.unsaved = std::mem::take(&mut self.unsaved);
        state.unsaved.moved();
        *self = state;
    }

    /// The epoch of the cursor this came from.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Changes how many may be on their way at once.
    pub fn set_max_in_flight(&mut self, max: usize) {
        self.max_in_flight = max.max(1);
    }

    /// How many events are pending: waiting, on their way, or between two attempts.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.lanes.waiting() + self.restored.len() + self.active.len() as u64
    }

    /// What could be on its way to the subscriber now and is not, and how much may be at once. What waits for a time is left
    /// out.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let may_start = self.held_until.is_none();
        let events = if may_start { self.lanes.waiting() + self.due.len() as u64 } else { 0 };
        let at_once = if events == 0 { 0 } else { self.lanes.at_once().min(self.max_in_flight as u64) };
        Waiting { events, at_once }
    }

    /// How many attempts are on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The lowest event that is not done.
    #[must_use]
    pub fn oldest(&self) -> Option<Offset> {
        let waiting = match &self.lanes {
            Lanes::Unordered(waiting) => waiting.first(),
            Lanes::Ordered(_) => self.lanes.peek(),
        };
        [waiting, self.restored.first(), self.active.keys().next().copied()].into_iter().flatten().min()
    }

    /// For a trigger with a place of its own: the first event that it was not matched against.
    #[must_use]
    pub fn unseen_from(&self) -> Option<Offset> {
        match self.follow {
            Follow::Tail { .. } => None,
            Follow::Own => Some(self.at.max(self.restored_upto)),
        }
    }

    // --- where it stands ---

    /// Whether it follows the tail.
    #[must_use]
    pub fn follow(&self) -> Follow {
        self.follow
    }

    /// The next event its own scan looks at.
    #[must_use]
    pub fn at(&self) -> Offset {
        self.at
    }

    /// Whether its own scan may go on: there is room for more pending events. Half the window must be free, so that a
    /// read is worth its cost.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lanes.waiting() + self.active.len() as u64 <= WINDOW / 2
    }

    /// Leaves the tail: the next event it has not seen is `at`.
    pub fn leave_tail(&mut self, at: Offset) {
        if let Follow::Tail { from } = self.follow {
            self.follow = Follow::Own;
            self.at = at.max(from);
            self.unsaved.moved();
        }
    }

    /// Joins the tail scan, which has come to `scanned`. `false` when the trigger's own place is below that.
    pub fn join_tail(&mut self, scanned: Offset) -> bool {
        if self.follow != Follow::Own || self.at < scanned || !self.restored.is_empty() {
            return false;
        }
        self.follow = Follow::Tail { from: self.at };
        self.unsaved.moved();
        true
    }

    /// The bound as it is to be stored with the scanned mark `scanned`.
    #[must_use]
    pub fn upto(&self, scanned: Offset) -> Upto {
        match self.follow {
            Follow::Tail { from } if from > scanned => Upto::At(from),
            Follow::Tail { .. } => Upto::Scanned,
            Follow::Own => Upto::At(self.at.max(self.restored_upto)),
        }
    }

    /// Whether what is stored about the bound will have to be stored again once the tail scan comes to it.
    #[must_use]
    pub fn joins_at(&self, scanned: Offset) -> Option<Offset> {
        match self.follow {
            Follow::Tail { from } if from > scanned => Some(from),
            Follow::Tail { .. } | Follow::Own => None,
        }
    }

    /// Makes the next update carry the bound.
    pub fn store_bound(&mut self) {
        self.unsaved.moved();
    }

    // --- matching ---

    /// An event of the tail scan matched. `false` when the window is full: the trigger has left the tail there.
    pub fn matched_at_tail(&mut self, offset: Offset, lane: LaneId) -> bool {
        let Follow::Tail { from } = self.follow else { return true };
        if offset < from || self.was_ahead(offset) {
            return true;
        }
        if self.pending() >= WINDOW {
            self.leave_tail(offset);
            return false;
        }
        self.lanes.push(offset, lane);
        self.unsaved.matched(offset);
        true
    }

    /// The trigger's own scan has come to this event; `matches` says whether its filter lets it pass. `false` when the
    /// window is full: the event was not taken.
    pub fn scan(&mut self, offset: Offset, lane: LaneId, matches: impl FnOnce() -> bool) -> bool {
        if offset < self.at {
            return true;
        }
        if self.lanes.waiting() + self.active.len() as u64 >= WINDOW {
            return false;
        }
        // Matched before a restart, as the store knows: below the bound, what is not pending any more is done.
        if self.restored.remove(offset) {
            self.lanes.push(offset, lane);
        } else if offset >= self.restored_upto && !self.was_ahead(offset) && matches() {
            self.lanes.push(offset, lane);
            self.unsaved.matched(offset);
        }
        self.scanned_to(offset.plus(1));
        true
    }

    /// Whether the event was taken before a scan came to it, which it now has.
    fn was_ahead(&mut self, offset: Offset) -> bool {
        !self.ahead.is_empty() && self.ahead.remove(offset)
    }

    /// The trigger's own scan has seen everything below `offset`.
    pub fn scanned_to(&mut self, offset: Offset) {
        if offset <= self.at || self.follow != Follow::Own {
            return;
        }
        let before = self.at.max(self.restored_upto);
        self.at = offset;
        if self.at.max(self.restored_upto) != before {
            self.unsaved.moved();
        }
        // What was pending and could not be read is not waited for.
        while let Some(first) = self.restored.first().filter(|first| *first < offset) {
            self.restored.remove(first);
            self.unsaved.done(first);
        }
    }

    // --- attempts ---

    /// Moves what has waited long enough to what is due.
    pub fn wake(&mut self, now: Instant) {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        while let Some(&(at, offset)) = self.delayed.first() {
            if at > now {
                break;
            }
            self.delayed.pop_first();
            self.put_due(offset);
        }
    }

    /// The next moment at which [`wake`](Self::wake) has something to do.
    #[must_use]
    pub fn next_wake(&self) -> Option<Instant> {
        [self.delayed.first().map(|(at, _)| *at), self.held_until].into_iter().flatten().min()
    }

    /// Starts no attempt at the subscriber before `until`.
    pub fn hold(&mut self, until: Instant) {
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// The event whose attempt may start next, if any may.
    #[must_use]
    pub fn next(&self, asked: Asked) -> Option<Offset> {
        if self.in_flight >= self.max_in_flight {
            return None;
        }
        match asked {
            Asked::Sink => self.sink_due.first().copied(),
            Asked::Subscriber if self.held_until.is_some() || self.errands >= self.max_in_flight => None,
            Asked::Subscriber => self.due.first().copied().or_else(|| self.lanes.peek()),
        }
    }

    /// Whether enough attempts are on their way that reading the log for a few more is not worth it yet.
    #[must_use]
    pub fn is_half_busy(&self) -> bool {
        self.in_flight * 2 > self.max_in_flight
    }

    /// Starts the attempt that [`next`](Self::next) named. Returns how many were made at the subscriber before.
    pub fn start(&mut self, asked: Asked, offset: Offset) -> u32 {
        let taken = match asked {
            Asked::Sink => self.sink_due.remove(&offset),
            Asked::Subscriber => self.due.remove(&offset),
        };
        if !taken {
            let (popped, lane) = self.lanes.pop().expect("an event that may start is due or waits");
            assert_eq!(popped, offset, "the event that starts is the one that was named");
            let attempts = self.known_attempts.remove(&offset).unwrap_or(0);
            self.active.insert(offset, Active { lane, attempts, phase: Phase::Due, errand: None });
        }
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::DoneWhenSent.is_on() {
            self.unsaved.done(offset);
        }
        let active = self.active.get_mut(&offset).expect("what is due is active");
        active.phase = Phase::InFlight;
        self.in_flight += 1;
        active.attempts
    }

    /// Whether an attempt for the event is on its way.
    #[must_use]
    pub fn is_in_flight(&self, offset: Offset) -> bool {
        self.active.get(&offset).is_some_and(|active| active.phase == Phase::InFlight)
    }

    /// The attempt was not made after all. It does not count.
    pub fn not_sent(&mut self, offset: Offset) {
        self.land(offset);
        self.put_due(offset);
    }

    /// An attempt at the subscriber failed. Returns how many there were.
    pub fn failed(&mut self, offset: Offset) -> u32 {
        let Some(active) = self.active.get_mut(&offset) else { return 0 };
        active.attempts = active.attempts.saturating_add(1);
        active.attempts
    }

    /// The event waits for another attempt until `at`.
    pub fn retry_at(&mut self, offset: Offset, at: Instant) {
        self.land(offset);
        let Some(active) = self.active.get_mut(&offset) else { return };
        active.phase = Phase::Delayed(at);
        self.delayed.insert((at, offset));
        if active.errand.is_none() {
            self.unsaved.attempted(offset, active.attempts);
        }
    }

    /// The subscriber did not take the event: it goes to the dead-letter sink.
    pub fn send_to_sink(&mut self, offset: Offset, errand: SinkErrand) {
        self.land(offset);
        let Some(active) = self.active.get_mut(&offset) else { return };
        // After a crash the subscriber is asked once more: only its answer says why.
        self.unsaved.attempted(offset, active.attempts);
        if active.errand.replace(Box::new(errand)).is_none() {
            self.errands += 1;
        }
        self.put_due(offset);
    }

    /// What the dead-letter sink is to be told about the event.
    pub fn errand(&mut self, offset: Offset) -> Option<&mut SinkErrand> {
        self.active.get_mut(&offset)?.errand.as_deref_mut()
    }

    /// The event is done.
    pub fn done(&mut self, offset: Offset) {
        if self.end(offset) {
            self.unsaved.done(offset);
        }
    }

    /// The event is given up, and kept as a dead letter.
    pub fn dead(&mut self, letter: DeadLetter) {
        if self.end(letter.position.offset) {
            self.unsaved.dead(letter);
        }
    }

    /// Attempts made at the subscriber so far.
    #[must_use]
    pub fn attempts(&self, offset: Offset) -> u32 {
        self.active.get(&offset).map_or(0, |active| active.attempts)
    }

    /// Forgets every event below `first` that is not on its way: the log does not have them any more. Returns how
    /// many were lost.
    pub fn forget_below(&mut self, first: Offset) -> u64 {
        let restored = self.restored.len();
        self.restored.remove_range(Offset(0), first);
        self.ahead.remove_range(Offset(0), first);
        let mut lost = self.lanes.forget_below(first) + restored - self.restored.len();
        let gone: Vec<_> = self
            .active
            .range(..first)
            .filter(|(_, active)| active.phase != Phase::InFlight)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in gone {
            self.done(offset);
            lost += 1;
        }
        if lost > 0 {
            self.unsaved.forget_below(first);
        }
        lost
    }

    // --- storing ---

    /// Takes in offsets that are pending in the store and were not here: dead letters that were sent again.
    ///
    /// `scanned` is where the scan at the tail has come to.
    pub fn merge(&mut self, cursor: &Cursor, scanned: Offset) {
        let waiting = self.lanes.offsets();
        let to_come = match self.follow {
            Follow::Own => self.at,
            Follow::Tail { from } => from.max(scanned),
        };
        for offset in cursor.pending.iter() {
            let known = self.active.contains_key(&offset)
                || self.restored.contains(offset)
                || waiting.contains(offset)
                || self.unsaved.ended(offset);
            if !known {
                self.lanes.push(offset, LaneId::REDRIVEN);
                if offset >= to_come {
                    self.ahead.insert(offset);
                }
            }
        }
    }

    /// Whether there is something to store.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// How large the next update would be; see [`Unsaved::weight`].
    #[must_use]
    pub fn unsaved_weight(&self) -> usize {
        self.unsaved.weight()
    }

    /// What happened since the last update.
    pub fn take_update(&mut self, scanned: Offset) -> CursorUpdate {
        let upto = self.upto(scanned);
        self.unsaved.take(self.trigger, self.epoch, upto)
    }

    fn put_due(&mut self, offset: Offset) {
        let Some(active) = self.active.get_mut(&offset) else { return };
        active.phase = Phase::Due;
        if active.errand.is_some() {
            self.sink_due.insert(offset)
        } else {
            self.due.insert(offset)
        };
    }

    fn land(&mut self, offset: Offset) {
        if let Some(active) = self.active.get_mut(&offset)
            && active.phase == Phase::InFlight
        {
            active.phase = Phase::Due;
            self.in_flight -= 1;
        }
    }

    fn end(&mut self, offset: Offset) -> bool {
        self.land(offset);
        let Some(active) = self.active.remove(&offset) else { return false };
        if let Phase::Delayed(at) = active.phase {
            self.delayed.remove(&(at, offset));
        }
        self.due.remove(&offset);
        self.sink_due.remove(&offset);
        if active.errand.is_some() {
            self.errands -= 1;
        }
        self.lanes.release(active.lane);
        true
    }
}

#[cfg(test)]
mod tests;
