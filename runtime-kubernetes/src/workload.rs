//! A revision that is deployed: what its book says is done.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use parking_lot::Mutex;
use pelton_serving_gateway::logs::RevisionLog;
use pelton_serving_gateway::runtime::{InstanceEvent, InstanceId, RuntimeError, Workload, WorkloadSpec};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::book::{Book, Outcome, Plan};
use crate::call::{CallError, call};
use crate::facts::{replicas_of, version_of};
use crate::labels::{DELETION_COST, PELTON, WORKLOAD};
use crate::manifest::{self, Origin};
use crate::namespace::Namespace;
use crate::output::Output;
use crate::pause::Pause;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The least cost there is: whoever has it goes first.
const LEAST_COST: i32 = i32::MIN;

/// What Pods get to end when their revision is dropped. Kubernetes counts whole seconds, and takes 0 for "forget it".
const KILL_GRACE_SECONDS: u32 = 1;

/// A revision that is deployed, as those who do something for it share it.
pub struct Shared {
    /// The name of its Deployment and its Service.
    name: String,
    spec: Arc<WorkloadSpec>,
    origin: Origin,
    namespace: Arc<Namespace>,
    log: Arc<RevisionLog>,
    events: mpsc::UnboundedSender<InstanceEvent>,
    book: Mutex<Book>,
    /// What its Pods print, by their names.
    outputs: Mutex<HashMap<String, Output>>,
    /// The book has changed.
    changed: Notify,
    handle: Handle,
    me: std::sync::Weak<Shared>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("book", &*self.book.lock()).finish_non_exhaustive()
    }
}

/// What a revision is deployed with.
#[derive(Debug)]
pub struct Parts {
    /// The name of its Deployment and its Service.
    pub name: String,
    /// What is run.
    pub spec: Arc<WorkloadSpec>,
    /// Whose it is.
    pub origin: Origin,
    /// Where it is.
    pub namespace: Arc<Namespace>,
    /// Where what its Pods print goes.
    pub log: Arc<RevisionLog>,
    /// Where what becomes of its instances goes.
    pub events: mpsc::UnboundedSender<InstanceEvent>,
    /// How long a start may take.
    pub start_within: Duration,
}

impl Shared {
    /// One of which nothing is in the cluster yet. Must be called within a runtime.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { name, spec, origin, namespace, log, events, start_within } = parts;
        let book = Mutex::new(Book::new(manifest::port_of(&spec), start_within));
        Arc::new_cyclic(|me| Self {
            name,
            spec,
            origin,
            namespace,
            log,
            events,
            book,
            outputs: Mutex::default(),
            changed: Notify::new(),
            handle: Handle::current(),
            me: me.clone(),
        })
    }

    /// Writes into the book, and tells and begins what follows at once.
    pub fn with<T>(&self, write: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock();
        let written = write(&mut book);
        // Under the lock, so that what is told is told in the order in which it came about.
        for outcome in book.take_outcomes() {
            self.perform(outcome);
        }
        drop(book);
        self.changed.notify_one();
        written
    }

    fn perform(&self, outcome: Outcome) {
        match outcome {
            Outcome::Tell(event) => {
                tracing::debug!(workload = self.name, ?event, "an instance");
                // Whoever hears nothing any more has it dropped.
                let _ = self.events.send(event);
            }
            Outcome::Listen { pod, is_restarted } => {
                let _there = self.handle.enter();
                let output =
                    Output::follow(self.namespace.pods.clone(), pod.clone(), is_restarted, Arc::clone(&self.log));
                self.outputs.lock().insert(pod, output);
            }
            Outcome::ReadToTheEnd(pod) => {
                let output = self.outputs.lock().remove(&pod);
                let me = self.me.upgrade().expect("whoever calls has it");
                self.handle.spawn(async move {
                    if let Some(output) = output {
                        output.read_to_the_end().await;
                    }
                    me.with(|book| book.was_read(&pod));
                });
            }
        }
    }

    /// Makes the Deployment, with no replicas, and the Service that goes with it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn apply(&self) -> Result<(), CallError> {
        let Self { name, spec, origin, namespace, .. } = self;
        let params = PatchParams::apply(PELTON);
        let deployment = Patch::Apply(manifest::deployment(name, spec, origin));
        let made: Deployment = call(namespace.deployments.patch(name, &params, &deployment)).await?;
        let uid = made.metadata.uid.unwrap_or_default();
        let service = Patch::Apply(manifest::service(name, spec, origin, &uid));
        call(namespace.services.patch(name, &params, &service)).await?;
        Ok(())
    }

    /// Takes away whatever there is of it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete(&self) -> Result<(), CallError> {
        let Self { name, namespace, .. } = self;
        let there_or_not = |outcome: Result<(), CallError>| match outcome {
            Err(error) if error.is_not_found() => Ok(()),
            other => other,
        };
        // Without replicas first, so that none comes in the place of those that are killed.
        there_or_not(self.scale(0).await.map(drop))?;
        there_or_not(call(namespace.deployments.delete(name, &DeleteParams::background())).await.map(drop))?;
        let at_once = DeleteParams { grace_period_seconds: Some(KILL_GRACE_SECONDS), ..DeleteParams::default() };
        let own = ListParams::default().labels(&format!("{WORKLOAD}={name}"));
        there_or_not(call(namespace.pods.delete_collection(&at_once, &own)).await.map(drop))
    }

    async fn scale(&self, replicas: u32) -> Result<(u32, Option<u64>), CallError> {
        let params = PatchParams { field_manager: Some(PELTON.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scale = call(self.namespace.deployments.patch_scale(&self.name, &params, &patch)).await?;
        let said = scale.spec.map_or(Some(0), |spec| spec.replicas.or(Some(0)));
        Ok((replicas_of(said), version_of(scale.metadata.resource_version.as_deref())))
    }

    async fn mark(&self, pod: &str) -> Result<(), CallError> {
        let params = PatchParams { field_manager: Some(PELTON.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"annotations": {DELETION_COST: LEAST_COST.to_string()}}}));
        call(self.namespace.pods.patch(pod, &params, &patch)).await.map(drop)
    }

    /// Waits until what a Pod prints is followed, so that its last words are heard.
    async fn is_listened_to(&self, pod: &str) {
        let opened = self.outputs.lock().get(pod).map(Output::opened);
        if let Some(opened) = opened {
            opened.await;
        }
    }

    /// Does what the book says, as long as it is wanted.
    async fn follow_the_book(&self) {
        let mut pause = Pause::new(LONGEST_PAUSE);
        loop {
            let (plan, wake) = self.with_time(|book| (book.plan(), book.next_wake()));
            if plan.is_empty() {
                pause.reset();
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                }
                continue;
            }
            if let Err(error) = self.carry_out(plan).await {
                tracing::debug!(workload = self.name, %error, "a Deployment is not yet what it should be");
                self.with(|book| book.call_failed(error.to_string()));
                pause.wait().await;
            }
        }
    }

    /// Looks into the book, as of now.
    fn with_time<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book.lock();
        book.tick(Instant::now());
        for outcome in book.take_outcomes() {
            self.perform(outcome);
        }
        look(&mut book)
    }

    async fn carry_out(&self, plan: Plan) -> Result<(), CallError> {
        for pod in plan.mark {
            self.is_listened_to(&pod).await;
            match self.mark(&pod).await {
                Err(error) if error.is_passing() => return Err(error),
                Err(error) if !error.is_not_found() => {
                    tracing::warn!(pod, %error, "a Pod cannot be marked; Kubernetes may end another in its place");
                }
                Ok(()) | Err(_) => {}
            }
            self.with(|book| book.was_marked(&pod));
        }
        if let Some(replicas) = plan.scale {
            match self.scale(replicas).await {
                Ok((replicas, version)) => self.with(|book| book.was_scaled(replicas, version)),
                Err(error) if error.is_not_found() => {
                    tracing::warn!(workload = self.name, "somebody has deleted a Deployment; it is made again");
                    self.apply().await?;
                    self.with(Book::made_again);
                }
                Err(error) => {
                    if !error.is_passing() {
                        self.with(|book| book.refused(&error.to_string()));
                    }
                    return Err(error);
                }
            }
        }
        for pod in plan.delete {
            self.is_listened_to(&pod).await;
            match call(self.namespace.pods.delete(&pod, &DeleteParams::default())).await {
                Err(error) if error.is_passing() => return Err(error),
                Err(error) if !error.is_not_found() => tracing::warn!(pod, %error, "a Pod cannot be deleted"),
                Ok(_) | Err(_) => {}
            }
            self.with(|book| book.was_deleted(&pod));
        }
        Ok(())
    }

    /// Takes it down, and stays until the end of each instance was told.
    async fn take_down(&self) {
        self.with(Book::drop_all);
        let mut pause = Pause::new(LONGEST_PAUSE);
        while let Err(error) = self.delete().await {
            if !error.is_passing() {
                tracing::warn!(workload = self.name, %error, "a Deployment cannot be deleted");
                break;
            }
            pause.wait().await;
        }
        while !self.book.lock().is_over() {
            self.changed.notified().await;
        }
    }
}

/// A revision that is deployed. Dropped, it is taken down.
#[derive(Debug)]
pub struct Pods {
    shared: Arc<Shared>,
    dropped: CancellationToken,
}

impl Pods {
    /// Does what has to be done for a revision that is in the cluster.
    pub fn begin(shared: Arc<Shared>) -> Self {
        let dropped = CancellationToken::new();
        let task = {
            let (shared, dropped) = (Arc::clone(&shared), dropped.clone());
            async move {
                tokio::select! {
                    () = dropped.cancelled() => {}
                    () = shared.follow_the_book() => {}
                }
                shared.take_down().await;
            }
        };
        shared.handle.spawn(task);
        Self { shared, dropped }
    }
}

impl Workload for Pods {
    fn start(&self) {
        self.shared.with(|book| book.start(Instant::now()));
    }

    fn pause(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        ready(Err(cannot_pause(id))).boxed()
    }

    fn resume(&self, id: &InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        ready(Err(cannot_pause(id))).boxed()
    }

    fn stop(&self, id: &InstanceId) {
        self.shared.with(|book| book.stop(&id.0));
    }
}

/// Nobody asks for it: `can_pause` says so.
fn cannot_pause(id: &InstanceId) -> RuntimeError {
    let source = std::io::ErrorKind::Unsupported.into();
    RuntimeError::Failed { what: format!("a Pod such as {id} cannot be paused"), source }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}
