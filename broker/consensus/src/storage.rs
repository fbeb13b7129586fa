//! openraft's log store over one group of the shared log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use pelton_log::{Entry, GroupId, Log, LogIndex, Offset, Term};
use tokio::sync::oneshot;

use crate::types::{LeaderId, LogId, RaftEntry, Types, Vote};
use crate::{Applied, Command, NodeId, codec, entry};

/// Most bytes that one read brings: replication keeps several requests in flight, each of this size at most, or of one
/// entry.
pub(crate) const READ_BYTES: u64 = 1 << 20;

/// One group's part of the shared log.
#[derive(Clone)]
pub(crate) struct GroupLog {
    log: Log,
    group: GroupId,
    node: NodeId,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Where the last installed snapshot ends, and the offset of the event after it: nothing before it is in the log.
    installed: Mutex<Option<(LogIndex, Offset)>>,
    elections: Mutex<Elections>,
}

/// Counted where a leader writes its first entry, so none is missed however short it was.
#[derive(Default)]
struct Elections {
    last_term: u64,
    won: u64,
}

impl GroupLog {
    pub(crate) fn new(log: Log, group: GroupId, node: NodeId) -> Self {
        Self { log, group, node, shared: Arc::default() }
    }

    /// How often this node became leader since it opened the group.
    pub(crate) fn elections_won(&self) -> u64 {
        self.shared.elections.lock().won
    }

    /// A snapshot that ends at `index` is in place; the event after it has this offset.
    pub(crate) fn installed(&self, index: LogIndex, next_offset: Offset) {
        *self.shared.installed.lock() = Some((index, next_offset));
    }

    /// The offset of the first event after `index`, which is in the log or the last that was purged.
    pub(crate) fn next_offset_after(&self, index: LogIndex) -> io::Result<Option<Offset>> {
        if let Some(meta) = self.entry_meta(index)? {
            return Ok(Some(Offset(meta.first_offset.0 + u64::from(meta.event_count))));
        }
        if let Some((_, offset)) = self.shared.installed.lock().filter(|(at, _)| *at == index) {
            return Ok(Some(offset));
        }
        let view = self.log.group(self.group);
        Ok(view.purged.filter(|(_, _, purged)| *purged == index).map(|_| view.first_offset))
    }

    fn entry_meta(&self, index: LogIndex) -> io::Result<Option<pelton_log::EntryMeta>> {
        match self.log.entry_meta(self.group, index) {
            Err(pelton_log::ReadError::Purged { .. }) => Ok(None),
            meta => meta.map_err(io::Error::other),
        }
    }

    fn appends(&self, entry: &RaftEntry) {
        match &entry.payload {
            EntryPayload::Normal(proposal) => {
                if let Some(ticket) = &proposal.ticket {
                    ticket.appended_at(entry.log_id);
                }
            }
            // A leader's first entry is blank. One of this node's own that another leader sends back is not counted
            // again.
            EntryPayload::Blank if entry.log_id.leader_id.node_id == self.node.0 => {
                let mut elections = self.shared.elections.lock();
                if entry.log_id.leader_id.term > elections.last_term {
                    elections.last_term = entry.log_id.leader_id.term;
                    elections.won += 1;
                }
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => {}
        }
    }

    /// The index of the newest entry; 0 when there was none yet.
    pub(crate) fn newest(&self) -> u64 {
        self.log.group(self.group).last.map_or(0, |(_, _, last)| last.0)
    }

    /// The term, leader and index of a stored entry.
    pub(crate) fn log_id(&self, index: LogIndex) -> io::Result<Option<LogId>> {
        let view = self.log.group(self.group);
        if let Some((term, node_id, _)) = view.purged.filter(|(_, _, purged)| *purged == index) {
            return Ok(Some(LogId { leader_id: LeaderId { term: term.0, node_id }, index: index.0 }));
        }
        let meta = self.entry_meta(index)?;
        Ok(meta.map(|meta| LogId { leader_id: LeaderId { term: meta.term.0, node_id: meta.leader }, index: index.0 }))
    }

    fn read_range(&self, range: &impl RangeBounds<u64>) -> (LogIndex, LogIndex) {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        let view = self.log.group(self.group);
        let first = view.first.map_or(u64::MAX, |first| first.0);
        let end = view.last.map_or(0, |(_, _, last)| last.0 + 1);
        (LogIndex(from.max(first)), LogIndex(to.min(end)))
    }

    /// The next entries of `from..to`, about `max_bytes` of them and at least one.
    fn read_some(&self, from: LogIndex, to: LogIndex, max_bytes: u64) -> io::Result<Vec<RaftEntry>> {
        let entries = self.log.read(self.group, from, to, max_bytes).map_err(io::Error::other)?;
        entries.into_iter().map(decode_entry).collect()
    }
}

/// Awaits a completion of the shared log.
pub(crate) async fn completed(
    submit: impl FnOnce(Box<dyn FnOnce(Result<(), Arc<io::Error>>) + Send>),
) -> Result<(), io::Error> {
    let (done, answer) = oneshot::channel();
    submit(Box::new(move |result| {
        // The receiver is gone only when the core was stopped, and then nobody needs the answer.
        let _ = done.send(result);
    }));
    match answer.await {
        Ok(result) => result.map_err(shared),
        Err(_) => Err(io::Error::other("the log ended before it answered")),
    }
}

fn shared(error: Arc<io::Error>) -> io::Error {
    io::Error::new(error.kind(), error)
}

fn encode_entry(entry: RaftEntry, first_offset: Offset) -> Entry {
    let content = entry::content(entry.payload);
    Entry {
        term: Term(entry.log_id.leader_id.term),
        leader: entry.log_id.leader_id.node_id,
        index: LogIndex(entry.log_id.index),
        kind: content.kind,
        first_offset,
        event_count: content.event_count,
        body: content.body,
    }
}

fn decode_entry(entry: Entry) -> io::Result<RaftEntry> {
    let log_id = LogId { leader_id: LeaderId { term: entry.term.0, node_id: entry.leader }, index: entry.index.0 };
    Ok(RaftEntry { log_id, payload: entry::payload(u32::from(entry.kind), entry.event_count, entry.body)? })
}

impl GroupLog {
    /// Stores the state as of `applied`, and returns when it is durable.
    pub(crate) async fn save_checkpoint(&self, applied: LogId, checkpoint: bytes::Bytes) -> io::Result<()> {
        let (index, term) = (LogIndex(applied.index), Term(applied.leader_id.term));
        completed(|done| self.log.save_checkpoint(self.group, index, term, checkpoint, done)).await
    }

    /// A committed entry with its place in the sequence of events, as the state machine takes it.
    pub(crate) fn applied(&self, entry: &RaftEntry, command: Command) -> io::Result<Applied> {
        let index = LogIndex(entry.log_id.index);
        let meta = self.log.entry_meta(self.group, index).map_err(io::Error::other)?;
        let meta = meta.ok_or_else(|| io::Error::other(format!("entry {} is not in the log", index.0)))?;
        Ok(Applied { index, term: meta.term, first_offset: meta.first_offset, command })
    }
}

impl RaftLogReader<Types> for GroupLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        let (mut from, to) = self.read_range(&range);
        let mut entries = Vec::new();
        while from < to {
            let some = self.read_some(from, to, READ_BYTES)?;
            let Some(last) = some.last() else { break };
            from = LogIndex(last.log_id.index + 1);
            entries.extend(some);
        }
        Ok(entries)
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<RaftEntry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        // In portions: a restart may ask for a range of any size, and holds one portion of it at a time.
        let (from, to) = self.read_range(&range);
        let this = self.clone();
        let portions = stream::unfold((from, Vec::new().into_iter()), move |(mut from, mut portion)| {
            let this = this.clone();
            async move {
                loop {
                    if let Some(entry) = portion.next() {
                        return Some((Ok(entry), (from, portion)));
                    }
                    if from >= to {
                        return None;
                    }
                    match this.read_some(from, to, READ_BYTES) {
                        Ok(some) if some.is_empty() => return None,
                        Ok(some) => {
                            from = LogIndex(some.last().map_or(from.0, |last: &RaftEntry| last.log_id.index + 1));
                            portion = some.into_iter();
                        }
                        Err(error) => return Some((Err(error), (to, Vec::new().into_iter()))),
                    }
                }
            }
        });
        Box::pin(portions)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        match self.log.group(self.group).vote {
            Some(vote) => Ok(Some(codec::decode_vote(&vote)?)),
            None => Ok(None),
        }
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, io::Error> {
        let (from, to) = self.read_range(&(start..end));
        if from >= to { Ok(Vec::new()) } else { self.read_some(from, to, READ_BYTES) }
    }
}

impl RaftLogStorage<Types> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let view = self.log.group(self.group);
        let log_id = |(term, node_id, index): (Term, u64, LogIndex)| LogId {
            leader_id: LeaderId { term: term.0, node_id },
            index: index.0,
        };
        let last_purged_log_id = view.purged.map(log_id);
        Ok(LogState { last_purged_log_id, last_log_id: view.last.map(log_id).or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = codec::encode_vote(vote);
        #[cfg(feature = "bugs")]
        {
            use pelton_env::bugs::Bug;
            if Bug::VoteNotStored.is_on() {
                return Ok(());
            }
            if Bug::VoteGivenBeforeStored.is_on() {
                self.log.save_vote(self.group, vote, Box::new(|_| {}));
                return Ok(());
            }
        }
        completed(|done| self.log.save_vote(self.group, vote, done)).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // Offsets follow from the log alone: every replica gives the same entry the same ones.
        let mut next = self.log.next_offset(self.group);
        let entries: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                self.appends(&entry);
                let entry = encode_entry(entry, next);
                next = Offset(next.0 + u64::from(entry.event_count));
                entry
            })
            .collect();
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::AnsweredBeforeStored.is_on() {
            self.log.append(self.group, entries, Box::new(|_| {}));
            callback.io_completed(Ok(()));
            return Ok(());
        }
        let done = Box::new(move |result: Result<(), Arc<io::Error>>| callback.io_completed(result.map_err(shared)));
        self.log.append(self.group, entries, done);
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let after = last_log_id.map(|id| LogIndex(id.index));
        completed(|done| self.log.truncate_after(self.group, after, done)).await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let upto = (Term(log_id.leader_id.term), log_id.leader_id.node_id, LogIndex(log_id.index));
        let installed = self.shared.installed.lock().filter(|(at, _)| at.0 == log_id.index);
        completed(|done| match installed {
            // What comes after the snapshot goes on where it ends; the log has nothing that says where that is.
            Some((_, next_offset)) => self.log.reset(self.group, upto, next_offset, done),
            None => self.log.purge(self.group, upto, done),
        })
        .await
    }
}

#[cfg(test)]
mod suite;
