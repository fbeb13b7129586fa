//! The HTTP client: targets, their connections and circuits.
//!
//! One task a connection pulls jobs from its target's queue, so a delivery costs no task of its own, and a target that
//! hangs holds its own connections and nothing else. Where several triggers ask one target, a [`Share`] each sees to it
//! that one which hangs there leaves room for the others.

mod budget;
mod circuit;
mod connection;
mod gate;
mod in_slot;
mod job;
mod share;
mod shown;
mod tally;
mod target;
mod targets;
mod teller;
mod waits;
mod worker;

pub use budget::{Budgets, ReplyCharge};
pub use circuit::{Circuit, Permit};
pub use job::{Job, Outcome, Ticket};
pub use share::Share;
pub use target::{Admitted, Refusal, Target};
pub use targets::Targets;
pub use waits::Waits;
