//! One instance: a task from its start to the moment when its container is removed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pelton_http_front::text_of;
use pelton_serving_gateway::logs::{RevisionLog, Stream};
use pelton_serving_gateway::runtime::handles::{Ears, Order, Wanted, at_least};
use pelton_serving_gateway::runtime::{Exit, InstanceEvent, InstanceId, RuntimeError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::Parts;
use crate::containers::Revision;
use crate::create;
use crate::engine::{EngineError, From, Inspected, Removal};
use crate::over::Over;

/// How long a container that was killed may take to be gone. Then it is removed by force.
const DIES_WITHIN: Duration = Duration::from_secs(2);

/// How long is waited, once it is over, for the last that it printed.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// Before what it prints is followed again, when the engine broke off.
const FOLLOWS_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The longest grace, whatever the specification says: a clock cannot add more than so much.
const LONGEST_GRACE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Where one is reached that was over before its address was known: nowhere.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Signals have numbers up to this one. A container that was ended by one has 128 more as its code.
const LAST_SIGNAL: i64 = 64;

/// An instance, before it is started.
#[derive(Debug)]
pub struct Instance {
    /// Its name, and that of its container.
    pub id: InstanceId,
    /// What it is.
    pub revision: Arc<Revision>,
    /// Whether its container is there already.
    pub is_created: bool,
    /// Where what it prints goes.
    pub log: Arc<RevisionLog>,
    /// Where what becomes of it goes.
    pub events: mpsc::UnboundedSender<InstanceEvent>,
    /// What it is asked to do and to be.
    pub ears: Ears,
}

/// Why a container does not run. `Display` says all of it but its cause.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// The engine did not even create it, so there is nothing to remove.
    #[error("its container cannot be created")]
    NotCreated(#[source] EngineError),
    /// The engine says so.
    #[error("its container cannot be started")]
    Engine(#[from] EngineError),
    /// It runs, and nobody can reach it.
    #[error("the engine tells no address at which port {0} of its container is reached")]
    NoAddress(u16),
}

impl Instance {
    /// Starts it, and takes care of it until nothing is left of it.
    pub async fn run(mut self) {
        let begun = self.begin().await;
        // Whatever came of it, the one that was ahead is taken.
        self.revision.create_ahead();
        let address = match begun {
            Ok(address) => address,
            Err(why) => return self.not_started(&why),
        };
        tracing::debug!(id = %self.id, %address, "the instance runs");
        // Whoever hears nothing any more has it dropped.
        let _ = self.events.send(InstanceEvent::Started { id: self.id.clone(), address });
        let printed = self.follow();
        let mut over = Over::of(Arc::clone(self.parts()), self.id.clone());
        let mut is_paused = false;
        let was_asked = self.live(&mut over, &mut is_paused).await;
        let exit = self.end(over, printed, is_paused, was_asked).await;
        tracing::debug!(id = %self.id, ?exit, "the instance is gone");
        let Self { id, events, ears, .. } = self;
        drop(ears);
        let _ = events.send(InstanceEvent::Exited { id, exit });
    }

    fn parts(&self) -> &Arc<Parts> {
        &self.revision.parts
    }

    async fn begin(&self) -> Result<SocketAddr, StartError> {
        let Revision { parts, spec, body, .. } = &*self.revision;
        let (engine, name) = (&parts.engine, &*self.id.0);
        if !self.is_created
            && let Err(why) = engine.create(name, body).await
        {
            return Err(if why.nothing_was_done() { StartError::NotCreated(why) } else { why.into() });
        }
        match engine.start(name).await {
            // Somebody has cleaned up what did not run. Should it be there nevertheless, no other gets its name.
            Err(gone) if gone.is_not_found() => match engine.create(name, body).await {
                Ok(_) => engine.start(name).await?,
                Err(_) => return Err(gone.into()),
            },
            started => started?,
        }
        let container = engine.inspect(name).await?;
        let port = create::port(spec);
        match create::address(&container, port) {
            Some(address) => Ok(address),
            None if container.state.lives() => Err(StartError::NoAddress(port)),
            None => Ok(NOWHERE),
        }
    }

    fn not_started(self, why: &StartError) {
        // Whoever removes waits for as long as the engine is away, and starts are tried again meanwhile.
        if !matches!(why, StartError::NotCreated(_)) {
            self.parts().remove_later(self.id.clone());
        }
        let why = text_of(why);
        tracing::debug!(id = %self.id, why, "the instance did not start");
        let Self { events, ears, .. } = self;
        drop(ears);
        let _ = events.send(InstanceEvent::NotStarted { why });
    }

    /// Begins to take what it prints. Ends by itself once the container has ended.
    fn follow(&self) -> JoinHandle<()> {
        let (parts, id) = (Arc::clone(self.parts()), self.id.clone());
        let (mut stdout, mut stderr) = (self.log.writer(&id, Stream::Stdout), self.log.writer(&id, Stream::Stderr));
        tokio::spawn(async move {
            let mut from = From::Beginning;
            loop {
                let followed = parts.engine.follow(&id.0, from, &mut stdout, &mut stderr).await;
                let lives =
                    parts.engine.inspect(&id.0).await.map_or_else(|why| !why.is_not_found(), |it| it.state.lives());
                match followed {
                    _ if !lives => break,
                    Ok(()) => tracing::warn!(%id, "the engine broke off what a container prints; lines may be missing"),
                    Err(EngineError::NotUnderstood { why, .. }) => {
                        tracing::warn!(%id, why, "what a container prints cannot be read, and is not kept");
                        break;
                    }
                    Err(error) => {
                        let error = text_of(&error);
                        tracing::warn!(%id, error, "what a container prints cannot be read now; lines may be missing");
                    }
                }
                from = From::Now;
                sleep(FOLLOWS_AGAIN_AFTER).await;
            }
            stdout.finish().await;
            stderr.finish().await;
        })
    }

    /// Does what it is asked to until its container has ended or is to be killed. Says whether it was asked to end.
    async fn live(&mut self, over: &mut Over, is_paused: &mut bool) -> bool {
        loop {
            let wanted = tokio::select! {
                biased;
                () = over.ended() => return false,
                wanted = at_least(&mut self.ears.wanted, Wanted::Stopped) => wanted,
                Some(order) = self.ears.orders.recv() => {
                    match order {
                        Order::Pause(answer) => {
                            let _ = answer.send(self.turn(true, is_paused).await);
                        }
                        Order::Resume(answer) => {
                            let _ = answer.send(self.turn(false, is_paused).await);
                        }
                    }
                    continue;
                }
            };
            if wanted == Wanted::Stopped {
                self.stop(over, is_paused).await;
            }
            return true;
        }
    }

    /// Pauses it, or resumes it. What counts is what it is then: the engine refuses to pause what somebody has paused.
    async fn turn(&self, to_pause: bool, is_paused: &mut bool) -> Result<(), RuntimeError> {
        if *is_paused == to_pause {
            return Ok(());
        }
        let (engine, name) = (&self.parts().engine, &*self.id.0);
        let turned = if to_pause { engine.pause(name).await } else { engine.unpause(name).await };
        let Err(why) = turned else {
            *is_paused = to_pause;
            return Ok(());
        };
        let gone = || RuntimeError::Gone(self.id.clone());
        match engine.inspect(name).await {
            Ok(container) if !container.state.lives() => return Err(gone()),
            Ok(container) if container.state.paused == to_pause => {
                *is_paused = to_pause;
                return Ok(());
            }
            Err(unknown) if unknown.is_not_found() => return Err(gone()),
            Ok(_) | Err(_) => {}
        }
        if to_pause && !why.nothing_was_done() {
            // It may still come about, and nobody would know.
            let _ = engine.unpause(name).await;
        }
        let verb = if to_pause { "paused" } else { "resumed" };
        Err(crate::failed(&format!("the instance {} could not be {verb}", self.id), why))
    }

    /// Asks it to end, and waits for as long as it has time.
    async fn stop(&mut self, over: &mut Over, is_paused: &mut bool) {
        let _ = self.turn(false, is_paused).await;
        let grace = self.revision.spec.grace.min(LONGEST_GRACE);
        let deadline = Instant::now() + grace;
        // The engine knows the signal that the image asks for. Its own time ends no sooner than ours.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let (parts, id) = (Arc::clone(self.parts()), self.id.clone());
        let asking = async {
            if let Err(error) = parts.engine.stop(&id.0, seconds).await {
                tracing::warn!(%id, error = %text_of(&error), "a container could not be asked to end; it will be killed");
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(asking);
        loop {
            tokio::select! {
                biased;
                () = over.ended() => return,
                _ = at_least(&mut self.ears.wanted, Wanted::Killed) => return,
                () = sleep_until(deadline) => return,
                Some(order) = self.ears.orders.recv() => order.refuse(&id),
                () = &mut asking => {}
            }
        }
    }

    /// Ends what is left of it, and tells how its container ended.
    async fn end(&self, mut over: Over, mut printed: JoinHandle<()>, mut is_paused: bool, was_asked: bool) -> Exit {
        let engine = &self.revision.parts.engine;
        if !over.is_known() {
            let _ = self.turn(false, &mut is_paused).await;
            // Should it not come through, it is removed by force in a moment.
            let _ = engine.kill(&self.id.0).await;
            let _ = timeout(DIES_WITHIN, over.ended()).await;
        }
        let container = engine.inspect(&self.id.0).await;
        if timeout(LAST_WORDS_WITHIN, &mut printed).await.is_err() {
            printed.abort();
        }
        let removal = self.parts().remove(&self.id).await;
        if was_asked { Exit::Stopped } else { exit_of(container, over.code(), removal) }
    }
}

/// How a container ended that nobody had asked to.
fn exit_of(container: Result<Inspected, EngineError>, code: Option<i64>, removal: Removal) -> Exit {
    let removed = || Exit::Lost("somebody removed its container".to_owned());
    match container {
        Err(why) if why.is_not_found() => removed(),
        Ok(_) if removal == Removal::ByOthers => removed(),
        Ok(container) if container.state.status == "removing" => removed(),
        Ok(container) if container.state.oom_killed => Exit::OutOfMemory,
        Ok(container) => exit_of_code(container.state.exit_code),
        Err(why) => match code {
            Some(code) => exit_of_code(code),
            None => Exit::Lost(format!("nothing is known of its end: {}", text_of(&why))),
        },
    }
}

/// Codes above 128 are those of signals, for engines as for shells; a program that exits with one is not told from that.
fn exit_of_code(code: i64) -> Exit {
    match code {
        129.. if code - 128 <= LAST_SIGNAL => Exit::Signal((code - 128) as i32),
        _ => Exit::Code(code as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_signals_are_told_apart() {
        for (code, want) in [
            (0, Exit::Code(0)),
            (1, Exit::Code(1)),
            (128, Exit::Code(128)),
            (129, Exit::Signal(1)),
            (134, Exit::Signal(6)),
            (137, Exit::Signal(9)),
            (192, Exit::Signal(64)),
            (193, Exit::Code(193)),
            (255, Exit::Code(255)),
            (-1, Exit::Code(-1)),
        ] {
            assert_eq!(exit_of_code(code), want, "{code}");
        }
    }
}
