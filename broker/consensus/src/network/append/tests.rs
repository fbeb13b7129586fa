use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::proposal::Proposal;
use crate::types::{LeaderId, LogId, RaftEntry, Vote};

const HUNG_AFTER: Duration = Duration::from_secs(1);

fn request(index: u64, bytes: usize) -> AppendEntriesRequest<Types> {
    let leader_id = LeaderId { term: 1, node_id: 1 };
    let command =
        crate::Command { kind: 16, event_count: 1, body: Bytes::from(vec![0; bytes]), space: crate::Space::Last };
    let payload = openraft::EntryPayload::Normal(Proposal { command, ticket: None });
    AppendEntriesRequest {
        vote: Vote { leader_id, committed: true },
        prev_log_id: index.checked_sub(1).map(|index| LogId { leader_id, index }),
        entries: vec![RaftEntry { log_id: LogId { leader_id, index }, payload }],
        leader_commit: None,
    }
}

fn success() -> proto::AppendResponse {
    wire::answer_to_wire(Ok(None))
}

fn requests(count: u64, bytes: usize) -> BoxStream<'static, AppendEntriesRequest<Types>> {
    stream::iter((0..count).map(move |index| request(index, bytes))).boxed()
}

/// A receiver as a stream.
fn answers(receiver: mpsc::Receiver<proto::AppendResponse>) -> Incoming<proto::AppendResponse> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|item| (Ok(item), receiver)) })
        .boxed()
}

/// How many requests go out before any is answered.
async fn sent_unanswered(count: u64, bytes: usize) -> usize {
    let (mut sending, _in_flight) = limited(GroupId(1), || 0, requests(count, bytes), Quiet::new());
    let mut sent = 0;
    while let Ok(Some(_)) = tokio::time::timeout(HUNG_AFTER, sending.next()).await {
        sent += 1;
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_bounded_by_bytes_and_by_requests() {
    assert_eq!(sent_unanswered(200, 0).await, MAX_IN_FLIGHT);
    assert_eq!(sent_unanswered(200, 1 << 20).await, MAX_IN_FLIGHT_BYTES >> 20);
    assert_eq!(sent_unanswered(200, MAX_IN_FLIGHT_BYTES + 1).await, 1, "one that is larger than all goes alone");
    assert_eq!(sent_unanswered(3, 1 << 20).await, 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_lets_the_next_request_out() {
    let (mut sending, in_flight) = limited(GroupId(1), || 0, requests(10, MAX_IN_FLIGHT_BYTES), Quiet::new());
    let (answer, receiver) = mpsc::channel(8);
    let mut watched = watched(answers(receiver), in_flight, HUNG_AFTER);
    for _ in 0..10 {
        sending.next().await.unwrap();
        answer.send(success()).await.unwrap();
        assert_eq!(watched.next().await.unwrap().unwrap(), Ok(None));
    }
    assert!(sending.next().await.is_none());
    assert!(watched.next().await.is_none(), "it ends when its input has, though the other side holds it open");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_an_error_and_when_the_follower_hangs() {
    let conflict =
        wire::answer_to_wire(Err(openraft::raft::StreamAppendError::Conflict(request(1, 0).prev_log_id.unwrap())));
    let refusal = wire::refused_append(wire::refusal(proto::refusal::Reason::Full, "full"));
    let garbage = proto::AppendResponse { result: None };
    for (row, last) in [("conflict", conflict), ("refusal", refusal), ("garbage", garbage)] {
        let (mut sending, in_flight) = limited(GroupId(1), || 0, requests(3, 0), Quiet::new());
        let (answer, receiver) = mpsc::channel(8);
        let mut watched = watched(answers(receiver), in_flight, HUNG_AFTER);
        sending.next().await.unwrap();
        sending.next().await.unwrap();
        answer.send(last).await.unwrap();
        answer.send(success()).await.unwrap();
        assert!(!matches!(watched.next().await, Some(Ok(Ok(_))) | None), "{row}");
        assert!(watched.next().await.is_none(), "{row}");
    }
    let (mut sending, in_flight) = limited(GroupId(1), || 0, requests(3, 0).chain(stream::pending()), Quiet::new());
    let (answer, receiver) = mpsc::channel(8);
    let mut watched = watched(answers(receiver), in_flight, HUNG_AFTER);
    let idle = tokio::time::timeout(10 * HUNG_AFTER, watched.next()).await;
    assert!(idle.is_err(), "a follower that owes nothing does not hang");
    sending.next().await.unwrap();
    answer.send(success()).await.unwrap();
    assert!(watched.next().await.unwrap().is_ok());
    sending.next().await.unwrap();
    let asked = Instant::now();
    let hung = watched.next().await.unwrap().unwrap_err();
    assert!(hung.to_string().contains("hangs"), "{hung}");
    assert_eq!(asked.elapsed().as_secs(), HUNG_AFTER.as_secs());
    assert!(watched.next().await.is_none());
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_leader_sends_nothing_until_it_may() {
    let quiet = Quiet::new();
    let (mut sending, _in_flight) = limited(GroupId(1), || 0, requests(3, 0), quiet.clone());
    assert!(sending.next().await.is_some());
    quiet.set(true);
    assert!(tokio::time::timeout(HUNG_AFTER, sending.next()).await.is_err());
    quiet.set(false);
    assert!(sending.next().await.is_some());
}

/// What only says how far entries are committed goes with the next entries.
#[tokio::test]
async fn news_of_commits_have_no_message_of_their_own() {
    let commit = |index: u64| AppendEntriesRequest { entries: Vec::new(), ..request(index, 0) };
    let made = [commit(7), commit(7), request(8, 1), commit(9), commit(9), request(9, 1), request(10, 1), commit(11)];
    let sent = without_news(stream::iter(made)).map(|request| (request.entries.len(), last_index(&request)));
    assert_eq!(sent.collect::<Vec<_>>().await, [(0, 0), (1, 8), (1, 9), (1, 10)], "the first asks how far it agrees");
}
