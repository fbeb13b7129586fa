//! The dispatcher: reads the log, matches events against triggers, delivers them over HTTP and stores how far it has
//! come.
//!
//! It knows the broker only through [`pelton_client::Client`], so it runs beside the log or on another machine.
//!
//! - [`matching`]: which triggers an event is for. An index, so that cost follows matches and not triggers.
//! - [`delivery`]: what an answer means and what follows from it.
//! - [`trigger`]: one trigger as a state machine: what waits, what is on its way, what is done and not stored.
//! - `pool`: targets, connections, circuits.
//! - `group`: the task that puts these to work, one for each log group.
//!
//! The first three are pure: time and chance are arguments.
//!
//! # How it behaves
//!
//! **One scan.** All triggers that stand at the tail share one scan and one stored mark; an idle trigger is a few
//! hundred bytes and no task. A trigger that starts behind the tail, was paused or rewound, or has
//! [`trigger::WINDOW`] events pending reads on from a place of its own, and joins the scan again when it gets there.
//!
//! **Sessions.** A group is delivered for as long as [`Client::served`](pelton_client::Client::served) gives the right to,
//! by a task that begins from what is stored and ends with its session: no attempt starts after that, what is on its way
//! ends in vain, and progress that was refused because of it is not sent again. Whoever has the next session does again
//! what was not stored.
//!
//! **Positions, not bytes.** An event that waits, for its turn or for its next attempt, is an offset. Its bytes are
//! read from the log when it starts, through a small shared cache. What is on its way, and what replies bring, is bounded
//! by [`Options::sending_bytes`] and [`Options::reply_bytes`].
//!
//! **Order.** Unordered triggers have up to `pelton.dev/max-in-flight` attempts on their way, in each log group.
//! Ordered ones have one for each `partitionkey`, and keys beside each other. Events without a key are one sequence of
//! their own; so are dead letters that are sent again.
//!
//! **Sharing.** Triggers that ask the same host and port share [`Options::max_connections`], and all share the bytes.
//! Each may hold as much as it leaves free, and always one attempt: those that hang do not stop the others, however many
//! they are.
//!
//! **Circuits.** After 20 failures in a row (no answer, 5xx, 429) of 5 or more events over 5 seconds or more, a target
//! gets no attempts but one probe at a time, after 1 s, 2 s, ... 30 s. A probe is the next attempt of an event that
//! was due, and counts as that; waiting for it costs nothing. So a circuit adds no attempt and takes none away. A 429
//! with `Retry-After` holds its trigger back for as long.
//!
//! **Retries** follow the trigger's policy exactly: `retry` + 1 attempts. The count survives a crash, but for what
//! was not stored, as a rule the last 100 ms. An attempt that was on its way in a crash is made again.
//!
//! **Modes.** Without `delivery.format` events go in binary mode: the log does not keep the mode in which an event
//! came. An event whose headers would pass 8 KiB goes as JSON.
//!
//! **Memory of attempts.** What came of the last attempts is kept in a fixed memory ([`Options::remembered_attempts`]) for
//! whoever asks where an event is ([`DispatcherHandle::source`]).
//!
//! **Services** of this process are asked without a socket ([`Services`]), and an attempt begins once there is a slot for
//! it: an event that waits for one stays in the log, costs no attempt, and its time does not run. Where nobody serves, that
//! fails one attempt of each event that could be on its way, once.
//!
//! **Targets** are asked over HTTP/1.1. `https` is not spoken yet; such a subscriber is one that cannot be asked.

mod dead_letter;
pub mod delivery;
mod dispatcher;
mod endpoint;
mod group;
mod journal;
pub mod matching;
mod metrics;
mod options;
mod plan;
mod pool;
mod reply;
mod request;
mod service;
mod snapshot;
pub mod trigger;

pub use dispatcher::{Dispatcher, DispatcherHandle};
pub use options::{CircuitOptions, Options};
pub use service::{AnswerBody, NotServed, Service, Services, Slot, Unanswered, Waiting};
pub use snapshot::GroupSnapshot;
