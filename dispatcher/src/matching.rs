//! Which triggers an event is for. Pure.

mod index;
mod necessary;
mod predicate;

pub use index::MatchIndex;
pub use necessary::necessary_values;
pub use predicate::Predicate;
