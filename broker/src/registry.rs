//! The registry: one more log group, which holds every resource, and the cluster itself.

mod commands;
mod state;
mod store;

pub(crate) use commands::RegistryCommand;
pub(crate) use state::RegistryState;
