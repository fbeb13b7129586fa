//! Starting and stopping.

use std::sync::Arc;
use std::time::Duration;

use pelton_client::{Client, GroupId, ReadError, Session};
use pelton_env::{Chance, Clock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::group::{Group, Shared};
use crate::metrics::Metrics;
use crate::pool::Targets;
use crate::{GroupSnapshot, Options};

/// The wait before a group that ended badly begins again.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Delivers events: follows every log group of a [`Client`], matches, sends, stores progress.
#[derive(Debug)]
pub struct Dispatcher;

impl Dispatcher {
    /// Starts one task for each log group. Must be called within a tokio runtime.
    ///
    /// `clock` is asked for wall-clock time only (dates of `Retry-After`, times of dead letters); waiting is tokio's.
    ///
    /// # Errors
    /// [`ReadError::UnknownGroup`] when the client does not know one of its own groups.
    pub fn start<C: Client>(
        client: C,
        options: Options,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> Result<DispatcherHandle, ReadError> {
        let options = Arc::new(options);
        let shared = Arc::new(Shared {
            targets: Targets::new(options.clone()),
            metrics: Metrics::new(options.max_labelled_triggers),
            options,
            clock,
            chance,
        });
        let (stop, stopped) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let mut snapshots = Vec::new();
        let served = client.served().borrow().clone();
        for (&id, &session) in served.iter() {
            let snapshot = Arc::new(GroupSnapshot::default());
            let group = Group::new(client.clone(), id, session, shared.clone(), snapshot.clone())?;
            let group =
                keep_running(group, client.clone(), (id, session), shared.clone(), snapshot.clone(), stopped.clone());
            tasks.spawn(group);
            snapshots.push((id, snapshot));
        }
        Ok(DispatcherHandle { stop, tasks, snapshots })
    }
}

/// A running dispatcher. Dropped, it ends at once, and what was not stored is delivered again by the next.
#[derive(Debug)]
pub struct DispatcherHandle {
    stop: watch::Sender<Option<Instant>>,
    tasks: JoinSet<()>,
    snapshots: Vec<(GroupId, Arc<GroupSnapshot>)>,
}

impl DispatcherHandle {
    /// A glance at each group.
    #[must_use]
    pub fn groups(&self) -> &[(GroupId, Arc<GroupSnapshot>)] {
        &self.snapshots
    }

    /// Starts no more attempts, waits for those on their way until `deadline`, and stores progress.
    pub async fn shutdown(mut self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(why) = ended {
                tracing::error!(%why, "a task of the dispatcher did not end well");
            }
        }
    }
}

/// Runs a group. Should it panic, which only a bug of ours can bring about, it begins again from what is stored: at
/// most what was not stored is delivered twice, and the other groups go on.
async fn keep_running<C: Client>(
    group: Group<C>,
    client: C,
    (id, session): (GroupId, Session),
    shared: Arc<Shared>,
    snapshot: Arc<GroupSnapshot>,
    stopped: watch::Receiver<Option<Instant>>,
) {
    let mut next = Some(group);
    loop {
        if let Some(group) = next.take() {
            // A set and not a bare task: dropped, it ends what runs in it.
            let mut running = JoinSet::new();
            running.spawn(group.run(stopped.clone()));
            match running.join_next().await {
                Some(Err(why)) if why.is_panic() => tracing::error!(group = %id, %why, "the group begins again"),
                _ => return,
            }
        }
        if stopped.borrow().is_some() {
            return;
        }
        tokio::time::sleep(BEGIN_AGAIN_AFTER).await;
        snapshot.reset();
        match Group::new(client.clone(), id, session, shared.clone(), snapshot.clone()) {
            Ok(group) => next = Some(group),
            Err(why) => tracing::error!(group = %id, %why, "the group cannot begin again"),
        }
    }
}
