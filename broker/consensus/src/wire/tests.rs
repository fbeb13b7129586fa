use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::types::Membership;

const GROUP: GroupId = GroupId(1);

fn id(term: u64, node_id: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id }, index }
}

fn vote_of(term: u64, node_id: u64, committed: bool) -> Vote {
    Vote { leader_id: LeaderId { term, node_id }, committed }
}

fn wire_entry(index: u64) -> proto::Entry {
    proto::Entry { term: 2, node: 1, index, kind: 16, event_count: 3, body: Bytes::from_static(b"events") }
}

fn wire_append() -> proto::AppendRequest {
    proto::AppendRequest {
        group: GROUP.0,
        vote: Some(proto::Vote { term: 2, node: 1, committed: true }),
        previous: Some(log_id_to_wire(id(1, 3, 6))),
        entries: vec![wire_entry(7), wire_entry(8)],
        committed: Some(log_id_to_wire(id(1, 3, 5))),
    }
}

#[test]
fn an_append_request_reads_back_and_its_bodies_are_not_copied() {
    let body = Bytes::from(vec![7; 100]);
    let membership = Membership::new(vec![[1, 2].into()], std::collections::BTreeSet::from([1, 2])).unwrap();
    let command = crate::Command { kind: 20, event_count: 4, body: body.clone(), space: crate::Space::Ordinary };
    let proposal = crate::proposal::Proposal { command, ticket: None };
    let entries = vec![
        RaftEntry { log_id: id(2, 1, 7), payload: openraft::EntryPayload::Blank },
        RaftEntry { log_id: id(2, 1, 8), payload: openraft::EntryPayload::Membership(membership.clone()) },
        RaftEntry { log_id: id(2, 1, 9), payload: openraft::EntryPayload::Normal(proposal) },
    ];
    let request = AppendEntriesRequest {
        vote: vote_of(2, 1, true),
        prev_log_id: Some(id(1, 3, 6)),
        entries,
        leader_commit: Some(id(1, 3, 4)),
    };
    let wire = append_to_wire(GROUP, request);
    assert_eq!(wire.entries[2].body.as_ptr(), body.as_ptr());
    assert_eq!(body_bytes(&wire), wire.entries.iter().map(|entry| entry.body.len() as u64).sum::<u64>());
    let read = append(GROUP, wire.clone()).unwrap();
    assert_eq!(
        read.entries[1].payload.to_string(),
        openraft::EntryPayload::<crate::proposal::Proposal, _, _>::Membership(membership).to_string()
    );
    assert_eq!(append_to_wire(GROUP, read), wire);
}

/// What openraft asserts or takes for granted, one row each.
#[test]
fn an_append_request_that_no_leader_sends_is_refused() {
    type Damage = fn(&mut proto::AppendRequest);
    let rows: [(&str, Damage, BadMessage); 14] = [
        ("other group", |m| m.group = 2, BadMessage::OtherGroup),
        ("no vote", |m| m.vote = None, BadMessage::Missing("vote")),
        ("a candidate's vote", |m| m.vote.as_mut().unwrap().committed = false, BadMessage::NotALeader),
        ("last term", |m| m.vote.as_mut().unwrap().term = u64::MAX, BadMessage::OutOfRange("term")),
        ("a gap before", |m| m.previous.as_mut().unwrap().index = 5, BadMessage::Order),
        ("no previous", |m| m.previous = None, BadMessage::Order),
        ("a gap inside", |m| m.entries[1].index = 9, BadMessage::Order),
        ("twice", |m| m.entries[1].index = 7, BadMessage::Order),
        ("terms that fall", |m| m.entries[1].term = 1, BadMessage::Order),
        ("an entry of a later leader", |m| m.entries[1].node = 2, BadMessage::Order),
        ("a previous of a later leader", |m| m.previous.as_mut().unwrap().term = 3, BadMessage::Order),
        ("last index", |m| m.previous.as_mut().unwrap().index = u64::MAX, BadMessage::OutOfRange("index")),
        ("unknown kind", |m| m.entries[0].kind = 300, BadMessage::UnknownEntry),
        ("commit of a later leader", |m| m.committed.as_mut().unwrap().term = 9, BadMessage::OutOfRange("commit")),
    ];
    for (row, damage, want) in rows {
        let mut message = wire_append();
        damage(&mut message);
        assert_eq!(append(GROUP, message).map(|_| ()), Err(want), "{row}");
    }
    assert!(append(GROUP, wire_append()).is_ok());
    for kind in [1, 2, 15, 256] {
        let mut message = wire_append();
        message.entries[0].kind = kind;
        assert!(append(GROUP, message).is_err(), "kind {kind}");
    }
}

#[test]
fn answers_votes_and_transfers_read_back() {
    for want in [
        Ok(None),
        Ok(Some(id(2, 1, 7))),
        Err(StreamAppendError::Conflict(id(2, 1, 7))),
        Err(StreamAppendError::HigherVote(vote_of(3, 2, false))),
    ] {
        assert_eq!(answer(answer_to_wire(want.clone())).unwrap(), want);
    }
    assert_eq!(answer(proto::AppendResponse { result: None }), Err(Err(BadMessage::Missing("result"))));
    for leadership_transfer in [false, true] {
        let request = VoteRequest { vote: vote_of(3, 2, false), last_log_id: Some(id(2, 1, 7)), leadership_transfer };
        assert_eq!(vote_request(vote_request_to_wire(GROUP, &request, true)).unwrap(), request);
    }
    let leaders = VoteRequest { vote: vote_of(3, 2, true), last_log_id: None, leadership_transfer: false };
    assert!(vote_request(vote_request_to_wire(GROUP, &leaders, false)).is_err(), "a candidate has no quorum yet");
    let request = TransferLeaderRequest::new(vote_of(3, 2, true), 9, Some(id(2, 1, 7)));
    assert_eq!(transfer(transfer_to_wire(GROUP, &request)).unwrap(), request);
}

proptest! {
    #[test]
    fn no_numbers_make_an_append_request_panic(
        numbers in proptest::collection::vec(0u64..5, 9), kind in 0u32..40, huge in any::<bool>(),
    ) {
        let at = |n: usize| if huge && numbers[n] == 4 { u64::MAX } else { numbers[n] };
        let message = proto::AppendRequest {
            group: 1,
            vote: Some(proto::Vote { term: at(0), node: at(1), committed: true }),
            previous: (at(2) > 0).then(|| proto::LogId { term: at(2), node: at(3), index: at(4) }),
            entries: vec![proto::Entry {
                term: at(5), node: at(6), index: at(7), kind, event_count: at(8) as u32, body: Bytes::new(),
            }],
            committed: None,
        };
        // What is taken is in order.
        if let Ok(request) = append(GROUP, message) {
            prop_assert_eq!(request.entries[0].log_id.index, request.prev_log_id.map_or(0, |id| id.index + 1));
            prop_assert!(request.entries[0].log_id.leader_id <= request.vote.leader_id);
        }
    }
}
