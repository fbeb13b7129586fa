//! The built binary as a child process.

#![allow(dead_code, reason = "each test crate uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a busy machine before the test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A command of the binary, with nothing of this process's environment that it reads.
pub fn pelton() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pelton"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PELTON_") {
            command.env_remove(name);
        }
    }
    // What is current in the configuration of this machine's user is none of a test's business.
    command.env("PELTON_KUBECONFIG", "/dev/null").env("NO_COLOR", "1");
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("the binary was built");
    (status.code().unwrap_or(-1), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A child that goes on; killed when dropped. Only ever addressed by the id of a process that was not reaped yet.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary was built");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of standard output with `word` in it, and gives it.
    pub fn line_with(&self, word: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) if line.contains(word) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with {word:?} came; there was {seen:#?}"),
            }
        }
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it was not reaped yet");
    }

    /// Waits until it has ended.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(self) -> ExitStatus {
        self.ask_to_stop();
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `pelton up` on free ports.
pub struct Up {
    pub running: Running,
    pub ready: serde_json::Value,
}

impl Up {
    pub fn start(folder: &Path, more: &[&str]) -> Self {
        let ready_file = folder.join("ready.json");
        let mut command = pelton();
        command.arg("up").arg("--data").arg(folder.join("data")).arg("--ready-file").arg(&ready_file);
        for listen in ["--ingress-listen", "--gateway-listen", "--api-listen", "--metrics-listen"] {
            command.args([listen, "127.0.0.1:0"]);
        }
        command.args(["--log", "warn"]);
        let running = Running::start(command.args(more));
        running.line_with("is ready");
        // The file is written before the line.
        let ready = serde_json::from_slice(&std::fs::read(ready_file).unwrap()).unwrap();
        Self { running, ready }
    }

    /// A command that talks to this one.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = pelton();
        command.args(words).env("PELTON_API", format!("http://{}", self.address("api")));
        command
    }

    pub fn address(&self, listener: &str) -> &str {
        self.ready[listener].as_str().expect("the file names every listener")
    }

    /// Runs a command that must succeed; gives its standard output.
    pub fn ok(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = run(&mut self.command(words));
        assert_eq!(code, 0, "pelton {words:?}: {stdout}{stderr}");
        stdout
    }
}
