use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use pelton_log::GroupId;

use super::*;
use crate::transport::Incoming;

/// Answers heartbeats: those of odd groups, the others not.
#[derive(Default)]
struct Half {
    messages: Mutex<Vec<usize>>,
}

impl Transport for Half {
    fn heartbeat(
        &self,
        _to: NodeId,
        request: proto::HeartbeatRequest,
    ) -> BoxFuture<'static, Result<proto::HeartbeatResponse, NoAnswer>> {
        self.messages.lock().push(request.beats.len());
        let answers = request.beats.iter().map(|beat| proto::heartbeat_response::Answer {
            group: beat.group,
            response: (beat.group % 2 == 1).then(proto::AppendResponse::default),
        });
        let answers = answers.collect();
        Box::pin(async { Ok(proto::HeartbeatResponse { answers, unfit: false, leaves: false }) })
    }

    fn append(
        &self,
        _to: NodeId,
        _group: GroupId,
        _requests: BoxStream<'static, proto::AppendRequest>,
    ) -> BoxFuture<'static, Result<Incoming<proto::AppendResponse>, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }

    fn vote(
        &self,
        _to: NodeId,
        _request: proto::VoteRequest,
    ) -> BoxFuture<'static, Result<proto::VoteResponse, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }

    fn snapshot(
        &self,
        _to: NodeId,
        _group: GroupId,
        _chunks: BoxStream<'static, proto::SnapshotChunk>,
    ) -> BoxFuture<'static, Result<proto::SnapshotResponse, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }

    fn fetch(
        &self,
        _to: NodeId,
        _request: proto::FetchRequest,
    ) -> BoxFuture<'static, Result<proto::FetchResponse, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }

    fn fetch_snapshot(
        &self,
        _to: NodeId,
        _request: proto::FetchSnapshotRequest,
    ) -> BoxFuture<'static, Result<Incoming<proto::SnapshotChunk>, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }

    fn transfer_leader(
        &self,
        _to: NodeId,
        _request: proto::TransferLeaderRequest,
    ) -> BoxFuture<'static, Result<proto::TransferLeaderResponse, NoAnswer>> {
        unreachable!("only heartbeats are sent")
    }
}

#[tokio::test(start_paused = true)]
async fn beats_to_one_node_share_a_message_and_each_has_its_own_answer() {
    let transport = Arc::new(Half::default());
    let heartbeats = Heartbeats::new(Some(transport.clone()));
    let within = Duration::from_secs(1);
    let beats = (1..=6).map(|group| {
        let beat = proto::heartbeat_request::Beat { group, ..Default::default() };
        let to = NodeId(if group <= 4 { 1 } else { 2 });
        let heartbeats = heartbeats.clone();
        async move { heartbeats.beat(to, beat, within).await.is_ok() }
    });
    let answered = futures_util::future::join_all(beats).await;
    assert_eq!(answered, [true, false, true, false, true, false]);
    let mut messages = transport.messages.lock().clone();
    messages.sort_unstable();
    assert_eq!(messages, [2, 4]);
    let alone = heartbeats.beat(NodeId(1), proto::heartbeat_request::Beat { group: 7, ..Default::default() }, within);
    assert!(alone.await.is_ok(), "the next one starts anew");
}
