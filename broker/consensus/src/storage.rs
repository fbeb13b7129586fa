//! openraft's log store over one group of the shared log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use parking_lot::Mutex;
use pelton_log::{Entry, GroupId, Log, LogIndex, Offset, ReadError, Term};
use tokio::sync::{Notify, oneshot};

use crate::types::{LeaderId, LogId, RaftEntry, Types, Vote};
use crate::{Applied, Command, NodeId, codec, entry};

/// Most bytes that one read brings: replication keeps several requests in flight, each of this size at most, or of one
/// entry.
pub(crate) const READ_BYTES: u64 = 1 << 20;

/// How long a reader waits before it looks again whether a damaged entry is mended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// One group's part of the shared log.
#[derive(Clone)]
pub(crate) struct GroupLog {
    log: Log,
    group: GroupId,
    node: NodeId,
    shared: Arc<Shared>,
    /// The damaged entry that this reader came upon last, and gave nothing for.
    gave_nothing_for: Option<LogIndex>,
}

#[derive(Default)]
struct Shared {
    /// Where the last installed snapshot ends, and the offset of the event after it: nothing before it is in the log.
    installed: Mutex<Option<(LogIndex, Offset)>>,
    elections: Mutex<Elections>,
    /// Of the entries up to here only the ids are asked for while the group is opened.
    applied_at_start: Mutex<LogIndex>,
    /// Other replicas may have a copy of what is damaged here, so it is waited for.
    is_mended: AtomicBool,
    /// A read came upon damage.
    damaged: Notify,
}

/// Counted where a leader writes its first entry, so none is missed however short it was.
#[derive(Default)]
struct Elections {
    last_term: u64,
    won: u64,
}

impl GroupLog {
    pub(crate) fn new(log: Log, group: GroupId, node: NodeId) -> Self {
        Self { log, group, node, shared: Arc::default(), gave_nothing_for: None }
    }

    /// The state as of `applied` is there: nobody reads the content of entries up to it.
    pub(crate) fn started_at(&self, applied: LogIndex) {
        *self.shared.applied_at_start.lock() = applied;
    }

    /// Whether somebody brings copies of damaged entries, so that a read waits for them. What waits now fails when
    /// nobody does any more.
    pub(crate) fn set_mended(&self, is_mended: bool) {
        self.shared.is_mended.store(is_mended, Ordering::Relaxed);
    }

    /// Returns when a read came upon damage since the last time.
    pub(crate) async fn came_upon_damage(&self) {
        self.shared.damaged.notified().await;
    }

    /// Whether the entry cannot be read.
    fn is_faulty(&self, index: LogIndex) -> bool {
        self.log.is_faulty(self.group, index)
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
        if let Some((_, offset)) = self.shared.installed.lock().filter(|(at, _)| *at == index) {
            return Ok(Some(offset));
        }
        // Of an entry that a hole swallowed the log does not know it.
        if self.is_faulty(index) {
            return Ok(None);
        }
        if let Some(meta) = self.entry_meta(index)? {
            return Ok(Some(Offset(meta.first_offset.0 + u64::from(meta.event_count))));
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
        Ok(self.try_read_some(from, to, max_bytes)??)
    }

    /// As [`read_some`](Self::read_some); the inner error is damage that may be mended.
    fn try_read_some(
        &self,
        from: LogIndex,
        to: LogIndex,
        max_bytes: u64,
    ) -> io::Result<Result<Vec<RaftEntry>, Damaged>> {
        match self.log.read(self.group, from, to, max_bytes) {
            Ok(entries) => Ok(Ok(entries.into_iter().map(decode_entry).collect::<io::Result<_>>()?)),
            Err(error @ ReadError::Damaged(_)) => {
                self.shared.damaged.notify_one();
                Ok(Err(Damaged(error)))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// The damaged entries at `from`, by their ids, and what can be read behind them. A request never carries them: it
    /// begins behind the last ([`wire::begin_behind_unreadable`](crate::wire::begin_behind_unreadable)).
    fn read_unreadable(&self, from: LogIndex, to: LogIndex, max_bytes: u64) -> io::Result<Vec<RaftEntry>> {
        let (mut entries, mut next) = (Vec::new(), from);
        while next < to && self.is_faulty(next) {
            // One that was mended just now, or of which nothing is known, ends it.
            let Ok(Some(log_id)) = self.log_id(next) else { return Ok(entries) };
            entries.push(RaftEntry { log_id, payload: entry::unreadable() });
            next = LogIndex(next.0 + 1);
        }
        if next < to
            && let Ok(behind) = self.try_read_some(next, to, max_bytes)?
        {
            entries.extend(behind);
        }
        Ok(entries)
    }

    /// As [`read_some`](Self::read_some), and waits for what is damaged as long as somebody may mend it.
    async fn read_mended(&self, from: LogIndex, to: LogIndex, max_bytes: u64) -> io::Result<Vec<RaftEntry>> {
        loop {
            match self.try_read_some(from, to, max_bytes)? {
                Err(_) if self.shared.is_mended.load(Ordering::Relaxed) => tokio::time::sleep(LOOK_AGAIN_AFTER).await,
                read => return Ok(read?),
            }
        }
    }
}

/// An entry is not what was written.
struct Damaged(ReadError);

impl From<Damaged> for io::Error {
    fn from(Damaged(error): Damaged) -> Self {
        Self::other(error)
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
        // This is how a start asks for the id of the oldest entry, and it asks for no other in this way.
        if to.0.checked_sub(1) == Some(from.0) && from <= *self.shared.applied_at_start.lock() && self.is_faulty(from) {
            let log_id = self.log_id(from)?.into_iter();
            return Ok(log_id.map(|log_id| RaftEntry { log_id, payload: EntryPayload::Blank }).collect());
        }
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
                    match this.read_mended(from, to, READ_BYTES).await {
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
        if from >= to {
            return Ok(Vec::new());
        }
        // Replicas have segments of one size. One waits until a request fits in its log, which more than a segment never
        // may.
        let max_bytes = READ_BYTES.min(self.log.segment_capacity_bytes() / 2);
        match self.try_read_some(from, to, max_bytes)? {
            Err(_) if self.shared.is_mended.load(Ordering::Relaxed) => {
                // No entry is taken for a heartbeat, and asked for again: a replication that waited in here would not
                // see that it is over.
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
                // The first of a session says whether the follower has what comes before. Near the end of the log
                // openraft finds out no other way than by sending entries whether it has this one as well.
                if self.gave_nothing_for.take() == Some(from) {
                    return self.read_unreadable(from, to, max_bytes);
                }
                self.gave_nothing_for = Some(from);
                Ok(Vec::new())
            }
            read => Ok(read?),
        }
    }

    /// The last entry of each leadership, from what is known without reading entries: those that cannot be read have
    /// their ids.
    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> Result<Vec<LogId>, io::Error> {
        let id = |index: u64| {
            let known = self.log_id(LogIndex(index))?;
            known.ok_or_else(|| io::Error::other(format!("entry {index} is not in the log")))
        };
        let mut ends = Vec::new();
        let mut first = *range.start();
        while first.leader_id != range.end().leader_id {
            // Terms only grow, so that one entry is of a later leadership than another says where the end must lie.
            let (mut own, mut later) = (first, range.end().index);
            while own.index + 1 < later {
                let middle = id(own.index + (later - own.index) / 2)?;
                if middle.leader_id == first.leader_id { own = middle } else { later = middle.index }
            }
            ends.push(own);
            first = id(later)?;
        }
        ends.push(*range.end());
        Ok(ends)
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
