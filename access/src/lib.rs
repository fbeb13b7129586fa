//! Who calls the API, and what he may do. A core: no clock, no file, no socket, no dice.
//!
//! A shell reads the access file, the headers and the certificate of a request, and the time, and asks here:
//!
//! | question | where |
//! | --- | --- |
//! | what does the access file say, and what is wrong with it | `file` |
//! | whose certificate, whose token is this | [`subject`], [`StaticTokens`], [`account`], [`Issuer`] |
//! | what does a request want | [`Attributes`] |
//! | may he | [`Caller`], by the rules of `need` and the grants of [`Policy`] |
//! | what is written down of it | [`AuditLine`] |
//!
//! Roles are three, each for the whole cluster or for a namespace. What each may is written once, in `need`.

pub mod account;
mod attributes;
mod audit;
mod caller;
pub mod file;
mod identity;
mod issuer;
mod jws;
pub mod limits;
mod need;
mod policy;
mod process;
mod role;
mod static_token;
pub mod subject;

pub use attributes::{Attributes, SYSTEM_NAMESPACE, Target};
pub use audit::{AuditLine, DryRun};
pub use caller::Caller;
pub use identity::{Identity, MASTERS};
pub use issuer::Issuer;
pub use jws::{Jws, KeySet, TokenError};
pub use policy::Policy;
pub use process::runs_process;
pub use role::{Grant, Role};
pub use static_token::StaticTokens;
