//! Runs revisions as Deployments.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kube::Client;
use pelton_env::Chance;
use pelton_resource::serving::RuntimeKind;
use pelton_serving_gateway::logs::Logs;
use pelton_serving_gateway::runtime::{InstanceEvent, Runtime, RuntimeError, Workload, WorkloadSpec};
use tokio::sync::{Mutex, OnceCell, mpsc};

use crate::call::CallError;
use crate::connection::connect;
use crate::leftovers;
use crate::manifest::{self, Origin};
use crate::namespace::Namespace;
use crate::owner::Owner;
use crate::pause::Pause;
use crate::workload::{Parts, Pods, Shared};

/// The longest pause between two tries to find the cluster, when only leftovers are looked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where the cluster is, and how it is used.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    /// The file that says where the cluster is. Unset: the one of `KUBECONFIG`, else `~/.kube/config`, else the cluster that
    /// this process is a Pod of.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of all revisions. Unset: each has its own, which must be there.
    pub namespace: Option<String>,
    /// Where it is kept what this gateway has in a cluster.
    pub folder: PathBuf,
    /// How long a start may take until it has failed: a node may have to come first.
    pub start_within: Duration,
}

impl KubernetesOptions {
    /// Knative's deadline for progress (spec/serving.md, 1.1), and the rest as the environment says.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { kubeconfig: None, namespace: None, folder, start_within: Duration::from_secs(600) }
    }
}

/// Runs revisions as Deployments of a cluster, which is looked for when the first revision asks for it.
#[derive(Debug)]
pub struct KubernetesRuntime {
    parts: Arc<Cluster>,
}

struct Cluster {
    options: KubernetesOptions,
    owner: Owner,
    origin: Origin,
    logs: Logs,
    chance: Arc<dyn Chance>,
    client: OnceCell<Client>,
    namespaces: Mutex<HashMap<String, Weak<Namespace>>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("options", &self.options).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl KubernetesRuntime {
    /// Makes ready to run revisions. What a former life of this gateway left in a cluster is deleted, in the background;
    /// when there was none, no cluster is looked for. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn open(options: KubernetesOptions, logs: Logs, chance: Arc<dyn Chance>) -> io::Result<Self> {
        let before = Owner::read(&options.folder)?;
        let was_here = before.is_some();
        let owner = before.unwrap_or_else(|| Owner::new(&options.folder, &*chance));
        let origin = Origin { gateway: owner.name().to_owned(), life: format!("{:016x}", chance.bits()) };
        let namespaces = owner.namespaces();
        let parts = Arc::new(Cluster {
            options,
            owner,
            origin,
            logs,
            chance,
            client: OnceCell::new(),
            namespaces: Mutex::default(),
        });
        if was_here {
            let cluster = Arc::clone(&parts);
            tokio::spawn(async move {
                let mut pause = Pause::new(LONGEST_PAUSE);
                let client = loop {
                    match cluster.client().await {
                        Ok(client) => break client.clone(),
                        Err(error) => tracing::warn!(%error, "the cluster of a former life cannot be found"),
                    }
                    pause.wait().await;
                };
                leftovers::delete(client, cluster.origin.clone(), namespaces).await;
            });
        }
        Ok(Self { parts })
    }
}

impl Cluster {
    async fn client(&self) -> Result<&Client, CallError> {
        self.client.get_or_try_init(|| connect(self.options.kubeconfig.as_deref())).await
    }

    async fn namespace(&self, name: &str) -> Result<Arc<Namespace>, RuntimeError> {
        let client = self.client().await.map_err(|error| error.failed("the cluster cannot be found"))?;
        let mut namespaces = self.namespaces.lock().await;
        if let Some(open) = namespaces.get(name).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let opened = Namespace::open(client, name, &self.origin.life).await;
        let opened = opened.map_err(|error| error.failed(format!("the namespace {name} cannot be watched")))?;
        namespaces.insert(name.to_owned(), Arc::downgrade(&opened));
        Ok(opened)
    }

    async fn deploy(
        self: Arc<Self>,
        spec: Arc<WorkloadSpec>,
        events: mpsc::UnboundedSender<InstanceEvent>,
    ) -> Result<Box<dyn Workload>, RuntimeError> {
        manifest::check(&spec)?;
        let place = self.options.namespace.clone().unwrap_or_else(|| spec.namespace.clone());
        let namespace = self.namespace(&place).await?;
        let noting = {
            let (cluster, place) = (Arc::clone(&self), place.clone());
            tokio::task::spawn_blocking(move || cluster.owner.remember(&place))
        };
        let noted = noting.await.unwrap_or_else(|gone| Err(io::Error::other(gone)));
        noted.map_err(|source| {
            let what = format!("it cannot be noted that there is something in the namespace {place}");
            RuntimeError::Failed { what, source }
        })?;
        let name = manifest::name_of(&spec.revision, self.chance.bits());
        let log = self.logs.revision(&spec.namespace, &spec.revision);
        let origin = self.origin.clone();
        let start_within = self.options.start_within;
        let parts = Parts { name: name.clone(), spec, origin, namespace: namespace.clone(), log, events, start_within };
        let shared = Shared::new(parts);
        namespace.register(name, &shared);
        if let Err(error) = shared.apply().await {
            // As far as it came; what cannot be deleted now is in the next life.
            if let Err(why) = shared.delete().await {
                tracing::debug!(%why, "what was applied in part cannot be deleted");
            }
            return Err(error.failed(format!("the Deployment could not be made in the namespace {place}")));
        }
        Ok(Box::new(Pods::begin(shared)))
    }
}

impl Runtime for KubernetesRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Kubernetes
    }

    fn can_pause(&self) -> bool {
        false
    }

    fn deploy(
        &self,
        spec: Arc<WorkloadSpec>,
        events: mpsc::UnboundedSender<InstanceEvent>,
    ) -> BoxFuture<'_, Result<Box<dyn Workload>, RuntimeError>> {
        Arc::clone(&self.parts).deploy(spec, events).boxed()
    }
}
