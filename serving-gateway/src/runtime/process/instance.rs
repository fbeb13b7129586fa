//! One instance: a task from its start to the moment when nothing of it is left.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, WaitIdStatus};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::handles::{Ears, Order, Wanted, at_least};
use super::super::{Exit, InstanceEvent, InstanceId, RuntimeError, WorkloadSpec};
use super::Parts;
use super::cgroup::Cgroup;
use super::leader::Leader;
use super::ports::Port;
use super::spawner::{StartError, Started};
use super::strays::{Stray, Trace};
use crate::logs::{RevisionLog, Stream, capture};
use crate::probe::Pace;

/// How long a process may take to stand still. One that waits for a disk takes longer, and is not paused.
const PAUSES_WITHIN: Duration = Duration::from_secs(1);

/// How long is waited, once all are gone, for the last that they printed.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// The longest grace, whatever the specification says: a clock cannot add more than so much.
const LONGEST_GRACE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How often it is looked for processes that were begun by those that are being killed.
const MOST_ROUNDS: usize = 5;

/// An instance, before it is started.
#[derive(Debug)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// What it is.
    pub spec: Arc<WorkloadSpec>,
    /// What it is started, found and cleaned up with.
    pub parts: Arc<Parts>,
    /// Where what it prints goes.
    pub log: Arc<RevisionLog>,
    /// Where what becomes of it goes.
    pub events: mpsc::UnboundedSender<InstanceEvent>,
    /// What it is asked to do and to be.
    pub ears: Ears,
}

/// What there is of an instance while it runs.
struct Running {
    leader: Leader,
    port: Port,
    cgroup: Option<Cgroup>,
    outputs: [JoinHandle<()>; 2],
    /// Whether its process is noted for the next life.
    noted: JoinHandle<()>,
    is_paused: bool,
}

impl Instance {
    /// Starts it, and a task that takes care of it until nothing is left of it.
    pub fn start(self) {
        let (parts, spec, id) = (self.parts.clone(), self.spec.clone(), self.id.clone());
        let runtime = parts.runtime.clone();
        parts.spawning.start(spec, id, move |started| match started {
            Ok(started) => {
                let event = InstanceEvent::Started { id: self.id.clone(), address: started.port.address() };
                // Whoever hears nothing any more has it dropped.
                let _ = self.events.send(event);
                drop(runtime.spawn(self.run(started)));
            }
            Err(why) => drop(runtime.spawn(self.not_started(why))),
        });
    }

    async fn run(mut self, started: Started) {
        let mut running = self.begin(started);
        let was_asked = self.live(&mut running).await;
        let exit = self.end(running, was_asked).await;
        tracing::debug!(id = %self.id, ?exit, "the instance is gone");
        let Self { id, events, ears, .. } = self;
        drop(ears);
        let _ = events.send(InstanceEvent::Exited { id, exit });
    }

    async fn not_started(self, why: StartError) {
        // Without a folder of its own, one of its name is another's.
        if !matches!(why, StartError::Folder(_)) {
            self.remove_folder().await;
        }
        let why = why.to_string();
        tracing::debug!(id = %self.id, why, "the instance did not start");
        let Self { events, ears, .. } = self;
        drop(ears);
        let _ = events.send(InstanceEvent::NotStarted { why });
    }

    fn begin(&self, started: Started) -> Running {
        let Started { leader, port, cgroup, stdout, stderr } = started;
        tracing::debug!(id = %self.id, pid = leader.pid().as_raw_pid(), "the instance runs");
        let writer = |stream| self.log.writer(&self.id, stream);
        let outputs = [
            tokio::spawn(capture(stdout, writer(Stream::Stdout))),
            tokio::spawn(capture(stderr, writer(Stream::Stderr))),
        ];
        let (folders, id, pid) = (self.parts.folders.clone(), self.id.clone(), leader.pid());
        let noted = tokio::task::spawn_blocking(move || {
            if let Err(error) = folders.note(&id, pid) {
                tracing::warn!(%id, %error, "the process of an instance cannot be noted");
            }
        });
        Running { leader, port, cgroup, outputs, noted, is_paused: false }
    }

    /// Does what it is asked to until its process has ended or is to be killed. Says whether it was asked to end.
    async fn live(&mut self, running: &mut Running) -> bool {
        loop {
            let wanted = tokio::select! {
                biased;
                () = running.leader.ended() => return false,
                wanted = at_least(&mut self.ears.wanted, Wanted::Stopped) => wanted,
                Some(order) = self.ears.orders.recv() => {
                    match order {
                        Order::Pause(answer) => {
                            let paused = self.pause(running).await;
                            let _ = answer.send(paused);
                        }
                        Order::Resume(answer) => {
                            running.resume();
                            let _ = answer.send(Ok(()));
                        }
                    }
                    continue;
                }
            };
            if wanted == Wanted::Stopped {
                self.stop(running).await;
            }
            return true;
        }
    }

    async fn pause(&self, running: &mut Running) -> Result<(), RuntimeError> {
        if running.is_paused {
            return Ok(());
        }
        running.leader.signal(Signal::STOP);
        let deadline = Instant::now() + PAUSES_WITHIN;
        let mut pace = Pace::new();
        let source = loop {
            match running.leader.is_stopped() {
                Ok(true) => {
                    running.is_paused = true;
                    return Ok(());
                }
                Ok(false) => {}
                Err(why) => break why,
            }
            if Instant::now() >= deadline {
                break std::io::ErrorKind::TimedOut.into();
            }
            tokio::select! {
                biased;
                () = running.leader.ended() => return Err(RuntimeError::Gone(self.id.clone())),
                () = pace.pause() => {}
            }
        };
        running.leader.signal(Signal::CONT);
        Err(RuntimeError::Failed { what: format!("the instance {} could not be paused", self.id), source })
    }

    /// Asks all of it to end, and waits for as long as it has time.
    async fn stop(&mut self, running: &mut Running) {
        let deadline = Instant::now() + self.spec.grace.min(LONGEST_GRACE);
        running.leader.signal(Signal::TERM);
        // After the other, so that it finds that one first when it goes on.
        running.resume();
        let is_over = async {
            tokio::select! {
                biased;
                _ = at_least(&mut self.ears.wanted, Wanted::Killed) => {}
                () = sleep_until(deadline) => {}
            }
        };
        let orders = &mut self.ears.orders;
        let (id, parts, leader) = (&self.id, &self.parts, &running.leader);
        let is_done = async {
            loop {
                tokio::select! {
                    biased;
                    () = leader.ended() => break,
                    Some(order) = orders.recv() => order.refuse(id),
                }
            }
            // A shell goes at once; the server that it started may still answer its last requests.
            let strays = parts.strays.of(trace(id, leader)).await;
            strays.iter().for_each(Stray::ask_to_end);
            for stray in strays {
                stray.ended().await;
            }
        };
        tokio::select! {
            () = is_over => {}
            () = is_done => {}
        }
    }

    /// Ends what is left of it, and tells how its process ended.
    async fn end(&mut self, running: Running, was_asked: bool) -> Exit {
        let Running { leader, port, cgroup, mut outputs, noted, is_paused: _ } = running;
        for _ in 0..MOST_ROUNDS {
            leader.signal(Signal::KILL);
            if let Some(cgroup) = &cgroup {
                cgroup.kill();
            }
            leader.ended().await;
            let strays = self.parts.strays.of(trace(&self.id, &leader)).await;
            if strays.is_empty() {
                break;
            }
            for stray in strays {
                stray.kill().await;
            }
        }
        let deadline = Instant::now() + LAST_WORDS_WITHIN;
        for output in &mut outputs {
            if timeout_at(deadline, &mut *output).await.is_err() {
                output.abort();
            }
        }
        // While its number is its own.
        let _ = noted.await;
        let was_out_of_memory = cgroup.as_ref().is_some_and(Cgroup::was_out_of_memory);
        let exit = match leader.reap() {
            _ if was_asked => Exit::Stopped,
            Ok(_) if was_out_of_memory => Exit::OutOfMemory,
            Ok(status) => status.map_or_else(|| Exit::Lost("nothing is known of its end".to_owned()), exit_of),
            Err(why) => Exit::Lost(format!("nothing is known of its end: {why}")),
        };
        if let Some(cgroup) = cgroup {
            cgroup.remove();
        }
        self.remove_folder().await;
        // Whoever listened on it is gone.
        drop(port);
        exit
    }

    async fn remove_folder(&self) {
        let (folders, id) = (self.parts.folders.clone(), self.id.clone());
        let removed = tokio::task::spawn_blocking(move || {
            if let Err(error) = folders.remove(&id) {
                tracing::warn!(%id, %error, "the folder of an instance that is gone cannot be removed");
            }
        });
        let _ = removed.await;
    }
}

impl Running {
    fn resume(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            self.leader.signal(Signal::CONT);
        }
    }
}

fn trace(id: &InstanceId, leader: &Leader) -> Trace {
    Trace { id: id.clone(), leader: Some(leader.pid()) }
}

fn exit_of(status: WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost("nothing is known of its end".to_owned()),
    }
}
