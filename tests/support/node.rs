//! The built binary as a child process that a test may kill.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::http::{Message, call};
use super::wait::{wait_for, wait_until};

/// Most memory that the process may ever have used, whatever is sent to it: what `ingress/src/options.rs` promises. A
/// held byte of a request costs about three; the ingress holds 32 MiB, the log's tail cache 64 MiB, the dispatcher's
/// cache 16 MiB.
const MEMORY_CAP_KIB: u64 = 256 * 1024;

/// Where a server takes events, on an address of its own.
pub const INGRESS_PORT: u16 = 8080;

/// A node that logs little, with one Trigger whose subscriber takes everything; and what must live as long as it.
pub fn quiet_node() -> (tempfile::TempDir, super::Sink, Node) {
    let (folder, sink) = (tempfile::tempdir().unwrap(), super::Sink::accepting());
    let manifest = super::trigger("all", &sink.url(), "");
    let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "warn"]).node();
    (folder, sink, node)
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Start {
    verb: &'static str,
    folder: PathBuf,
    data: PathBuf,
    /// Where ingress, API and metrics listen.
    listen: [SocketAddr; 3],
    wrapper: Vec<String>,
    args: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Start {
    /// `pelton up` on free ports, with files of the test in `folder`, and the data in a folder of it.
    pub fn new(folder: &Path) -> Self {
        Self {
            verb: "up",
            folder: folder.to_owned(),
            data: folder.join("data"),
            listen: [SocketAddr::from(([127, 0, 0, 1], 0)); 3],
            wrapper: Vec::new(),
            args: Vec::new(),
            environment: BTreeMap::new(),
        }
    }

    /// `pelton server` on an address that is its own, so that it is found there again in its next life.
    pub fn server(folder: &Path, host: IpAddr) -> Self {
        let listen = [INGRESS_PORT, 8001, 9464].map(|port| SocketAddr::new(host, port));
        // The network is the test's own. Said by the environment, where a version that does not know it passes it over.
        let start = Self { verb: "server", listen, ..Self::new(folder) };
        start.env("PELTON_API_INSECURE", "true")
    }

    pub fn data(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = data.into();
        self
    }

    /// With resources.
    pub fn manifest(mut self, text: &str) -> Self {
        let path = self.folder.join("resources.yaml");
        std::fs::write(&path, text).unwrap();
        self.args.extend(["-f".to_owned(), path.display().to_string()]);
        self
    }

    pub fn data_folder(&self) -> &Path {
        &self.data
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// With a variable of the environment, instead of one of this name that it had.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Through a program that ends by executing the words after its own: the process keeps its id. Inside of those
    /// that there are already.
    pub fn wrapped(mut self, words: &[&str]) -> Self {
        self.wrapper.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    fn ready_file(&self) -> PathBuf {
        self.folder.join("ready.json")
    }

    /// Starts the process and does not wait until it is ready.
    pub fn spawn(&self) -> Process {
        let _ = std::fs::remove_file(self.ready_file());
        let binary = env!("CARGO_BIN_EXE_pelton").to_owned();
        let mut words = self.wrapper.iter().chain([&binary]);
        let mut command = Command::new(words.next().expect("the binary is one of them"));
        command.args(words).arg(self.verb).arg("--data").arg(&self.data).arg("--ready-file").arg(self.ready_file());
        for (key, address) in ["--ingress-listen", "--api-listen", "--metrics-listen"].into_iter().zip(self.listen) {
            command.args([key, &address.to_string()]);
        }
        command.args(["--gateway-listen", &SocketAddr::new(self.listen[0].ip(), 0).to_string()]);
        command.args(&self.args).env("NO_COLOR", "1");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PELTON_") {
                command.env_remove(name);
            }
        }
        command.envs(&self.environment);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (stderr, said) = (child.stderr.take().expect("it is piped"), Arc::<Mutex<Vec<u8>>>::default());
        let saying = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                saying.lock().append(&mut line);
            }
        });
        Process { child: Arc::new(Mutex::new(child)), said, listener: Mutex::new(Some(listener)) }
    }

    /// Starts the process and waits until it is ready.
    #[track_caller]
    pub fn node(&self) -> Node {
        self.ready(self.spawn())
    }

    /// Waits until a process that was spawned is ready.
    #[track_caller]
    pub fn ready(&self, process: Process) -> Node {
        let ready = wait_for("a process to be ready", || {
            if let Some(status) = process.ended() {
                panic!("it ended with {status} before it was ready: {}", process.said());
            }
            std::fs::read(self.ready_file()).map_err(|error| format!("{error}; {}", process.said()))
        });
        let ready: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&ready).unwrap();
        // A role that the process does not have has no address, which reads as one that nobody has.
        let address = |name: &str| ready[name].as_str().unwrap_or("0.0.0.0:0").parse().unwrap();
        let gateway = ready["gateway"].as_str().map(|text| text.parse().unwrap());
        Node { ingress: address("ingress"), gateway, api: address("api"), metrics: address("metrics"), process }
    }

    /// Starts a process that must end by itself; gives its exit code and what it said.
    #[track_caller]
    pub fn refused(&self) -> (Option<i32>, String) {
        let process = self.spawn();
        let status = process.wait();
        // What was said last may still be in the pipe: the last line of a refusal is the refusal.
        wait_until("the process to say why", || process.said().contains("pelton: "));
        (status.code(), process.said())
    }
}

/// A child, killed when the last handle of it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Ends with standard error.
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// Kills a child from anywhere. Does nothing once it was reaped.
#[derive(Debug, Clone)]
pub struct Killer(Arc<Mutex<Child>>);

impl Killer {
    pub fn kill(&self) {
        let _ = self.0.lock().kill();
    }
}

impl Process {
    pub fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// Everything on standard error so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock()).into_owned()
    }

    /// Everything that it ever said, once it has ended.
    pub fn said_in_all(&self) -> String {
        if let Some(listener) = self.listener.lock().take() {
            listener.join().unwrap();
        }
        self.said()
    }

    /// What the system has it do: the letter of proc(5), such as `T` for one that is stopped.
    pub fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().unwrap()
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait(&self) -> ExitStatus {
        wait_for("the process to end", || self.ended().ok_or_else(|| self.said()))
    }

    /// SIGKILL, and waits until it is gone.
    #[track_caller]
    pub fn kill(&self) {
        self.killer().kill();
        self.wait();
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child.lock();
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
    }

    /// SIGTERM, and waits until it has ended: that must be with 0.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A process that was ready.
#[derive(Debug)]
pub struct Node {
    pub ingress: SocketAddr,
    /// Where requests to services come in; of a node of a cluster, nowhere.
    pub gateway: Option<SocketAddr>,
    pub api: SocketAddr,
    pub metrics: SocketAddr,
    pub process: Process,
}

impl Node {
    /// The three listeners, by name.
    pub fn listeners(&self) -> [(&'static str, SocketAddr); 3] {
        [("ingress", self.ingress), ("api", self.api), ("metrics", self.metrics)]
    }

    /// A `GET` of the API, as JSON.
    #[track_caller]
    pub fn get(&self, path: &str) -> serde_json::Value {
        let answer = call(self.api, "GET", path, "", b"");
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Kept dead letters of a Trigger in the namespace `default`, at most a page of them.
    #[track_caller]
    pub fn dead_letters(&self, trigger: &str) -> Vec<serde_json::Value> {
        let page = self.get(&format!("/v1/dead-letters?trigger=default%2F{trigger}&limit=1000"));
        page["items"].as_array().unwrap().clone()
    }

    #[track_caller]
    pub fn metrics_text(&self) -> String {
        let answer = call(self.metrics, "GET", "/metrics", "", b"");
        assert_eq!(answer.status(), 200);
        answer.text()
    }

    /// The sum of all series of a metric, histograms apart.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics_text();
        let of = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse().unwrap_or(0.0))
        };
        text.lines().filter_map(of).sum::<f64>()
    }

    /// Asserts that the process lives, and that every listener answers an ordinary request.
    #[track_caller]
    pub fn is_well(&self, after: &str) {
        assert_eq!(self.process.ended(), None, "after {after}: {}", self.process.said());
        let taken = wait_for(&format!("an ordinary event to be taken after {after}"), || {
            let event = super::TestEvent::sized(u64::MAX, super::event::TYPE_C, 10);
            let answer = super::Connection::open(self.ingress).and_then(|mut connection| connection.post(&event));
            match answer {
                Ok(answer) if answer.status() == 202 => Ok(answer),
                other => Err(format!("{other:?}")),
            }
        });
        assert_eq!(taken.status(), 202);
        assert_eq!(call(self.metrics, "GET", "/healthz", "", b"").status(), 200, "after {after}");
        self.get("/apis/eventing.knative.dev/v1/triggers");
    }

    /// Asserts that the process has never used more memory than it may.
    #[track_caller]
    pub fn within_memory(&self, after: &str) {
        self.within_memory_with(0, after);
    }

    /// The same where it has so many resources: 16 KiB more for each.
    #[track_caller]
    pub fn within_memory_with(&self, resources: usize, after: &str) {
        let (peak, cap) = (self.memory_kib("VmHWM"), MEMORY_CAP_KIB + 16 * resources as u64);
        eprintln!("after {after} the process had used at most {} MiB", peak / 1024);
        assert!(peak < cap, "after {after}: {} MiB", peak / 1024);
    }

    /// A line of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
    pub fn memory_kib(&self, line: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let value = text.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(':'));
        value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap()
    }

    /// The answers to a request on a listener, whatever becomes of it.
    pub fn try_call(&self, listener: SocketAddr, method: &str, path: &str) -> Option<Message> {
        super::Connection::open(listener).ok()?.call(method, path, "", b"").ok()
    }
}
