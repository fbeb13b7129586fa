//! The version of the protocol that a cluster is at.
//!
//! One number stands for the form of everything that another node, or the program of before, may have to read: messages
//! between nodes, entries of a group's log, checkpoints and snapshots. While nodes are upgraded one after the other their
//! programs speak different ones; the cluster is at one that all speak, and the registry says which.
//!
//! - What is written or sent has the form of the cluster's version, whatever newer one the program knows. So a node can
//!   go back to the program of before for as long as the cluster has not gone on.
//! - Nothing goes back. The registry's leader proposes the next version once every node has spoken it for a while
//!   (`raise-version-after`), and the registry refuses it while one does not.
//! - From then on a node that does not speak it is turned away: by the hello of every other node, by the registry, by
//!   whatever it sends to, and by its own data directory.
//!
//! A node by itself goes on as well, once it has run for as long. What each version brought:
//!
//! | version | changes of a group | batches | the registry: commands, documents | group state | checkpoint | snapshot |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 1 | 3, reads 2 | kinds 16, 17 | 1, 2, reads documents of 1 | 2, reads 1 | 2, reads 1 | 1 |
//!
//! Version 1 has not been released: what it has besides, objects of core kinds and the `resourceVersion` that tells the
//! changes of one entry apart, came into it without a number of its own, and data directories of programs before are not
//! shared with programs since. From the first release on such a thing is a new version.
//!
//! [`Forms`] is that table for those who write. The last two stand around a state and are written by `pelton_consensus`;
//! they have had one form, as votes and memberships have, and so have messages between nodes: those of `consensus.v1`
//! are sent in the cluster's version, those of `broker.v1` and of reports with what the sender speaks, and whoever shares
//! no version refuses them. The log's own format (`pelton_log`, 3, reads 2) is the node's alone: no other node reads it,
//! and every version of the protocol has had it.

use std::time::Duration;

use pelton_peer::Versions;

use crate::cluster::{ClusterCommand, ClusterState};
use crate::ended::Ended;
use crate::node::Shared;

/// The versions of what is written in a version of the protocol. Each form begins with its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forms {
    /// Of changes of a group that holds events.
    pub(crate) change: u8,
    /// Of the registry's commands.
    pub(crate) registry_command: u8,
    /// Of everything that the registry holds, in its checkpoints and snapshots.
    pub(crate) documents: u8,
    /// Of the state of a group that holds events, in its checkpoints and snapshots.
    pub(crate) event_state: u8,
}

impl Forms {
    const FIRST: Self = Self { change: 3, registry_command: 1, documents: 2, event_state: 2 };

    /// What a program after this one may write: in debug builds, which tests of an upgrade let speak the next version of
    /// the protocol. Nothing but the version differs.
    #[cfg(debug_assertions)]
    const NEXT: Self = Self { change: 4, registry_command: 2, documents: 3, event_state: 3 };

    /// Of a cluster that is at this version of the protocol; what a program reads at most that speaks no later one.
    pub(crate) const fn of(protocol: u32) -> Self {
        match protocol {
            #[cfg(debug_assertions)]
            2.. => Self::NEXT,
            _ => Self::FIRST,
        }
    }
}

/// The wait before a node by itself tries again to go on, when its registry did not take it.
const RAISE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The cluster is at a version of the protocol that this program does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster of this data directory is at version {cluster} of the protocol, and this program speaks {ours}: start it \
     with a program that speaks that version"
)]
pub struct NotSpoken {
    /// The cluster's.
    pub cluster: u32,
    /// This program's.
    pub ours: Versions,
}

/// Whether the program can be a node of the cluster.
pub(crate) fn check(ours: Versions, state: &ClusterState) -> Result<(), NotSpoken> {
    let cluster = state.protocol();
    if !state.is_formed() || ours.contains(cluster) { Ok(()) } else { Err(NotSpoken { cluster, ours }) }
}

/// Says to the other nodes what is spoken from now on, whenever the cluster goes on; ends the process when that is
/// nothing that it speaks.
pub(crate) async fn follow(shared: Shared) {
    let mut cluster = shared.registry.state.cluster();
    let mut at = cluster.borrow().protocol();
    loop {
        let state = cluster.borrow_and_update().clone();
        if let Some(member) = &shared.member {
            member.presence.agree(state.protocol());
        }
        if let Err(error) = check(shared.options.versions, &state) {
            tracing::error!(%error, "the node ends");
            (shared.options.on_ended)(&Ended::Protocol(error));
            return;
        }
        if at != state.protocol() {
            at = state.protocol();
            tracing::info!(version = at, "the cluster has gone on to a newer version of the protocol");
        }
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

/// Has a node by itself go on to the newest version that it speaks, once it has run for as long as its operator may want
/// to go back to the program of before. Of a cluster, the registry's leader does it.
pub(crate) async fn raise_alone(shared: Shared) {
    if shared.member.is_some() {
        return;
    }
    tokio::time::sleep(shared.options.raise_version_after).await;
    while let Some(to) = shared.registry.state.current_cluster().next_protocol() {
        match shared.registry.change_cluster(ClusterCommand::RaiseProtocol { to }).await {
            Ok(_) => return,
            Err(error) => {
                tracing::debug!(%error, "the registry did not take the next version of the protocol; tried again")
            }
        }
        tokio::time::sleep(RAISE_AGAIN_AFTER).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table above.
    #[test]
    fn each_version_of_the_protocol_has_its_forms() {
        let first = Forms { change: 3, registry_command: 1, documents: 2, event_state: 2 };
        // A cluster of before there were versions is at the first one.
        for protocol in [0, 1] {
            assert_eq!(Forms::of(protocol), first, "protocol {protocol}");
        }
        assert_eq!(Versions::OURS.max, 1, "a new version has a row of its own here");
    }
}
