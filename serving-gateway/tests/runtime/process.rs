//! What a process finds when it begins. serving.md, 1.1 and 1.6.

use std::fs;

use pelton_serving_gateway::logs::LogOptions;
use pelton_serving_gateway::runtime::conformance::{Deployed, ask};
use pelton_serving_gateway::runtime::process::{OpenError, ProcessOptions, ProcessRuntime};
use pelton_serving_gateway::runtime::{Exit, RuntimeError};

use crate::support::{deployed, fixture, fixture_with, folder};

async fn answer(address: std::net::SocketAddr, path: &str) -> String {
    ask(address, path).await.unwrap().unwrap_or_else(|| panic!("{path} is not answered"))
}

#[tokio::test]
async fn a_process_has_nothing_of_ours_that_it_need_not_have() {
    // A descriptor that is passed on to programs unless somebody takes care.
    let _passed_on = rustix::io::dup(fs::File::open("/dev/null").unwrap()).unwrap();
    let mut deployed = deployed(&["serve"]).await;
    let (_, address) = deployed.serve().await;
    let is_passed_on = |name: &str| ["PATH", "HOME", "LANG", "TZ", "TMPDIR"].contains(&name);
    let ours: Vec<_> = std::env::vars().map(|(name, _)| name).filter(|name| !is_passed_on(name)).collect();
    assert!(!ours.is_empty(), "the test has some that are not passed on");
    for name in ours.iter().filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
        assert_eq!(ask(address, &format!("/env/{name}")).await.unwrap(), None, "{name}");
    }
    assert_eq!(answer(address, "/descriptors").await, "");
    assert_eq!(answer(address, "/stdin").await, "", "its input is at its end");
    assert_eq!(answer(address, "/env/PORT").await, address.port().to_string());
    assert_eq!(answer(address, "/env/PATH").await, std::env::var("PATH").unwrap());
}

#[tokio::test]
async fn a_process_has_a_private_folder_while_it_runs() {
    let mut deployed = deployed(&["serve"]).await;
    let (id, address) = deployed.serve().await;
    let private = answer(address, "/env/TMPDIR").await;
    assert_eq!(answer(address, "/directory").await, private);
    let file = answer(address, "/write/something").await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "here");
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert!(!fs::exists(private).unwrap());
    assert_eq!(fs::read_dir(folder(&deployed).join("processes/instances")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_process_runs_where_it_is_said() {
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    let mut deployed = Deployed::new(fixture().await, &["serve"], |spec| {
        spec.working_dir = Some(elsewhere.clone());
    })
    .await;
    let (_, address) = deployed.serve().await;
    assert_eq!(answer(address, "/directory").await, elsewhere.display().to_string());
}

#[tokio::test]
async fn a_process_is_a_child_that_leads_its_group() {
    let mut deployed = deployed(&["serve"]).await;
    let (_, address) = deployed.serve().await;
    let pid = answer(address, "/pid").await;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!(fields[1..3], [&std::process::id().to_string(), &pid], "parent and group");
}

#[tokio::test]
async fn a_process_that_is_paused_stands_still() {
    let mut deployed = deployed(&["serve"]).await;
    let (id, address) = deployed.serve().await;
    let pid = answer(address, "/pid").await;
    let state = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.trim_start().chars().next().unwrap()
    };
    for _ in 0..20 {
        deployed.workload.pause(&id).await.unwrap();
        assert_eq!(state(), 'T');
        deployed.workload.resume(&id).await.unwrap();
        assert_ne!(state(), 'T');
    }
}

#[tokio::test]
async fn open_files_are_limited() {
    let options = ProcessOptions { open_files: 123 };
    let mut deployed = Deployed::new(fixture_with(LogOptions::default(), options).await, &["serve"], |_| {}).await;
    let (_, address) = deployed.serve().await;
    let limits = answer(address, "/limits").await;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["123", "123"], "{line}");
}

/// `sd_listen_fds(3)`.
#[tokio::test]
async fn a_socket_is_handed_over_that_takes_requests_from_the_first_moment_on() {
    let mut deployed = Deployed::new(fixture().await, &["serve"], |spec| spec.socket_activation = true).await;
    let (id, address) = deployed.start().await;
    // Nobody has waited for it to be ready.
    assert_eq!(answer(address, "/env/LISTEN_FDS").await, "1");
    let opened = answer(address, "/descriptors").await;
    assert!(opened.starts_with("socket:") && !opened.contains(','), "{opened}");
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert!(ask(address, "/").await.is_err(), "the socket went with it");
}

#[tokio::test]
async fn a_revision_that_says_no_program_is_unsupported() {
    let mut fixture = fixture().await;
    fixture.spec.command.clear();
    let (sender, _events) = tokio::sync::mpsc::unbounded_channel();
    let refused = fixture.runtime.deploy(std::sync::Arc::new(fixture.spec), sender).await.unwrap_err();
    let RuntimeError::Unsupported { field, .. } = refused else { panic!("{refused}") };
    assert_eq!(field, "spec.containers[0].command");
}

#[tokio::test]
async fn a_folder_has_one_runtime() {
    let deployed = deployed(&["serve"]).await;
    let folder = folder(&deployed).join("processes");
    let logs = deployed.fixture.logs.clone();
    let chance = std::sync::Arc::new(pelton_env::OsChance);
    let second = ProcessRuntime::open(&folder, ProcessOptions::default(), logs, chance).await;
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
}

/// Many at a time, each with a port, a folder and an end of its own.
#[tokio::test]
async fn many_start_at_a_time() {
    const MANY: usize = 30;
    let mut deployed = deployed(&["serve"]).await;
    for _ in 0..MANY {
        deployed.workload.start();
    }
    let mut addresses = std::collections::BTreeSet::new();
    let mut ids = Vec::new();
    for _ in 0..MANY {
        let event = deployed.event().await;
        let pelton_serving_gateway::runtime::InstanceEvent::Started { id, address } = event else {
            panic!("all start: {event:?}")
        };
        addresses.insert(address);
        ids.push(id);
    }
    assert_eq!(addresses.len(), MANY);
    for id in &ids {
        deployed.workload.stop(id);
    }
    for _ in 0..MANY {
        let event = deployed.event().await;
        assert!(
            matches!(event, pelton_serving_gateway::runtime::InstanceEvent::Exited { exit: Exit::Stopped, .. }),
            "{event:?}"
        );
    }
    deployed.is_over().await;
}
