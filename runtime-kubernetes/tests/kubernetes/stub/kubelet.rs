//! The kubelet of the stub: its Pods are processes of this machine. Each has an address of its own on loopback, as if the
//! machine were its network.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::State;
use super::store::{Kind, Selector};

/// The one image that there is. It has what the machine has.
pub const IMAGE: &str = "registry.test/consumer:1";

/// What is wanted of a Pod.
#[derive(Debug, Clone, Default)]
struct Wanted {
    /// It is to end until then.
    until: Option<Instant>,
    /// The node is not to have it any more, for this reason and with this message.
    evicted: Option<(String, String)>,
}

#[derive(Debug)]
struct Entry {
    wanted: watch::Sender<Wanted>,
    lines: Arc<Lines>,
    task: AbortHandle,
}

/// All Pods.
#[derive(Debug, Default)]
pub struct Kubelet {
    pods: Mutex<HashMap<(String, String), Entry>>,
    made: AtomicU32,
}

impl Kubelet {
    /// A number that no Pod has.
    pub fn next(&self) -> u32 {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    /// What a Pod prints, once it runs.
    pub fn log(&self, namespace: &str, name: &str) -> Option<Arc<Lines>> {
        let pods = self.pods.lock();
        pods.get(&(namespace.to_owned(), name.to_owned())).map(|entry| Arc::clone(&entry.lines))
    }

    pub fn stop(&self, namespace: &str, name: &str, grace: Duration) {
        let until = Instant::now() + grace;
        self.want(namespace, name, |wanted| {
            wanted.until = Some(wanted.until.map_or(until, |before| before.min(until)))
        });
    }

    /// Takes a Pod off its node.
    pub fn evict(&self, namespace: &str, name: &str, reason: &str, message: &str) {
        self.want(namespace, name, |wanted| wanted.evicted = Some((reason.to_owned(), message.to_owned())));
    }

    fn want(&self, namespace: &str, name: &str, change: impl FnOnce(&mut Wanted)) {
        if let Some(entry) = self.pods.lock().get(&(namespace.to_owned(), name.to_owned())) {
            entry.wanted.send_modify(change);
        }
    }

    /// Ends them without a word.
    pub fn kill_all(&self) {
        for (_, entry) in self.pods.lock().drain() {
            entry.task.abort();
        }
    }
}

/// Runs a Pod that is in the store.
pub fn run(state: &Arc<State>, namespace: &str, name: &str) {
    let (wanted, receiver) = watch::channel(Wanted::default());
    let lines = Arc::<Lines>::default();
    let place = (namespace.to_owned(), name.to_owned());
    let pod =
        RunningPod { state: Arc::clone(state), place: place.clone(), lines: Arc::clone(&lines), wanted: receiver };
    let task = tokio::spawn(pod.live()).abort_handle();
    state.kubelet.pods.lock().insert(place, Entry { wanted, lines, task });
}

struct RunningPod {
    state: Arc<State>,
    place: (String, String),
    lines: Arc<Lines>,
    wanted: watch::Receiver<Wanted>,
}

impl RunningPod {
    async fn live(mut self) {
        let Some(pod) = self.get() else { return };
        let container = &pod["spec"]["containers"][0];
        if container["image"] == IMAGE {
            self.run_process(&pod, container).await;
        } else {
            let image = container["image"].as_str().unwrap();
            self.waits("ErrImagePull", &format!("failed to pull image \"{image}\": not found"));
            self.waits("ImagePullBackOff", &format!("Back-off pulling image \"{image}\""));
        }
        let _ = self.wanted.wait_for(|wanted| wanted.until.is_some()).await;
        self.lines.end();
        self.state.kubelet.pods.lock().remove(&self.place);
        self.state.remove(Kind::Pods, &self.place.0, &self.place.1);
    }

    fn get(&self) -> Option<Value> {
        self.state.store.lock().get(Kind::Pods, &self.place.0, &self.place.1)
    }

    /// Says what is so now.
    fn says(&self, status: Value) {
        if let Some(mut pod) = self.get() {
            pod["status"] = status;
            self.state.put(Kind::Pods, &self.place.0, pod);
        }
    }

    fn waits(&self, reason: &str, message: &str) {
        self.says(json!({"phase": "Pending", "containerStatuses": [
            container_status(false, json!({"waiting": {"reason": reason, "message": message}})),
        ]}));
    }

    async fn run_process(&mut self, pod: &Value, container: &Value) {
        let number = self.state.kubelet.next();
        let ip =
            Ipv4Addr::new(127, (std::process::id() % 200) as u8 + 20, (number / 200) as u8, (number % 200) as u8 + 1);
        // Nobody else has the address, so the port stays free.
        let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let mut child = spawn(container, ip, port);
        let outputs = [
            tokio::spawn(capture(child.stdout.take().unwrap(), Arc::clone(&self.lines))),
            tokio::spawn(capture(child.stderr.take().unwrap(), Arc::clone(&self.lines))),
        ];
        let ip_text = ip.to_string();
        self.says(json!({"phase": "Running", "podIP": ip_text, "containerStatuses": [
            container_status(true, json!({"running": {}})),
        ]}));
        let slice = self.publish(pod, &ip_text, port);
        let ended = self.until_it_ends(&mut child, &slice).await;
        for output in outputs {
            output.await.unwrap();
        }
        self.lines.end();
        self.unpublish(&slice);
        let exit_code = ended.code().unwrap_or_else(|| 128 + ended.signal().unwrap());
        let terminated = container_status(false, json!({"terminated": {"exitCode": exit_code}}));
        let evicted = self.wanted.borrow().evicted.clone();
        self.says(match evicted {
            Some((reason, message)) => json!({
                "phase": "Failed", "reason": reason, "message": message, "containerStatuses": [terminated],
            }),
            None => json!({"phase": "Running", "podIP": ip_text, "containerStatuses": [terminated]}),
        });
    }

    async fn until_it_ends(&mut self, child: &mut Child, slice: &Option<String>) -> ExitStatus {
        let mut was_asked = false;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            if wanted.evicted.is_some() {
                // It may have ended just now.
                let _ = child.start_kill();
                return child.wait().await.unwrap();
            }
            if wanted.until.is_some() && !std::mem::replace(&mut was_asked, true) {
                self.unpublish(slice);
                let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).unwrap()));
                let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            }
            let until = wanted.until;
            tokio::select! {
                ended = child.wait() => return ended.unwrap(),
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        // The cluster is gone.
                        let _ = child.start_kill();
                        return child.wait().await.unwrap();
                    }
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    let _ = child.start_kill();
                    return child.wait().await.unwrap();
                }
            }
        }
    }

    /// Publishes where the Pod is, for the Service that selects it.
    fn publish(&self, pod: &Value, ip: &str, port: u16) -> Option<String> {
        let services = self.state.store.lock().list(Kind::Services, Some(&self.place.0), &Selector::default());
        let selects = |service: &&Value| {
            let selector = service["spec"]["selector"].as_object().unwrap();
            selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
        };
        let service = services.iter().find(selects)?;
        let name = self.place.1.clone();
        let mut labels = service["metadata"]["labels"].clone();
        labels["kubernetes.io/service-name"] = service["metadata"]["name"].clone();
        self.state.put(
            Kind::EndpointSlices,
            &self.place.0,
            json!({
                "metadata": {"name": name, "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
                "endpoints": [{
                    "addresses": [ip],
                    "conditions": {"ready": true, "serving": true, "terminating": false},
                    "targetRef": {"kind": "Pod", "name": name, "namespace": self.place.0},
                }],
            }),
        );
        Some(name)
    }

    fn unpublish(&self, slice: &Option<String>) {
        if let Some(slice) = slice {
            self.state.remove(Kind::EndpointSlices, &self.place.0, slice);
        }
    }
}

fn container_status(is_ready: bool, state: Value) -> Value {
    json!({
        "name": "user-container", "image": IMAGE, "imageID": "", "ready": is_ready, "restartCount": 0, "state": state,
    })
}

fn spawn(container: &Value, ip: Ipv4Addr, port: u16) -> Child {
    let words = |field: &str| container[field].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
    let mut words = words("command").chain(words("args"));
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for variable in container["env"].as_array().unwrap() {
        command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
    }
    command.env("PORT", port.to_string()).env("TEST_POD_IP", ip.to_string());
    command.spawn().unwrap()
}

async fn capture(from: impl AsyncRead + Unpin, to: Arc<Lines>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.unwrap() > 0 {
        // As containerd keeps them: a last line without an end has one.
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        to.push(std::mem::take(&mut line));
    }
}

/// A line that was printed, with its end.
#[derive(Debug, Clone)]
pub struct PrintedLine {
    pub at: jiff::Timestamp,
    pub text: Vec<u8>,
}

/// What a Pod prints.
#[derive(Debug)]
pub struct Lines {
    lines: Mutex<Vec<PrintedLine>>,
    is_over: watch::Sender<(usize, bool)>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { lines: Mutex::default(), is_over: watch::channel((0, false)).0 }
    }
}

impl Lines {
    fn push(&self, text: Vec<u8>) {
        let mut lines = self.lines.lock();
        // A quarter of a second between two lines, whatever time it is.
        let millis = 1_800_000_000_000 + 250 * lines.len() as i64;
        lines.push(PrintedLine { at: jiff::Timestamp::from_millisecond(millis).unwrap(), text });
        self.is_over.send_modify(|(count, _)| *count = lines.len());
    }

    fn end(&self) {
        self.is_over.send_modify(|(_, is_over)| *is_over = true);
    }

    /// That line, once it was printed; `None` when it never is.
    pub async fn wait_for(&self, index: usize) -> Option<PrintedLine> {
        let mut news = self.is_over.subscribe();
        let _ = news.wait_for(|(count, is_over)| *count > index || *is_over).await;
        self.lines.lock().get(index).cloned()
    }
}
