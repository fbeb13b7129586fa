//! A data group's state on this node: the replicated core, its trailing copy at the watermark, and who watches.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pelton_client::{GroupId, Offset, OperationError};
use pelton_consensus::{Applied, StateMachine, Watermark};
use pelton_log::{Log, LogIndex};
use pelton_peer::Versions;
use tokio::sync::watch;

use crate::cluster::ClusterState;
use crate::command::EVENTS;
use crate::core::{ChangeResult, Core, Effect, Entry};
use crate::protocol::Forms;

/// How many results of changes are kept for those who asked. They look at once, so few are ever needed.
const RESULTS_KEPT: usize = 4096;

/// The version of a stored state from before there were clusters.
const BEFORE_CLUSTERS: u8 = 1;

/// Most bytes that a stored state may unfold to: far above what a group holds, and no bomb.
const MAX_UNFOLDED_BYTES: usize = 1 << 30;

/// The state machine of a group that holds events.
#[derive(Debug)]
pub(crate) struct EventState {
    group: GroupId,
    /// The newest version of the protocol that this program reads.
    protocol: u32,
    /// Says in which version of the protocol a state is written.
    cluster: watch::Receiver<Arc<ClusterState>>,
    inner: Mutex<Inner>,
    watched: Mutex<Watched>,
}

/// What readers wait for. They are told the end when this node no longer leads the group.
#[derive(Debug, Default)]
struct Watched {
    /// The end (exclusive) of the committed events.
    tail: watch::Sender<Offset>,
    /// The log index of the last change that a dispatcher should look at.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    live: Core,
    /// The state as of the last entry that may be purged: what a snapshot holds.
    trailing: Core,
    trailing_index: u64,
    results: VecDeque<(u64, ChangeResult)>,
}

impl EventState {
    pub(crate) fn new(group: GroupId, versions: Versions, cluster: watch::Receiver<Arc<ClusterState>>) -> Self {
        Self { group, protocol: versions.max, cluster, inner: Mutex::default(), watched: Mutex::default() }
    }

    /// As it is stored and sent in the cluster as it is now.
    fn fold(&self, core: &Core) -> Bytes {
        fold(core, self.protocol())
    }

    fn unfold(&self, bytes: &Bytes) -> Result<Core, String> {
        unfold(bytes, self.group, self.protocol)
    }

    pub(crate) fn watch_tail(&self) -> watch::Receiver<Offset> {
        self.watched.lock().tail.subscribe()
    }

    pub(crate) fn tail(&self) -> Offset {
        *self.watched.lock().tail.borrow()
    }

    pub(crate) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.watched.lock().changes.subscribe()
    }

    /// Whoever watches sees the end; who begins now sees what is.
    pub(crate) fn end_watching(&self) {
        let mut watched = self.watched.lock();
        let (tail, changes) = (*watched.tail.borrow(), *watched.changes.borrow());
        *watched = Watched { tail: watch::Sender::new(tail), changes: watch::Sender::new(changes) };
    }

    /// Looks at the live state.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        look(&self.inner.lock().live)
    }

    /// What the change at `index`, which is applied, gave. [`OperationError::OutcomeUnknown`] when that is no longer
    /// known.
    pub(crate) fn result(&self, index: LogIndex) -> ChangeResult {
        let inner = self.inner.lock();
        let kept = inner.results.iter().rev().find(|(at, _)| *at == index.0);
        kept.map_or(Err(OperationError::OutcomeUnknown), |(_, result)| result.clone())
    }

    /// Forgets keys of events below `keys`, and of calls that wrote below `calls`.
    pub(crate) fn prune_keys(&self, keys: Offset, calls: Offset) {
        let live = &mut self.inner.lock().live;
        live.keys.prune(keys);
        live.calls.prune(calls);
    }

    /// Brings the trailing copy up to the trim mark by applying again what lies between. `true` when it moved.
    ///
    /// # Errors
    /// The log could not be read.
    pub(crate) fn advance_trailing(&self, log: &Log) -> Result<bool, pelton_log::ReadError> {
        let (mut trailing, from, to) = {
            let inner = self.inner.lock();
            (inner.trailing.clone(), inner.trailing_index, inner.live.trim)
        };
        let group = pelton_log::GroupId(self.group.0);
        // What is known of a damaged entry may not be right, so it is waited for.
        let damaged = log.faulty(group).into_iter().find(|stretch| stretch.end().0 > from);
        let to = damaged.map_or(to, |stretch| to.min(stretch.start().0.max(from + 1) - 1));
        if to <= from {
            return Ok(false);
        }
        for index in from + 1..=to {
            let Some(meta) = log.entry_meta(group, LogIndex(index))? else { continue };
            // Batches without keys change nothing but the next offset: their bytes are not read again.
            let body = if meta.kind <= EVENTS {
                Bytes::new()
            } else {
                let read = log.read(group, LogIndex(index), LogIndex(index + 1), 1)?;
                read.into_iter().next().map(|entry| entry.body).unwrap_or_default()
            };
            if meta.kind >= EVENTS {
                let entry = Entry {
                    index,
                    term: meta.term.0,
                    kind: meta.kind,
                    first_offset: Offset(meta.first_offset.0),
                    event_count: meta.event_count,
                    body: &body,
                    protocol: self.protocol,
                };
                trailing.apply(self.group, entry);
            }
        }
        let mut inner = self.inner.lock();
        // Keys that are too old for the live window are too old for every replica's.
        trailing.keys.prune(inner.live.keys.iter().next().map_or(inner.live.next, |(offset, _)| offset));
        trailing.calls.prune(inner.live.calls.iter().next().map_or(inner.live.next, |(offset, _)| offset));
        inner.trailing = trailing;
        inner.trailing_index = to;
        Ok(true)
    }
}

/// A core in stored form: a version byte, then its encoding compressed with LZ4. Cursors and dead letters repeat
/// themselves, and a checkpoint has to fit into one record of the log.
fn fold(core: &Core, protocol: u32) -> Bytes {
    let mut out = vec![Forms::of(protocol).event_state];
    out.extend_from_slice(&lz4_flex::block::compress_prepend_size(&core.encode()));
    out.into()
}

/// By a program that speaks the protocol up to this version.
fn unfold(bytes: &Bytes, group: GroupId, protocol: u32) -> Result<Core, String> {
    let (&version, folded) = bytes.split_first().ok_or("the state is empty")?;
    if !(BEFORE_CLUSTERS..=Forms::of(protocol).event_state).contains(&version) {
        return Err(format!("state of version {version}, which this program does not know"));
    }
    let (size, _) = lz4_flex::block::uncompressed_size(folded).map_err(|error| error.to_string())?;
    if size > MAX_UNFOLDED_BYTES {
        return Err(format!("state of {size} B, above the limit of {MAX_UNFOLDED_BYTES} B"));
    }
    let core = lz4_flex::block::decompress_size_prepended(folded).map_err(|error| error.to_string())?;
    Core::decode(&mut core.into(), group, version > BEFORE_CLUSTERS).map_err(|error| error.to_string())
}

impl StateMachine for EventState {
    fn protocol(&self) -> u32 {
        self.cluster.borrow().protocol()
    }

    fn apply(&self, applied: Applied) {
        let (index, command) = (applied.index.0, applied.command);
        let mut inner = self.inner.lock();
        let entry = Entry {
            index,
            term: applied.term.0,
            kind: command.kind,
            first_offset: Offset(applied.first_offset.0),
            event_count: command.event_count,
            body: &command.body,
            protocol: self.protocol,
        };
        let effect = inner.live.apply(self.group, entry);
        let mut kept = |result| {
            if inner.results.len() == RESULTS_KEPT {
                inner.results.pop_front();
            }
            inner.results.push_back((index, result));
        };
        match effect {
            Effect::Events => {
                let next = inner.live.next;
                drop(inner);
                self.watched.lock().tail.send_replace(next);
            }
            Effect::Progress { ignored } => {
                kept(Ok(0));
                if ignored > 0 {
                    tracing::debug!(group = self.group.0, ignored, "progress of triggers that are gone or rewound");
                }
            }
            Effect::Changed(result) => {
                kept(result);
                drop(inner);
                self.watched.lock().changes.send_replace(index);
            }
            Effect::Quiet(result) => kept(result),
            Effect::Unreadable(why) => {
                // Applying what follows without this entry would make this replica differ from the others.
                panic!("entry {index} of log group {} cannot be applied: {why}", self.group);
            }
        }
    }

    fn checkpoint(&self) -> Bytes {
        self.fold(&self.inner.lock().live)
    }

    fn restore(&self, checkpoint: &Bytes, watermark: Option<&Watermark>) -> Result<(), String> {
        let live = self.unfold(checkpoint)?;
        let (trailing, trailing_index) = match watermark {
            Some(watermark) => (self.unfold(&watermark.state)?, watermark.index.0),
            None => (Core::default(), 0),
        };
        let tail = live.next;
        *self.inner.lock() = Inner { live, trailing, trailing_index, results: VecDeque::new() };
        self.watched.lock().tail.send_replace(tail);
        Ok(())
    }

    fn watermark(&self, _applied: LogIndex) -> Option<Watermark> {
        let inner = self.inner.lock();
        (inner.trailing_index > 0)
            .then(|| Watermark { index: LogIndex(inner.trailing_index), state: self.fold(&inner.trailing) })
    }

    fn install(&self, index: LogIndex, state: &Bytes) -> Result<(), String> {
        let core = self.unfold(state)?;
        let tail = core.next;
        *self.inner.lock() =
            Inner { live: core.clone(), trailing: core, trailing_index: index.0, results: VecDeque::new() };
        self.watched.lock().tail.send_replace(tail);
        Ok(())
    }

    fn adopt(&self, watermark: &Watermark) -> Result<(), String> {
        let trailing = self.unfold(&watermark.state)?;
        let mut inner = self.inner.lock();
        if watermark.index.0 > inner.trailing_index {
            (inner.trailing, inner.trailing_index) = (trailing, watermark.index.0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
