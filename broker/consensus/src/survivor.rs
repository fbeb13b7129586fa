//! A group most of whose voters are gone for ever: what one replica holds of it, and how that one goes on alone.
//!
//! Raft has no way out of this: a minority never learns what the majority acknowledged. So an operator has to say that
//! the others will not come back, and takes what this replica holds for the whole: [`Survivor::take_over`] appends, in
//! a term that is new to it, a membership with one voter. Whatever stands before it in the log becomes committed with
//! it, also what never was; what only the others had is gone. Works on a log that no group has open.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bytes::Bytes;
use openraft::EmptyNode;
use pelton_log::{Entry, EntryMeta, GroupId, GroupView, Log, LogIndex, Term};

use crate::checkpoint::Checkpoint;
use crate::entry::KIND_MEMBERSHIP;
use crate::storage::{READ_BYTES, completed};
use crate::types::{LeaderId, Membership, Payload, Vote};
use crate::{Applied, Command, NodeId, Space, StateMachine, codec, entry};

/// What a replica of a group holds, as its log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// The group.
    pub group: GroupId,
    /// The highest term that the replica has heard of.
    pub term: Term,
    /// Its last entry.
    pub last: (Term, LogIndex),
    /// What it knows to be committed: as a rule as of the last checkpoint. More of it was, most likely.
    pub committed: LogIndex,
    /// Entries after that. They become committed.
    pub uncertain_entries: u64,
    /// Events in those entries.
    pub uncertain_events: u64,
    /// Who votes by the last membership that it has; while the voters change, the old and the new ones.
    pub voters: BTreeSet<NodeId>,
    /// Who follows without a vote.
    pub learners: BTreeSet<NodeId>,
}

/// Why a replica cannot be looked at, or not go on alone.
#[derive(Debug, thiserror::Error)]
pub enum SurvivorError {
    /// What is stored is not what this program writes.
    #[error("log group {group} cannot be read: {why}", group = group.0)]
    Unreadable {
        /// The group.
        group: GroupId,
        /// What is wrong.
        why: String,
    },
    /// The log could not be read or written.
    #[error("log group {group}: the log failed", group = group.0)]
    Log {
        /// The group.
        group: GroupId,
        /// The cause.
        source: io::Error,
    },
}

impl Survivor {
    /// What the log holds of a group; `None` when that is no member of it: nothing, or no more than a vote.
    ///
    /// # Errors
    /// See [`SurvivorError`].
    pub fn of(log: &Log, group: GroupId) -> Result<Option<Self>, SurvivorError> {
        let view = log.group(group);
        let Some((last_term, _, last)) = view.last.max(view.purged) else { return Ok(None) };
        let checkpoint = read_checkpoint(&view, group)?;
        let applied = checkpoint.as_ref().and_then(|checkpoint| checkpoint.applied).map(|id| LogIndex(id.index));
        let purged = view.purged.map(|(_, _, index)| index);
        let committed = view.committed.max(applied).max(purged).unwrap_or_default().min(last);
        let Some(membership) = last_membership(log, &view, group, checkpoint.as_ref())? else { return Ok(None) };
        let heard = view.vote.as_deref().map(codec::decode_vote).transpose();
        let heard = heard.map_err(|error| unreadable(group, &error))?.map_or(0, |vote| vote.leader_id.term);
        let mut uncertain_events = 0;
        for index in committed.0 + 1..=last.0 {
            uncertain_events += meta(log, group, LogIndex(index))?.map_or(0, |meta| u64::from(meta.event_count));
        }
        Ok(Some(Self {
            group,
            term: Term(heard.max(last_term.0)),
            last: (last_term, last),
            committed,
            uncertain_entries: last.0 - committed.0,
            uncertain_events,
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
        }))
    }

    /// Whether the group has no other member than `node`.
    #[must_use]
    pub fn is_alone(&self, node: NodeId) -> bool {
        self.voters.iter().eq([&node]) && self.learners.is_empty()
    }

    /// Gives `state`, which holds nothing yet, everything that the replica holds, committed or not. `may_apply` looks at
    /// each command before, and says what is wrong with it.
    ///
    /// # Errors
    /// See [`SurvivorError`].
    pub fn replay<S: StateMachine>(
        &self,
        log: &Log,
        state: &S,
        may_apply: impl Fn(&Command) -> Result<(), String>,
    ) -> Result<(), SurvivorError> {
        let view = log.group(self.group);
        let mut from = view.first.unwrap_or_default();
        if let Some(checkpoint) = read_checkpoint(&view, self.group)? {
            let restored = state.restore(&checkpoint.state, checkpoint.watermark.as_ref());
            restored.map_err(|why| SurvivorError::Unreadable { group: self.group, why })?;
            from = from.max(LogIndex(checkpoint.applied.map_or(0, |id| id.index + 1)));
        }
        let to = LogIndex(self.last.1.0 + 1);
        while from < to {
            let entries = log.read(self.group, from, to, READ_BYTES).map_err(|error| failed(self.group, error))?;
            let Some(last) = entries.last() else { break };
            from = LogIndex(last.index.0 + 1);
            for stored in entries {
                let (index, term, first_offset) = (stored.index, stored.term, stored.first_offset);
                if let Some(command) = command_of(stored).map_err(|error| unreadable(self.group, &error))? {
                    may_apply(&command).map_err(|why| SurvivorError::Unreadable { group: self.group, why })?;
                    state.apply(Applied { index, term, first_offset, command });
                }
            }
        }
        Ok(())
    }

    /// Makes `node` the group's only member, and has `commands` follow in the same term. Returns that term once it is
    /// durable. Asking again does no harm: then it is so once more, in a later term.
    ///
    /// # Errors
    /// [`SurvivorError::Log`]; then all of it is there or none, or only the vote that comes before it.
    pub async fn take_over(&self, log: &Log, node: NodeId, commands: Vec<Command>) -> Result<Term, SurvivorError> {
        let failed = |source| SurvivorError::Log { group: self.group, source };
        let term = Term(self.term.0 + 1);
        // Not granted by anybody: when the group is opened, the node stands for election in the next term, and its own
        // vote is enough.
        let vote = Vote { leader_id: LeaderId { term: term.0, node_id: node.0 }, committed: false };
        completed(|done| log.save_vote(self.group, codec::encode_vote(&vote), done)).await.map_err(failed)?;
        let members = BTreeMap::from([(node.0, EmptyNode {})]);
        let membership = Membership::new(vec![BTreeSet::from([node.0])], members).expect("its voter is a member");
        let (first_offset, mut index) = (log.next_offset(self.group), self.last.1);
        let contents = [entry::content(Payload::Membership(membership))].into_iter().chain(
            commands
                .into_iter()
                .map(|command| entry::content(Payload::Normal(crate::proposal::Proposal { command, ticket: None }))),
        );
        let entries = contents.map(|content| {
            index = LogIndex(index.0 + 1);
            let entry::Content { kind, event_count, body } = content;
            Entry { term, leader: node.0, index, kind, first_offset, event_count, body }
        });
        let entries: Vec<_> = entries.collect();
        completed(|done| log.append(self.group, entries, done)).await.map_err(failed)?;
        Ok(term)
    }
}

fn unreadable(group: GroupId, error: &dyn std::fmt::Display) -> SurvivorError {
    SurvivorError::Unreadable { group, why: error.to_string() }
}

fn failed(group: GroupId, error: pelton_log::ReadError) -> SurvivorError {
    SurvivorError::Log { group, source: io::Error::other(error) }
}

fn read_checkpoint(view: &GroupView, group: GroupId) -> Result<Option<Checkpoint>, SurvivorError> {
    let decoded = view.checkpoint.as_ref().map(|(_, bytes): &(LogIndex, Bytes)| Checkpoint::decode(bytes));
    decoded.transpose().map_err(|error| unreadable(group, &error))
}

fn meta(log: &Log, group: GroupId, index: LogIndex) -> Result<Option<EntryMeta>, SurvivorError> {
    match log.entry_meta(group, index) {
        Err(pelton_log::ReadError::Purged { .. }) => Ok(None),
        meta => meta.map_err(|error| failed(group, error)),
    }
}

/// The one that counts: that of the log's last entry of its kind, committed or not, else the checkpoint's.
fn last_membership(
    log: &Log,
    view: &GroupView,
    group: GroupId,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<Membership>, SurvivorError> {
    if let (Some(first), Some((_, _, last))) = (view.first, view.last) {
        for index in (first.0..=last.0).rev().map(LogIndex) {
            if meta(log, group, index)?.is_none_or(|meta| meta.kind != KIND_MEMBERSHIP) {
                continue;
            }
            let read =
                log.read(group, index, LogIndex(index.0 + 1), READ_BYTES).map_err(|error| failed(group, error))?;
            let body = read.into_iter().next().map(|entry| entry.body).unwrap_or_default();
            return codec::get_membership(&mut &body[..]).map(Some).map_err(|error| unreadable(group, &error));
        }
    }
    Ok(checkpoint.and_then(|checkpoint| checkpoint.memberships.last()).map(|stored| stored.membership().clone()))
}

/// The command of an entry; `None` in one of Raft's own.
fn command_of(stored: Entry) -> Result<Option<Command>, entry::UnknownEntry> {
    let payload = entry::payload(u32::from(stored.kind), stored.event_count, stored.body)?;
    Ok(match payload {
        Payload::Normal(proposal) => Some(Command { space: Space::Last, ..proposal.command }),
        Payload::Blank | Payload::Membership(_) => None,
    })
}
