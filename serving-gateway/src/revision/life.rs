//! The task of a revision: it deploys it, hears of its instances, and looks again when something is due.

use std::sync::Arc;
use std::time::Duration;

use pelton_http_front::text_of;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{InstanceKey, Phase, Revision};
use crate::metrics::Stage;
use crate::proxy::Line;
use crate::runtime::{Exit, InstanceEvent, InstanceId, RuntimeError};

/// How long a revision that is not wanted any more may take to end what is on its way, beside the time of a request.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// How much of what an instance printed last is shown when it failed.
const LAST_LINES: usize = 5;

/// Between two tries to deploy a revision; it doubles.
const FIRST_DEPLOY_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_DEPLOY_PAUSE: Duration = Duration::from_secs(30);

/// Runs until the revision is gone.
pub(super) async fn run(revision: Arc<Revision>) {
    let (told, mut events) = mpsc::unbounded_channel();
    deploy(&revision, told).await;
    let mut cut_at = None;
    loop {
        let at = {
            let now = revision.now();
            let mut state = revision.state.lock();
            let at = state.core.next_wake(now);
            state.armed = at;
            at
        };
        tokio::select! {
            biased;
            Some(event) = events.recv() => hear(&revision, event),
            () = sleep_until(revision.origin + at.unwrap_or_default()), if at.is_some() => {
                revision.with_core(super::Core::tick);
            }
            () = revision.wake.notified() => {}
            () = sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => {
                cut_at = None;
                revision.stop_now();
            }
        }
        revision.show();
        revision.changed.notify_one();
        if revision.retired.is_cancelled() {
            if revision.is_gone() {
                return revision.gone.cancel();
            }
            cut_at.get_or_insert_with(|| Instant::now() + revision.spec.timeouts.total + DRAIN_SLACK);
        }
    }
}

/// Deploys the revision. What its runtime cannot do ever, is told to whoever asks; what it could not do now is tried again.
async fn deploy(revision: &Arc<Revision>, told: mpsc::UnboundedSender<InstanceEvent>) {
    let mut pause = FIRST_DEPLOY_PAUSE;
    loop {
        let error = match revision.runtime.deploy(Arc::clone(&revision.spec.workload), told.clone()).await {
            Ok(workload) => {
                revision.workload.set(workload).expect("it is deployed once");
                let held = {
                    let mut state = revision.state.lock();
                    state.deployed = Some(Ok(()));
                    std::mem::take(&mut state.held_starts)
                };
                revision.start(held);
                return revision.changed.notify_one();
            }
            Err(error) => error,
        };
        let why = text_of(&error);
        tracing::warn!(revision = %revision.spec.workload.revision, why, "a revision could not be deployed");
        revision.state.lock().deployed = Some(Err(why));
        revision.changed.notify_one();
        if matches!(error, RuntimeError::Unsupported { .. }) {
            drop(revision.with_core(super::Core::retire));
            return revision.forget_held_starts();
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (2 * pause).min(LONGEST_DEPLOY_PAUSE),
            () = revision.retired.cancelled() => return revision.forget_held_starts(),
        }
    }
}

fn hear(revision: &Arc<Revision>, event: InstanceEvent) {
    match event {
        InstanceEvent::Started { id, address } => {
            let now = revision.now();
            let actions = {
                let mut state = revision.state.lock();
                if let Some(asked) = state.asked_at.pop_front() {
                    revision.metrics.stage(Stage::Spawn, now.saturating_sub(asked));
                }
                state.last_start = Some(now);
                let key = state.core.started(id, now);
                state.lines.insert(key, Arc::new(Line::new(address, revision.spec.protocol)));
                revision.actions(&mut state, now)
            };
            revision.perform(actions);
        }
        InstanceEvent::NotStarted { why } => {
            revision.metrics.failed();
            revision.state.lock().asked_at.pop_front();
            revision.with_core(|core, now| core.not_started(why, now));
        }
        InstanceEvent::Exited { id, exit } => {
            let now = revision.now();
            let actions = {
                let mut state = revision.state.lock();
                let Some(key) = state.core.key_of(&id) else { return };
                if let Some(line) = state.lines.remove(&key) {
                    line.close();
                }
                let asked = state.core.instance(key).is_some_and(|instance| instance.phase == Phase::Stopping);
                let why = (!asked).then(|| revision.ended(&id, &exit));
                if why.is_some() {
                    revision.metrics.failed();
                }
                state.core.exited(key, why, now);
                revision.actions(&mut state, now)
            };
            revision.perform(actions);
        }
    }
}

impl Revision {
    /// What waits for the revision to be deployed waits for nothing.
    fn forget_held_starts(&self) {
        let mut state = self.state.lock();
        let held = std::mem::take(&mut state.held_starts);
        state.core.not_tried(held);
    }

    /// How an instance ended that nobody had asked to, with the last that it printed.
    fn ended(&self, id: &InstanceId, exit: &Exit) -> String {
        let how = match exit {
            Exit::Stopped => "it was stopped".to_owned(),
            Exit::Code(code) => format!("it ended by itself with code {code}"),
            Exit::Signal(signal) => format!("it was ended by signal {signal}"),
            Exit::OutOfMemory => "it used more memory than it may, and was killed".to_owned(),
            Exit::Lost(why) => format!("it was lost: {why}"),
        };
        let said = self.log.last_lines(Some(id), LAST_LINES);
        let said: Vec<_> = said.iter().map(|line| String::from_utf8_lossy(&line.text)).collect();
        if said.is_empty() { how } else { format!("{how}; it said last: {}", said.join(" | ")) }
    }
}

impl Revision {
    fn show(&self) {
        let state = self.state.lock();
        self.metrics.show(state.core.counts(), state.core.decision(), self.spec.core.scaling.target.target);
    }
}

/// Pauses an instance.
pub(super) async fn pause(revision: Arc<Revision>, key: InstanceKey) {
    match revision.do_with(key, Verb::Pause).await {
        Ok(()) => {
            revision.metrics.paused();
            revision.with_core(|core, now| core.paused(key, now));
        }
        Err(error) => {
            tracing::debug!(%error, "an instance could not be paused");
            revision.with_core(|core, now| core.not_paused(key, now));
        }
    }
    // What is due for one that is paused, its end, is no decision, so nothing else looks for it.
    revision.wake.notify_one();
}

/// Resumes an instance.
pub(super) async fn resume(revision: Arc<Revision>, key: InstanceKey) {
    match revision.do_with(key, Verb::Resume).await {
        Ok(()) => {
            revision.metrics.resumed();
            revision.with_core(|core, now| core.resumed(key, now));
        }
        Err(error) => {
            let why = text_of(&error);
            revision.with_core(|core, now| core.not_resumed(key, why, now));
        }
    }
    revision.wake.notify_one();
}

enum Verb {
    Pause,
    Resume,
}

impl Revision {
    async fn do_with(&self, key: InstanceKey, verb: Verb) -> Result<(), RuntimeError> {
        let id = self.state.lock().core.instance(key).map(|instance| instance.id.clone());
        match (id, self.workload.get()) {
            (Some(id), Some(workload)) => match verb {
                Verb::Pause => workload.pause(&id).await,
                Verb::Resume => workload.resume(&id).await,
            },
            // It is gone; what became of it is told elsewhere.
            _ => Ok(()),
        }
    }
}
