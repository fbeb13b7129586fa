//! Sees everything that is appended, committed, delivered and stored, and judges.
//!
//! Producers, subscribers and readers of cursors tell it what happens. What needs to be committed by then is judged once
//! the nodes' logs were looked at, which happens at the end of the same step.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use pelton_client::{
    AppendError, Appended, DeadLetter, GroupCursors, GroupId, NodeClient as _, Offset, Position, ReplicaRole,
    TriggerId, records,
};
use pelton_log::{Entry, LogIndex};

use super::clients::number_in;
use super::triggers::wants;
use super::world::Alive;
use crate::invariants::Violation;
use crate::invariants::attempts_are_kept::Attempts;
use crate::invariants::cursors_are_what_the_log_says::Models;
use crate::invariants::cursors_pass_nothing_undone::Floors;
use crate::invariants::delivered_to_every_trigger as delivered;
use crate::invariants::duplicates_are_explained::Duplicates;
use crate::invariants::only_committed_is_delivered::{self as only_committed, Request};
use crate::invariants::written_once::Written;
use crate::journal::Journal;
use crate::nemesis::Fault;

/// Kinds of a data group's entries: events, events with keys, changes. (`broker/src/command.rs`; formats of the disk.)
const EVENTS: [u8; 2] = [16, 17];
const CHANGE: u8 = 18;

/// What became of an event for a Trigger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// The subscriber, or the dead-letter sink, took it so many times.
    pub taken: u32,
    /// When it first did.
    pub taken_at: u64,
    /// It is kept as a dead letter.
    pub is_letter: bool,
}

impl Fate {
    pub fn is_done(self) -> bool {
        self.taken > 0 || self.is_letter
    }
}

/// What became of every event, by Trigger and event.
pub type Fates = BTreeMap<(u64, u64), Fate>;

/// A Trigger: since when it has a cursor in each group.
pub type Started = BTreeMap<u64, BTreeMap<GroupId, u64>>;

/// What is judged at the end of the step.
enum News {
    Acknowledged { node: u64, event: u64, at: Position },
    Asked(Request),
    Read { group: GroupId, cursors: GroupCursors },
}

struct Inner {
    news: Vec<News>,
    next_event: u64,
    /// When each event was handed to its append.
    issued: BTreeMap<u64, u64>,
    written: Written,
    /// How far each replica's log was read, in which life of its node.
    read: BTreeMap<(u64, GroupId), (u64, u64)>,
    started: Started,
    /// Triggers that are being deleted.
    forgotten: Vec<u64>,
    fates: Fates,
    floors: Floors,
    attempts: Attempts,
    models: Models,
    duplicates: Duplicates,
    deliveries: usize,
    acknowledged: usize,
    leaders: BTreeMap<(GroupId, u64), u64>,
    /// The last cursors that were read of each group, and when.
    audits: BTreeMap<GroupId, (u64, GroupCursors)>,
}

pub struct Oracle {
    journal: Journal,
    inner: Mutex<Inner>,
}

impl std::ops::Deref for Oracle {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

impl Oracle {
    pub fn new(loud: bool, faults: &[Fault]) -> Self {
        let inner = Inner {
            news: Vec::new(),
            next_event: 0,
            issued: BTreeMap::new(),
            written: Written::default(),
            read: BTreeMap::new(),
            started: BTreeMap::new(),
            forgotten: Vec::new(),
            fates: BTreeMap::new(),
            floors: Floors::default(),
            attempts: Attempts::default(),
            models: Models::default(),
            duplicates: Duplicates::new(faults),
            deliveries: 0,
            acknowledged: 0,
            leaders: BTreeMap::new(),
            audits: BTreeMap::new(),
        };
        Self { journal: Journal::new(loud), inner: Mutex::new(inner) }
    }

    /// Acknowledgements and deliveries.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.acknowledged, inner.deliveries)
    }

    pub fn elections(&self) -> usize {
        self.inner.lock().leaders.len()
    }

    /// How many Triggers have a cursor in so many groups.
    pub fn started(&self, groups: usize) -> usize {
        self.inner.lock().started.values().filter(|since| since.len() >= groups).count()
    }

    /// The numbers of new events, which are appended now.
    pub fn issue(&self, many: u64) -> Range<u64> {
        let mut inner = self.inner.lock();
        let first = inner.next_event;
        inner.next_event += many;
        let now = self.now_millis();
        inner.issued.extend((first..first + many).map(|event| (event, now)));
        first..first + many
    }

    /// An append of these events was answered.
    pub fn answered(&self, node: u64, events: Range<u64>, answer: &Result<Appended, AppendError>) {
        let mut inner = self.inner.lock();
        self.note(format_args!("node {node} answers {events:?}: {answer:?}"));
        match answer {
            Ok(appended) => {
                for (nth, event) in events.enumerate() {
                    let at = Position { offset: appended.position.offset.plus(nth as u64), ..appended.position };
                    inner.news.push(News::Acknowledged { node, event, at });
                }
            }
            Err(AppendError::OutcomeUnknown) => {}
            Err(error) => {
                events.for_each(|event| self.judge(inner.written.refused(event, error.to_string())));
            }
        }
    }

    /// A subscriber got a request, and will answer it so.
    pub fn asked(&self, trigger: u64, is_dead: bool, event: u64, code: u16, is_whole: bool) {
        let mut inner = self.inner.lock();
        let sink = if is_dead { "dead-letter sink" } else { "subscriber" };
        self.note(format_args!("the {sink} of {trigger} gets {event} and answers {code}"));
        let now = self.now_millis();
        if code == 200 {
            let fate = inner.fates.entry((trigger, event)).or_default();
            let first_at = if fate.taken == 0 { now } else { fate.taken_at };
            *fate = Fate { taken: fate.taken + 1, taken_at: first_at, ..*fate };
            inner.deliveries += 1;
        }
        let is_issued = inner.issued.contains_key(&event);
        inner.news.push(News::Asked(Request { trigger, event, is_taken: code == 200, is_issued, is_whole }));
    }

    /// A subscriber got a request that is none of ours.
    pub fn stranger(&self, path: &str, id: &str) {
        let what = format!("{path} gets {id:?}");
        self.judge(Err(Violation { invariant: "only what was appended is delivered", what }));
    }

    /// A dispatcher got, or lost, the right to deliver a group.
    pub fn serves(&self, node: u64, group: GroupId, session: Option<pelton_client::Session>) {
        self.note(format_args!("node {node} serves {group}: {session:?}"));
        if session.is_some() {
            let mut inner = self.inner.lock();
            inner.duplicates.session(group, self.now_millis());
            inner.attempts.session(group);
        }
    }

    /// The Trigger is being deleted: nothing is owed to it any more.
    pub fn forget(&self, trigger: u64) {
        self.inner.lock().forgotten.push(trigger);
    }

    pub fn has_news(&self) -> bool {
        !self.inner.lock().news.is_empty()
    }

    /// Judges what was told in this step. To be called when the logs were looked at.
    pub fn judge_news(&self) {
        let mut inner = self.inner.lock();
        let now = self.now_millis();
        for news in std::mem::take(&mut inner.news) {
            match news {
                News::Acknowledged { node, event, at } => {
                    inner.acknowledged += 1;
                    self.judge(inner.written.acknowledged(node, event, at));
                }
                News::Read { group, cursors } => self.judge(inner.models.read(group, &cursors)),
                News::Asked(request) => {
                    let at = inner.written.place_of(request.event);
                    self.judge(only_committed::check(&request, at));
                    if let Some(at) = at.filter(|_| request.is_taken) {
                        let fate = inner.fates[&(request.trigger, request.event)];
                        self.judge(inner.duplicates.taken(&request, at, fate, now));
                    }
                }
            }
        }
    }

    /// Looks at what a node's replicas know to be committed.
    pub fn look(&self, id: u64, alive: &Alive) {
        let Some(report) = alive.node.client().report().now_or_never().flatten() else { return };
        let mut inner = self.inner.lock();
        for (group, replica) in report.replicas.iter().filter(|(group, _)| group.0 != 0) {
            if replica.role == ReplicaRole::Leader && inner.leaders.insert((*group, replica.term), id).is_none() {
                self.note(format_args!("node {id} leads {group} in term {}", replica.term));
            }
            let read = inner.read.get(&(id, *group)).filter(|(life, _)| *life == alive.life).map_or(0, |read| read.1);
            if replica.commit_index <= read {
                continue;
            }
            let log = alive.node.log();
            let of_log = pelton_log::GroupId(group.0);
            let view = log.group(of_log);
            let (Some(first), Some(last)) = (view.first, view.last) else { continue };
            if last.2.0 < replica.commit_index {
                // A snapshot is being installed: what is in the log is to be purged.
                continue;
            }
            let from = LogIndex(first.0.max(read + 1));
            match log.read(of_log, from, LogIndex(replica.commit_index + 1), u64::MAX) {
                Ok(entries) => {
                    entries.iter().for_each(|entry| self.committed(&mut inner, id, *group, entry));
                    inner.read.insert((id, *group), (alive.life, replica.commit_index));
                }
                Err(error) => {
                    let what = format!("node {id}, group {group}: {error}");
                    self.judge(Err(Violation { invariant: "logs can be read", what }));
                }
            }
        }
    }

    fn committed(&self, inner: &mut Inner, node: u64, group: GroupId, entry: &Entry) {
        let is_new = match inner.written.entry(node, group, entry) {
            Ok(is_new) => is_new,
            Err(violation) => return self.judge(Err(violation)),
        };
        if !is_new {
            return;
        }
        if EVENTS.contains(&entry.kind) {
            for (nth, record) in records(entry.body.clone()).enumerate() {
                let at = Position { group, offset: Offset(entry.first_offset.0 + nth as u64) };
                let event = record.ok().and_then(|record| number_in(record.event().ok()?.id()));
                self.judge(inner.written.event(event, at));
            }
        }
        let next = Offset(entry.first_offset.0 + u64::from(entry.event_count));
        if entry.kind == CHANGE {
            match inner.models.change(group, entry, next) {
                Ok(Some(progress)) => self.judge(inner.attempts.progress(group, &progress)),
                Ok(None) => {}
                Err(violation) => self.judge(Err(violation)),
            }
        }
    }

    /// Somebody read a group's cursors from its leader, and then its dead letters. `names` gives each Trigger's number.
    pub fn audited(
        &self,
        group: GroupId,
        names: &BTreeMap<TriggerId, u64>,
        cursors: &GroupCursors,
        letters: &[DeadLetter],
    ) {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let now = self.now_millis();
        for letter in letters {
            let event = inner.written.event_at(letter.position);
            if let (Some(trigger), Some(event)) = (names.get(&letter.trigger), event) {
                inner.fates.entry((*trigger, event)).or_default().is_letter = true;
                self.judge(inner.attempts.letter(*trigger, event, letter));
            }
        }
        for (id, cursor) in &cursors.cursors {
            let Some(trigger) = names.get(id) else { continue };
            let since = *inner.started.entry(*trigger).or_default().entry(group).or_insert(now);
            let upto = cursor.upto_offset(cursors.scanned);
            let (written, issued, fates) = (&inner.written, &inner.issued, &inner.fates);
            let is_owed = |event: u64| wants(*trigger, event) && issued.get(&event).is_some_and(|at| *at > since);
            let is_done = |event: u64| fates.get(&(*trigger, event)).is_some_and(|fate| fate.is_done());
            let events = |from: u64| written.events_of(group, from, upto);
            self.judge(
                inner
                    .floors
                    .read(*trigger, group, &cursor.pending, upto, events, |event| !is_owed(event) || is_done(event)),
            );
        }
        inner.audits.insert(group, (now, cursors.clone()));
        inner.news.push(News::Read { group, cursors: cursors.clone() });
    }

    /// Everything that was acknowledged, or is in a log all the same, has reached every Trigger that it matches.
    pub fn all_delivered(&self) -> Result<(), String> {
        let inner = self.inner.lock();
        inner.written.all_acknowledged_are_there()?;
        delivered::check(&inner.started, &inner.forgotten, &inner.issued, &inner.written, &inner.fates)
    }

    /// Every group's cursors were read again, and nothing waits.
    pub fn all_stored(&self, since: u64) -> Result<(), String> {
        let inner = self.inner.lock();
        for (group, (at, cursors)) in &inner.audits {
            let end = inner.written.end_of(*group);
            let behind = cursors.cursors.iter().find(|(_, cursor)| cursor.floor(cursors.scanned) < end);
            if *at <= since || behind.is_some() {
                return Err(format!("group {group}, read at {at} ms, ends at {end}: {behind:?}"));
            }
        }
        Ok(())
    }

    /// The cursors that were read last are those that follow from the log.
    pub fn check_states(&self) -> Result<(), Violation> {
        let inner = self.inner.lock();
        inner.audits.iter().try_for_each(|(group, (_, cursors))| inner.models.check(*group, cursors))
    }

    /// The events of a group with their offsets.
    pub fn events_of(&self, group: GroupId) -> Vec<(Offset, u64)> {
        self.inner.lock().written.events_of(group, 0, Offset(u64::MAX)).collect()
    }
}
