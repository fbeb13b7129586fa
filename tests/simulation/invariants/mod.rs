//! What must hold at every moment of a run. One file an invariant, its source named.

pub mod acknowledged_never_lost;
pub mod attempts_are_kept;
pub mod committed_never_changes;
pub mod cursors_are_what_the_log_says;
pub mod cursors_pass_nothing_undone;
pub mod delivered_to_every_trigger;
pub mod duplicates_are_explained;
pub mod election_safety;
pub mod leader_completeness;
pub mod log_matching;
pub mod monotone;
pub mod offsets_without_gaps;
pub mod only_committed_is_delivered;
pub mod promises_survive;
pub mod reads_are_fresh;
pub mod refused_is_never_committed;
pub mod replicas_are_equal;
pub mod retained_events_survive_moves;
pub mod state_machine_safety;
pub mod written_once;

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub what: String,
}

pub type Verdict = Result<(), Violation>;

/// Gives `Ok` when it holds.
pub fn holds(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// A leadership: the term and the node that leads in it.
///
/// openraft gives a term to more than one leader, one after the other, of rising node ids (`leader_id_adv`). So where
/// Raft says "term", these invariants say term and node.
pub type Leadership = (u64, u64);

/// An entry as the invariants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub index: u64,
    /// Who wrote it.
    pub by: Leadership,
    /// Of kind, events, offset and the beginning of the body.
    pub hash: u64,
}
