//! Programs that behave badly. reliability.md, F27: no start is without an answer.

use std::path::Path;

use pelton_serving_gateway::logs::{Followed, LogOptions, Stream};
use pelton_serving_gateway::runtime::conformance::{Deployed, ask};
use pelton_serving_gateway::runtime::process::ProcessOptions;
use pelton_serving_gateway::runtime::{Exit, InstanceEvent, WorkloadSpec};

use crate::support::{CONSUMER, Witness, deployed, fixture, fixture_with, folder};

/// Why an instance does not start that is specified with a change.
async fn why_not(change: impl FnOnce(&mut WorkloadSpec)) -> String {
    let mut deployed = Deployed::new(fixture().await, &[], change).await;
    deployed.workload.start();
    let InstanceEvent::NotStarted { why } = deployed.event().await else { panic!("it starts") };
    let left = std::fs::read_dir(folder(&deployed).join("processes/instances")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of it");
    deployed.is_over().await;
    why
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "hello").unwrap();
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/none/such/interpreter\n").unwrap();
    for file in [&text, &script] {
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for command in ["/none/such/program", "none-such-program", text.to_str().unwrap(), script.to_str().unwrap()] {
        let why = why_not(|spec| spec.command = vec![command.to_owned()]).await;
        assert!(why.contains(command), "{why}");
    }
    let why = why_not(|spec| spec.working_dir = Some("/none/such/folder".into())).await;
    assert!(why.contains("/none/such/folder"), "{why}");
}

#[tokio::test]
async fn one_that_never_listens_is_stopped() {
    let mut deployed = deployed(&["silent"]).await;
    let (id, address) = deployed.start().await;
    assert!(ask(address, "/").await.is_err());
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
}

#[tokio::test]
async fn its_children_go_with_it() {
    for ending in ["stopped", "dropped", "crashed"] {
        let mut witness = Witness::new().await;
        let mut deployed = deployed(&["family", &witness.address()]).await;
        let (id, address) = deployed.serve().await;
        witness.sees(&["leader", "member", "stray"]).await;
        match ending {
            "stopped" => deployed.workload.stop(&id),
            "crashed" => drop(ask(address, "/abort").await),
            _ => {
                let Deployed { workload, mut events, .. } = deployed;
                drop(workload);
                assert_eq!(events.recv().await, Some(InstanceEvent::Exited { id, exit: Exit::Stopped }));
                assert_gone(witness).await;
                continue;
            }
        }
        deployed.exit(&id).await;
        assert_gone(witness).await;
    }
}

async fn assert_gone(mut witness: Witness) {
    for name in ["leader", "member", "stray"] {
        witness.sees_the_end_of(name).await;
    }
}

/// It ends, and a daemon in a session of its own stays.
#[tokio::test]
async fn a_daemon_goes_with_what_started_it() {
    let mut witness = Witness::new().await;
    let mut deployed = deployed(&["leave", &witness.address()]).await;
    let (id, _) = deployed.start().await;
    // It may be killed before it is seen; one that was seen ends.
    tokio::select! {
        () = witness.sees(&["stray"]) => {
            assert_eq!(deployed.exit(&id).await, Exit::Code(0));
            witness.sees_the_end_of("stray").await;
        }
        exit = deployed.exit(&id) => assert_eq!(exit, Exit::Code(0)),
    }
}

/// A shell that was asked to end is gone at once; what it runs still has its time.
#[tokio::test]
async fn what_a_shell_runs_has_its_time_to_end() {
    let mut deployed = deployed(&["wrap"]).await;
    let (id, _) = deployed.start().await;
    let log = deployed.fixture.logs.revision("default", "consumer-00001");
    let mut follower = log.follow(10).await.unwrap();
    let Some(Followed::Line(line)) = follower.next().await.unwrap() else { panic!("a line is missing") };
    assert_eq!(line.text, b"ready");
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert_eq!(deployed.last_lines(&id, Stream::Stdout), ["ready", "the last answer"]);
}

/// The disk holds what it may, and others are served meanwhile.
#[tokio::test]
async fn a_flood_is_rotated_away() {
    const FLOOD_BYTES: u64 = 64 * 1024 * 1024;
    let logs = LogOptions { file_bytes: 256 * 1024, files: 3, ..LogOptions::default() };
    let fixture = fixture_with(logs, ProcessOptions::default()).await;
    let runtime = fixture.runtime.clone();
    let mut flooding = Deployed::new(fixture, &["flood", &FLOOD_BYTES.to_string()], |_| {}).await;
    let (id, address) = flooding.start().await;
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let spec = WorkloadSpec {
        revision: "calm-00001".to_owned(),
        args: vec!["exit".to_owned(), "4".to_owned()],
        ..flooding.fixture.spec.clone()
    };
    let calm = runtime.deploy(std::sync::Arc::new(spec), sender).await.unwrap();
    calm.start();
    assert!(matches!(events.recv().await, Some(InstanceEvent::Started { .. })));
    assert!(matches!(events.recv().await, Some(InstanceEvent::Exited { exit: Exit::Code(4), .. })));

    let probe = pelton_serving_gateway::probe::Probe::default();
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    probe.until_ready(address, deadline).await.unwrap();
    flooding.workload.stop(&id);
    assert_eq!(flooding.exit(&id).await, Exit::Stopped);
    let lines = flooding.last_lines(&id, Stream::Stdout);
    assert!(lines.iter().any(|line| line == "the end of the flood"), "{lines:?}");
    // Nothing is written after its last line.
    let log = flooding.fixture.logs.revision("default", "consumer-00001");
    let mut follower = log.follow(u64::MAX).await.unwrap();
    while !matches!(follower.next().await.unwrap().unwrap(), Followed::Line(line) if line.text == b"asked to end") {}
    let kept = bytes_below(&folder(&flooding).join("logs/default/consumer-00001"));
    assert!(kept <= 3 * 256 * 1024, "{kept} bytes");
}

fn bytes_below(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn one_that_closes_its_outputs_runs_on() {
    let mut deployed = deployed(&["close-output"]).await;
    let (id, address) = deployed.serve().await;
    assert_eq!(ask(address, "/count").await.unwrap().as_deref(), Some("1"));
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
}

/// It cannot be helped that somebody else takes a port; the next instance has another.
#[tokio::test]
async fn one_whose_port_was_taken_makes_room_for_the_next() {
    let mut deployed = Deployed::new(fixture().await, &[], |spec| {
        // It begins to listen when the test lets it.
        spec.command = vec![CONSUMER.to_owned()];
        spec.args = vec!["silent".to_owned()];
    })
    .await;
    let (first, address) = deployed.start().await;
    let _taken = std::net::TcpListener::bind(address).unwrap();
    deployed.workload.stop(&first);
    assert_eq!(deployed.exit(&first).await, Exit::Stopped);
    let (_, other) = deployed.start().await;
    assert_ne!(address, other);
}
