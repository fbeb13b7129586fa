//! Log groups as Raft groups: the only crate that names openraft.
//!
//! A [`Group`] takes [`Command`]s, has them committed by the group's voters and hands them, in one order, to a
//! [`StateMachine`]. One command is one sealed batch and one Raft entry; openraft sees it as opaque bytes. The wire and
//! disk forms are ours, so that the pinned alpha of openraft can be exchanged without touching stored data.
//!
//! What differs from common use: the log is not thrown away behind a snapshot, because it is what consumers read. A
//! snapshot is taken at the *retention watermark* that the state machine names, holds only the small state as of it,
//! and purging goes that far and no further (ARCHITECTURE.md, "The log is the event store").
//!
//! # From node to node
//!
//! A group reaches its replicas through [`Peers`]. Outwards that is a [`Transport`], which carries the messages of
//! `pelton.consensus.v1` and nothing else: [`GrpcTransport`] in a cluster, links in memory in a test. Inwards it is the
//! table of groups that are open on the node, with [`ConsensusService`] before it. Deadlines, merged heartbeats, the
//! bytes in flight and the end of a stream are on this side of the transport, the same for all. What comes from a peer
//! is checked for everything that openraft asserts (`wire`, `replica`).
//!
//! # Damage
//!
//! A replica whose log is damaged gets copies from the others, by log id: whoever has an entry of that id has the same one
//! (`fetch`, `mend`). What openraft reads when it starts is repaired before the group is opened here (`opening`:
//! [`Group::begin`]); the rest is repaired in place, by a replica that follows and votes and does not lead (`care`).
//! Reads of the core wait for the copy, because a storage error ends a group for good.
//!
//! # What is known of openraft alpha.37, and what is done about it
//!
//! - **Leases are forgotten by a restart.** [`GroupOptions::hold_votes`]; and reads ask a quorum, never a lease
//!   ([`Group::read_index`]).
//! - **A restarted leader resumes its old term**, though followers may have entries of it that its own disk lost: off
//!   (`options`, "enable_leader_restore"). So is a follower that lost what it had bringing its leader down.
//! - **There is no pre-vote unless it is asked for**, and the network's default grants it. Both are set.
//! - **A leader that hears nobody goes on sending**, which keeps whoever hears it from electing: `network::quiet`.
//! - **Its pause after an error is in the request stream**: a session takes its first request before it can fail, or the
//!   next one would follow at once (`network`).
//! - **Purging waits for a follower's stream.** One that leaves requests unanswered is cut after an election timeout
//!   (`network::append`).
//! - **Votes, truncations and purges are awaited in the core**; they go to the shared log's flusher, whose order against
//!   appends is given. `save_committed` is not used.
//! - **A storage error ends a group for good.** [`Group::failed`] says so. What a full disk would refuse is looked at
//!   before it reaches the core, on the leader and on followers (`admission`).
//! - **Installing a snapshot purges the log behind it.** The state is durable as a checkpoint first (`machine`), and the
//!   snapshot brings the offset that the next event gets.
//! - **The default time for a snapshot is 200 ms**, the default heartbeat 50 ms: both set (`options`).
//! - **A restart re-applies what is not in a checkpoint**: [`Group::checkpoint`] near the tail, and entries are read in
//!   portions.
//! - **An acknowledgement for an entry that was cut does not say which it was**: `proposal` and `responder` find out.
//! - **Node ids are never reused.** That is the registry's to keep; a data directory of another node is not opened.

mod admission;
mod care;
mod checkpoint;
mod chunks;
mod codec;
mod command;
mod entry;
mod error;
mod fetch;
mod fitness;
mod group;
mod grpc;
mod heard;
mod heartbeats;
mod leadership;
mod machine;
mod membership;
mod mend;
mod network;
mod opening;
mod options;
mod peers;
mod proposal;
mod reach;
mod replica;
mod responder;
mod runtime;
mod snapshot;
mod status;
mod storage;
mod survivor;
mod transport;
mod types;
mod wire;

pub use command::{Applied, Command, Outcome, ProposeError, Space, StateMachine, Watermark};
pub use error::{GroupError, MembershipError, ReadIndexError};
pub use group::Group;
pub use grpc::{AddressBook, ConsensusService, GrpcTransport};
pub use leadership::Leadership;
pub use mend::Unsound;
pub use opening::{Begun, Mending};
pub use options::GroupOptions;
pub use peers::Peers;
pub use reach::Reach;
pub use runtime::simulated;
pub use status::{FollowerStatus, GroupStatus, Role};
pub use survivor::{Survivor, SurvivorError};
pub use transport::{Incoming, NoAnswer, Transport};
pub use types::NodeId;
