//! The answers to other nodes: who this node is, and, where it leads the registry, who is let in.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use pelton_client::{GroupId, NodeId, NodeInfo, NodePhase, OperationError};
use pelton_peer::{PeerAddress, Versions};
use pelton_proto::consensus::v1 as wire;
use pelton_proto::consensus::v1::join_refusal::Reason;
use pelton_proto::consensus::v1::membership_server::{Membership, MembershipServer};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::calls::{MAX_MEMBERSHIP_BYTES, role_named};
use super::hello::{Hello, MAX_TEXT_BYTES, Presence, cluster_from_wire, cluster_to_wire};
use crate::cluster::{Answer, ClusterCommand, ClusterState, MAX_NODES, Nonce, Outcome, Refusal};

/// The registry, as far as the cluster is concerned. Of a node, and of the tests.
pub(crate) trait Registrar: Send + Sync + 'static {
    /// The cluster as this node has applied it, and how it changes.
    fn cluster(&self) -> watch::Receiver<Arc<ClusterState>>;

    /// Commits a command and waits until it is applied here.
    ///
    /// # Errors
    /// [`OperationError::NotLeader`] and [`OperationError::Unavailable`] when nothing was committed, and
    /// [`OperationError::OutcomeUnknown`].
    fn commit(&self, command: ClusterCommand) -> BoxFuture<'_, Result<Outcome, OperationError>>;
}

/// `Membership` of `pelton.consensus.v1`. Clones are one service.
#[derive(Clone)]
pub(crate) struct MembershipService {
    presence: Arc<Presence>,
    registrar: Arc<OnceLock<Arc<dyn Registrar>>>,
}

impl MembershipService {
    /// Answers hellos from now on.
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        Self { presence, registrar: Arc::default() }
    }

    /// Lets nodes in from now on, where this node leads the registry. Called once.
    pub(crate) fn open(&self, registrar: Arc<dyn Registrar>) {
        assert!(self.registrar.set(registrar).is_ok(), "a node has one registry");
    }

    /// For the listener.
    pub(crate) fn server(&self) -> MembershipServer<Self> {
        MembershipServer::new(self.clone()).max_decoding_message_size(MAX_MEMBERSHIP_BYTES)
    }

    async fn let_in(&self, request: wire::JoinRequest) -> Result<wire::join_response::Result, (Reason, String)> {
        let theirs = Versions { min: request.protocol_min, max: request.protocol_max };
        let apart = |error: pelton_peer::VersionsApart| (Reason::Version, error.to_string());
        self.presence.versions().negotiate(theirs).map_err(apart)?;
        let invalid = |why: String| (Reason::Invalid, why);
        let cluster = cluster_from_wire(&request.cluster).map_err(|why| invalid(why.to_owned()))?;
        let node = (request.node > 0).then_some(NodeId(request.node));
        if cluster.is_some() != node.is_some() {
            return Err(invalid("it has a cluster without an id, or an id without a cluster".to_owned()));
        }
        let (info, nonce) = read_join(request).map_err(invalid)?;
        let no_leader = |why: &str| (Reason::NoLeader, why.to_owned());
        let (Some(registrar), Some(identity)) = (self.registrar.get(), self.presence.identity()) else {
            return Err(no_leader("this node is only starting"));
        };
        if let Some(theirs) = cluster.filter(|cluster| *cluster != identity.cluster) {
            let why = format!("this is cluster {:032x}, and the node belongs to {theirs:032x}", identity.cluster);
            return Err((Reason::WrongCluster, why));
        }
        let command = match node {
            Some(node) => ClusterCommand::Update { node, info, nonce, speaks: theirs.into() },
            None => ClusterCommand::Join { info, nonce, speaks: theirs.into() },
        };
        match registrar.commit(command).await {
            Ok(Ok(answer)) => {
                let joined = match answer {
                    Answer::Joined(new) => Some(new),
                    Answer::Created(_) | Answer::Changed | Answer::Unchanged => node,
                };
                let node = joined.expect("a node that has no id gets one").0;
                let cluster = cluster_to_wire(Some(identity.cluster));
                let members = members(&registrar.cluster().borrow());
                Ok(wire::join_response::Result::Joined(wire::join_response::Joined { cluster, node, members }))
            }
            Ok(Err(refusal)) => Err((reason_of(&refusal), refusal.to_string())),
            Err(OperationError::OutcomeUnknown) => {
                Err((Reason::UnknownOutcome, OperationError::OutcomeUnknown.to_string()))
            }
            Err(error) => match leader_of(registrar.as_ref(), &error) {
                Some(address) => Ok(wire::join_response::Result::Ask(address)),
                None => Err(no_leader("the registry has no leader now")),
            },
        }
    }

    async fn record(&self, request: wire::SettleRequest) -> wire::settle_response::Result {
        use wire::settle_response::{Later, Result as Told, Settled};
        let (Some(registrar), Some(identity)) = (self.registrar.get(), self.presence.identity()) else {
            return Told::Later(Later {});
        };
        if cluster_from_wire(&request.cluster) != Ok(Some(identity.cluster)) {
            return Told::Refusal(format!("this is cluster {:032x}", identity.cluster));
        }
        {
            let cluster = registrar.cluster();
            let (state, sender) = (cluster.borrow(), NodeId(request.node));
            let votes = || state.group(GroupId(request.group)).is_some_and(|group| group.settled.contains(&sender));
            // One that this node has not heard of yet is for the leader to judge by the voters.
            if state.nodes.contains_key(&sender) && state.member(sender).is_none() && !votes() {
                return Told::Refusal(format!("{sender} was removed from the cluster"));
            }
        }
        if request.voters.len() > MAX_NODES {
            return Told::Refusal(format!("a group has at most {MAX_NODES} voters"));
        }
        let voters: BTreeSet<_> = request.voters.into_iter().map(NodeId).collect();
        let command = ClusterCommand::Settle { group: GroupId(request.group), term: request.term, voters };
        match registrar.commit(command).await {
            Ok(Ok(_)) => Told::Settled(Settled {}),
            Ok(Err(refusal)) => Told::Refusal(refusal.to_string()),
            Err(error) => match leader_of(registrar.as_ref(), &error) {
                Some(address) => Told::Ask(address),
                None => Told::Later(Later {}),
            },
        }
    }
}

#[tonic::async_trait]
impl Membership for MembershipService {
    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloResponse>, Status> {
        // What the other says of itself is for the one who asks to act on; it is looked at only to turn away garbage.
        Hello::from_wire(request.into_inner().identity).map_err(Status::invalid_argument)?;
        Ok(Response::new(wire::HelloResponse { identity: Some(self.presence.to_wire()) }))
    }

    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<Response<wire::JoinResponse>, Status> {
        let result = self.let_in(request.into_inner()).await.unwrap_or_else(|(reason, text)| {
            wire::join_response::Result::Refusal(wire::JoinRefusal { reason: reason.into(), text })
        });
        Ok(Response::new(wire::JoinResponse { result: Some(result) }))
    }

    async fn settle(&self, request: Request<wire::SettleRequest>) -> Result<Response<wire::SettleResponse>, Status> {
        let result = Some(self.record(request.into_inner()).await);
        Ok(Response::new(wire::SettleResponse { result }))
    }
}

/// The address of the leader that an error names.
pub(super) fn leader_of(registrar: &dyn Registrar, error: &OperationError) -> Option<String> {
    let OperationError::NotLeader { leader: Some(leader) } = error else { return None };
    registrar.cluster().borrow().member(*leader).map(|info| info.peer_address.clone())
}

fn members(state: &ClusterState) -> Vec<wire::join_response::Member> {
    let member = |(node, info): (NodeId, &NodeInfo)| wire::join_response::Member {
        node: node.0,
        peer_address: info.peer_address.clone(),
    };
    state.members().map(member).collect()
}

fn read_join(request: wire::JoinRequest) -> Result<(NodeInfo, Nonce), String> {
    let addresses = [&request.ingress, &request.api, &request.gateway];
    let names = [&request.zone, &request.product_version, &request.name];
    if addresses.iter().chain(&names).any(|text| text.len() > MAX_TEXT_BYTES) {
        return Err(format!("a text of the request is longer than {MAX_TEXT_BYTES} B"));
    }
    let nonce = Nonce::from_bytes(&request.nonce).ok_or("the nonce is not 16 bytes")?;
    let address: PeerAddress =
        request.peer_address.parse().map_err(|error: pelton_peer::BadAddress| error.to_string())?;
    let role = |name: &String| role_named(name).ok_or_else(|| format!("{:?} is no role", clip_role(name)));
    let roles: BTreeSet<_> = request.roles.iter().map(role).collect::<Result<_, _>>()?;
    if roles.is_empty() {
        return Err("the node has no role".to_owned());
    }
    let unless_empty = |text: String| (!text.is_empty()).then_some(text);
    let info = NodeInfo {
        name: request.name,
        peer_address: address.to_string(),
        ingress: unless_empty(request.ingress),
        api: unless_empty(request.api),
        gateway: unless_empty(request.gateway),
        zone: request.zone,
        roles,
        phase: NodePhase::Active,
        version: request.product_version,
    };
    Ok((info, nonce))
}

fn clip_role(name: &str) -> &str {
    &name[..name.floor_char_boundary(32)]
}

fn reason_of(refusal: &Refusal) -> Reason {
    match refusal {
        Refusal::NameTaken { .. } => Reason::NameTaken,
        Refusal::Removed { .. } => Reason::Removed,
        Refusal::Protocol { .. } => Reason::Version,
        Refusal::TooManyNodes { .. } => Reason::TooMany,
        // It is formed by its first node, soon.
        Refusal::NotFormed => Reason::NoLeader,
        _ => Reason::Invalid,
    }
}
