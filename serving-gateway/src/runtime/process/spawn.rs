//! One process, made as fast as the kernel can, and set up before its program begins.
//!
//! `std::process::Command` is as fast only while nothing is to be done between the child's birth and its program; else it
//! forks, which copies the page tables of a gateway and makes each page that is written afterwards cost a fault, in every
//! thread. What is to be done here, the parent-death signal above all, can only be done there. So this makes the child as
//! `posix_spawn` does: it shares our memory, on a stack of its own, and the thread that made it waits until its program
//! begins or it has said why not.
//!
//! All of this crate's `unsafe` is in this file.

#![allow(unsafe_code, reason = "what runs between a child's birth and its program is no safe Rust")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::ptr;

use rustix::process::Pid;

/// How much stack a child has until its program begins. It calls a dozen functions of libc and nothing else.
const STACK_WORDS: usize = 64 * 1024 / size_of::<u128>();

/// `LISTEN_PID=`, 10 digits, and the end.
const LISTEN_PID_BYTES: usize = 24;

/// The descriptor of the first socket that is handed over (`sd_listen_fds(3)`).
const LISTEN_FD: c_int = 3;

/// What a process is made of. Descriptors are closed in it but for its input, its outputs and its socket.
#[derive(Debug)]
pub struct Plan {
    /// The file to run.
    pub program: CString,
    /// Its name and arguments.
    pub arguments: Vec<CString>,
    /// Its environment: `NAME=value`.
    pub environment: Vec<CString>,
    /// Where it runs.
    pub directory: CString,
    /// Its input and outputs.
    pub stdio: [OwnedFd; 3],
    /// A socket that listens, to be handed over as `LISTEN_FDS` says. `LISTEN_PID` is added to the environment.
    pub listener: Option<OwnedFd>,
    /// The file that a process writes itself to in order to enter a cgroup.
    pub cgroup: Option<OwnedFd>,
    /// How many files it may have open; unless our own limit is lower.
    pub open_files: u64,
}

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
#[error("{step}")]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// Why.
    pub source: io::Error,
}

/// What is done for a process, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// There is a process.
    #[error("no process could be made")]
    Process,
    /// It is in a process group of its own.
    #[error("it could not be given a process group")]
    Group,
    /// It is killed when the thread that made it ends.
    #[error("it could not be tied to this process")]
    ParentDeath,
    /// It is in its cgroup.
    #[error("it could not enter its cgroup")]
    Cgroup,
    /// It may have so many files open.
    #[error("its limit of open files could not be set")]
    OpenFiles,
    /// It has its input, its outputs and its socket.
    #[error("it could not be given its input and outputs")]
    Descriptors,
    /// It is in its directory.
    #[error("the working directory cannot be entered")]
    Directory,
    /// Its program runs.
    #[error("the program cannot be run")]
    Program,
}

/// A stack for children, one after the other.
#[derive(Debug)]
pub struct Stack(Box<[MaybeUninit<u128>]>);

impl Stack {
    /// An unused one.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new_uninit_slice(STACK_WORDS))
    }
}

/// What a child reads and writes. It lives in the parent, which sleeps meanwhile.
struct Shared<'a> {
    program: &'a CStr,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    directory: &'a CStr,
    stdio: [c_int; 3],
    listener: Option<c_int>,
    listen_pid: [u8; LISTEN_PID_BYTES],
    cgroup: Option<c_int>,
    open_files: libc::rlimit,
    parent: libc::pid_t,
    failed: Option<(Step, c_int)>,
}

/// Makes a process. It is a child of ours that nobody but the caller waits for, and is killed when the calling thread ends.
///
/// # Errors
/// [`SpawnError`]. There is no process then.
pub fn spawn(plan: &Plan, stack: &mut Stack) -> Result<Pid, SpawnError> {
    let failed = |step, source| SpawnError { step, source };
    let passed = plan.stdio.iter().chain(&plan.listener).chain(&plan.cgroup);
    // The child would overwrite one before it has used it. Nobody has one of these, but who closed its own input.
    if passed.clone().any(|fd| fd.as_raw_fd() <= libc::STDERR_FILENO) {
        return Err(failed(Step::Descriptors, io::Error::from_raw_os_error(libc::EBADF)));
    }
    let mut shared = Shared {
        program: &plan.program,
        arguments: ptr::null(),
        environment: ptr::null(),
        directory: &plan.directory,
        stdio: [plan.stdio[0].as_raw_fd(), plan.stdio[1].as_raw_fd(), plan.stdio[2].as_raw_fd()],
        listener: plan.listener.as_ref().map(|fd| fd.as_raw_fd()),
        listen_pid: [0; LISTEN_PID_BYTES],
        cgroup: plan.cgroup.as_ref().map(|fd| fd.as_raw_fd()),
        open_files: open_files(plan.open_files),
        parent: i32::try_from(std::process::id()).expect("process ids are positive"),
        failed: None,
    };
    let arguments = pointers(&plan.arguments, None);
    let listen_pid = plan.listener.is_some().then_some((&raw const shared.listen_pid).cast());
    let environment = pointers(&plan.environment, listen_pid);
    shared.arguments = arguments.as_ptr();
    shared.environment = environment.as_ptr();

    let pid = clone(&raw mut shared, stack).map_err(|why| failed(Step::Process, why))?;
    match shared.failed {
        None => Ok(pid),
        Some((step, errno)) => {
            // It has ended, or is about to.
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            Err(failed(step, io::Error::from_raw_os_error(errno)))
        }
    }
}

/// As C wants a list: pointers, and a null at the end.
fn pointers(strings: &[CString], last: Option<*const c_char>) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain(last).chain([ptr::null()]).collect()
}

fn open_files(wanted: u64) -> libc::rlimit {
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = most.map_or(wanted, |most| most.min(wanted));
    libc::rlimit { rlim_cur: most as libc::rlim_t, rlim_max: most as libc::rlim_t }
}

/// Runs [`child`] in a process that shares our memory; returns once it runs its program or has ended.
fn clone(shared: *mut Shared<'_>, stack: &mut Stack) -> io::Result<Pid> {
    let top = stack.0.as_mut_ptr_range().end.cast::<c_void>();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: all three fill or read sets that live here. A signal that arrived while the child shares our memory would run
    // our handlers in it; they wait until it no longer does.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: `top` is the end of 64 KiB, aligned to 16 bytes, that only the child uses, and `shared` lives until this
    // returns. With CLONE_VFORK the thread sleeps until the child has left our memory, by its program or by its end, so
    // neither is used by two at once. The child calls nothing that allocates, locks or unwinds.
    let made = unsafe { libc::clone(child, top, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, shared.cast()) };
    let why = io::Error::last_os_error();
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    if made > 0 { Pid::from_raw(made).ok_or(why) } else { Err(why) }
}

/// What a child does until its program begins. It never returns.
extern "C" fn child(shared: *mut c_void) -> c_int {
    // SAFETY: it is what `spawn` made; the thread that did sleeps.
    let shared = unsafe { &mut *shared.cast::<Shared<'_>>() };
    let step = become_program(shared);
    // SAFETY: reads the number that the call that failed left.
    let errno = unsafe { *libc::__errno_location() };
    shared.failed = Some((step, errno));
    // SAFETY: ends this process alone, without running what others have registered.
    unsafe { libc::_exit(127) }
}

/// Returns only when a step fails: that one.
fn become_program(shared: &mut Shared<'_>) -> Step {
    // SAFETY, of all calls below: they are system calls, but for `sigaction` and `sigemptyset`, which touch what they are
    // given; all pointers are to what lives in the parent, which sleeps, or here. Descriptors and signals are the child's.
    unsafe {
        // No session of its own: Linux shares out the processors by session first (autogroups), and on a busy machine a
        // new one waits several milliseconds for its first turn.
        if libc::setpgid(0, 0) < 0 {
            return Step::Group;
        }
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) < 0 {
            return Step::ParentDeath;
        }
        // It may have gone before that.
        if libc::getppid() != shared.parent {
            libc::_exit(127);
        }
        if let Some(cgroup) = shared.cgroup
            && libc::write(cgroup, c"0".as_ptr().cast(), 1) != 1
        {
            return Step::Cgroup;
        }
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const shared.open_files) < 0 {
            return Step::OpenFiles;
        }
        for (from, target) in shared.stdio.into_iter().zip(0..) {
            if libc::dup2(from, target) < 0 {
                return Step::Descriptors;
            }
        }
        let mut first_closed = LISTEN_FD;
        if let Some(listener) = shared.listener {
            let passed = match listener {
                LISTEN_FD => libc::fcntl(LISTEN_FD, libc::F_SETFD, 0),
                other => libc::dup2(other, LISTEN_FD),
            };
            if passed < 0 {
                return Step::Descriptors;
            }
            first_closed += 1;
            write_listen_pid(&mut shared.listen_pid, libc::getpid());
        }
        // What others left open is none of its business. A kernel before 5.11 leaves it so.
        let (first, last) = (libc::c_long::from(first_closed), libc::c_long::from(c_int::MAX));
        libc::syscall(libc::SYS_close_range, first, last, libc::c_long::from(libc::CLOSE_RANGE_CLOEXEC as c_int));
        if libc::chdir(shared.directory.as_ptr()) < 0 {
            return Step::Directory;
        }
        reset_signals();
        libc::execve(shared.program.as_ptr(), shared.arguments, shared.environment);
    }
    Step::Program
}

/// As every program expects them: nothing is ignored, nothing is blocked.
unsafe fn reset_signals() {
    // SAFETY: an action of zeros is the default one, with an empty mask and no flags; those that cannot be changed stay.
    // The set is filled before it is read.
    unsafe {
        let default = MaybeUninit::<libc::sigaction>::zeroed();
        let mut signal = 1;
        while signal <= 64 {
            libc::sigaction(signal, default.as_ptr(), ptr::null_mut());
            signal += 1;
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// `LISTEN_PID=` and the number, without zeros in front, which some would take for octal.
fn write_listen_pid(out: &mut [u8; LISTEN_PID_BYTES], pid: libc::pid_t) {
    let mut digits = [0; 10];
    let mut count = 0;
    let mut rest = pid.unsigned_abs();
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.iter().take(count).rev();
    for (to, from) in out.iter_mut().zip(b"LISTEN_PID=".iter().chain(digits).chain(&[0])) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_id_is_written_as_it_is_read() {
        for pid in [1, 9, 10, 32_768, 4_194_304, i32::MAX] {
            let mut out = [0xff; LISTEN_PID_BYTES];
            write_listen_pid(&mut out, pid);
            let text = CStr::from_bytes_until_nul(&out).unwrap().to_str().unwrap();
            assert_eq!(text, format!("LISTEN_PID={pid}"));
        }
    }
}
