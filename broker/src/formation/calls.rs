//! What a node asks another one about the cluster. Every call has a deadline, and "no answer" is a value of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use pelton_client::{GroupId, NodeId, NodeInfo, Role};
use pelton_log::Identity;
use pelton_peer::{PeerAddress, Pool};
use pelton_proto::consensus::v1 as wire;
use pelton_proto::consensus::v1::membership_client::MembershipClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::decide::Answers;
use super::hello::{Hello, MAX_TEXT_BYTES, NoHello, Presence, cluster_from_wire, cluster_to_wire};

/// How long a hello may take, with the connection.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the registry may take to let a node in, or to record a group's voters.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest message of a membership call. The longest is an answer that lists all nodes.
pub(super) const MAX_MEMBERSHIP_BYTES: usize = 256 * 1024;

/// Most nodes that one attempt asks: those it was told of, and those that they point to.
const MAX_ASKED: usize = 16;

/// What came of one attempt to be let in.
#[derive(Debug)]
pub(super) enum JoinAnswer {
    Joined {
        identity: Identity,
        members: BTreeMap<NodeId, PeerAddress>,
    },
    /// The node was removed, for good.
    Removed(String),
    /// Asking again changes nothing.
    Refused(String),
    /// Nobody could say; ask again.
    Later(String),
}

/// What came of telling the registry's leader about a group's voters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SettleAnswer {
    Settled,
    /// Asking again as it is changes nothing.
    Refused(String),
    /// Nobody could say; ask again.
    Later(String),
}

/// Asks who is there.
pub(super) async fn hello(pool: &Pool, address: &PeerAddress, presence: &Presence) -> Result<Hello, NoHello> {
    let channels = pool.channels(address);
    let mut client = client(channels.control());
    let request = wire::HelloRequest { identity: Some(presence.to_wire()) };
    match within(HELLO_TIMEOUT, client.hello(request)).await {
        Ok(response) => Hello::from_wire(response.identity).map_err(|why| NoHello::Garbage(why.to_owned())),
        Err(status) => match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                Err(NoHello::Unreachable(told(&status)))
            }
            _ => Err(NoHello::Garbage(told(&status))),
        },
    }
}

/// Asks all of them at once.
pub(super) async fn hello_all(pool: &Pool, addresses: &[&PeerAddress], presence: &Presence) -> Answers {
    let asked =
        addresses.iter().map(|address| async move { ((*address).clone(), hello(pool, address, presence).await) });
    futures_util::future::join_all(asked).await.into_iter().collect()
}

/// Asks to be let in, or tells where the node is now; follows those who know better to whom they point.
pub(super) async fn join(pool: &Pool, presence: &Presence, info: &NodeInfo, at: Vec<PeerAddress>) -> JoinAnswer {
    let ours = presence.identity();
    let mut route = Route::new(at);
    while let Some(address) = route.next() {
        let channels = pool.channels(&address);
        let response = within(REGISTRY_TIMEOUT, client(channels.control()).join(request_to_join(presence, info))).await;
        use wire::join_response::Result as Answer;
        match response.map(|response| response.result) {
            Ok(Some(Answer::Joined(joined))) => match read_joined(joined, ours) {
                Ok((identity, members)) => return JoinAnswer::Joined { identity, members },
                Err(why) => route.failed(&address, why),
            },
            Ok(Some(Answer::Refusal(refusal))) => {
                use wire::join_refusal::Reason;
                match refusal.reason() {
                    Reason::NoLeader | Reason::UnknownOutcome => route.failed(&address, &clip(refusal.text)),
                    Reason::Removed => return JoinAnswer::Removed(clip(refusal.text)),
                    // Whatever a newer version may call it, it is a refusal.
                    _ => return JoinAnswer::Refused(clip(refusal.text)),
                }
            }
            Ok(Some(Answer::Ask(other))) => route.follow(&address, &other),
            Ok(None) => route.failed(&address, "it answers nothing"),
            Err(status) => route.failed(&address, &told(&status)),
        }
    }
    JoinAnswer::Later(route.why)
}

/// Tells which voters a group has.
pub(super) async fn settle(
    pool: &Pool,
    identity: Identity,
    group: GroupId,
    term: u64,
    voters: &BTreeSet<NodeId>,
    at: Vec<PeerAddress>,
) -> SettleAnswer {
    let request = wire::SettleRequest {
        cluster: cluster_to_wire(Some(identity.cluster)),
        node: identity.node,
        group: group.0,
        term,
        voters: voters.iter().map(|node| node.0).collect(),
    };
    let mut route = Route::new(at);
    while let Some(address) = route.next() {
        let channels = pool.channels(&address);
        let response = within(REGISTRY_TIMEOUT, client(channels.control()).settle(request.clone())).await;
        use wire::settle_response::Result as Answer;
        match response.map(|response| response.result) {
            Ok(Some(Answer::Settled(_))) => return SettleAnswer::Settled,
            Ok(Some(Answer::Refusal(text))) => return SettleAnswer::Refused(clip(text)),
            Ok(Some(Answer::Ask(other))) => route.follow(&address, &other),
            Ok(Some(Answer::Later(_))) => route.failed(&address, "the registry takes no changes now"),
            Ok(None) => route.failed(&address, "it answers nothing"),
            Err(status) => route.failed(&address, &told(&status)),
        }
    }
    SettleAnswer::Later(route.why)
}

/// Whom to ask next: nobody twice, and not more than [`MAX_ASKED`].
struct Route {
    next: VecDeque<PeerAddress>,
    asked: BTreeSet<PeerAddress>,
    why: String,
}

impl Route {
    fn new(at: Vec<PeerAddress>) -> Self {
        Self { next: at.into(), asked: BTreeSet::new(), why: "there is nobody to ask".to_owned() }
    }

    fn next(&mut self) -> Option<PeerAddress> {
        while let Some(address) = self.next.pop_front() {
            if self.asked.len() < MAX_ASKED && self.asked.insert(address.clone()) {
                return Some(address);
            }
        }
        None
    }

    fn follow(&mut self, from: &PeerAddress, to: &str) {
        match to.parse() {
            Ok(address) => {
                self.why = format!("{from} says to ask {address}");
                self.next.push_front(address);
            }
            Err(_) => self.failed(from, "it points to what is no address"),
        }
    }

    fn failed(&mut self, address: &PeerAddress, why: &str) {
        self.why = format!("{address}: {why}");
    }
}

fn request_to_join(presence: &Presence, info: &NodeInfo) -> wire::JoinRequest {
    wire::JoinRequest {
        name: info.name.clone(),
        peer_address: info.peer_address.clone(),
        roles: info.roles.iter().map(|role| role_name(*role).to_owned()).collect(),
        zone: info.zone.clone(),
        nonce: Bytes::copy_from_slice(&presence.nonce().to_bytes()),
        protocol_min: presence.speaks().min,
        protocol_max: presence.speaks().max,
        cluster: cluster_to_wire(presence.identity().map(|identity| identity.cluster)),
        product_version: presence.version().to_owned(),
        ingress: info.ingress.clone().unwrap_or_default(),
        api: info.api.clone().unwrap_or_default(),
        gateway: info.gateway.clone().unwrap_or_default(),
        node: presence.identity().map_or(0, |identity| identity.node),
    }
}

fn read_joined(
    joined: wire::join_response::Joined,
    ours: Option<Identity>,
) -> Result<(Identity, BTreeMap<NodeId, PeerAddress>), &'static str> {
    let cluster = cluster_from_wire(&joined.cluster)?.filter(|_| joined.node > 0).ok_or("it gives no identity")?;
    let identity = Identity { cluster, node: joined.node };
    if ours.is_some_and(|ours| ours != identity) {
        return Err("it answers for another node");
    }
    let member = |member: &wire::join_response::Member| Some((NodeId(member.node), member.peer_address.parse().ok()?));
    Ok((identity, joined.members.iter().filter_map(member).collect()))
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Broker => "broker",
        Role::Ingress => "ingress",
        Role::Dispatcher => "dispatcher",
        Role::Gateway => "gateway",
    }
}

pub(super) fn role_named(name: &str) -> Option<Role> {
    [Role::Broker, Role::Ingress, Role::Dispatcher, Role::Gateway].into_iter().find(|role| role_name(*role) == name)
}

fn client(channel: Channel) -> MembershipClient<Channel> {
    MembershipClient::new(channel).max_decoding_message_size(MAX_MEMBERSHIP_BYTES)
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("nothing within {} s", limit.as_secs_f32()))),
    }
}

/// The status with what lies under it: "transport error" alone helps nobody.
fn told(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = if text.is_empty() { told } else { format!("{text}: {told}") };
        }
        cause = error.source();
    }
    clip(text)
}

/// What another node says may be of any length.
fn clip(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
    text
}
