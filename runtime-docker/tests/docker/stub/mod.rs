//! A stub of the Engine API, written from its documentation (version 1.43) as far as the runtime uses it: what it answers,
//! with which status, and in which states it refuses.
//!
//! Containers are state here, and a process of this machine each while they run: the test consumer, which is all that the
//! image of this stub has in it. The port that is published is that of the process, whose listening socket it is handed,
//! so that it is there from the start of the container on, as with a real engine. It is stricter than Docker where Podman
//! is: a paused container is neither stopped nor killed.

mod answer;
mod container;
mod images;
mod output;
mod routes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::{JoinHandle, JoinSet};

use self::container::Container;
use self::images::Images;

/// The image that is there from the start, with the consumer at [`super::support::CONSUMER`].
pub const IMAGE: &str = "pelton-test-consumer:latest";

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The answer is none of the API.
    Garbage,
    /// The request is served, and then the connection is cut.
    CutOff,
    /// The request is refused, with this status and message.
    Refused(u16, String),
}

/// An engine that can be made to fail.
#[derive(Debug)]
pub struct Stub {
    folder: TempDir,
    state: Arc<State>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

/// What the engine knows. It outlives a restart.
#[derive(Debug)]
pub struct State {
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    images: Images,
    info: Mutex<Value>,
    /// What it was asked, the oldest first.
    calls: Mutex<Vec<String>>,
    /// What goes wrong with the next request that has this in it.
    faults: Mutex<Vec<(String, Fault)>>,
    next_id: AtomicU64,
}

impl Stub {
    /// One that listens.
    pub fn start() -> Self {
        let state = Arc::new(State {
            containers: Mutex::default(),
            images: Images::with(IMAGE),
            info: Mutex::new(json!({ "CgroupVersion": "2", "SecurityOptions": ["name=cgroupns"] })),
            calls: Mutex::default(),
            faults: Mutex::default(),
            next_id: AtomicU64::new(1),
        });
        let folder = tempfile::tempdir().unwrap();
        let serving = Mutex::new(Some(serve(&folder.path().join("engine.sock"), state.clone())));
        Self { folder, state, serving }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// It does not listen any more, and cuts all connections. Containers run on.
    pub async fn go_away(&self) {
        let serving = self.serving.lock().take().expect("it is there");
        serving.abort();
        let _ = serving.await;
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// It listens again.
    pub fn come_back(&self) {
        *self.serving.lock() = Some(serve(&self.socket(), self.state.clone()));
    }

    /// The next request whose method and path have `needle` in them goes wrong.
    pub fn break_next(&self, needle: &str, fault: Fault) {
        self.state.faults.lock().push((needle.to_owned(), fault));
    }

    /// Nothing goes wrong any more.
    pub fn mend(&self) {
        self.state.faults.lock().clear();
    }

    /// What it was asked since this was last called, as `POST /containers/create`.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.calls.lock())
    }

    /// An image that can be pulled.
    pub fn publish(&self, image: &str) {
        self.state.images.publish(image);
    }

    /// Whether an image is there.
    pub fn has_image(&self, image: &str) -> bool {
        self.state.images.has(image)
    }

    /// What it says of itself.
    pub fn set_info(&self, info: Value) {
        *self.state.info.lock() = info;
    }

    /// The next end of a container of that name is one for the memory that it used.
    pub fn next_end_is_out_of_memory(&self, name: &str) {
        self.state.find(name).unwrap().next_end_is_out_of_memory();
    }

    /// It does not tell any more at which port of the host that container is reached.
    pub fn forget_the_port_of(&self, name: &str) {
        self.state.find(name).unwrap().forget_its_port();
    }

    /// What a container was created from.
    pub fn config(&self, name: &str) -> Value {
        self.state.find(name).unwrap().config.clone()
    }
}

impl State {
    fn new_id(&self) -> String {
        format!("{:064x}", self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// By name, or by id.
    fn find(&self, name: &str) -> Option<Arc<Container>> {
        let containers = self.containers.lock();
        containers.values().find(|container| container.name == name || container.id == name).cloned()
    }

    fn take_fault(&self, call: &str) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let at = faults.iter().position(|(needle, _)| call.contains(needle))?;
        Some(faults.remove(at).1)
    }
}

fn serve(socket: &Path, state: Arc<State>) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        // Dropped with this task, and so cut.
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let state = state.clone();
            let service = service_fn(move |request| routes::handle(state.clone(), request));
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            while connections.try_join_next().is_some() {}
        }
    })
}
