//! Log groups as Raft groups: the only crate that names openraft.
//!
//! A [`Group`] takes [`Command`]s, has them committed by the group's voters and hands them, in one order, to a
//! [`StateMachine`]. One command is one sealed batch and one Raft entry; openraft sees it as opaque bytes. The wire and
//! disk forms are ours, so that the pinned alpha of openraft can be exchanged without touching stored data.
//!
//! What differs from common use: the log is not thrown away behind a snapshot, because it is what consumers read. A
//! snapshot is taken at the *retention watermark* that the state machine names, holds only the small state as of it,
//! and purging goes that far and no further (ARCHITECTURE.md, "The log is the event store").

mod checkpoint;
mod codec;
mod command;
mod group;
mod machine;
mod network;
mod responder;
mod storage;
mod types;

pub use command::{Applied, Command, Outcome, ProposeError, Space, StateMachine, Watermark};
pub use group::{Group, GroupError, GroupOptions, GroupStatus};
pub use types::NodeId;
