//! One container: its state, and the process that it is while it runs.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::{Answer, empty, error};
use super::output::Output;
use crate::support::{BINARY, CONSUMER};

/// Hands the socket that comes as its input over, as `sd_listen_fds(3)` says.
const HAND_OVER: &str = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;

#[derive(Debug)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub config: Value,
    pub output: Output,
    status: watch::Sender<Status>,
    process: Mutex<Option<Process>>,
    is_out_of_memory: AtomicBool,
    was_out_of_memory: AtomicBool,
    has_no_port: AtomicBool,
    is_removing: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Created,
    Running,
    Paused,
    Exited(i64),
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    address: SocketAddr,
}

impl Status {
    fn lives(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited(_) => "exited",
        }
    }
}

impl Container {
    pub fn new(id: String, name: String, config: Value) -> Self {
        Self {
            id,
            name,
            config,
            output: Output::default(),
            status: watch::Sender::new(Status::Created),
            process: Mutex::default(),
            is_out_of_memory: AtomicBool::new(false),
            was_out_of_memory: AtomicBool::new(false),
            has_no_port: AtomicBool::new(false),
            is_removing: AtomicBool::new(false),
        }
    }

    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub fn next_end_is_out_of_memory(&self) {
        self.is_out_of_memory.store(true, Ordering::SeqCst);
    }

    pub fn forget_its_port(&self) {
        self.has_no_port.store(true, Ordering::SeqCst);
    }

    /// `ContainerStart`.
    pub fn start(self: &Arc<Self>) -> Answer {
        let mut process = self.process.lock();
        if self.status().lives() {
            return empty(304);
        }
        let words = |key: &str| -> Vec<String> {
            let words = self.config[key].as_array().cloned().unwrap_or_default();
            words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        let (entry, arguments) = (words("Entrypoint"), words("Cmd"));
        let program = entry.first().cloned().unwrap_or_default();
        if program != CONSUMER {
            let message = format!(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create \
                 failed: unable to start container process: exec: \"{program}\": stat {program}: no such file or \
                 directory: unknown"
            );
            self.status.send_replace(Status::Exited(127));
            return error(400, message);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", HAND_OVER, "sh", BINARY]).args(&entry[1..]).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        for variable in words("Env") {
            let (name, value) = variable.split_once('=').unwrap();
            command.env(name, value);
        }
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        // What was lent to the child is closed here with it.
        drop(command);
        let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
        *process = Some(Process { pid, address });
        self.output.set_ended(false);
        self.status.send_replace(Status::Running);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let container = self.clone();
        tokio::spawn(async move {
            let output = &container.output;
            let ((), (), status) = tokio::join!(output.capture(1, stdout), output.capture(2, stderr), child.wait());
            container.ended(status.unwrap());
        });
        empty(204)
    }

    fn ended(&self, status: ExitStatus) {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap();
        self.was_out_of_memory.store(self.is_out_of_memory.load(Ordering::SeqCst), Ordering::SeqCst);
        *self.process.lock() = None;
        self.output.set_ended(true);
        self.status.send_replace(Status::Exited(code.into()));
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process.lock() {
            let _ = kill_process(process.pid, signal);
        }
    }

    /// Waits until it does not run.
    pub async fn over(&self) -> i64 {
        let mut status = self.status.subscribe();
        let over = *status.wait_for(|status| !status.lives()).await.unwrap();
        if let Status::Exited(code) = over { code } else { 0 }
    }

    /// `ContainerStop`.
    pub async fn stop(&self, seconds: u64) -> Answer {
        match self.status() {
            Status::Created | Status::Exited(_) => return empty(304),
            Status::Paused => return self.is_paused(),
            Status::Running => {}
        }
        self.signal(Signal::TERM);
        if timeout(Duration::from_secs(seconds), self.over()).await.is_err() {
            self.signal(Signal::KILL);
            self.over().await;
        }
        empty(204)
    }

    /// `ContainerKill`.
    pub fn kill(&self) -> Answer {
        match self.status() {
            Status::Running => {
                self.signal(Signal::KILL);
                empty(204)
            }
            Status::Paused => self.is_paused(),
            Status::Created | Status::Exited(_) => {
                error(409, format_args!("cannot kill container: {}: container {} is not running", self.name, self.id))
            }
        }
    }

    fn is_paused(&self) -> Answer {
        error(409, format_args!("container {} is paused. Unpause the container before stopping or killing", self.id))
    }

    /// `ContainerPause`.
    pub fn pause(&self) -> Answer {
        self.turn(Status::Running, Status::Paused, Signal::STOP, "is not running")
    }

    /// `ContainerUnpause`.
    pub fn unpause(&self) -> Answer {
        self.turn(Status::Paused, Status::Running, Signal::CONT, "is not paused")
    }

    fn turn(&self, from: Status, to: Status, signal: Signal, refusal: &str) -> Answer {
        let turned = self.status.send_if_modified(|status| {
            let is_right = *status == from;
            if is_right {
                *status = to;
            }
            is_right
        });
        if !turned {
            return error(409, format_args!("Container {} {refusal}", self.id));
        }
        self.signal(signal);
        empty(204)
    }

    /// Ends it, for its removal. `false` when that is under way.
    pub async fn end(&self) -> bool {
        if self.is_removing.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.signal(Signal::KILL);
        self.over().await;
        true
    }

    /// `ContainerInspect`.
    pub fn inspect(&self) -> Value {
        let status = self.status();
        let address = self.process.lock().as_ref().map(|process| process.address);
        let address = address.filter(|_| !self.has_no_port.load(Ordering::SeqCst));
        let mut ports = json!({});
        if let (Some(address), Some(published)) = (address, self.config["HostConfig"]["PortBindings"].as_object()) {
            for (port, bindings) in published {
                assert_eq!(bindings[0]["HostIp"], "127.0.0.1", "nothing is to be published to other machines");
                let bound = json!([{ "HostIp": "127.0.0.1", "HostPort": address.port().to_string() }]);
                ports[port] = bound;
            }
        }
        json!({
            "Id": self.id,
            "Name": format!("/{}", self.name),
            "State": {
                "Status": if self.is_removing.load(Ordering::SeqCst) { "removing" } else { status.word() },
                "Running": status.lives(),
                "Paused": status == Status::Paused,
                "Restarting": false,
                "OOMKilled": self.was_out_of_memory.load(Ordering::SeqCst),
                "Dead": false,
                "ExitCode": if let Status::Exited(code) = status { code } else { 0 },
                "Error": "",
            },
            "Config": self.config,
            "HostConfig": self.config["HostConfig"],
            "NetworkSettings": { "Ports": ports },
        })
    }
}
