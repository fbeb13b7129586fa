//! One node of a cluster on this machine: a process of this same program.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::plan::{Place, Plan};
use crate::contexts::{self, NoTarget, Target, Wanted};
use crate::kubeconfig;

/// How often a ready file is looked for.
const POLL: Duration = Duration::from_millis(25);

/// How long a node may take to be ready. A large log takes its time; one that waits for others says so in its log.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// How long a node may take to stop: its own grace, and some for the disk.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How much of the end of a node's log is shown when it fails.
const LAST_WORDS_BYTES: usize = 2_000;

/// What a node says in the ready file of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Where events come in.
    pub ingress: SocketAddr,
    /// Where requests to services come in, when they do.
    pub gateway: Option<SocketAddr>,
    /// Where the administration API is.
    pub api: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    /// Where the other nodes reach it.
    pub peer: SocketAddr,
    /// The kubeconfig of its admin, when its API asks who one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
}

impl Shown {
    /// The URL of its API.
    #[must_use]
    pub fn api_url(&self) -> String {
        let scheme = if self.kubeconfig.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.api)
    }

    /// How to reach its API.
    ///
    /// # Errors
    /// Its kubeconfig cannot be read.
    pub fn target(&self) -> Result<Target, NoTarget> {
        let kubeconfig = self.kubeconfig.clone();
        let api = kubeconfig.is_none().then(|| self.api_url());
        contexts::resolve(&Wanted { api, kubeconfig, context: None }, |_| None)
    }
}

/// A running node. Killed when dropped, and by the system should this process be killed.
#[derive(Debug)]
pub struct NodeProcess {
    place: Place,
    folder: PathBuf,
    kubeconfig: Option<PathBuf>,
    child: Child,
    pid: u32,
}

/// Why a node is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The process could not be started.
    #[error("node {name} could not be started: {source}")]
    Spawn {
        /// Its name.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended.
    #[error("node {name} ended ({status}); the end of its log:\n{last_words}")]
    Ended {
        /// Its name.
        name: String,
        /// How.
        status: ExitStatus,
        /// What it said last.
        last_words: String,
    },
    /// It takes too long.
    #[error("node {name} is not ready after {READY_WITHIN:?}; the end of its log:\n{last_words}")]
    TooLate {
        /// Its name.
        name: String,
        /// What it said last.
        last_words: String,
    },
}

/// What the node writes when it is ready. It says more than this.
#[derive(Deserialize)]
struct Ready {
    pid: u32,
}

impl NodeProcess {
    /// Starts the node of `plan` that is called `place.name`, with its data and its log in a folder of its name.
    ///
    /// # Errors
    /// [`NotReady::Spawn`].
    pub fn start(cluster: &Path, plan: &Plan, place: &Place) -> Result<Self, NotReady> {
        let folder = cluster.join(&place.name);
        let spawned = spawn(&folder, plan, place);
        let failed = |source| NotReady::Spawn { name: place.name.clone(), source };
        let child = spawned.map_err(failed)?;
        let pid = child.id().ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        let kubeconfig = plan.api_auth.then(|| kubeconfig::path(&data(&folder))).transpose().map_err(failed)?;
        Ok(Self { place: place.clone(), folder, kubeconfig, child, pid })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Where it says what it does.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_file(&self.folder)
    }

    /// What the ready file says of it.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let Place { name, ingress, gateway, api, metrics, peer } = self.place.clone();
        let kubeconfig = self.kubeconfig.clone();
        Shown { name, pid: self.pid, ingress, gateway, api, metrics, peer, kubeconfig }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// [`NotReady`].
    pub async fn ready(&mut self) -> Result<(), NotReady> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = fs::read(ready_file(&self.folder)).ok();
            let ready = said.and_then(|text| serde_json::from_slice::<Ready>(&text).ok());
            // The file of a process that was killed stays; it names that one.
            if ready.is_some_and(|ready| ready.pid == self.pid) {
                return Ok(());
            }
            let name = || self.place.name.clone();
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => {
                    return Err(NotReady::Ended { name: name(), status, last_words: self.last_words() });
                }
                Err(source) => return Err(NotReady::Spawn { name: name(), source }),
            }
            if Instant::now() > deadline {
                return Err(NotReady::TooLate { name: name(), last_words: self.last_words() });
            }
            sleep(POLL).await;
        }
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Whether it has not been seen to end.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.id().is_some()
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        // Not reaped yet, so the id is its own; `id` is `None` afterwards.
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until a node that was asked to stop has done so; kills one that does not. Says whether it stopped well.
    pub async fn stopped(mut self) -> bool {
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) => status.success(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(LAST_WORDS_BYTES)..]).trim().to_owned()
    }
}

fn spawn(folder: &Path, plan: &Plan, place: &Place) -> io::Result<Child> {
    fs::create_dir_all(folder)?;
    let log = File::options().create(true).append(true).open(log_file(folder))?;
    let mut command = Command::new(std::env::current_exe()?);
    // Through this, the system ends the node when this process is gone, however it went.
    command.args(["bench", "exec-child", "--parent", &std::process::id().to_string(), "--", "server"]);
    command.args(["--name", &place.name, "--join", &plan.join()]);
    if plan.api_auth {
        command.arg("--api-auth");
    }
    command.arg("--data").arg(data(folder)).arg("--ready-file").arg(ready_file(folder));
    for (flag, address) in [
        ("--ingress-listen", place.ingress),
        ("--api-listen", place.api),
        ("--metrics-listen", place.metrics),
        ("--peer-listen", place.peer),
    ] {
        command.args([flag, &address.to_string()]);
    }
    match place.gateway {
        Some(gateway) => command.args(["--gateway-listen", &gateway.to_string()]),
        None => command.args(["--role", "broker,ingress,dispatcher"]),
    };
    // What configures this process is not meant for its nodes.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PELTON_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // Ctrl-C at the terminal is for this process, which stops its nodes in order.
    command.process_group(0).kill_on_drop(true).spawn()
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("log.txt")
}

fn ready_file(folder: &Path) -> PathBuf {
    folder.join("ready.json")
}
