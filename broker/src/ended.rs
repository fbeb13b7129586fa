//! Why a node ends by itself although its disk is sound.

use std::sync::Arc;

use pelton_client::GroupId;

use crate::protocol::NotSpoken;

/// Why a node cannot go on. The disk is not to blame: [`Options::on_fatal`](crate::Options::on_fatal) says that.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A replica that the node cannot do without has ended: the registry's, or one of a node by itself. What is in its
    /// log is in order, so a new start may go on where this one could not.
    #[error("the replica of log group {group} on this node failed: {why}")]
    Replica {
        /// Its group; 0 is the registry's.
        group: GroupId,
        /// As its core says.
        why: String,
    },
    /// The cluster has gone on to a version of the protocol that the program does not speak.
    #[error(transparent)]
    Protocol(#[from] NotSpoken),
    /// The node was removed from the cluster. It stays so.
    #[error("{why}")]
    Removed {
        /// As the cluster says.
        why: String,
    },
}

/// Called when a node cannot go on. It should say so and end the process.
pub type EndedHook = Arc<dyn Fn(&Ended) + Send + Sync>;
