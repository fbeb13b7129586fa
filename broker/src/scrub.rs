//! Reads the whole log again and again, a little at a time, so that rot is found while other replicas still have copies.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::node::Shared;

/// How long it is put off after a start, which has enough to read.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// How often a piece is read.
const EVERY: Duration = Duration::from_secs(1);

/// The shortest time from the beginning of one pass to that of the next: a small log is not read all day.
const PASS_EVERY: Duration = Duration::from_secs(30);

/// Runs until the node goes down. What is found is repaired by the group that it is of.
pub(crate) async fn run(shared: Shared) {
    let bytes_per_second = shared.options.scrub_bytes_per_second;
    if bytes_per_second == 0 {
        return;
    }
    let mut ticks = tokio::time::interval_at(Instant::now() + FIRST_AFTER, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pass = Pass::default();
    loop {
        ticks.tick().await;
        let log = shared.log.clone();
        match shared.options.blocking.run(move || log.scrub(bytes_per_second)).await {
            Ok(Ok(scrubbed)) => {
                shared.metrics.scrubbed(scrubbed.bytes, scrubbed.damaged);
                pass.damaged += scrubbed.damaged;
                if !scrubbed.is_round_over {
                    continue;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a segment could not be read to look for damage");
                continue;
            }
            // The node goes down.
            Err(_) => return,
        }
        let took = pass.began.elapsed();
        if pass.damaged > 0 {
            tracing::warn!(places = pass.damaged, "the log was read through, and damage was found");
        }
        shared.metrics.scrub_passed(took);
        tokio::time::sleep(PASS_EVERY.saturating_sub(took)).await;
        pass = Pass::default();
    }
}

/// One time through the log.
struct Pass {
    began: Instant,
    damaged: u64,
}

impl Default for Pass {
    fn default() -> Self {
        Self { began: Instant::now(), damaged: 0 }
    }
}
