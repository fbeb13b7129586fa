//! Requests on their way to an instance and back: headers, connections, timeouts, retries, upgrades.

mod answer;
mod connection;
mod deliver;
mod forward;
mod headers;
mod hop;
mod line;
mod outgoing;
mod timers;
mod tunnel;
mod upgrade;
mod websocket;

pub use answer::{Answer, own, own_and_close};
pub use deliver::{Unanswered, deliver};
pub use forward::{Destination, forward, forward_passed_on, not_taken};
pub use headers::{BadRequest, check};
pub use hop::{Hop, passed_on};
pub use line::{Line, Protocol};
pub use timers::{Cut, TimeUp, Timeouts};
pub use upgrade::Kept;
