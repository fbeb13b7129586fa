//! The serving gateway: requests find the revision they are for, and a revision runs only while there is work.
//!
//! - [`logs`]: what instances print: kept, rotated, followed.
//! - [`probe`]: whether an instance answers.
//! - [`runtime`]: how instances come about, are paused and end: processes, containers, Deployments.

mod census;
mod deliveries;
mod gateway;
pub mod logs;
mod metrics;
pub mod probe;
mod proxy;
#[cfg(target_os = "linux")]
mod readable;
mod revision;
pub mod runtime;
mod serve;
mod sharing;
mod spec_of;
mod tidy;
mod waiting_for;

use pelton_autoscaler as autoscaler;

pub use census::{Census, Counted};
pub use deliveries::{Deliveries, NoSlot, Slot};
pub use gateway::{Gateway, GatewayHandle, Options};
pub use metrics::RevisionSeries;
pub use pelton_http_front::FrontError as ServeError;
pub use proxy::Unanswered;
pub use revision::{Counts, NotServed, WaitingEvents};
pub use spec_of::Defaults;
