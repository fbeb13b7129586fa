//! Removes the logs of revisions that are no more: they would fill the disk that the events are on.

use std::sync::Arc;
use std::time::Duration;

use pelton_client::{ObjectName, Resources};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::gateway::Shared;
use crate::logs::Sweep;

/// How often it is looked for them. A log goes between one and two of these after its revision.
const EVERY: Duration = Duration::from_secs(60);

/// Looks until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, resources: watch::Receiver<Arc<Resources>>, stop: CancellationToken) {
    let mut sweep = Sweep::default();
    loop {
        tokio::select! {
            () = sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let logs = shared.logs().clone();
        let Ok(Ok(stored)) = tokio::task::spawn_blocking(move || logs.stored()).await else { continue };
        let gone = {
            let resources = resources.borrow();
            if resources.version == 0 {
                // Nothing has been heard of any.
                continue;
            }
            let leaving = shared.leaving();
            sweep.look(stored, |name| {
                resources.revisions.contains_key(&ObjectName::new(&name.0, &name.1)) || leaving.contains(name)
            })
        };
        let logs = shared.logs().clone();
        let removing = tokio::task::spawn_blocking(move || {
            for (namespace, revision) in gone {
                if let Err(error) = logs.remove(&namespace, &revision) {
                    tracing::warn!(%namespace, %revision, %error, "the log of a revision that is no more is not removed");
                }
            }
        });
        let _ = removing.await;
    }
}
