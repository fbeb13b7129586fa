//! How a node that is one of several is opened: the listener first, then the identity, then the log.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pelton_client::grpc::NodeService;
use pelton_consensus::{ConsensusService, GroupError, GrpcTransport, Peers, Transport};
use pelton_log::{Identity, Log, OnDamage};
use pelton_peer::{Pool, Routes, ServeOptions};
use pelton_proto::cluster::v1::reports_server::ReportsServer;
use tokio::sync::oneshot;

use crate::formation::{Formation, MembershipService, Presence};
use crate::identity;
use crate::late::Late;
use crate::local_node::LocalNode;
use crate::member::{self, AddressBook, Lent, Member};
use crate::metrics::BrokerMetrics;
use crate::node::{Node, OpenError, Options, Reach, assemble_member, open_log, refusal, start_tasks};
use crate::reports::ReportService;
use crate::sessions::Caller;

/// What a test or a simulation exchanges for something of its own.
pub(crate) struct Seams {
    /// How groups reach other nodes.
    pub(crate) transport: MakeTransport,
    pub(crate) log: Box<dyn FnOnce(Options, Identity) -> Opening + Send>,
}

type MakeTransport = Box<dyn FnOnce(Way<'_>) -> Arc<dyn Transport> + Send>;

/// What a transport is made of.
pub(crate) struct Way<'a> {
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) book: &'a Arc<AddressBook>,
    pub(crate) identity: Identity,
}

pub(crate) type Opening = BoxFuture<'static, Result<(Log, pelton_log::Report), OpenError>>;

impl Default for Seams {
    fn default() -> Self {
        Self {
            transport: Box::new(over_grpc),
            log: Box::new(|options, _| Box::pin(async move { open_log(&options, OnDamage::Keep).await })),
        }
    }
}

fn over_grpc(way: Way<'_>) -> Arc<dyn Transport> {
    Arc::new(GrpcTransport::new(way.pool.clone(), way.book.clone(), way.identity))
}

/// Opens the node. It answers who it is from the first moment on: nodes that wait for each other have to hear each other.
///
/// # Errors
/// See [`OpenError`].
pub(crate) async fn open(options: Options, member: Member, seams: Seams) -> Result<Node, OpenError> {
    let nonce = identity::nonce(&options.data, &*options.chance)?;
    let presence = Arc::new(Presence::new(member.name.clone(), nonce, member.version.clone(), options.versions));
    let pool = Arc::new(Pool::new(member.network.clone(), member.security.clone()));
    let membership = MembershipService::new(presence.clone());
    let (reports, nodes, consensus) = (Late::new(), Late::new(), Late::new());
    let routes =
        Routes::default().with(membership.server()).with(reports.clone()).with(nodes.clone()).with(consensus.clone());
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        // An error says that the node was dropped, which ends it as well.
        let _ = stopped.await;
    };
    let (lent, security) = (Box::new(Lent(member.listener.clone())), member.security.clone());
    let served = tokio::spawn(pelton_peer::serve(lent, security, routes, ServeOptions::default(), stopped));

    let formation = Formation {
        data: options.data.clone(),
        presence: presence.clone(),
        own: member.peer_advertise.clone(),
        join: member.join.clone(),
        info: member.info(),
        pool: pool.clone(),
        chance: options.chance.clone(),
    };
    let started = formation.start().await?;
    let identity = started.identity;
    let (log, report) = (seams.log)(options.clone(), identity).await?;
    identity::log_was_made(&options.data)?;
    let book = Arc::new(AddressBook::default());
    let peers = Peers::new((seams.transport)(Way { pool: &pool, book: &book, identity }));
    // Before any group is open: others may need what this node has, to open theirs.
    peers.answer_from(&log);
    consensus.open(ConsensusService::new(peers.clone(), identity, options.versions).server());
    let reach = Reach { member, started, presence, pool, peers, book: book.clone() };
    let shared = match assemble_member(options.clone(), log.clone(), BrokerMetrics::register(), reach).await {
        Ok(shared) => shared,
        Err(error @ OpenError::Group(GroupError::Damaged { .. } | GroupError::Checkpoint { .. })) => {
            return Err(refusal(&options, &log, error).await);
        }
        Err(error) => return Err(error),
    };

    membership.open(shared.registry.clone());
    reports.open(ReportsServer::new(ReportService(shared.clone())));
    let remote = LocalNode { shared: shared.clone(), caller: Caller::Remote };
    nodes.open(NodeService::new(remote, identity.cluster, shared.this, options.versions).into_route());
    let mut tasks = start_tasks(&shared);
    tasks.push(tokio::spawn(member::lead_registry(shared.clone())));
    tasks.push(tokio::spawn(member::announce(shared.clone())));
    tasks.push(tokio::spawn(member::learn_addresses(shared.clone(), formation, book)));
    Ok(Node { shared, tasks, report, listener: Some((served, stop)) })
}

#[cfg(test)]
mod tests;
