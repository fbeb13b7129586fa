use std::sync::Arc;

use pelton_client::{NodeId, Resources};
use pelton_consensus::{Applied, Command, Space, StateMachine};
use pelton_log::{LogIndex, Offset, Term};
use pelton_peer::PROTOCOL_MIN;
use pelton_resource::Resource;

use super::*;
use crate::cluster::{Answer, ClusterCommand, Refusal, broker_info, nonce};

fn applied(index: u64, command: &RegistryCommand) -> Applied {
    let (kind, body) = command.encode(PROTOCOL_MIN);
    let command = Command { kind, event_count: 0, body, space: Space::Reserve };
    Applied { index: LogIndex(index), term: Term(1), first_offset: Offset(0), command }
}

/// Entries that fill a registry: a cluster of two, a Broker, and a change that is refused.
fn entries() -> Vec<RegistryCommand> {
    let text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a, namespace: n}\n";
    let form = ClusterCommand::Form {
        initial_nodes: 2,
        replication: 3,
        info: broker_info(1, "a"),
        nonce: nonce(1),
        speaks: crate::cluster::Speaks::default(),
    };
    let join =
        ClusterCommand::Join { info: broker_info(2, "b"), nonce: nonce(2), speaks: crate::cluster::Speaks::default() };
    vec![
        RegistryCommand::Cluster(Box::new(form)),
        RegistryCommand::Put(pelton_resource::parse_documents(text, "test").unwrap()),
        RegistryCommand::Cluster(Box::new(join)),
        RegistryCommand::Cluster(Box::new(ClusterCommand::Drain(NodeId(9)))),
    ]
}

fn fill(state: &RegistryState) {
    (1..).zip(entries()).for_each(|(index, command)| state.apply(applied(index, &command)));
}

fn content(state: &RegistryState) -> (Arc<ClusterState>, Vec<Resource>) {
    (state.current_cluster(), Resources::iter(&state.current()).collect())
}

#[test]
fn a_proposer_learns_what_came_of_its_command() {
    let state = RegistryState::open(None, 0, 0, Versions::OURS);
    let mut watched = state.cluster();
    fill(&state);
    assert_eq!(state.outcome(1), Some(Ok(Answer::Joined(NodeId(1)))));
    assert_eq!(state.outcome(2), None, "it was none of the cluster");
    assert_eq!(state.outcome(3), Some(Ok(Answer::Joined(NodeId(2)))));
    assert_eq!(state.outcome(4), Some(Err(Refusal::UnknownNode(NodeId(9)))));
    assert_eq!(watched.borrow_and_update().version, 3, "a refused command changes nothing");
    for index in 5..5 + OUTCOMES_KEPT as u64 {
        let command = RegistryCommand::Cluster(Box::new(ClusterCommand::Drain(NodeId(9))));
        state.apply(applied(index, &command));
    }
    assert!(!watched.has_changed().unwrap(), "and wakes nobody");
    assert_eq!((state.outcome(4), state.outcome(5).is_some()), (None, true), "the oldest are forgotten");
}

/// Checkpoint, snapshot, the store and the log itself give one and the same registry.
#[test]
fn the_cluster_is_in_everything_that_the_registry_is_made_again_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry.sled");
    let original = RegistryState::open(Some(&path), 0, 0, Versions::OURS);
    fill(&original);
    let want = content(&original);
    assert_eq!((want.0.members().count(), want.1.len()), (2, 1));

    let restored = RegistryState::open(None, 4, 0, Versions::OURS);
    restored.restore(&original.checkpoint(), None).unwrap();
    assert_eq!(content(&restored), want);
    let installed = RegistryState::open(None, 4, 0, Versions::OURS);
    let watermark = original.watermark(LogIndex(4)).unwrap();
    installed.install(watermark.index, &watermark.state).unwrap();
    assert_eq!(content(&installed), want);

    original.flush();
    drop(original);
    let reopened = RegistryState::open(Some(&path), 4, 0, Versions::OURS);
    assert_eq!(content(&reopened), want);
    fill(&reopened);
    assert_eq!(content(&reopened), want, "entries that it has are not applied again");
    drop(reopened);

    // Ahead of the log: made again from the log alone.
    let rebuilt = RegistryState::open(Some(&path), 1, 7, Versions::OURS);
    assert!(!rebuilt.current_cluster().is_formed());
    fill(&rebuilt);
    assert_eq!(content(&rebuilt), want);
}

/// The store may be ahead of the group after a restart; then there is no state of the older index.
#[test]
fn a_state_is_never_called_older_than_it_is() {
    let state = RegistryState::open(None, 0, 0, Versions::OURS);
    fill(&state);
    let at = |index| state.watermark(LogIndex(index)).map(|watermark| watermark.index);
    assert_eq!((at(3), at(4), at(5)), (None, Some(LogIndex(4)), Some(LogIndex(5))));
}
