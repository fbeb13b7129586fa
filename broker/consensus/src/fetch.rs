//! What a node gives others to repair their replicas with, from its log alone.

use pelton_log::{EntryMeta, GroupId, Log, LogId, LogIndex, ReadError, Term};
use pelton_proto::consensus::v1 as proto;
use proto::fetch_response::found::What;
use proto::fetch_response::{Found, Lack};
use proto::refusal::Reason;

use crate::storage::READ_BYTES;
use crate::wire::{self, BadMessage, refusal};
use crate::{NodeId, codec};

/// Entries that one request asks for.
pub(crate) const MAX_WANTED: usize = 256;

/// Answers from what the log holds of the group. `committed` is what an open replica knows; the log knows less.
pub(crate) fn answer(log: &Log, committed: Option<LogIndex>, request: &proto::FetchRequest) -> proto::FetchResponse {
    held(log, committed, request)
        .unwrap_or_else(|refusal| proto::FetchResponse { refusal: Some(refusal), ..proto::FetchResponse::default() })
}

fn held(
    log: &Log,
    committed: Option<LogIndex>,
    request: &proto::FetchRequest,
) -> Result<proto::FetchResponse, proto::Refusal> {
    let group = GroupId(request.group);
    // One look: where the vote says that this node leads, the entries are those of the leader.
    let view = log.group(group);
    let Some(vote) = &view.vote else {
        return Err(refusal(Reason::UnknownGroup, format_args!("group {} is not on this node", group.0)));
    };
    let vote = codec::decode_vote(vote).map_err(|error| refusal(Reason::Damaged, error))?;
    let last = view.last.or(view.purged);
    let purged = view.purged.map(|(_, _, index)| index);
    let applied = view.checkpoint.map(|(index, _)| index);
    let mut found = Vec::new();
    let mut bytes = 0;
    for wanted in request.wanted.iter().take(MAX_WANTED) {
        let known = wire::log_id(wanted.known.ok_or(BadMessage::Missing("known"))?)?;
        let known: LogId = (Term(known.leader_id.term), known.leader_id.node_id, LogIndex(known.index));
        if wanted.index > known.2.0 {
            return Err(BadMessage::Order.into());
        }
        let one = look(log, group, LogIndex(wanted.index), known, last, purged);
        if let Some(What::Entry(entry)) = &one.what {
            bytes += entry.body.len() as u64;
            if bytes > READ_BYTES && !found.is_empty() {
                break;
            }
        }
        found.push(one);
    }
    Ok(proto::FetchResponse {
        refusal: None,
        vote: Some(wire::vote_to_wire(&vote)),
        last: last.map(|(term, node, index)| proto::LogId { term: term.0, node, index: index.0 }),
        // What is in a checkpoint or purged was applied once.
        committed_index: committed.max(purged).max(applied).map_or(0, |index| index.0),
        is_damaged: !log.faulty(group).is_empty(),
        found,
    })
}

fn look(
    log: &Log,
    group: GroupId,
    index: LogIndex,
    known: LogId,
    last: Option<LogId>,
    purged: Option<LogIndex>,
) -> Found {
    let lacks = |lack: Lack| Found { what: Some(What::Lack(lack.into())), first_offset: 0 };
    if purged.is_some_and(|purged| index <= purged) {
        return lacks(Lack::Purged);
    }
    if last.is_none_or(|last| known.2 > last.2) {
        return lacks(Lack::Short);
    }
    match log.entry_meta(group, known.2) {
        Ok(Some(meta)) if meta.log_id() == known => {}
        Ok(Some(_)) => return lacks(Lack::Other),
        // Truncated or purged just now.
        Ok(None) => return lacks(Lack::Short),
        Err(ReadError::Purged { .. }) => return lacks(Lack::Purged),
        Err(_) => return lacks(Lack::Damaged),
    }
    match log.read(group, index, LogIndex(index.0 + 1), 1) {
        Ok(mut read) => match read.pop() {
            Some(entry) => {
                let first_offset = entry.first_offset.0;
                Found { what: Some(What::Entry(wire::stored_to_wire(entry))), first_offset }
            }
            None => lacks(Lack::Short),
        },
        Err(ReadError::Purged { .. }) => lacks(Lack::Purged),
        Err(_) => lacks(Lack::Damaged),
    }
}

/// What is asked for of the entries at `indexes`, which are damaged here. One that no known entry follows is left out:
/// nothing says which it was.
pub(crate) fn wanted(log: &Log, group: GroupId, indexes: &[LogIndex]) -> Vec<proto::fetch_request::Wanted> {
    let named = |index: &LogIndex| Some((*index, known_from(log, group, *index)?));
    let wanted = indexes.iter().filter_map(named);
    let wanted = wanted.map(|(index, meta)| proto::fetch_request::Wanted {
        index: index.0,
        known: Some(proto::LogId { term: meta.term.0, node: meta.leader, index: meta.index.0 }),
    });
    wanted.collect()
}

/// The first entry from `index` on whose term is known.
pub(crate) fn known_from(log: &Log, group: GroupId, index: LogIndex) -> Option<EntryMeta> {
    let last = log.group(group).last?.2;
    (index.0..=last.0).find_map(|at| log.entry_meta(group, LogIndex(at)).ok().flatten())
}

/// What another replica answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// A leader of this term, when it was elected in it: it had every entry then that was committed before.
    pub(crate) led: Option<Term>,
    pub(crate) last: LogIndex,
    pub(crate) committed: LogIndex,
    pub(crate) is_damaged: bool,
    /// One for each that was wanted, as far as they were answered.
    pub(crate) found: Vec<Result<pelton_log::Entry, Lack>>,
}

/// Reads what `from` answered to a request for `wanted`.
pub(crate) fn read(
    from: NodeId,
    wanted: &[proto::fetch_request::Wanted],
    response: proto::FetchResponse,
) -> Result<Answer, String> {
    if let Some(refusal) = response.refusal {
        return Err(refusal.text);
    }
    let vote = wire::vote(response.vote).map_err(|error| error.to_string())?;
    let leads = vote.committed && vote.leader_id.node_id == from.0;
    let mut found = Vec::new();
    for (wanted, one) in wanted.iter().zip(response.found) {
        found.push(match one.what {
            Some(What::Entry(entry)) if entry.index == wanted.index => {
                Ok(wire::stored(entry, one.first_offset).ok_or("an entry of a kind that no log holds")?)
            }
            Some(What::Lack(lack)) => Err(Lack::try_from(lack).unwrap_or(Lack::Unspecified)),
            Some(What::Entry(_)) | None => return Err("entries that were not asked for".to_owned()),
        });
    }
    Ok(Answer {
        led: leads.then_some(Term(vote.leader_id.term)),
        last: LogIndex(response.last.map_or(0, |last| last.index)),
        committed: LogIndex(response.committed_index),
        is_damaged: response.is_damaged,
        found,
    })
}
