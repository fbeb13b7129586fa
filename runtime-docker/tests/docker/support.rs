//! What the tests have in common.
//!
//! `PELTON_TEST_DOCKER_HOST` (`unix:///run/docker.sock`, or a path) names an engine that is to be tested in the place of the
//! stub, by those tests that need nothing of the stub's own. `PELTON_TEST_DOCKER_IMAGE`, by default `pelton-test-consumer`,
//! is an image that is there and has the test consumer at `/pelton-test-consumer` (`tests/docker/Dockerfile` makes one).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pelton_env::{OsChance, SystemClock};
use pelton_runtime_docker::DockerRuntime;
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::conformance::{Deployed, Fixture, plain_spec};
use pelton_serving_gateway::runtime::{InstanceEvent, InstanceId, PullPolicy, RuntimeError, WorkloadSpec};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::stub::{IMAGE, Stub};

/// The longest that a test waits for something that will come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The test consumer, within its image.
pub const CONSUMER: &str = "/pelton-test-consumer";

/// The test consumer, on this machine.
pub const BINARY: &str = env!("CARGO_BIN_EXE_pelton-test-container");

/// An engine, and the folder of a gateway that uses it.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
    socket: PathBuf,
    image: String,
    stub: Option<Stub>,
}

/// A container of this gateway: its name, and what it is doing (`running`).
pub type Seen = (String, String);

impl Place {
    /// With a stub.
    pub fn with_stub() -> Arc<Self> {
        let stub = Stub::start();
        let folder = tempfile::tempdir().unwrap();
        Arc::new(Self { folder, socket: stub.socket(), image: IMAGE.to_owned(), stub: Some(stub) })
    }

    /// With the engine that is to be tested.
    pub fn new() -> Arc<Self> {
        let Ok(host) = std::env::var("PELTON_TEST_DOCKER_HOST") else { return Self::with_stub() };
        let socket = PathBuf::from(host.strip_prefix("unix://").unwrap_or(&host));
        let image = std::env::var("PELTON_TEST_DOCKER_IMAGE").unwrap_or_else(|_| "pelton-test-consumer".to_owned());
        Arc::new(Self { folder: tempfile::tempdir().unwrap(), socket, image, stub: None })
    }

    /// The stub.
    pub fn stub(&self) -> &Stub {
        self.stub.as_ref().expect("this test needs a stub")
    }

    /// A gateway's runtime, which prints there.
    pub fn open(&self, logs: Logs) -> DockerRuntime {
        DockerRuntime::open(&self.folder.path().join("docker"), self.socket.clone(), logs, Arc::new(OsChance)).unwrap()
    }

    /// What runs the consumer.
    pub fn spec(&self) -> WorkloadSpec {
        let command = vec![CONSUMER.to_owned()];
        WorkloadSpec { image: self.image.clone(), image_pull_policy: PullPolicy::Never, command, ..plain_spec() }
    }

    /// A runtime of its own for one check.
    pub fn fixture(self: &Arc<Self>) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), LogOptions::default(), Arc::new(SystemClock)).unwrap();
        let runtime = Arc::new(self.open(logs.clone()));
        Fixture { runtime, spec: self.spec(), logs, keep: Box::new((folder, self.clone())) }
    }

    /// A revision of the consumer that serves, deployed.
    pub async fn deployed(self: &Arc<Self>) -> Deployed {
        Deployed::new(self.fixture(), &["serve"], |_| {}).await
    }

    /// Why a revision cannot be deployed.
    pub async fn why_not(self: &Arc<Self>, change: impl FnOnce(&mut WorkloadSpec)) -> String {
        let mut fixture = self.fixture();
        change(&mut fixture.spec);
        let (events, _told) = mpsc::unbounded_channel();
        let refused = fixture.runtime.deploy(Arc::new(fixture.spec.clone()), events).await.unwrap_err();
        assert!(matches!(refused, RuntimeError::Failed { .. }), "it may be tried again: {refused:?}");
        pelton_http_front::text_of(&refused)
    }

    /// Asks the engine, as anybody could.
    pub async fn api(&self, method: &str, path: &str) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The containers of this gateway.
    pub async fn containers(&self) -> Vec<Seen> {
        let owner = std::fs::read_to_string(self.folder.path().join("docker/owner")).unwrap();
        let filters = json!({ "label": [format!("dev.pelton.owner={owner}")] }).to_string();
        let filters = percent_encoding::utf8_percent_encode(&filters, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (status, found) = self.api("GET", &format!("/containers/json?all=true&filters={filters}")).await;
        assert_eq!(status, 200, "{found}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let seen = found.as_array().unwrap().iter();
        seen.map(|it| (text(&it["Names"][0]).trim_start_matches('/').to_owned(), text(&it["State"]))).collect()
    }

    /// Waits until its containers are as they should be. Each look is a question to the engine.
    pub async fn until(&self, what: &str, is_so: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let looking = async {
            loop {
                let seen = self.containers().await;
                if is_so(&seen) {
                    return seen;
                }
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("it does not come about: {what}"))
    }

    /// Waits until there are none.
    pub async fn until_none(&self) {
        self.until("no container is left", |seen| seen.is_empty()).await;
    }

    /// Waits until one is there that nobody has started, and gives its name.
    pub async fn until_ahead(&self) -> String {
        let is_ahead = |(_, state): &&Seen| matches!(state.as_str(), "created" | "configured" | "initialized");
        let seen = self.until("one is created ahead", |seen| seen.iter().any(|it| is_ahead(&it))).await;
        seen.iter().find(is_ahead).unwrap().0.clone()
    }
}

/// Starts an instance, which does not start, and says why.
pub async fn why_not_started(deployed: &mut Deployed) -> String {
    deployed.workload.start();
    match deployed.event().await {
        InstanceEvent::NotStarted { why } => why,
        other => panic!("it starts: {other:?}"),
    }
}

/// Stops an instance, which ends.
pub async fn stop(deployed: &mut Deployed, id: &InstanceId) {
    deployed.workload.stop(id);
    assert_eq!(deployed.exit(id).await, pelton_serving_gateway::runtime::Exit::Stopped);
}
