//! How a node comes into a cluster, and how the registry's leader and the other nodes speak with each other about it.
//!
//! A node without identity asks every address of its `--join` list who is there ([`Formation`]). When some answer names a
//! cluster it asks there to be let in; when nobody does, and everybody answered, the node whose address is first in the
//! list forms the cluster. `decide` is the pure core of that. The other side is [`MembershipService`], which answers
//! from the first moment on: nodes that wait for each other have to hear each other. Once a node is up, [`RegistryLink`]
//! takes what it has to say to the registry's leader, and there [`Keeper`] looks after the cluster.

mod calls;
mod decide;
mod enter;
mod hello;
mod keeper;
mod link;
mod service;

pub use decide::CannotEnter;
pub(crate) use enter::{Formation, Started};
pub(crate) use hello::Presence;
pub(crate) use keeper::{Keeper, Patience};
pub(crate) use link::{AnnounceError, RegistryLink, SettleError};
pub(crate) use service::{MembershipService, Registrar};

#[cfg(test)]
mod tests;
