//! What a gateway leaves that was killed.

use std::process::{Command, Stdio};

use pelton_serving_gateway::logs::LogOptions;
use pelton_serving_gateway::runtime::process::ProcessOptions;

use crate::support::{CONSUMER, Witness, fixture_in};

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_nothing_to_the_next() {
    let mut witness = Witness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Command::new(CONSUMER)
        .args(["gateway", folder.path().to_str().unwrap(), &witness.address()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    witness.sees(&["leader", "member", "stray"]).await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    // By the system.
    witness.sees_the_end_of("leader").await;
    // By the next.
    let instances = folder.path().join("processes/instances");
    assert_ne!(std::fs::read_dir(&instances).unwrap().count(), 0);
    let _fixture = fixture_in(folder, LogOptions::default(), ProcessOptions::default()).await;
    witness.sees_the_end_of("member").await;
    witness.sees_the_end_of("stray").await;
    assert_eq!(std::fs::read_dir(&instances).unwrap().count(), 0);
}
