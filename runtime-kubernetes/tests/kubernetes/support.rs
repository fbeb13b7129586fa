//! What the tests have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pelton_env::{OsChance, SystemClock};
use pelton_runtime_kubernetes::{KubernetesOptions, KubernetesRuntime};
use pelton_serving_gateway::logs::{LogOptions, Logs};
use pelton_serving_gateway::runtime::conformance::{Deployed, Fixture, plain_spec};
use pelton_serving_gateway::runtime::{Exit, InstanceEvent, InstanceId, WorkloadSpec};

use crate::stub::{IMAGE, Stub};

/// The test consumer.
pub const CONSUMER: &str = env!("CARGO_BIN_EXE_pelton-test-container");

/// What a revision of the test consumer says, in the stub.
pub fn spec() -> WorkloadSpec {
    WorkloadSpec { image: IMAGE.to_owned(), command: vec![CONSUMER.to_owned()], ..plain_spec() }
}

/// A gateway's part, with its folder there.
pub fn open(kubeconfig: PathBuf, folder: &Path, start_within: Duration) -> (KubernetesRuntime, Logs) {
    let logs = Logs::open(&folder.join("logs"), LogOptions::default(), Arc::new(SystemClock)).unwrap();
    let options =
        KubernetesOptions { kubeconfig: Some(kubeconfig), start_within, ..KubernetesOptions::new(folder.to_owned()) };
    let runtime = KubernetesRuntime::open(options, logs.clone(), Arc::new(OsChance)).unwrap();
    (runtime, logs)
}

/// How long a start may take, where that is not what is tested.
const START_WITHIN: Duration = Duration::from_secs(600);

/// A runtime with a stub of its own.
pub async fn fixture() -> Fixture {
    fixture_with(START_WITHIN).await
}

/// The same, where a start has this long.
pub async fn fixture_with(start_within: Duration) -> Fixture {
    let stub = Stub::start().await;
    let (runtime, logs) = open(stub.kubeconfig(), &stub.folder(), start_within);
    Fixture { runtime: Arc::new(runtime), spec: spec(), logs, keep: Box::new(stub) }
}

/// A runtime of a real cluster.
pub async fn real_fixture(kubeconfig: PathBuf, image: String) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let (runtime, logs) = open(kubeconfig, folder.path(), START_WITHIN);
    let spec = WorkloadSpec { image, ..plain_spec() };
    Fixture { runtime: Arc::new(runtime), spec, logs, keep: Box::new(folder) }
}

/// A revision of the consumer, deployed in a stub.
pub async fn deployed(arguments: &[&str]) -> Deployed {
    Deployed::new(fixture().await, arguments, |_| {}).await
}

/// The stub of a fixture.
pub fn stub(deployed: &Deployed) -> &Stub {
    deployed.fixture.keep.downcast_ref().unwrap()
}

/// The next thing that becomes of an instance is that one is lost, for a reason in which `why` stands.
pub async fn is_lost(deployed: &mut Deployed, id: &InstanceId, why: &str) {
    let Exit::Lost(said) = deployed.exit(id).await else { panic!("{id} is lost") };
    assert!(said.contains(why), "{said}");
}

/// The next thing that becomes of an instance is that one has started.
pub async fn one_starts(deployed: &mut Deployed) -> InstanceId {
    match deployed.event().await {
        InstanceEvent::Started { id, .. } => id,
        other => panic!("one starts: {other:?}"),
    }
}

/// The next thing that becomes of an instance is that one does not start. Gives the reason.
pub async fn one_does_not_start(deployed: &mut Deployed) -> String {
    match deployed.event().await {
        InstanceEvent::NotStarted { why } => why,
        other => panic!("one does not start: {other:?}"),
    }
}
