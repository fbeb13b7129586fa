//! Between openraft's messages and those of `pelton.consensus.v1`.
//!
//! What comes from a peer is checked here for everything that openraft takes for granted: it was written for messages
//! of its own making, and asserts.

use bytes::{Bytes, BytesMut};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest};
use pelton_log::GroupId;
use pelton_proto::consensus::v1 as proto;
use proto::append_response::Result as Answer;
use proto::snapshot_chunk::Head;

use crate::snapshot::SnapshotBytes;
use crate::types::{LeaderId, LogId, RaftEntry, Snapshot, SnapshotMeta, StoredMembership, Types, Vote};
use crate::{codec, entry};

/// Why a message is none that an honest peer of this version sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadMessage {
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("its vote is not that of a leader")]
    NotALeader,
    #[error("its entries are not in order")]
    Order,
    #[error("an entry is of a kind that this version does not know")]
    UnknownEntry,
    #[error("it is for another group")]
    OtherGroup,
    #[error("its {0} is out of range")]
    OutOfRange(&'static str),
}

pub(crate) fn vote_to_wire(vote: &Vote) -> proto::Vote {
    proto::Vote { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub(crate) fn vote(wire: Option<proto::Vote>) -> Result<Vote, BadMessage> {
    let wire = wire.ok_or(BadMessage::Missing("vote"))?;
    // The next term is one more.
    if wire.term == u64::MAX {
        return Err(BadMessage::OutOfRange("term"));
    }
    Ok(Vote { leader_id: LeaderId { term: wire.term, node_id: wire.node }, committed: wire.committed })
}

fn leader_vote(wire: Option<proto::Vote>) -> Result<Vote, BadMessage> {
    vote(wire).and_then(|vote| if vote.committed { Ok(vote) } else { Err(BadMessage::NotALeader) })
}

pub(crate) fn log_id_to_wire(id: LogId) -> proto::LogId {
    proto::LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub(crate) fn log_id(wire: proto::LogId) -> Result<LogId, BadMessage> {
    if wire.index == u64::MAX {
        return Err(BadMessage::OutOfRange("index"));
    }
    Ok(LogId { leader_id: LeaderId { term: wire.term, node_id: wire.node }, index: wire.index })
}

fn entry_to_wire(entry: RaftEntry) -> proto::Entry {
    let content = entry::content(entry.payload);
    proto::Entry {
        term: entry.log_id.leader_id.term,
        node: entry.log_id.leader_id.node_id,
        index: entry.log_id.index,
        kind: u32::from(content.kind),
        event_count: content.event_count,
        body: content.body,
    }
}

/// An entry as it is stored.
pub(crate) fn stored_to_wire(entry: pelton_log::Entry) -> proto::Entry {
    proto::Entry {
        term: entry.term.0,
        node: entry.leader,
        index: entry.index.0,
        kind: u32::from(entry.kind),
        event_count: entry.event_count,
        body: entry.body,
    }
}

/// A stored entry of another replica, whose events begin at `first_offset`.
pub(crate) fn stored(entry: proto::Entry, first_offset: u64) -> Option<pelton_log::Entry> {
    Some(pelton_log::Entry {
        term: pelton_log::Term(entry.term),
        leader: entry.node,
        index: pelton_log::LogIndex(entry.index),
        kind: u8::try_from(entry.kind).ok()?,
        first_offset: pelton_log::Offset(first_offset),
        event_count: entry.event_count,
        body: entry.body,
    })
}

/// Makes a request begin behind the last of its entries that cannot be read here, so that no such entry is sent: a
/// follower takes the rest only if it has that entry. Whether it had one.
pub(crate) fn begin_behind_unreadable(request: &mut AppendEntriesRequest<Types>) -> bool {
    let Some(last) = request.entries.iter().rposition(|entry| entry::is_unreadable(&entry.payload)) else {
        return false;
    };
    request.prev_log_id = Some(request.entries[last].log_id);
    request.entries.drain(..=last);
    true
}

pub(crate) fn append_to_wire(group: GroupId, request: AppendEntriesRequest<Types>) -> proto::AppendRequest {
    proto::AppendRequest {
        group: group.0,
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.map(log_id_to_wire),
        entries: request.entries.into_iter().map(entry_to_wire).collect(),
        committed: request.leader_commit.map(log_id_to_wire),
    }
}

/// Bytes of the entries of a request.
pub(crate) fn body_bytes(request: &proto::AppendRequest) -> u64 {
    request.entries.iter().map(|entry| entry.body.len() as u64).sum()
}

pub(crate) fn append(group: GroupId, wire: proto::AppendRequest) -> Result<AppendEntriesRequest<Types>, BadMessage> {
    if wire.group != group.0 {
        return Err(BadMessage::OtherGroup);
    }
    let vote = leader_vote(wire.vote)?;
    let prev_log_id = wire.previous.map(log_id).transpose()?;
    let mut last = prev_log_id;
    let mut entries = Vec::with_capacity(wire.entries.len());
    for entry in wire.entries {
        let id = log_id(proto::LogId { term: entry.term, node: entry.node, index: entry.index })?;
        let due = last.map_or(0, |last| last.index + 1);
        let leader = last.map(|last| last.leader_id);
        if id.index != due || Some(id.leader_id) < leader {
            return Err(BadMessage::Order);
        }
        last = Some(id);
        let payload =
            entry::payload(entry.kind, entry.event_count, entry.body).map_err(|_| BadMessage::UnknownEntry)?;
        entries.push(RaftEntry { log_id: id, payload });
    }
    // A leader has no entry of a leader after it.
    if last.is_some_and(|last| last.leader_id > vote.leader_id) {
        return Err(BadMessage::Order);
    }
    let leader_commit = wire.committed.map(log_id).transpose()?;
    if leader_commit.is_some_and(|committed| committed.leader_id > vote.leader_id) {
        return Err(BadMessage::OutOfRange("commit"));
    }
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(crate) fn answer_to_wire(answer: StreamAppendResult<Types>) -> proto::AppendResponse {
    let result = match answer {
        Ok(last) => Answer::Success(proto::append_response::Success { last: last.map(log_id_to_wire) }),
        Err(StreamAppendError::Conflict(at)) => Answer::Conflict(log_id_to_wire(at)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(vote_to_wire(&vote)),
    };
    proto::AppendResponse { result: Some(result) }
}

pub(crate) fn refused_append(refusal: proto::Refusal) -> proto::AppendResponse {
    proto::AppendResponse { result: Some(Answer::Refusal(refusal)) }
}

/// What a peer says to an append or a heartbeat; `Err(Ok)` is its refusal.
pub(crate) fn answer(
    wire: proto::AppendResponse,
) -> Result<StreamAppendResult<Types>, Result<proto::Refusal, BadMessage>> {
    match wire.result.ok_or(Err(BadMessage::Missing("result")))? {
        Answer::Success(success) => Ok(Ok(success.last.map(log_id).transpose().map_err(Err)?)),
        Answer::Conflict(at) => Ok(Err(StreamAppendError::Conflict(log_id(at).map_err(Err)?))),
        Answer::HigherVote(higher) => Ok(Err(StreamAppendError::HigherVote(vote(Some(higher)).map_err(Err)?))),
        Answer::Refusal(refusal) => Err(Ok(refusal)),
    }
}

pub(crate) fn vote_request_to_wire(group: GroupId, request: &VoteRequest<Types>, pre_vote: bool) -> proto::VoteRequest {
    proto::VoteRequest {
        group: group.0,
        vote: Some(vote_to_wire(&request.vote)),
        last: request.last_log_id.map(log_id_to_wire),
        pre_vote,
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request(wire: proto::VoteRequest) -> Result<VoteRequest<Types>, BadMessage> {
    let vote = vote(wire.vote)?;
    if vote.committed {
        return Err(BadMessage::OutOfRange("vote"));
    }
    let last_log_id = wire.last.map(log_id).transpose()?;
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: wire.leadership_transfer })
}

pub(crate) fn transfer_to_wire(group: GroupId, request: &TransferLeaderRequest<Types>) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        group: group.0,
        from: Some(vote_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().copied().map(log_id_to_wire),
    }
}

pub(crate) fn transfer(wire: proto::TransferLeaderRequest) -> Result<TransferLeaderRequest<Types>, BadMessage> {
    let last = wire.last.map(log_id).transpose()?;
    Ok(TransferLeaderRequest::new(leader_vote(wire.from)?, wire.to, last))
}

/// What goes before the bytes of a snapshot; size and checksum are filled in with them.
pub(crate) fn snapshot_head(group: GroupId, vote: Option<&Vote>, meta: &SnapshotMeta) -> Head {
    let mut membership = BytesMut::new();
    codec::put_membership(&mut membership, meta.last_membership.membership());
    Head {
        group: group.0,
        vote: vote.map(vote_to_wire),
        last: meta.last_log_id.map(log_id_to_wire),
        membership_at: meta.last_membership.log_id().map(log_id_to_wire),
        membership: membership.freeze(),
        size_bytes: 0,
        crc32c: 0,
    }
}

/// A snapshot that openraft and the state machine can take. What cannot be would end the group, or the process.
pub(crate) fn snapshot(head: Head, bytes: Bytes) -> Result<(Snapshot, SnapshotBytes), proto::Refusal> {
    let invalid = |why: &dyn std::fmt::Display| refusal(proto::refusal::Reason::Invalid, why);
    let last = log_id(head.last.ok_or(BadMessage::Missing("last log id"))?)?;
    let membership_at = head.membership_at.map(log_id).transpose()?;
    let membership = codec::get_membership(&mut head.membership.clone()).map_err(|error| invalid(&error))?;
    let decoded = SnapshotBytes::decode(&bytes).map_err(|error| invalid(&error))?;
    if decoded.index.0 != last.index || membership_at > Some(last) {
        return Err(BadMessage::Order.into());
    }
    let last_membership = StoredMembership::new(membership_at, membership);
    let meta = SnapshotMeta { last_log_id: Some(last), last_membership };
    Ok((Snapshot { meta, snapshot: bytes }, decoded))
}

pub(crate) fn refusal(reason: proto::refusal::Reason, text: impl ToString) -> proto::Refusal {
    proto::Refusal { reason: reason.into(), text: text.to_string() }
}

impl From<BadMessage> for proto::Refusal {
    fn from(error: BadMessage) -> Self {
        refusal(proto::refusal::Reason::Invalid, format_args!("the message cannot be used: {error}"))
    }
}

#[cfg(test)]
mod tests;
