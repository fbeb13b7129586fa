//! The thread that starts processes.
//!
//! A process is tied to the life of the thread that made it (`PR_SET_PDEATHSIG`), so this one lives as long as the runtime
//! and its instances. It also does what blocks: a folder, a cgroup, pipes.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rustix::process::{PidfdFlags, pidfd_open};
use tokio::net::unix::pipe;
use tokio::runtime::Handle;

use super::super::{InstanceId, RuntimeError, WorkloadSpec};
use super::cgroup::{Cgroup, Cgroups};
use super::environment::{Environment, NoProgram, find_program};
use super::leader::Leader;
use super::ports::{Port, Ports};
use super::record::Folders;
use super::spawn::{Plan, SpawnError, Stack, spawn};
use crate::readable::readable;

/// What every process is started with.
#[derive(Debug)]
pub struct Spawner {
    /// Where their folders are.
    pub folders: Folders,
    /// Their ports.
    pub ports: Arc<Ports>,
    /// Where limits can be set.
    pub cgroups: Option<Cgroups>,
    /// What they get of our environment.
    pub environment: Environment,
    /// How many files each may have open.
    pub open_files: u64,
}

/// What came about.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub leader: Leader,
    /// Its port.
    pub port: Port,
    /// What limits it.
    pub cgroup: Option<Cgroup>,
    /// What it prints.
    pub stdout: pipe::Receiver,
    /// What it complains of.
    pub stderr: pipe::Receiver,
}

/// Why a process did not come about. `Display` says all of it, for people.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is asked for cannot be given to a process.
    #[error("{0}")]
    Unsupported(#[from] RuntimeError),
    /// There is no such program.
    #[error("{0}")]
    Program(#[from] NoProgram),
    /// There is no port.
    #[error("there is no free port: {0}")]
    Port(io::Error),
    /// There is no folder.
    #[error("its private folder cannot be made: {0}")]
    Folder(io::Error),
    /// There is no cgroup.
    #[error("its limits cannot be set: {0}")]
    Cgroup(io::Error),
    /// There are no descriptors.
    #[error("its input, outputs or socket cannot be made: {0}")]
    Descriptors(io::Error),
    /// There is no process.
    #[error("cannot run {} in {}: {source}: {}", .program.display(), .directory.display(), .source.source)]
    Spawn {
        /// What was run.
        program: PathBuf,
        /// Where.
        directory: PathBuf,
        /// Why not.
        source: SpawnError,
    },
    /// It cannot be watched.
    #[error("the process cannot be watched: {0}")]
    Watch(io::Error),
    /// The thread that starts processes is gone.
    #[error("no processes are started any more")]
    Over,
}

/// What is done with what came about.
type Then = Box<dyn FnOnce(Result<Started, StartError>) + Send>;

struct Order {
    spec: Arc<WorkloadSpec>,
    id: InstanceId,
    then: Then,
}

/// Asks the thread. The thread ends once this is dropped, and with it all processes that it made.
#[derive(Debug)]
pub struct Spawning(mpsc::Sender<Order>);

impl Spawner {
    /// Begins to start processes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn begin(self) -> io::Result<Spawning> {
        // Its bound is that of instances.
        let (asking, asked) = mpsc::channel::<Order>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _within = runtime.enter();
            let mut stack = Stack::new();
            for Order { spec, id, then } in asked {
                then(self.start(&spec, &id, &mut stack));
            }
        })?;
        Ok(Spawning(asking))
    }

    fn start(&self, spec: &WorkloadSpec, id: &InstanceId, stack: &mut Stack) -> Result<Started, StartError> {
        let port = self.ports.reserve().map_err(StartError::Port)?;
        let private = self.folders.make(id).map_err(StartError::Folder)?;
        let cgroup = self.cgroups.as_ref().map(|cgroups| cgroups.make(id, spec)).transpose();
        let cgroup = cgroup.map_err(StartError::Cgroup)?;
        match self.start_in(spec, id, &private, &port, cgroup.as_ref(), stack) {
            Ok((leader, stdout, stderr)) => Ok(Started { leader, port, cgroup, stdout, stderr }),
            Err(why) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(why)
            }
        }
    }

    fn start_in(
        &self,
        spec: &WorkloadSpec,
        id: &InstanceId,
        private: &Path,
        port: &Port,
        cgroup: Option<&Cgroup>,
        stack: &mut Stack,
    ) -> Result<(Leader, pipe::Receiver, pipe::Receiver), StartError> {
        let spec = &*spec.expanded(port.number())?;
        let directory = spec.working_dir.as_deref().map_or(private.to_owned(), |folder| private.join(folder));
        let is_handed = spec.socket_activation;
        let environment = self.environment.of_instance(spec, id, private, port.number(), is_handed);
        // Checked when it was deployed.
        let name = spec.command.first().map(String::as_str).unwrap_or_default();
        let program = find_program(name, &directory, environment.value("PATH"))?;
        let null = File::open("/dev/null").map_err(StartError::Descriptors)?;
        let (stdout, out) = pipe().map_err(StartError::Descriptors)?;
        let (stderr, err) = pipe().map_err(StartError::Descriptors)?;
        let listener = is_handed.then(|| TcpListener::bind(port.address())).transpose();
        let plan = Plan {
            program: c_path(&program),
            arguments: spec.command.iter().chain(&spec.args).map(|word| c_string(word.clone().into_bytes())).collect(),
            environment: environment.to_c(),
            directory: c_path(&directory),
            stdio: [null.into(), out, err],
            listener: listener.map_err(StartError::Descriptors)?.map(OwnedFd::from),
            cgroup: cgroup.map(Cgroup::entrance).transpose().map_err(StartError::Cgroup)?,
            open_files: self.open_files,
        };
        let pid = spawn(&plan, stack).map_err(|source| StartError::Spawn { program, directory, source })?;
        // Not waited for, so its number is still its own.
        let watched = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
        match watched.and_then(readable) {
            Ok(end) => Ok((Leader::new(pid, end), stdout, stderr)),
            Err(why) => {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(StartError::Watch(why))
            }
        }
    }
}

impl Spawning {
    /// Starts the process of an instance. When it fails its folder may be there all the same.
    ///
    /// `then` is called by the thread itself, within the runtime: each hop between threads is a part of a cold start.
    pub fn start(
        &self,
        spec: Arc<WorkloadSpec>,
        id: InstanceId,
        then: impl FnOnce(Result<Started, StartError>) + Send + 'static,
    ) {
        if let Err(mpsc::SendError(order)) = self.0.send(Order { spec, id, then: Box::new(then) }) {
            (order.then)(Err(StartError::Over));
        }
    }
}

/// Our end of a pipe, which does not block, and the other, which does.
fn pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(reader.into())?, writer.into()))
}

fn c_path(path: &Path) -> CString {
    c_string(path.as_os_str().to_owned().into_vec())
}

/// There is no zero byte in what [`check`](super::environment::check) let through; one ends it.
fn c_string(bytes: Vec<u8>) -> CString {
    CString::new(bytes).unwrap_or_else(|wrong| {
        let end = wrong.nul_position();
        let mut bytes = wrong.into_vec();
        bytes.truncate(end);
        CString::new(bytes).unwrap_or_default()
    })
}
