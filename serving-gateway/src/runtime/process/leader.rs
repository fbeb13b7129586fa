//! The process that was started for an instance.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use tokio::io::unix::AsyncFd;

/// A child of ours that leads a process group and has not been waited for: its number is its own. Dropped before its end,
/// it is killed with its group.
#[derive(Debug)]
pub struct Leader {
    pid: Pid,
    /// Readable once it has ended.
    end: AsyncFd<OwnedFd>,
    is_reaped: bool,
}

impl Leader {
    /// Takes care of a child that was just made.
    pub fn new(pid: Pid, end: AsyncFd<OwnedFd>) -> Self {
        Self { pid, end, is_reaped: false }
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal to all of its group. All may have ended.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// Waits until it has ended. It can still be waited for then.
    pub async fn ended(&self) {
        if let Err(error) = self.end.readable().await {
            // Only when the runtime ends, and everything with it.
            tracing::debug!(%error, "nothing is heard of a process any more");
            std::future::pending::<()>().await;
        }
    }

    /// Whether it is stopped and has not been seen so before.
    pub fn is_stopped(&self) -> io::Result<bool> {
        let seen = waitid(WaitId::Pid(self.pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?;
        Ok(seen.is_some_and(|status| status.stopped()))
    }

    /// Takes notice of its end, once it has [`ended`](Self::ended). Its number may be given to another after that.
    pub fn reap(mut self) -> io::Result<Option<WaitIdStatus>> {
        self.is_reaped = true;
        Ok(waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED)?)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            // One that has ended already leaves nothing then. Another is left to the system, with us.
            let _ = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}
