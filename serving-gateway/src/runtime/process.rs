//! Instances as processes of this machine.
//!
//! Each leads a process group of its own, has a port of its own by `PORT`, a private folder (`TMPDIR`, and
//! where it runs unless the specification says) and a clean environment; its input is empty, what it prints goes to
//! [`Logs`]. A signal that it is sent goes to its whole group.
//!
//! - `spawner`, `spawn`: how a process is made, in the time of a bare `posix_spawn` however large the gateway is.
//! - `instance`: its life, as one task.
//! - `strays`, `record`, `cgroup`: what it started goes with it; a gateway that was killed leaves nothing running.
//! - `ports`, `environment`: what it is given.
//!
//! **Invariant:** once an instance has exited no process of its group runs, nor one with its mark in its environment. (`tests/runtime/neighbours.rs`)
//!
//! **Invariant:** a process that only has the number of one of ours is never sent a signal. A process is signalled only
//! while it is a child that we have not waited for, or by a descriptor of its own. (`record.rs`)
//!
//! **When the gateway is killed** the system kills the processes that it started (`PR_SET_PDEATHSIG`). What they started in
//! turn is killed by the next gateway that opens the same folder.
//!
//! **Socket activation** (`pelton.dev/socket-activation`): descriptor 3 listens at `PORT` from the first moment on, as
//! `LISTEN_FDS=1` and `LISTEN_PID` say; requests wait in it until the program takes them.
//!
//! **Limits.** Open files by `RLIMIT_NOFILE`; memory and processor time by a cgroup where one is ours (`cgroup`). Processes
//! are no walls: they see each other and the machine's files, with the rights of the gateway. One that listens on all
//! addresses is reached from outside, past the gateway.

mod cgroup;
mod environment;
mod instance;
mod leader;
mod ports;
mod proc;
mod record;
mod spawn;
mod spawner;
mod strays;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pelton_env::Chance;
use pelton_resource::serving::RuntimeKind;
use rustix::fs::{FlockOperation, flock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use self::cgroup::{Cgroups, NoCgroups};
use self::environment::Environment;
use self::instance::Instance;
use self::ports::Ports;
use self::record::Folders;
use self::spawner::{Spawner, Spawning};
use self::strays::Strays;
use super::handles::Handles;
use super::{InstanceEvent, InstanceId, Runtime, RuntimeError, Workload, WorkloadSpec};
use crate::logs::Logs;

/// The bounds of processes.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// How many files and connections each may have open, unless our own limit is lower.
    pub open_files: u64,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self { open_files: 65_536 }
    }
}

/// Why no processes can be run.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another gateway has this folder.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error("{} cannot be used", .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("the thread that starts processes cannot be started")]
    Thread(#[source] io::Error),
}

/// Runs revisions as processes of this machine.
#[derive(Debug)]
pub struct ProcessRuntime {
    parts: Arc<Parts>,
}

/// What instances are started, found and cleaned up with. Lives as long as any of them.
#[derive(Debug)]
struct Parts {
    folders: Folders,
    spawning: Spawning,
    strays: Strays,
    logs: Logs,
    chance: Arc<dyn Chance>,
    runtime: Handle,
    no_cgroups: Option<NoCgroups>,
    /// Whether it was said that limits are not kept.
    is_said: AtomicBool,
    /// Locked as long as it is open.
    _lock: File,
}

impl ProcessRuntime {
    /// Makes ready to run processes, with their folders in `folder`. What a former life left running is killed first. Must
    /// be called within a tokio runtime, which everything then runs on.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        folder: &Path,
        options: ProcessOptions,
        logs: Logs,
        chance: Arc<dyn Chance>,
    ) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(unusable)?;
        let lock = File::options().create(true).append(true).open(folder.join("lock")).map_err(unusable)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|why| match why {
            rustix::io::Errno::WOULDBLOCK => OpenError::InUse(folder.to_owned()),
            other => unusable(other.into()),
        })?;
        let folders = Folders::new(folder).map_err(unusable)?;
        let reaped = folders.reap().await.map_err(unusable)?;
        if reaped > 0 {
            tracing::warn!(instances = reaped, "instances that a former life of this gateway left were ended");
        }
        let (cgroups, no_cgroups) = match Cgroups::find() {
            Ok(cgroups) => (Some(cgroups), None),
            Err(why) => (None, Some(why)),
        };
        let spawner = Spawner {
            folders: folders.clone(),
            ports: Ports::new(&*chance),
            cgroups,
            environment: Environment::of_this_process(),
            open_files: options.open_files,
        };
        let spawning = spawner.begin().map_err(OpenError::Thread)?;
        Ok(Self {
            parts: Arc::new(Parts {
                folders,
                spawning,
                strays: Strays::start(),
                logs,
                chance,
                runtime: Handle::current(),
                no_cgroups,
                is_said: AtomicBool::new(false),
                _lock: lock,
            }),
        })
    }
}

impl Parts {
    /// Says once that limits are asked for and not kept.
    fn say_what_is_not_limited(&self, spec: &WorkloadSpec) {
        let asks = spec.memory_bytes.is_some() || spec.cpu_millis.is_some();
        if let Some(why) = self.no_cgroups.as_ref().filter(|_| asks)
            && !self.is_said.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(revision = spec.revision, %why, "memory and processor time of processes are not limited");
        }
    }
}

impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    fn can_pause(&self) -> bool {
        true
    }

    fn deploy(
        &self,
        spec: Arc<WorkloadSpec>,
        events: mpsc::UnboundedSender<InstanceEvent>,
    ) -> BoxFuture<'_, Result<Box<dyn Workload>, RuntimeError>> {
        async move {
            environment::check(&spec)?;
            self.parts.say_what_is_not_limited(&spec);
            let workload = Processes { parts: self.parts.clone(), spec, events, handles: Handles::default() };
            Ok(Box::new(workload) as Box<dyn Workload>)
        }
        .boxed()
    }
}

/// The instances of one revision.
#[derive(Debug)]
struct Processes {
    parts: Arc<Parts>,
    spec: Arc<WorkloadSpec>,
    events: mpsc::UnboundedSender<InstanceEvent>,
    handles: Handles,
}

impl Workload for Processes {
    fn kill_all(&self) {
        self.handles.kill_all();
    }

    fn start(&self) {
        let Self { parts, spec, events, handles } = self;
        // Should a revision of this name in another namespace have one of this name, too, this one gets no folder.
        let name = || InstanceId(Arc::from(format!("{}-{:010x}", spec.revision, parts.chance.bits() >> 24)));
        let (id, ears) = handles.add(name);
        let instance = Instance {
            log: parts.logs.revision(&spec.namespace, &spec.revision),
            id,
            spec: spec.clone(),
            parts: parts.clone(),
            events: events.clone(),
            ears,
        };
        instance.start();
    }

    fn pause(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.handles.pause(id)
    }

    fn resume(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        self.handles.resume(id)
    }

    fn stop(&self, id: &InstanceId) {
        self.handles.stop(id);
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.handles.kill_all();
    }
}
