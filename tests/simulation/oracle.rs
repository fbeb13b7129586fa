//! Sees every node of a cluster at once, and judges.
//!
//! Some of it is told by the nodes as it happens (what is applied, acknowledged, promised), the rest is looked at after
//! every step of the simulation.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use pelton_consensus::{Group, ProposeError, Role};
use pelton_log::{Entry, GroupId, LogId, LogIndex};

use crate::invariants::acknowledged_never_lost::Acknowledged;
use crate::invariants::committed_never_changes::Committed;
use crate::invariants::election_safety::Elections;
use crate::invariants::log_matching::LogMatching;
use crate::invariants::monotone::Marks;
use crate::invariants::promises_survive::Promises;
use crate::invariants::refused_is_never_committed::Refused;
use crate::invariants::state_machine_safety::Applied;
use crate::invariants::{
    Leadership, Seen, Violation, leader_completeness, monotone, offsets_without_gaps, reads_are_fresh,
};
use crate::journal::Journal;
use crate::ledger::{Ledger, Line};

pub const GROUP: GroupId = GroupId(1);

/// How much of a body goes into an entry's hash. At the end whole logs are compared.
const HASHED_BYTES: usize = 32;

#[derive(Default)]
struct Node {
    life: u64,
    marks: Marks,
    end: Option<LogId>,
    /// Committed entries up to here were looked at.
    checked: u64,
}

struct Inner {
    nodes: BTreeMap<u64, Node>,
    log_matching: LogMatching,
    committed: Committed,
    elections: Elections,
    promises: Promises,
    applied: Applied,
    acknowledged: Acknowledged,
    refused: Refused,
    next_id: u64,
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

fn hash(entry: &Entry) -> u64 {
    let head = [u64::from(entry.kind), u64::from(entry.event_count), entry.first_offset.0, entry.body.len() as u64];
    let bytes = head.iter().flat_map(|word| word.to_le_bytes());
    let bytes = bytes.chain(entry.body.iter().take(HASHED_BYTES).copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn seen(entry: &Entry) -> Seen {
    Seen { index: entry.index.0, by: (entry.term.0, entry.leader), hash: hash(entry) }
}

/// The last entry of a node's log, or the last that was purged.
fn end_of(group: &Group<Ledger>) -> (Leadership, u64) {
    let view = group.log().group(GROUP);
    let end = view.last.max(view.purged).unwrap_or_default();
    ((end.0.0, end.1), end.2.0)
}

impl Oracle {
    pub fn new(loud: bool) -> Self {
        let inner = Inner {
            nodes: BTreeMap::new(),
            log_matching: LogMatching::default(),
            committed: Committed::default(),
            elections: Elections::default(),
            promises: Promises::default(),
            applied: Applied::default(),
            acknowledged: Acknowledged::default(),
            refused: Refused::default(),
            next_id: 1,
        };
        Self { journal: Journal::new(loud), inner: Mutex::new(inner) }
    }

    pub fn acknowledged(&self) -> usize {
        self.inner.lock().acknowledged.count()
    }

    pub fn elections(&self) -> usize {
        self.inner.lock().elections.count()
    }

    /// The number of a new command.
    pub fn next_id(&self) -> u64 {
        let mut inner = self.inner.lock();
        let id = inner.next_id;
        inner.next_id += 1;
        inner.refused.proposed(id);
        id
    }

    pub fn acked(&self, node: u64, id: u64, index: u64) {
        let mut inner = self.inner.lock();
        self.note(format_args!("node {node} acknowledges {id} at {index}"));
        let Inner { acknowledged, applied, .. } = &mut *inner;
        let verdict = acknowledged.acknowledged(id, index, applied);
        self.judge(verdict);
    }

    pub fn not_acked(&self, id: u64, error: &ProposeError) {
        if *error == ProposeError::OutcomeUnknown {
            return;
        }
        let mut inner = self.inner.lock();
        let at = inner.applied.index_of(id);
        let verdict = inner.refused.refused(id, error.to_string(), at);
        self.judge(verdict);
    }

    pub fn applied(&self, node: u64, before: Option<Line>, line: Line) {
        let mut inner = self.inner.lock();
        let verdict = inner.applied.applied(node, line);
        self.judge(verdict);
        let verdict = inner.refused.applied(line.id, line.index);
        self.judge(verdict);
        self.judge(offsets_without_gaps::check(node, before, line));
    }

    pub fn loaded(&self, node: u64, lines: &[Line], upto: Option<u64>) {
        let inner = self.inner.lock();
        let verdict = inner.applied.loaded(node, lines, upto);
        self.judge(verdict);
        if let Some(upto) = upto {
            self.note(format_args!("node {node} installs a snapshot as of {upto}"));
        }
    }

    pub fn promised(&self, node: u64, leadership: Leadership) {
        self.inner.lock().promises.gave(node, leadership);
    }

    pub fn accepted(&self, node: u64, entry: (Leadership, u64)) {
        self.inner.lock().promises.accepted(node, entry);
    }

    /// The highest index that a read which begins now has to see.
    pub fn read_begins(&self) -> u64 {
        self.inner.lock().acknowledged.highest_index()
    }

    pub fn read_ends(&self, node: u64, began_at: u64, index: u64, applied: u64) {
        self.judge(reads_are_fresh::check(node, began_at, index, applied));
    }

    pub fn all_applied(&self) {
        let inner = self.inner.lock();
        let verdict = inner.acknowledged.all_applied(&inner.applied);
        self.judge(verdict);
    }

    /// Looks at a node that runs, in its nth life.
    pub fn look(&self, id: u64, life: u64, group: &Group<Ledger>) {
        let status = group.status();
        if status.role == Role::Ended {
            return;
        }
        let mut inner = self.inner.lock();
        let mut node = inner.nodes.remove(&id).unwrap_or_default();
        if node.life != life {
            node = Node { life, ..Node::default() };
            let verdict = inner.promises.started(id, status.term.0, end_of(group));
            self.judge(verdict);
        }
        let index = |index: Option<LogIndex>| index.map_or(0, |index| index.0);
        let marks = Marks {
            term: status.term.0,
            committed: index(status.committed_index),
            applied: index(status.applied_index),
            purged: index(status.purged_index),
        };
        if marks != node.marks {
            self.judge(monotone::check(id, node.marks, marks));
            node.marks = marks;
        }
        self.look_at_log(&mut inner, id, &mut node, group);
        let under = (status.term.0, status.leader.map_or(u64::MAX, |leader| leader.0));
        self.look_at_commit(&mut inner, id, &mut node, group, under);
        if status.role == Role::Leader {
            self.look_at_leader(&mut inner, id, life, group, (status.term.0, id));
        }
        inner.nodes.insert(id, node);
    }

    fn look_at_log(&self, inner: &mut Inner, id: u64, node: &mut Node, group: &Group<Ledger>) {
        let log = group.log();
        let view = log.group(GROUP);
        if view.last == node.end {
            return;
        }
        let written_by = |index: u64| log.entry_meta(GROUP, LogIndex(index)).ok().flatten().map(|meta| meta.log_id());
        let goes_on = node.end.filter(|end| written_by(end.2.0) == Some(*end));
        let from = match (goes_on, view.first) {
            (_, None) => {
                node.end = view.last;
                inner.promises.ends(id, end_of(group));
                return;
            }
            (Some(end), Some(first)) => first.0.max(end.2.0 + 1),
            (None, Some(first)) => first.0,
        };
        let mut before = match from.checked_sub(1).and_then(written_by) {
            Some((term, leader, _)) => Some((term.0, leader)),
            None => view.purged.filter(|purged| purged.2.0 + 1 == from).map(|(term, leader, _)| (term.0, leader)),
        };
        match log.read(GROUP, LogIndex(from), LogIndex(u64::MAX), u64::MAX) {
            Ok(entries) => {
                for entry in &entries {
                    let entry = seen(entry);
                    let verdict = inner.log_matching.held(id, entry, before);
                    self.judge(verdict);
                    before = Some(entry.by);
                }
            }
            Err(error) => self.judge(Err(Violation { invariant: "logs can be read", what: error.to_string() })),
        }
        node.end = view.last;
        inner.promises.ends(id, end_of(group));
    }

    fn look_at_commit(&self, inner: &mut Inner, id: u64, node: &mut Node, group: &Group<Ledger>, under: Leadership) {
        let committed = node.marks.committed;
        if committed <= node.checked {
            return;
        }
        let log = group.log();
        let first = log.group(GROUP).first.map_or(u64::MAX, |first| first.0);
        let from = first.max(node.checked + 1);
        if log.group(GROUP).last.is_none_or(|last| last.2.0 < committed) {
            // A snapshot is being installed: what is in the log is to be purged.
            return;
        }
        let rises = committed > inner.committed.highest();
        match log.read(GROUP, LogIndex(from), LogIndex(committed + 1), u64::MAX) {
            Ok(entries) => {
                for entry in &entries {
                    let verdict = inner.committed.committed(id, seen(entry), under);
                    self.judge(verdict);
                }
            }
            Err(error) => self.judge(Err(Violation { invariant: "logs can be read", what: error.to_string() })),
        }
        if rises {
            self.note(format_args!("node {id}: {committed} is committed"));
        }
        node.checked = committed;
    }

    fn look_at_leader(&self, inner: &mut Inner, id: u64, life: u64, group: &Group<Ledger>, leadership: Leadership) {
        match inner.elections.leads(leadership, life) {
            Ok(false) => return,
            Ok(true) => {}
            Err(violation) => return self.judge(Err(violation)),
        }
        self.note(format_args!("node {id} leads term {}", leadership.0));
        let Some(committed) = inner.committed.before(leadership) else { return };
        let log = group.log();
        let purged = log.group(GROUP).purged.map_or(0, |purged| purged.2.0);
        if committed.index <= purged {
            return;
        }
        let held = log.entry_meta(GROUP, LogIndex(committed.index)).ok().flatten();
        let held = held.map(|meta| (meta.term.0, meta.leader));
        self.judge(leader_completeness::check(leadership, committed, held));
    }
}
