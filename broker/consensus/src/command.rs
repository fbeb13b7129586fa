//! What a group takes and what it hands on: the seam between consensus and the broker's state.

use bytes::Bytes;
use pelton_log::{LogIndex, Offset, Term};

use crate::NodeId;

/// The first kind that is a command; those below are Raft's own entries.
pub(crate) const FIRST_COMMAND_KIND: u8 = 16;

/// Something to be committed: opaque to consensus.
#[derive(Clone)]
pub struct Command {
    /// What it is, by the state machine's own numbering, from 16 on.
    pub kind: u8,
    /// How many event offsets it takes up in the group's sequence; 0 when it holds no events.
    pub event_count: u32,
    /// Its content.
    pub body: Bytes,
    /// What it may use when the disk is full.
    pub space: Space,
}

/// What of a full disk a command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Nothing: new events are refused first.
    Ordinary,
    /// The reserve, but not all of it: progress, resources.
    Reserve,
    /// All of the reserve: what lets old segments go.
    Last,
}

// The core formats entries when it traces; content must never end up there.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command(kind {}, {} events, {} B)", self.kind, self.event_count, self.body.len())
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// A committed command with its place.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its log index.
    pub index: LogIndex,
    /// The term of the leader that wrote it.
    pub term: Term,
    /// The offset of its first event; the next event's offset when it holds none.
    pub first_offset: Offset,
    /// The command itself.
    pub command: Command,
}

/// The state that a group's commands add up to. Every replica applies the same commands in the same order.
pub trait StateMachine: Send + Sync + 'static {
    /// Takes in the next committed command. Called in log order, once for each after the restored state.
    fn apply(&self, applied: Applied);

    /// The version of the protocol that the cluster is at, as far as this node knows. What is stored and sent of the
    /// state has its form, and so has what is put around it.
    fn protocol(&self) -> u32;

    /// The whole state as of the last applied command, to restart from.
    fn checkpoint(&self) -> Bytes;

    /// Takes the state from an earlier [`checkpoint`](Self::checkpoint), with the watermark that was stored beside it.
    ///
    /// # Errors
    /// The bytes are not a checkpoint of this version; says why.
    fn restore(&self, checkpoint: &Bytes, watermark: Option<&Watermark>) -> Result<(), String>;

    /// Up to where the log may be purged, with the state as of there; not above `applied`, the index of the last
    /// applied entry of any kind. `None`: nothing may be purged. It takes effect once it is stored with a checkpoint.
    fn watermark(&self, applied: LogIndex) -> Option<Watermark>;

    /// Takes the state from another replica's [`watermark`](Self::watermark).
    ///
    /// # Errors
    /// The bytes are not a state of this version; says why.
    fn install(&self, index: LogIndex, state: &Bytes) -> Result<(), String>;

    /// Takes another replica's [`watermark`](Self::watermark) for its own, and keeps the state that it has: its own way
    /// there leads over an entry that nobody has any more. The index is not above the last applied one.
    ///
    /// # Errors
    /// The bytes are not a state of this version; says why.
    fn adopt(&self, watermark: &Watermark) -> Result<(), String>;
}

/// A place in the log up to which nothing is needed any more, and the small state as of it.
#[derive(Debug, Clone)]
pub struct Watermark {
    /// The last log index that may be purged.
    pub index: LogIndex,
    /// The state as of that index.
    pub state: Bytes,
}

/// Why a proposal has no committed entry.
///
/// Only [`OutcomeUnknown`](Self::OutcomeUnknown) leaves open whether it is committed; after any other it is not and
/// never will be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This node does not lead the group, is handing it over, or has heard no quorum for a while. Nothing was written,
    /// and nothing will be.
    #[error("this node does not lead the group")]
    NotLeader {
        /// Who does, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// It was written here, and then another leader's entry took its place. No replica has it or will have it.
    #[error("another leader's entry took the place of the command")]
    Discarded,
    /// The disk has no room for it. Nothing was written.
    #[error("the log's disk is full")]
    StorageFull,
    /// It is larger than a record of the log may be. Nothing was written.
    #[error("the command is too large for the log")]
    TooLarge,
    /// The group ended on this node, or a snapshot passed over the entry after this node had stopped leading: the
    /// command may or may not be committed.
    #[error("the outcome of the proposal is not known")]
    OutcomeUnknown,
}

/// Who waits for a proposal. Exactly one of the two is called, once, from a thread that must not be held up.
pub trait Outcome: Send + Sync + 'static {
    /// The command is committed at this index: a quorum has it in synced storage.
    fn committed(&self, index: LogIndex);
    /// The command is not known to be committed.
    fn failed(&self, error: ProposeError);
}
