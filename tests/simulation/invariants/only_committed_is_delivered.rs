//! No event is delivered before it is committed, none that nobody appended, none to a Trigger that it does not match, and
//! each with its data. (Ours: "a delivery is of a committed event"; the fault catalogue's checker, I2: no phantom. Jepsen on
//! Redpanda 21.10, 2022: aborted reads.)

use pelton_client::Position;

use super::{Verdict, holds};
use crate::whole::triggers::may_get;

const NAME: &str = "only what is committed is delivered";

/// A subscriber was asked to take an event.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub trigger: u64,
    pub event: u64,
    /// It took it.
    pub is_taken: bool,
    pub is_issued: bool,
    /// The data are those of the event.
    pub is_whole: bool,
}

/// A subscriber got a request; the event is committed there.
pub fn check(request: &Request, at: Option<Position>) -> Verdict {
    let Request { trigger, event, is_issued, is_whole, .. } = *request;
    holds(is_issued, NAME, || format!("trigger {trigger} gets event {event}, which nobody appended"))?;
    holds(is_whole, NAME, || format!("trigger {trigger} gets event {event} with other data"))?;
    holds(at.is_some(), NAME, || format!("trigger {trigger} gets event {event}, which is not committed"))?;
    holds(may_get(trigger, event), NAME, || format!("trigger {trigger} gets event {event}, which it does not match"))
}
