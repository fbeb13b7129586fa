//! What follows from the resources of Knative Serving: the rules of its controllers and the routing table of gateways.
//!
//! Pure: resources, facts and the time in, resources and decisions out.
//!
//! - [`reconcile`](reconcile::reconcile): a Service becomes a Configuration and a Route, a Configuration Revisions, and
//!   each of them gets a status. Whoever leads the registry applies the changes.
//! - [`RoutingTable`]: which revision a request is for. Gateways ask it.
//! - [`rollout`], [`traffic`], [`gc`], [`hosts`]: the rules that these are made of.

mod address;
mod find;
pub mod gc;
pub mod hosts;
mod owner;
pub mod reconcile;
pub mod rollout;
mod scales;
mod table;
#[cfg(test)]
mod testing;
mod told;
pub mod traffic;

pub use address::GatewayAddress;
pub use reconcile::{Changes, Facts, Policy, RevisionFact};
pub use scales::{GatewayInfo, SCALES_WAIT, Scales, Share};
pub use table::{RoutingTable, Target, Unroutable};
pub use told::{AllTold, RevisionLoad, RevisionsTold, TOLD_FOR};
