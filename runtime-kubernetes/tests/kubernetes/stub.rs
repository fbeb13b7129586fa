//! A cluster in this process: an API server on loopback, a controller for Deployments, and a kubelet whose Pods are real
//! processes of this machine, each with an address of its own.
//!
//! It does what spec/kube-api.md says as far as this runtime asks for it, chooses which Pod goes as Kubernetes does, and
//! has faults that a test can switch on.

mod api;
mod controller;
mod kubelet;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

pub use self::kubelet::IMAGE;
pub use self::store::{Kind, Selector, Store};

/// The namespaces that there are.
pub const NAMESPACES: [&str; 2] = ["default", "apps"];

/// The longest that a test waits for something that will come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What goes wrong, and what is counted.
#[derive(Debug, Default)]
pub struct Faults {
    /// So many times a scale is refused as a conflict.
    pub scale_conflicts: u32,
    /// The scales that were asked for.
    pub scaled: Vec<u64>,
    /// How many Pods a namespace may have.
    pub quota: Option<usize>,
    /// The Pod that ends is the one that costs most.
    pub ends_the_wrong_one: bool,
}

/// What all of the stub shares.
#[derive(Debug)]
pub struct State {
    pub store: Mutex<Store>,
    pub changed: watch::Sender<u64>,
    pub faults: Mutex<Faults>,
    pub kubelet: kubelet::Kubelet,
}

impl State {
    pub fn put(&self, kind: Kind, namespace: &str, object: Value) -> Value {
        let stored = self.store.lock().put(kind, namespace, object);
        self.tell();
        stored
    }

    pub fn remove(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let gone = self.store.lock().remove(kind, namespace, name);
        self.tell();
        gone
    }

    /// As the API's DELETE: a Pod has its time to end.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str, grace_seconds: Option<u64>) -> Option<Value> {
        if kind != Kind::Pods {
            return self.remove(kind, namespace, name);
        }
        let mut pod = self.store.lock().get(kind, namespace, name)?;
        let grace = grace_seconds.or(pod["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
        if pod["metadata"]["deletionTimestamp"].is_null() {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-30T10:00:00Z");
        }
        let pod = self.put(kind, namespace, pod);
        self.kubelet.stop(namespace, name, Duration::from_secs(grace));
        Some(pod)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// A cluster. Dropped, it is gone with all that ran in it.
pub struct Stub {
    pub state: Arc<State>,
    folder: TempDir,
    is_there: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Stub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            store: Mutex::default(),
            changed: watch::channel(0).0,
            faults: Mutex::default(),
            kubelet: kubelet::Kubelet::default(),
        });
        let (is_there, seen) = watch::channel(true);
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "stub",
            "clusters": [{"name": "stub", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "nobody"}}],
        });
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let tasks = [
            tokio::spawn(serve(Arc::clone(&state), listener, seen)),
            tokio::spawn(controller::run(Arc::clone(&state))),
        ];
        Self { state, folder, is_there, tasks }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A folder that lives as long.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("gateway")
    }

    /// The API ends every connection and takes none. What runs runs on.
    pub fn go_away(&self) {
        self.is_there.send_replace(false);
    }

    /// The API is there again.
    pub fn come_back(&self) {
        self.is_there.send_replace(true);
    }

    /// All of a kind.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        self.state.store.lock().list(kind, None, &Selector::default())
    }

    /// Waits until that is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut changed = self.state.changed.subscribe();
        let waiting = async {
            while !is_so(self) {
                changed.changed().await.unwrap();
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "it does not come to it: {what}");
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.state.kubelet.kill_all();
    }
}

async fn serve(state: Arc<State>, listener: TcpListener, mut is_there: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.unwrap();
                if !*is_there.borrow() {
                    continue;
                }
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, std::convert::Infallible>(api::answer(state, request).await) }
                });
                connections.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // Whoever leaves in the middle leaves.
                    drop(connection.serve_connection(TokioIo::new(stream), service).await);
                });
            }
            changed = is_there.changed() => {
                if changed.is_err() {
                    return;
                }
                if !*is_there.borrow_and_update() {
                    connections.abort_all();
                }
            }
        }
    }
}
