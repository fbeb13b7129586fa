//! Who drives the flusher and the preparer: two threads of the log, or the caller, step by step.
//!
//! A simulation of a cluster runs on one thread and under a clock of its own. There the caller drives: it is told when
//! something was submitted, lets as much simulated time pass as a write and a sync would take, and then takes a
//! [`Stepper::turn`]. Both ways run the same steps; a thread only adds the waiting.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};

use parking_lot::Mutex;

use crate::error::OpenError;
use crate::flusher::Flusher;
use crate::log::Inner;
use crate::pool::Preparer;

/// What a step of the flusher or of the preparer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// What callers had submitted was written and is answered.
    Wrote,
    /// Something else was done.
    Worked,
    /// Nothing is due.
    Idle,
    /// The next segment is not prepared.
    NoSpare,
    /// There is no space; the same is tried again.
    NoSpace,
    /// The log was shut down or has failed.
    Ended,
}

/// What a [`Stepper::turn`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was due.
    Idle,
    /// Something was written, prepared or let go, and more may be due: take another turn.
    Worked,
    /// The disk has no space for what is due. Another turn tries again; threads do so after
    /// [`crate::Options::full_retry`].
    Full,
    /// The log was shut down or has failed. Nothing will be due any more.
    Ended,
}

/// Called when something was submitted to a log that the caller drives, from where it was submitted. Wakes whoever
/// takes the turns, no more.
pub type WorkHook = Arc<dyn Fn() + Send + Sync>;

/// Drives a log that has no threads; from [`crate::Log::open_stepped`]. Clones drive the same log.
///
/// The log is shut down by its own handles, as one with threads is: [`crate::Log::shutdown`] or the drop of the last
/// one takes the turns that are left.
#[derive(Clone)]
pub struct Stepper {
    shared: Arc<Shared>,
}

impl fmt::Debug for Stepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepper").finish_non_exhaustive()
    }
}

impl Stepper {
    /// One pass: everything that was submitted is taken, written, synced and answered, and the segments that are
    /// wanted are prepared. Must not be called from a completion.
    pub fn turn(&self) -> Turn {
        self.shared.take_turn(Stepped::turn)
    }

    /// As [`Stepper::turn`], and marks the end of the log as durable when nothing else is due: threads do so after
    /// [`crate::Options::mark_after_idle`].
    pub fn mark(&self) -> Turn {
        self.shared.take_turn(|stepped| match stepped.turn() {
            Turn::Idle => {
                stepped.flusher.begin_mark();
                stepped.turn()
            }
            turn => turn,
        })
    }
}

/// What steppers and the log's own handles share.
struct Shared {
    stepped: Mutex<Stepped>,
    /// The thread that is in the middle of a turn.
    turning: Mutex<Option<ThreadId>>,
}

impl Shared {
    fn take_turn(&self, turn: impl FnOnce(&mut Stepped) -> Turn) -> Turn {
        let mut stepped = self.stepped.lock();
        *self.turning.lock() = Some(std::thread::current().id());
        let result = turn(&mut stepped);
        *self.turning.lock() = None;
        result
    }
}

/// The flusher and the preparer, at rest between two turns.
struct Stepped {
    flusher: Flusher,
    preparer: Preparer,
}

impl Stepped {
    fn turn(&mut self) -> Turn {
        let mut worked = self.prepare();
        loop {
            match self.flusher.step() {
                Step::Worked => worked = true,
                Step::Wrote => {
                    worked = true;
                    break;
                }
                Step::Idle => break,
                Step::NoSpare if self.prepare() => {}
                Step::NoSpare | Step::NoSpace => return Turn::Full,
                Step::Ended => {
                    let inner = &self.flusher.inner;
                    if inner.core.lock().stopping {
                        inner.unlock();
                    }
                    return Turn::Ended;
                }
            }
        }
        worked |= self.prepare();
        match (worked, self.flusher.inner.pool.is_full()) {
            (true, _) => Turn::Worked,
            (false, true) => Turn::Full,
            (false, false) => Turn::Idle,
        }
    }

    /// Prepares and removes what is due; whether there was anything.
    fn prepare(&mut self) -> bool {
        let mut worked = false;
        loop {
            match self.preparer.step() {
                Ok(Step::Worked) => worked = true,
                Ok(_) => return worked,
                Err(error) => {
                    self.flusher.fail(error);
                    return worked;
                }
            }
        }
    }
}

/// What drives an open log; ended when the last handle goes.
pub(crate) struct Driver {
    inner: Arc<Inner>,
    by: By,
}

enum By {
    Threads(Mutex<Vec<JoinHandle<()>>>),
    Steps(Arc<Shared>),
}

impl Driver {
    pub(crate) fn threads(inner: Arc<Inner>, flusher: Flusher, preparer: Preparer) -> Result<Self, OpenError> {
        let driver = Self { inner, by: By::Threads(Mutex::default()) };
        let By::Threads(running) = &driver.by else { return Ok(driver) };
        let for_preparer = Arc::clone(&driver.inner);
        let spawned = [
            std::thread::Builder::new().name("log-flusher".to_owned()).spawn(move || run_flusher(flusher)),
            std::thread::Builder::new().name("log-preparer".to_owned()).spawn(move || {
                if let Err(error) = run_preparer(preparer) {
                    for_preparer.poison(error);
                }
            }),
        ];
        for thread in spawned {
            let thread = thread.map_err(|source| OpenError::Io { action: "start a thread", source })?;
            running.lock().push(thread);
        }
        Ok(driver)
    }

    pub(crate) fn steps(inner: Arc<Inner>, flusher: Flusher, preparer: Preparer) -> (Self, Stepper) {
        let stepped = Mutex::new(Stepped { flusher, preparer });
        let shared = Arc::new(Shared { stepped, turning: Mutex::default() });
        let stepper = Stepper { shared: Arc::clone(&shared) };
        (Self { inner, by: By::Steps(shared) }, stepper)
    }

    pub(crate) fn stop(&self) {
        self.inner.core.lock().stopping = true;
        self.inner.pool.stopping();
        self.inner.wake();
        match &self.by {
            By::Threads(running) => {
                let mut running = running.lock();
                let own = std::thread::current().id();
                // A completion may hold the last handle; the flusher cannot wait for itself.
                if running.iter().any(|thread| thread.thread().id() == own) {
                    return;
                }
                for thread in running.drain(..) {
                    let _ = thread.join();
                }
            }
            By::Steps(shared) => {
                // This is a completion in the middle of a turn: that turn and those after it end the log.
                if *shared.turning.lock() == Some(std::thread::current().id()) {
                    return;
                }
                while shared.take_turn(Stepped::turn) != Turn::Ended {}
            }
        }
        self.inner.unlock();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes until the log shuts down or a write fails. Whatever happens, everybody is answered.
fn run_flusher(mut flusher: Flusher) {
    let inner = Arc::clone(&flusher.inner);
    let mut work = || {
        loop {
            match flusher.step() {
                Step::Wrote | Step::Worked => {}
                Step::Idle => wait_for_work(&inner, &mut flusher),
                Step::NoSpare => inner.pool.wait_for_spare(),
                Step::NoSpace => inner.pool.wait_for_space(&inner.options),
                Step::Ended => break,
            }
        }
    };
    if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
        flusher.fail(io::Error::other("the flusher panicked"));
    }
}

/// Waits until something is due, or until it has been quiet for long enough to mark the end.
fn wait_for_work(inner: &Inner, flusher: &mut Flusher) {
    let mut core = inner.core.lock();
    if core.is_work_due() {
        return;
    }
    match inner.options.mark_after_idle.filter(|_| flusher.is_unmarked()) {
        Some(idle) => {
            let waited = inner.work.wait_for(&mut core, idle);
            if waited.timed_out() && !core.is_work_due() {
                drop(core);
                flusher.begin_mark();
            }
        }
        None => inner.work.wait(&mut core),
    }
}

fn run_preparer(mut preparer: Preparer) -> io::Result<()> {
    loop {
        match preparer.step()? {
            Step::Idle => preparer.wait_for_work(),
            Step::NoSpace => preparer.wait_for_space(),
            Step::Ended => return Ok(()),
            Step::Wrote | Step::Worked | Step::NoSpare => {}
        }
    }
}
