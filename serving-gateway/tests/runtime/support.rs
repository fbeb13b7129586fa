//! What the tests of processes have in common.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pelton_env::{OsChance, SystemClock};
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::WorkloadSpec;
use pelton_serving_gateway::runtime::conformance::{Deployed, Fixture, plain_spec};
use pelton_serving_gateway::runtime::process::{ProcessOptions, ProcessRuntime};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// The longest that a test waits for something that will come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The test consumer.
pub const CONSUMER: &str = env!("CARGO_BIN_EXE_pelton-test-consumer");

/// A runtime of processes in a folder of its own.
pub async fn fixture() -> Fixture {
    fixture_with(LogOptions::default(), ProcessOptions::default()).await
}

/// The same, with other bounds.
pub async fn fixture_with(logs: LogOptions, options: ProcessOptions) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    fixture_in(folder, logs, options).await
}

/// The same, in a folder that is there.
pub async fn fixture_in(folder: TempDir, logs: LogOptions, options: ProcessOptions) -> Fixture {
    let logs = Logs::open(&folder.path().join("logs"), logs, Arc::new(SystemClock)).unwrap();
    let processes = folder.path().join("processes");
    let runtime = ProcessRuntime::open(&processes, options, logs.clone(), Arc::new(OsChance)).await.unwrap();
    let spec = WorkloadSpec { command: vec![CONSUMER.to_owned()], ..plain_spec() };
    Fixture { runtime: Arc::new(runtime), spec, logs, keep: Box::new(folder) }
}

/// Where the runtime of a fixture is.
pub fn folder(deployed: &Deployed) -> &Path {
    deployed.fixture.keep.downcast_ref::<TempDir>().unwrap().path()
}

/// A revision of the consumer, deployed.
pub async fn deployed(arguments: &[&str]) -> Deployed {
    Deployed::new(fixture().await, arguments, |_| {}).await
}

/// Knows whether processes live: each is connected to it, and ends its connection by ending.
pub struct Witness {
    listener: TcpListener,
    ties: BTreeMap<String, TcpStream>,
}

impl Witness {
    /// One that nobody knows yet.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, ties: BTreeMap::new() }
    }

    /// Where processes connect to.
    pub fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Waits until processes of these names live.
    pub async fn sees(&mut self, names: &[&str]) {
        while !names.iter().all(|name| self.ties.contains_key(*name)) {
            let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a process lives").unwrap();
            let mut reader = BufReader::new(stream);
            let mut name = String::new();
            reader.read_line(&mut name).await.unwrap();
            self.ties.insert(name.trim().to_owned(), reader.into_inner());
        }
    }

    /// Waits until the process of this name has ended.
    pub async fn sees_the_end_of(&mut self, name: &str) {
        let mut stream = self.ties.remove(name).unwrap();
        let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await;
        let read = read.unwrap_or_else(|_| panic!("{name} lives on"));
        assert!(matches!(read, Ok(0) | Err(_)), "{name} says something");
    }
}
