//! Whole nodes: the product's broker and dispatcher on each, over the simulated network, disks, clocks and chance; events
//! come in through the client of the cluster, and go out over HTTP to simulated subscribers.
//!
//! Not simulated: the HTTP of ingress and of the API, TLS, threads (a node has one), sled (a start reads the log instead)
//! and the files beside the log: `identity.json` and the nonce are real files, which no crash takes away. Messages between
//! nodes come twice only as TCP and retries bring them.

pub mod clients;
mod node;
pub mod oracle;
mod run;
mod sinks;
pub mod triggers;
pub mod world;

pub use run::run;
