//! The CloudEvent: one zero-copy frame, its rules and its codecs.
//!
//! [`Event`] holds a whole event in one [`bytes::Bytes`], the same bytes that the log stores, the replicas exchange
//! and the dispatcher reads. Attributes are found through a small table of offsets; `data` is never parsed into a
//! tree and leaves as it came, with a tag ([`DataKind`]) of how it came.
//!
//! - [`EventBuilder`] makes an event from values and checks every rule of CloudEvents 1.0 (core, section "Context
//!   Attributes").
//! - [`http`] reads and writes the three content modes of the CloudEvents HTTP binding.
//! - [`limits`] names every bound of this crate, and those that the roles around it share.
//!
//! **Invariant:** nothing here reads a clock, a file, a socket or a random number, and nothing here is async.
//! **Invariant:** an [`Event`] that exists can be read: no accessor fails or panics, whatever bytes it was made from.

mod any;
mod attribute;
mod builder;
mod frame;
pub mod http;
mod invalid;
mod json;
pub mod limits;
mod rules;
#[cfg(feature = "cloudevents-sdk")]
mod sdk;

pub use any::ProtoAny;
pub use attribute::AttributeValue;
pub use builder::EventBuilder;
pub use frame::{DataKind, Event, FrameError};
pub use invalid::{InvalidEvent, Rule};
#[cfg(feature = "cloudevents-sdk")]
pub use sdk::ToSdkError;
