//! Starting and stopping.

use std::sync::Arc;
use std::time::Duration;

use pelton_client::{Client, GroupId, ReadError};
use pelton_env::{Chance, Clock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::group::{Group, Shared};
use crate::metrics::Metrics;
use crate::pool::Targets;
use crate::{GroupSnapshot, Options};

/// How often the state of targets is shown in metrics.
const SHOW_TARGETS_EVERY: Duration = Duration::from_secs(5);

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
        for id in client.groups() {
            let snapshot = Arc::new(GroupSnapshot::default());
            let group = Group::new(client.clone(), id, shared.clone(), snapshot.clone())?;
            tasks.spawn(group.run(stopped.clone()));
            snapshots.push((id, snapshot));
        }
        tasks.spawn(show_targets(shared, stopped));
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

async fn show_targets(shared: Arc<Shared>, mut stopped: watch::Receiver<Option<Instant>>) {
    let open = metrics::gauge!("pelton_target_circuits_open");
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(SHOW_TARGETS_EVERY) => {}
        }
        let mut count = 0_u32;
        shared.targets.each(|target| count += u32::from(target.is_open()));
        open.set(f64::from(count));
    }
}
