//! One trigger in one group as a state machine. Pure.

mod errand;
mod lanes;
mod state;
mod unsaved;

pub use errand::SinkErrand;
pub use lanes::{LaneId, Lanes, OrderedLanes};
pub use state::{Asked, Follow, TriggerState, WINDOW};
pub use unsaved::Unsaved;
