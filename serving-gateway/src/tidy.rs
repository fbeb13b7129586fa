//! Removes the logs of revisions that are no more: they would fill the disk that the events are on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::Resources;
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
        let looking = tokio::task::spawn_blocking(move || logs.stored()).await;
        let stored = match looking.unwrap_or_else(|gone| Err(io::Error::other(gone))) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(%error, "the folder of logs cannot be read; none of revisions that are no more is removed");
                continue;
            }
        };
        let gone = {
            let resources = resources.borrow();
            if resources.version == 0 {
                // Nothing has been heard of any.
                continue;
            }
            let leaving = shared.leaving();
            sweep.look(stored, |name| resources.revision(&name.0, &name.1).is_some() || leaving.contains(name))
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
