//! Who owns which field: `metadata.managedFields` and server-side apply.
//!
//! A manager owns a set of leaf paths. A list is one leaf, except `metadata.finalizers`, of which each value is one,
//! and `metadata.ownerReferences`, of which each uid is one. An empty map is a leaf as well: who owns it has said
//! that the map is there, and nothing about what is in it.
//!
//! - [`apply()`] is server-side apply: what an applier owned and no longer names goes, if nobody else owns it.
//! - [`update()`] is the bookkeeping of every other write: who changes a field owns it.
//! - [`ManagedFields::of_body`] is what a body says about the ownership itself.
//!
//! Both writes rest on one question, `tree::is_same`: does a path stand for the same thing before and after? An owner
//! keeps the paths of which that is true and loses the others; in an apply such a loss is a conflict.
//!
//! **Invariant:** nothing here reads a clock; the time of a write is in its [`Writer`]. (`clippy.toml`)
//! **Invariant:** a write that changes no ownership leaves the managed fields as they were, times and order included,
//! so that it can be told to be no write. (`model.rs`)

mod ancient;
mod apply;
mod conflict;
mod fields_v1;
mod last_applied;
mod managed;
#[cfg(test)]
mod model;
mod path;
#[cfg(test)]
mod tests;
mod tree;
mod update;

pub use apply::apply;
pub use conflict::{ConflictOf, conflict_message};
pub use last_applied::{LAST_APPLIED, last_applied_text, paths_of_last_applied};
pub use managed::ManagedFields;
pub use path::PathSet;
pub use update::update;

/// Who writes, how, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer<'a> {
    /// `fieldManager` of the request.
    pub manager: &'a str,
    /// `apiVersion` of the body.
    pub api_version: &'a str,
    /// The subresource that is written. Through `status` nothing but `status` is, through any other all but that.
    pub subresource: Option<&'a str>,
    /// The time of the write, RFC 3339 in UTC with whole seconds.
    pub now: &'a str,
}
