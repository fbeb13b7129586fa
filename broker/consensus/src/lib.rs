//! Log groups as Raft groups: the only crate that names openraft.
//!
//! A [`Group`] takes [`Command`]s, has them committed by the group's voters and hands them, in one order, to a
//! [`StateMachine`]. One command is one sealed batch and one Raft entry; openraft sees it as opaque bytes. The wire and
//! disk forms are ours, so that the pinned alpha of openraft can be exchanged without touching stored data.
//!
//! What differs from common use: the log is not thrown away behind a snapshot, because it is what consumers read. A
//! snapshot is taken at the *retention watermark* that the state machine names, holds only the small state as of it,
//! and purging goes that far and no further (ARCHITECTURE.md, "The log is the event store").

mod admission;
mod checkpoint;
mod chunks;
mod codec;
mod command;
mod entry;
mod error;
mod group;
mod grpc;
mod heartbeats;
mod leadership;
mod machine;
mod membership;
mod network;
mod options;
mod peers;
mod proposal;
mod replica;
mod responder;
mod snapshot;
mod status;
mod storage;
mod transport;
mod types;
mod wire;

pub use command::{Applied, Command, Outcome, ProposeError, Space, StateMachine, Watermark};
pub use error::{GroupError, MembershipError, ReadIndexError};
pub use group::Group;
pub use grpc::{AddressBook, ConsensusService, GrpcTransport};
pub use leadership::Leadership;
pub use options::GroupOptions;
pub use peers::Peers;
pub use status::{FollowerStatus, GroupStatus, Role};
pub use transport::{Incoming, NoAnswer, Transport};
pub use types::NodeId;

#[cfg(feature = "simulation")]
pub use simulation::simulated;
#[cfg(feature = "simulation")]
mod simulation;
