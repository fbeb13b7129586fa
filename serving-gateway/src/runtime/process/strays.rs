//! What an instance started and did not end: children, and daemons that went their own way.
//!
//! A process belongs to an instance when it is in its process group, or when the mark of the instance is in its
//! environment, which children inherit. One that leaves the group and clears its environment as well is found only by a
//! cgroup.
//!
//! The kernel could make us the parent of all orphans (`PR_SET_CHILD_SUBREAPER`). It is left alone: it is set for a whole
//! process, so that the orphans of everybody's children would come to us, with no way to tell whose they are.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::InstanceId;
use super::environment::MARK;
use super::proc::{Stat, environment, pids};
use crate::readable::readable;

/// How many questions are answered by one look at all processes.
const MOST_AT_ONCE: usize = 64;

/// How long is waited for a process that was killed.
pub const DIES_WITHIN: Duration = Duration::from_secs(1);

/// By what the processes of an instance are known.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Its name, which is the mark.
    pub id: InstanceId,
    /// The process that was started for it, if that has not been waited for: only then its number is its own.
    pub leader: Option<Pid>,
}

/// A process that belongs to an instance and is not its leader. It stays this one, whatever becomes of its number.
#[derive(Debug)]
pub struct Stray {
    held: OwnedFd,
    /// Whether it is in the leader's group, and has what was sent to that.
    is_in_group: bool,
}

impl Stray {
    /// Asks it to end, unless it was asked with its group: some take a second time for an order to hurry.
    pub fn ask_to_end(&self) {
        if !self.is_in_group {
            let _ = pidfd_send_signal(&self.held, Signal::TERM);
        }
    }

    /// Kills it and waits until it is gone, but not for long.
    pub async fn kill(self) {
        // It may have ended meanwhile.
        let _ = pidfd_send_signal(&self.held, Signal::KILL);
        let _ = timeout(DIES_WITHIN, self.ended()).await;
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        // Without a poller nothing can be waited for.
        if let Ok(fd) = readable(self.held) {
            let _ = fd.readable().await;
        }
    }
}

/// Looks at all processes of the machine, for as many instances at a time as ask.
#[derive(Debug, Clone)]
pub struct Strays(mpsc::Sender<(Trace, oneshot::Sender<Vec<Stray>>)>);

impl Strays {
    /// Begins to answer, until the last clone is dropped. Must be called within a tokio runtime.
    pub fn start() -> Self {
        let (ask, mut asked) = mpsc::channel::<(Trace, oneshot::Sender<Vec<Stray>>)>(MOST_AT_ONCE);
        tokio::spawn(async move {
            let mut questions = Vec::new();
            while asked.recv_many(&mut questions, MOST_AT_ONCE).await > 0 {
                let (traces, answers): (Vec<_>, Vec<_>) = questions.drain(..).unzip();
                let found = tokio::task::spawn_blocking(move || find(&traces)).await.unwrap_or_default();
                for (answer, found) in answers.into_iter().zip(found) {
                    let _ = answer.send(found);
                }
            }
        });
        Self(ask)
    }

    /// The processes of an instance that still run, its leader left out.
    pub async fn of(&self, trace: Trace) -> Vec<Stray> {
        let (answer, answered) = oneshot::channel();
        if self.0.send((trace, answer)).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }
}

/// What is looked for, of one instance.
struct Wanted {
    leader: Option<(Pid, Stat)>,
    mark: Vec<u8>,
}

/// The processes of each of the instances. Blocks.
fn find(traces: &[Trace]) -> Vec<Vec<Stray>> {
    let wanted: Vec<_> = traces
        .iter()
        .map(|Trace { id, leader }| Wanted {
            leader: leader.and_then(|leader| Some((leader, Stat::of(leader)?))),
            mark: format!("{MARK}={id}").into_bytes(),
        })
        .collect();
    let mut found: Vec<Vec<Stray>> = traces.iter().map(|_| Vec::new()).collect();
    let me = getpid();
    let Ok(pids) = pids() else { return found };
    for pid in pids.filter(|pid| *pid != me) {
        let Some(owner) = owner_of(pid, &wanted) else { continue };
        // Asked again now that it is held: should its number have gone to another, then to another of the same owner, and
        // the one that is held has ended.
        if let Ok(held) = pidfd_open(pid, PidfdFlags::empty())
            && owner_of(pid, &wanted) == Some(owner)
        {
            let (owner, is_in_group) = owner;
            found[owner].push(Stray { held, is_in_group });
        }
    }
    found
}

/// To which of these a process belongs, and whether it is in its group.
fn owner_of(pid: Pid, wanted: &[Wanted]) -> Option<(usize, bool)> {
    let stat = Stat::of(pid)?;
    if stat.has_ended() || wanted.iter().any(|wanted| wanted.leader.is_some_and(|(leader, _)| leader == pid)) {
        return None;
    }
    let leads = |wanted: &Wanted| wanted.leader.is_some_and(|(leader, _)| leader.as_raw_pid() == stat.group);
    if let Some(owner) = wanted.iter().position(leads) {
        return Some((owner, true));
    }
    // Most processes of a machine are older than what is looked for, and need no second look.
    let may_be = |wanted: &Wanted| wanted.leader.is_none_or(|(_, leader)| stat.start_ticks >= leader.start_ticks);
    if !wanted.iter().any(may_be) {
        return None;
    }
    let environment = environment(pid)?;
    let variables: Vec<_> = environment.split(|byte| *byte == 0).collect();
    let is_marked = |wanted: &Wanted| may_be(wanted) && variables.contains(&&*wanted.mark);
    Some((wanted.iter().position(is_marked)?, false))
}

/// Kills what is left of instances of which only the names are known.
pub async fn kill_by_name(ids: &[InstanceId]) -> usize {
    let traces: Vec<_> = ids.iter().map(|id| Trace { id: id.clone(), leader: None }).collect();
    let found = tokio::task::spawn_blocking(move || find(&traces)).await.unwrap_or_default();
    let mut killed = 0;
    for stray in found.into_iter().flatten() {
        stray.kill().await;
        killed += 1;
    }
    killed
}
