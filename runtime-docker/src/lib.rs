//! Instances of revisions as containers of this machine, by the Engine API of Docker, which Podman speaks as well.
//!
//! - `engine`: the API, over the engine's Unix socket.
//! - `create`, `image`: what a revision says, in the words of the API.
//! - `containers`, `ahead`: the instances of one revision, and the container that is created before it is needed.
//! - `instance`: the life of one, as one task.
//! - `owner`: by what containers are known again.
//!
//! An instance is a container of its own, called as the instance is. The port of its program (the first declared, else
//! 8080, and `PORT` says so) is published on the loopback interface at a port that the engine finds. What it prints the
//! engine keeps, and it is followed into [`Logs`] from there.
//!
//! **Invariant:** whatever is created is removed: with the end of the instance, with the revision, when a deployment fails;
//! and what a gateway leaves that was killed, by the next one that opens the same folder, before it creates anything.
//! (`tests/docker/orphans.rs`)
//!
//! **An engine that is away** fails no start of the gateway: a deployment says so, and is tried again by who asked for it. An
//! instance whose engine went away is waited for until the engine tells what became of it; its requests fail by themselves.
//!
//! **Not here.** Registries that ask for a password: what only they have must have been pulled by hand
//! (`imagePullPolicy: IfNotPresent`). An engine on another machine. Limits of swap and of what a container writes to its disk
//! or prints: those are the engine's own settings.
//!
//! **Podman.** It tells less and other words than Docker, so nothing is read that is not needed; it picks the port when the
//! container is created; without root and with cgroups of version 1 it cannot pause, which is asked when it is first met.

mod ahead;
mod containers;
mod create;
mod engine;
mod image;
mod instance;
mod over;
mod owner;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pelton_env::Chance;
use pelton_http_front::text_of;
use pelton_resource::serving::RuntimeKind;
use pelton_serving_gateway::logs::Logs;
use pelton_serving_gateway::runtime::{InstanceEvent, InstanceId, Runtime, RuntimeError, Workload, WorkloadSpec};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::sleep;

use self::ahead::Ahead;
use self::containers::{Containers, Revision};
use self::engine::{Engine, EngineError, Removal};

/// Before a container is tried again to be removed; it doubles.
const FIRST_REMOVE_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_REMOVE_PAUSE: Duration = Duration::from_secs(15);

/// Where Docker's engine listens when nobody says.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Runs revisions as containers of this machine.
#[derive(Debug)]
pub struct DockerRuntime {
    parts: Arc<Parts>,
}

/// What all containers are run with. Lives as long as any of them.
#[derive(Debug)]
struct Parts {
    engine: Engine,
    owner: String,
    logs: Logs,
    chance: Arc<dyn Chance>,
    runtime: Handle,
    met: OnceCell<()>,
    can_pause: AtomicBool,
}

impl DockerRuntime {
    /// Makes ready to run containers of the engine that listens at `socket`, which need not be there yet. What the owner of
    /// `folder` left in a former life is removed as soon as the engine can be reached; no other may use the folder meanwhile.
    /// Must be called within a tokio runtime, which everything then runs on.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, socket: PathBuf, logs: Logs, chance: Arc<dyn Chance>) -> io::Result<Self> {
        let owner = owner::owner_of(folder, &*chance)?;
        let parts = Arc::new(Parts {
            engine: Engine::new(socket),
            owner,
            logs,
            chance,
            runtime: Handle::current(),
            met: OnceCell::new(),
            can_pause: AtomicBool::new(true),
        });
        let meeting = Arc::clone(&parts);
        tokio::spawn(async move {
            if let Err(error) = meeting.meet().await {
                // Most who have no engine need none.
                tracing::debug!(error = %text_of(&error), "no engine runs containers here so far");
            }
        });
        Ok(Self { parts })
    }

    /// Removes every container that is still there, running or not. Nothing may be deployed or started any more.
    pub async fn close(&self) {
        if self.parts.met.initialized()
            && let Err(error) = self.parts.engine.remove_all(&self.parts.label()).await
        {
            tracing::warn!(error = %text_of(&error), "containers may be left; the next start removes them");
        }
    }
}

impl Parts {
    /// Meets the engine, unless that was done: agrees on the API, and removes what a former life left.
    async fn meet(&self) -> Result<(), EngineError> {
        let meeting = || async {
            self.engine.meet().await?;
            self.can_pause.store(self.engine.can_pause().await?, Ordering::Relaxed);
            let removed = self.engine.remove_all(&self.label()).await?;
            if removed > 0 {
                tracing::warn!(containers = removed, "containers that a former life of this gateway left were removed");
            }
            Ok::<(), EngineError>(())
        };
        self.met.get_or_try_init(meeting).await.copied()
    }

    fn label(&self) -> String {
        format!("{}={}", create::OWNER, self.owner)
    }

    /// A name that no container has.
    fn new_id(&self, spec: &WorkloadSpec) -> InstanceId {
        InstanceId(Arc::from(format!("{}-{:010x}", spec.revision, self.chance.bits() >> 24)))
    }

    /// Removes a container, however long the engine is away.
    async fn remove(&self, id: &InstanceId) -> Removal {
        let mut pause = FIRST_REMOVE_PAUSE;
        let mut is_tried = false;
        loop {
            match self.engine.remove(&id.0).await {
                // The try before may have come through.
                Ok(_) if is_tried => return Removal::Done,
                Ok(removal) => return removal,
                Err(error) if is_tried => tracing::debug!(%id, error = %text_of(&error), "still not removed"),
                Err(error) => tracing::warn!(%id, error = %text_of(&error), "a container is not removed; tried again"),
            }
            is_tried = true;
            sleep(pause).await;
            pause = (2 * pause).min(LONGEST_REMOVE_PAUSE);
        }
    }

    /// The same, with nobody waiting for it.
    fn remove_later(self: &Arc<Self>, id: InstanceId) {
        let parts = Arc::clone(self);
        self.runtime.spawn(async move { parts.remove(&id).await });
    }
}

impl Runtime for DockerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    /// As far as it is known: until the engine was met, yes.
    fn can_pause(&self) -> bool {
        self.parts.can_pause.load(Ordering::Relaxed)
    }

    fn deploy(
        &self,
        spec: Arc<WorkloadSpec>,
        events: mpsc::UnboundedSender<InstanceEvent>,
    ) -> BoxFuture<'_, Result<Box<dyn Workload>, RuntimeError>> {
        let parts = Arc::clone(&self.parts);
        async move {
            let image = create::check(&spec)?;
            let body = create::body(&spec, &parts.owner)?;
            parts.meet().await.map_err(|why| failed("no container can be run", why))?;
            let provided = image::provide(&parts.engine, &image, spec.image_pull_policy).await;
            provided.map_err(|why| failed("its containers cannot be created", why))?;
            let first = parts.new_id(&spec);
            match parts.engine.create(&first.0, &body).await {
                Ok(warnings) => {
                    for warning in warnings {
                        tracing::warn!(revision = spec.revision, warning, "the engine warns of a container");
                    }
                }
                Err(why) => {
                    if !why.nothing_was_done() {
                        parts.remove_later(first);
                    }
                    return Err(failed("its containers cannot be created", why));
                }
            }
            let revision = Arc::new(Revision { parts, spec, body, ahead: Ahead::with(first) });
            Ok(Box::new(Containers::new(revision, events)) as Box<dyn Workload>)
        }
        .boxed()
    }
}

fn failed(what: &str, why: impl std::error::Error + Send + Sync + 'static) -> RuntimeError {
    RuntimeError::Failed { what: what.to_owned(), source: io::Error::other(why) }
}
