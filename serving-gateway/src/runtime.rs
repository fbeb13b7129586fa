//! How instances of a revision come about, are paused and end, behind one pair of traits.
//!
//! A [`Runtime`] deploys a revision and gives its [`Workload`]: whoever has it asks for one instance more, or for one of
//! them to be paused, resumed or stopped, and hears by [`InstanceEvent`]s what becomes of each. Nothing here decides how
//! many there should be, and nothing here knows whether an instance answers: who sends requests probes it.
//!
//! - [`process`]: instances as processes of this machine. On Linux.
//! - the crate `runtime-docker`: as containers.
//! - [`handles`]: how the task of an instance is reached, for those that have one for each.
//! - `conformance`: what every runtime must do.

#[doc(hidden)]
pub mod conformance;
mod expand;
pub mod handles;
#[cfg(target_os = "linux")]
pub mod process;
mod runtimes;

pub use runtimes::Runtimes;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use pelton_resource::serving::RuntimeKind;
use tokio::sync::mpsc;

/// One instance among all of this runtime. Prints as what its own tools call it: a container's id, a Pod's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub Arc<str>);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is run for a revision. It never changes: a change makes another revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadSpec {
    /// The revision's namespace.
    pub namespace: String,
    /// The revision's name: `K_REVISION`.
    pub revision: String,
    /// The name of its Configuration: `K_CONFIGURATION`.
    pub configuration: String,
    /// The name of its Service, or empty: `K_SERVICE`.
    pub service: String,
    /// The image. Empty for a process.
    pub image: String,
    /// The program and what stands in the place of an image's entry point. Not empty for a process. Here, in the arguments and
    /// in the environment `$(NAME)` may stand for a variable: [`WorkloadSpec::expanded`].
    pub command: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// The environment, in the order in which it was written. `PORT` and `K_*` come on top.
    pub env: Vec<(String, String)>,
    /// Where it runs. Unset: a private folder of the instance.
    pub working_dir: Option<PathBuf>,
    /// The port declared for the container, if one is (1 to 65,535). A process is given a free port by `PORT`.
    pub port: Option<u16>,
    /// The most memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most processor time, in thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// How long an instance has from SIGTERM to SIGKILL.
    pub grace: Duration,
    /// Whether a process is handed a socket that listens (`LISTEN_FDS`), instead of opening one.
    pub socket_activation: bool,
    /// Whether an image is fetched: `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: PullPolicy,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time a revision is deployed.
    Always,
    /// When it is not there.
    #[default]
    IfNotPresent,
    /// Never: it is there or the revision fails.
    Never,
}

/// What became of instances. Each [`Workload::start`] leads to one `Started` or one `NotStarted`; each `Started` to one
/// `Exited`. A runtime that replaces instances by itself tells of a `Started` that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceEvent {
    /// It runs. Whether it answers already is for a probe to find out.
    Started {
        /// Which.
        id: InstanceId,
        /// Where it listens, or is going to.
        address: SocketAddr,
    },
    /// One that was asked for did not come about.
    NotStarted {
        /// Why, for people: what was tried and what the system said.
        why: String,
    },
    /// It is gone, asked to or not, and so is whatever it left behind.
    Exited {
        /// Which.
        id: InstanceId,
        /// How it ended.
        exit: Exit,
    },
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop.
    Stopped,
    /// By itself, with this code.
    Code(i32),
    /// By a signal that we did not send.
    Signal(i32),
    /// The kernel took it for the memory it used.
    OutOfMemory,
    /// It went away where it ran: a Pod that was evicted, a container that somebody removed.
    Lost(String),
}

/// Why something could not be done with a revision or one of its instances.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The specification asks for what this runtime does not have; trying again does not help.
    #[error("{field}: {why}")]
    Unsupported {
        /// Path of the field in the revision's spec.
        field: &'static str,
        /// Why not.
        why: String,
    },
    /// Whoever runs the instances did not do it, or did not answer.
    #[error("{what}")]
    Failed {
        /// What was asked for.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// There is no such instance any more.
    #[error("there is no instance {0}")]
    Gone(InstanceId),
}

/// Runs revisions.
pub trait Runtime: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn kind(&self) -> RuntimeKind;

    /// Whether instances can be paused and resumed.
    fn can_pause(&self) -> bool;

    /// Makes ready what instances of `spec` need (fetches the image, creates the Deployment with no replicas). What
    /// becomes of instances goes to `events`, which has no bound because a runtime has: two for each start.
    ///
    /// # Errors
    /// [`RuntimeError`]. Nothing is left behind then.
    fn deploy(
        &self,
        spec: Arc<WorkloadSpec>,
        events: mpsc::UnboundedSender<InstanceEvent>,
    ) -> BoxFuture<'_, Result<Box<dyn Workload>, RuntimeError>>;
}

/// A revision that is deployed. Dropped, its instances are killed.
pub trait Workload: fmt::Debug + Send + Sync {
    /// Starts one instance more. It does not wait: `Started` or `NotStarted` tells what came of it.
    fn start(&self);

    /// Stops an instance from running without ending it; its memory is kept. Until it is resumed nobody can tell by
    /// connecting that it does not answer.
    ///
    /// # Errors
    /// [`RuntimeError`].
    fn pause(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>>;

    /// Lets a paused instance run on. An instance that is not paused stays as it is.
    ///
    /// # Errors
    /// [`RuntimeError`].
    fn resume(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>>;

    /// Ends an instance: it is resumed if it is paused, asked to end, and after [`WorkloadSpec::grace`] killed with all
    /// that it started. It does not wait; `Exited` tells when it is gone. Doing it again changes nothing.
    fn stop(&self, id: &InstanceId);

    /// Kills every instance now, with all that it started; `Exited` tells when each is gone. Where instances are somebody
    /// else's to end, nothing is done.
    fn kill_all(&self) {}
}
