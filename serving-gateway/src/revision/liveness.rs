//! Whether an instance has come up, answers, and goes on doing so.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use super::{InstanceKey, Phase, Revision};
use crate::metrics::Stage;
use crate::probe::Repeated;
use crate::proxy::Line;

/// Finds out when an instance answers, and then, when it is its first time, watches whether it goes on.
pub(super) async fn probe(revision: Arc<Revision>, key: InstanceKey) {
    let Some(line) = revision.state.lock().lines.get(&key).cloned() else { return };
    let was_ready = revision.looks_at(key).is_none_or(|look| look.was_ready);
    let began = Instant::now();
    let outcome = tokio::select! {
        outcome = until_ready(&revision, &line, was_ready) => outcome,
        () = line.gone() => return,
    };
    match outcome {
        Ok(()) => {
            revision.metrics.stage(Stage::Ready, began.elapsed());
            revision.with_core(|core, now| core.ready(key, now));
        }
        Err(why) => {
            revision.metrics.failed();
            revision.with_core(|core, now| core.never_ready(key, why, now));
        }
    }
    revision.wake.notify_one();
    if let Some(liveness) = revision.spec.liveness.as_ref().filter(|_| !was_ready) {
        tokio::select! {
            () = watch(&revision, key, &line, liveness) => {}
            () = line.gone() => {}
        }
    }
}

/// Once it has come up, which an instance does once, it is asked whether it answers.
async fn until_ready(revision: &Revision, line: &Line, was_ready: bool) -> Result<(), String> {
    let deadline = Instant::now() + revision.spec.start_deadline;
    if let Some(startup) = revision.spec.startup.as_ref().filter(|_| !was_ready) {
        let started = startup.until_started(line.address(), deadline).await;
        started.map_err(|why| format!("it did not come up in the time of its startup probe: {why}"))?;
    }
    let answers = revision.spec.probe.until_ready(line.address(), deadline).await;
    answers.map_err(|why| format!("it did not answer within {} s: {why}", revision.spec.start_deadline.as_secs()))
}

/// Asks once a period, until it has failed too often in a row. Then the instance is ended, and its place is another's.
///
/// One that is paused cannot answer. It is not asked, and a question that it was paused under does not count.
async fn watch(revision: &Arc<Revision>, key: InstanceKey, line: &Line, liveness: &Repeated) {
    let mut failures = 0;
    let mut next = Instant::now() + liveness.initial_delay;
    loop {
        sleep_until(next).await;
        next = Instant::now() + liveness.period;
        let Some(before) = revision.looks_at(key) else { return };
        if !before.runs {
            failures = 0;
            continue;
        }
        let Err(why) = liveness.probe.once(line.address()).await else {
            failures = 0;
            continue;
        };
        if revision.looks_at(key).is_none_or(|after| after != before) {
            continue;
        }
        failures += 1;
        if failures >= liveness.failure_threshold {
            let why = format!("its liveness probe failed {failures} times in a row: {why}");
            tracing::warn!(revision = %revision.spec.workload.revision, why, "an instance is ended");
            revision.metrics.failed();
            revision.with_core(|core, now| core.not_alive(key, why, now));
            return revision.wake.notify_one();
        }
    }
}

/// What matters of an instance to who asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    was_ready: bool,
    runs: bool,
    pauses: u32,
}

impl Revision {
    fn looks_at(&self, key: InstanceKey) -> Option<Look> {
        let state = self.state.lock();
        let instance = state.core.instance(key)?;
        let runs = matches!(instance.phase, Phase::Ready | Phase::Starting);
        Some(Look { was_ready: instance.was_ready, runs, pauses: instance.pauses })
    }
}
