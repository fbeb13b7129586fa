//! How a role talks to the broker: append, read, progress, administration, behind one trait.
//!
//! This crate is vocabulary: positions, batches, cursors, dead letters, errors, and [`Client`]. Ingress, dispatcher
//! and the API know nothing else of the broker, which is what lets them run on other machines. `pelton-broker` has the
//! in-process form; `memory` is a small second one for the roles' own tests.

pub mod admission;
mod batch;
mod client;
mod cluster;
mod cluster_client;
pub mod codec;
#[doc(hidden)]
pub mod conformance;
mod cursor;
mod dead_letter;
mod dispatch;
mod either;
mod error;
pub mod events;
mod group;
pub mod grpc;
pub mod history;
pub mod memory;

mod name;
mod node_client;
mod object_name;
pub mod objects;
mod position;
mod range_set;
mod resources;
mod retry;
mod routing;
pub mod serving;
mod shared_map;
pub mod status;
pub mod version;
mod write;

pub use batch::{BadBatch, DedupKey, EventBatch, Hops, RECORD_OVERHEAD_BYTES, Record, encode_record, records};
pub use client::{Appended, Client, Warning};
pub use cluster::{
    ClusterChange, ClusterView, FollowerReport, Grant, GroupInfo, NodeId, NodeInfo, NodePhase, NodeReport,
    PRODUCER_WINDOW, Problem, ProducerKey, ReplicaReport, ReplicaRole, Role, Serving, Session, Speaks, TooFew,
};
pub use cluster_client::{ClusterAppend, ClusterClient, ClusterOptions, Connect};
pub use cursor::{Cursor, CursorUpdate, GroupCursors, Progress, Start, TriggerId, Upto};
pub use dead_letter::{Cause, DeadLetter, LastAnswer, Selection};
pub use dispatch::{
    Attempt, AttemptResult, DispatchQuery, DispatchReport, DispatchSource, MAX_ASKED_EVENTS, MAX_TOLD_ATTEMPTS, Moment,
    Recipient, TriggerCounts,
};
pub use error::{AppendError, ApplyError, ClusterError, OperationError, ReadError};
pub use group::{GroupState, MAX_ANSWER_BYTES, MAX_DEAD_LETTERS};
pub use name::BrokerName;
pub use node_client::NodeClient;
pub use object_name::ObjectName;
pub use position::{GroupId, NotAPosition, Offset, Position};
pub use range_set::RangeSet;
pub use resources::{Changed, Named, Resources};
pub use shared_map::{Difference, SharedMap};
pub use write::Write;
