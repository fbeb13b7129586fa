use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{GroupId, NodeId, NodeInfo, NodePhase, Role};
use pelton_env::SeededChance;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

/// An active broker called `n{number}`.
pub(crate) fn broker_info(number: u64, zone: &str) -> NodeInfo {
    NodeInfo {
        name: format!("n{number}"),
        peer_address: format!("n{number}.example:7400"),
        ingress: None,
        api: None,
        gateway: None,
        zone: zone.to_owned(),
        roles: BTreeSet::from([Role::Broker, Role::Ingress, Role::Dispatcher]),
        phase: NodePhase::Active,
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn nonce(number: u64) -> Nonce {
    Nonce::random(&SeededChance::new(number))
}

/// A cluster of one broker a zone, without groups.
pub(crate) fn formed(zones: &[&str]) -> ClusterState {
    let mut state = ClusterState::default();
    for (number, zone) in (1..).zip(zones) {
        let (info, nonce) = (broker_info(number, zone), nonce(number));
        let command = match number {
            1 => ClusterCommand::Form {
                initial_nodes: zones.len() as u32,
                replication: 3,
                info,
                nonce,
                speaks: Speaks::default(),
            },
            _ => ClusterCommand::Join { info, nonce, speaks: Speaks::default() },
        };
        assert_eq!(state.apply(number, command), Ok(Answer::Joined(NodeId(number))));
    }
    state
}

/// A cluster of three with one settled group, 1, led by node 1.
pub(crate) fn three_nodes() -> ClusterState {
    let mut state = formed(&["a", "b", "c"]);
    state.apply(10, create(1, &[1, 2, 3], 1)).unwrap();
    state.apply(11, settle(1, 1, &[1, 2, 3])).unwrap();
    state
}

fn ids(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

fn create(group: u32, replicas: &[u64], home: u64) -> ClusterCommand {
    ClusterCommand::CreateGroup { group: GroupId(group), replicas: ids(replicas), home: NodeId(home), keyed: true }
}

fn settle(group: u32, term: u64, voters: &[u64]) -> ClusterCommand {
    ClusterCommand::Settle { group: GroupId(group), term, voters: ids(voters) }
}

fn place(state: &ClusterState, group: u32, replicas: &[u64]) -> ClusterCommand {
    let (group, replicas) = (GroupId(group), ids(replicas));
    let record = state.group(group).unwrap();
    let preferred = record.preferred.filter(|node| replicas.contains(node));
    ClusterCommand::PlaceGroup { group, version: record.version, replicas, preferred, home: record.home }
}

fn remove(node: u64, lost: bool) -> ClusterCommand {
    ClusterCommand::Remove { node: NodeId(node), lost }
}

fn join(number: u64, nonce_of: u64) -> ClusterCommand {
    ClusterCommand::Join { info: broker_info(number, "a"), nonce: nonce(nonce_of), speaks: Speaks::default() }
}

#[test]
fn nothing_happens_before_the_cluster_is_formed_and_it_is_formed_once() {
    let mut state = ClusterState::default();
    for command in [join(1, 1), create(1, &[1], 1), remove(1, true), settle(0, 1, &[1])] {
        assert_eq!(state.apply(1, command), Err(Refusal::NotFormed));
    }
    assert_eq!(state, ClusterState::default());
    let form = |name: &str| ClusterCommand::Form {
        initial_nodes: 3,
        replication: 3,
        info: NodeInfo { name: name.to_owned(), ..broker_info(1, "") },
        nonce: nonce(1),
        speaks: Speaks::default(),
    };
    assert_eq!(state.apply(1, form("Bad_Name")), Err(Refusal::BadName { name: "Bad_Name".to_owned() }));
    assert_eq!(state.apply(2, form("a")), Ok(Answer::Joined(NodeId(1))));
    assert_eq!((&state.registry.replicas, state.registry.is_moving(), state.version), (&ids(&[1]), false, 2));
    assert_eq!(state.apply(3, form("a")), Err(Refusal::AlreadyFormed));
}

#[test]
fn a_nonce_gets_one_id_and_a_name_belongs_to_one_nonce() {
    let mut state = formed(&["a", "b"]);
    assert_eq!(state.apply(5, join(2, 2)), Ok(Answer::Joined(NodeId(2))), "asked again");
    assert_eq!(
        state.apply(6, join(2, 9)),
        Err(Refusal::NameTaken { name: "n2".to_owned(), node: NodeId(2) }),
        "an empty disk under a known name"
    );
    assert_eq!(state.apply(7, join(7, 2)), Ok(Answer::Joined(NodeId(2))), "it may be called otherwise");
    assert_eq!(state.named("n7"), Some(NodeId(2)));
    assert!(matches!(state.apply(8, join(1, 2)), Err(Refusal::NameTaken { .. })), "but not as another is");
    state.apply(9, ClusterCommand::Drain(NodeId(2))).unwrap();
    state.apply(10, join(7, 2)).unwrap();
    assert_eq!(state.member(NodeId(2)).unwrap().phase, NodePhase::Draining, "a restart ends no drain");
    assert_eq!(state.apply(11, remove(2, false)), Ok(Answer::Changed));
    assert!(matches!(state.apply(12, join(7, 2)), Err(Refusal::Removed { .. })), "its id is gone");
    assert_eq!(state.apply(13, join(7, 9)), Ok(Answer::Joined(NodeId(3))), "the name is free, the id another");
}

#[test]
fn a_node_tells_where_it_is_as_itself_only() {
    let mut state = formed(&["a", "b"]);
    let update = |node: u64, name: u64, nonce_of: u64| {
        let info = NodeInfo { api: Some("n2:8001".into()), phase: NodePhase::Draining, ..broker_info(name, "z") };
        ClusterCommand::Update { node: NodeId(node), info, nonce: nonce(nonce_of), speaks: Speaks::default() }
    };
    assert_eq!(state.apply(5, update(2, 2, 2)), Ok(Answer::Changed));
    assert_eq!(state.apply(6, update(2, 2, 2)), Ok(Answer::Unchanged));
    let info = state.member(NodeId(2)).unwrap();
    assert_eq!((info.zone.as_str(), info.phase, state.version), ("z", NodePhase::Active, 5));
    assert_eq!(state.apply(7, update(2, 2, 9)), Err(Refusal::OtherDirectory(NodeId(2))));
    assert_eq!(state.apply(8, update(3, 3, 9)), Err(Refusal::UnknownNode(NodeId(3))), "it gets no id by that");
    assert!(matches!(state.apply(9, update(2, 1, 2)), Err(Refusal::NameTaken { .. })));
}

/// The cluster goes on to what all of its nodes speak, never back, and takes nobody that speaks something else.
#[test]
fn the_protocol_is_what_every_node_speaks() {
    use pelton_peer::Versions;
    let mut state = formed(&["a", "b"]);
    let speaks = |min, max| Speaks::from(Versions { min, max });
    let update = |node: u64, speaks| {
        let (info, nonce) = (broker_info(node, "z"), nonce(node));
        ClusterCommand::Update { node: NodeId(node), info, nonce, speaks }
    };
    let join = |node: u64, speaks| ClusterCommand::Join { info: broker_info(node, "z"), nonce: nonce(node), speaks };
    let raise = |to| ClusterCommand::RaiseProtocol { to };
    assert_eq!((state.protocol(), state.next_protocol()), (1, None));
    assert_eq!(state.apply(5, update(1, speaks(1, 2))), Ok(Answer::Changed));
    assert_eq!(state.next_protocol(), None, "one does not speak it");
    assert_eq!(state.apply(6, raise(2)), Err(Refusal::NotSpoken { node: NodeId(2), protocol: 2 }));
    assert_eq!(state.apply(7, update(2, speaks(1, 3))), Ok(Answer::Changed));
    assert_eq!(state.next_protocol(), Some(2));
    state.apply(8, update(2, speaks(1, 1))).expect("it may go back as long as the cluster has not gone on");
    assert_eq!(state.apply(9, raise(2)), Err(Refusal::NotSpoken { node: NodeId(2), protocol: 2 }));
    state.apply(10, update(2, speaks(2, 3))).expect_err("it cannot read what is written now");
    state.apply(11, update(2, speaks(1, 3))).unwrap();
    assert_eq!(state.apply(12, raise(2)), Ok(Answer::Changed));
    assert_eq!((state.protocol(), state.next_protocol(), state.version), (2, None, 12));
    assert_eq!(state.apply(13, raise(1)), Ok(Answer::Unchanged));
    let refusal = state.apply(14, update(2, speaks(1, 1))).unwrap_err();
    let text = refusal.to_string();
    assert!(text.contains("is at version 2") && text.contains("speaks 1 to 1"), "{text}");
    assert!(matches!(state.apply(15, join(3, speaks(1, 1))), Err(Refusal::Protocol { .. })));
    assert!(matches!(state.apply(15, join(3, speaks(3, 4))), Err(Refusal::Protocol { .. })));
    assert_eq!(state.apply(16, join(3, speaks(2, 2))), Ok(Answer::Joined(NodeId(3))));
    assert_eq!(state.next_protocol(), None);
    // One that was removed holds nobody up; one that formed the cluster as a newer one waits for older ones.
    state.apply(17, update(1, speaks(1, 3))).unwrap();
    assert_eq!(state.next_protocol(), None);
    state.apply(18, remove(3, true)).unwrap();
    assert_eq!(state.next_protocol(), Some(3));
    let mut young = ClusterState::default();
    let (info, nonce) = (broker_info(1, "a"), nonce(1));
    let form = ClusterCommand::Form { initial_nodes: 2, replication: 3, info, nonce, speaks: speaks(1, 2) };
    young.apply(1, form).unwrap();
    assert_eq!((young.protocol(), young.next_protocol()), (1, Some(2)));
    assert!(young.apply(2, join(2, speaks(1, 1))).is_ok());
    assert_eq!(young.next_protocol(), None);
}

/// What a program before there were versions in the registry wrote.
#[test]
fn a_state_without_versions_is_of_the_first_one() {
    let mut json = serde_json::to_value(three_nodes()).unwrap();
    json.as_object_mut().unwrap().remove("protocol");
    for (_, node) in json["nodes"].as_object_mut().unwrap() {
        node.as_object_mut().unwrap().remove("speaks");
    }
    let state: ClusterState = serde_json::from_value(json).unwrap();
    assert_eq!((state.protocol(), state.next_protocol()), (1, None));
}

#[test]
fn names_are_dns_labels() {
    let long = "a".repeat(63);
    for (name, good) in [
        ("a", true),
        ("node-1", true),
        ("1", true),
        (long.as_str(), true),
        ("", false),
        ("-a", false),
        ("a-", false),
        ("A", false),
        ("a.b", false),
        ("a b", false),
        (&format!("{long}a"), false),
    ] {
        let info = NodeInfo { name: name.to_owned(), ..broker_info(9, "") };
        let outcome =
            formed(&["a"]).apply(9, ClusterCommand::Join { info, nonce: nonce(9), speaks: Speaks::default() });
        assert_eq!(outcome.is_ok(), good, "{name:?}");
    }
}

#[test]
fn the_number_of_nodes_is_bounded() {
    let mut state = formed(&["a"]);
    for number in 2..=state::MAX_NODES as u64 {
        state.apply(number, join(number, number)).unwrap();
    }
    assert_eq!(state.apply(1000, join(999, 999)), Err(Refusal::TooManyNodes { limit: state::MAX_NODES }));
    state.apply(1001, remove(7, false)).unwrap();
    assert_eq!(state.apply(1002, join(999, 999)), Ok(Answer::Joined(NodeId(state::MAX_NODES as u64 + 1))));
}

#[test]
fn two_proposals_from_one_state_make_one_group() {
    let mut state = formed(&["a", "b"]);
    assert_eq!(state.apply(5, create(1, &[1, 2], 2)), Ok(Answer::Created(GroupId(1))));
    assert_eq!(state.apply(6, create(1, &[1, 2], 2)), Err(Refusal::Outdated(GroupId(1))));
    assert_eq!(state.groups[&GroupId(1)].preferred, Some(NodeId(2)));
    for (command, want) in [
        (create(2, &[], 1), Refusal::NoReplica(GroupId(2))),
        (create(2, &[1], 2), Refusal::NotAReplica { node: NodeId(2), group: GroupId(2) }),
        (create(2, &[1, 3], 1), Refusal::UnknownNode(NodeId(3))),
    ] {
        assert_eq!(state.apply(7, command), Err(want));
    }
}

#[test]
fn one_replica_of_a_group_changes_at_a_time() {
    let mut state = formed(&["a", "b", "c", "d", "e"]);
    state.apply(10, create(1, &[1, 2, 3], 1)).unwrap();
    let group = GroupId(1);
    let early = place(&state, 1, &[1, 2, 4]);
    assert_eq!(state.apply(11, early), Err(Refusal::Moving(group)), "before it had a leader");
    state.apply(12, settle(1, 2, &[1, 2, 3])).unwrap();
    for (replicas, good) in [
        (&[1, 2, 4][..], true),
        (&[1, 2][..], true),
        (&[1, 2, 3, 4][..], true),
        (&[1, 4, 5][..], false),
        (&[1][..], false),
        (&[1, 2, 3, 4, 5][..], false),
    ] {
        let outcome = state.clone().apply(13, place(&state, 1, replicas));
        assert_eq!(outcome, if good { Ok(Answer::Changed) } else { Err(Refusal::TooMuchAtOnce(group)) });
    }
    let (first, second) = (place(&state, 1, &[1, 2, 4]), place(&state, 1, &[1, 2, 5]));
    state.apply(14, first).unwrap();
    assert_eq!(state.apply(15, second), Err(Refusal::Outdated(group)), "from the same state");
    let onwards = place(&state, 1, &[1, 4, 5]);
    assert_eq!(state.apply(16, onwards), Err(Refusal::TooMuchAtOnce(group)), "on its way to 4");
    let other_target = place(&state, 1, &[1, 2, 5]);
    assert_eq!(state.apply(17, other_target), Ok(Answer::Changed), "where to may change on the way");
}

#[test]
fn an_old_leader_settles_nothing() {
    let mut state = three_nodes();
    let group = GroupId(1);
    assert_eq!(state.apply(20, settle(1, 5, &[1, 2])), Ok(Answer::Changed));
    assert_eq!(state.apply(21, settle(1, 4, &[1, 2, 3])), Err(Refusal::OldTerm(group)));
    assert_eq!(state.apply(22, settle(1, 5, &[1, 2])), Ok(Answer::Unchanged));
    assert_eq!(state.apply(23, settle(1, 5, &[])), Err(Refusal::NoReplica(group)));
    assert_eq!(state.apply(24, settle(1, 5, &[9])), Err(Refusal::UnknownNode(NodeId(9))));
    assert_eq!(state.apply(25, settle(2, 5, &[1])), Err(Refusal::UnknownGroup(GroupId(2))));
    assert_eq!((state.groups[&group].settled_term, state.version), (5, 20));
    // One that is removed counts for as long as it votes, and does not come back.
    state.apply(26, remove(2, false)).unwrap();
    assert_eq!(state.apply(27, settle(1, 6, &[1, 2])), Ok(Answer::Changed));
    assert_eq!(state.apply(28, settle(1, 6, &[1])), Ok(Answer::Changed));
    assert!(matches!(state.apply(29, settle(1, 7, &[1, 2])), Err(Refusal::Removed { node: NodeId(2), .. })));
}

#[test]
fn a_removal_takes_nothing_that_nobody_else_has_unless_it_is_lost() {
    let mut state = three_nodes();
    assert_eq!(state.clone().apply(20, remove(9, true)), Err(Refusal::UnknownNode(NodeId(9))));
    assert_eq!(
        state.clone().apply(20, remove(1, true)),
        Err(Refusal::LastVoter(NodeId(1))),
        "the registry is never given up"
    );
    assert_eq!(state.apply(20, remove(3, false)), Ok(Answer::Changed));
    assert_eq!(state.apply(21, remove(3, false)), Ok(Answer::Unchanged));
    let record = &state.groups[&GroupId(1)];
    assert_eq!((&record.replicas, &record.settled), (&ids(&[1, 2]), &ids(&[1, 2, 3])), "until its leader settles");
    assert_eq!(state.held_by(NodeId(3)).count(), 1, "until then it takes part");
    assert_eq!(state.address(NodeId(3)), Some("n3.example:7400"), "and is reached");
    let mut gone = state.clone();
    gone.apply(22, settle(1, 1, &[1, 2])).unwrap();
    assert_eq!((gone.held_by(NodeId(3)).count(), gone.address(NodeId(3))), (0, None));
    assert_eq!((gone.address(NodeId(2)), gone.address(NodeId(9))), (Some("n2.example:7400"), None));
    // Node 3 counts for nothing any more, though it is settled.
    let (mut registry_elsewhere, group) = (state.clone(), GroupId(1));
    registry_elsewhere.registry.replicas = ids(&[2]);
    registry_elsewhere.registry.settled = ids(&[2]);
    registry_elsewhere.groups.get_mut(&group).unwrap().settled = ids(&[1, 3]);
    let last = Refusal::LastReplica { node: NodeId(1), group };
    assert_eq!(registry_elsewhere.clone().apply(22, remove(1, false)), Err(last));
    assert_eq!(registry_elsewhere.apply(22, remove(1, true)), Ok(Answer::Changed));
    let record = &registry_elsewhere.groups[&group];
    assert_eq!((record.holders(), record.preferred), (ids(&[]), None), "what node 2 has so far never voted");
    // Nobody has it: it is begun anew.
    let record = registry_elsewhere.groups.get_mut(&group).unwrap();
    (record.replicas, record.settled, record.settled_term) = (ids(&[2]), ids(&[2]), 7);
    registry_elsewhere.apply(23, join(4, 4)).unwrap();
    registry_elsewhere.registry.replicas = ids(&[4]);
    registry_elsewhere.registry.settled = ids(&[4]);
    assert_eq!(registry_elsewhere.apply(24, remove(2, true)), Ok(Answer::Changed));
    let record = &registry_elsewhere.groups[&group];
    assert_eq!((record.holders(), record.settled_term), (ids(&[]), 0));
    let anew = place(&registry_elsewhere, 1, &[4]);
    assert_eq!(registry_elsewhere.apply(25, anew), Ok(Answer::Changed));
    assert_eq!(registry_elsewhere.apply(26, remove(4, true)), Err(Refusal::LastBroker(NodeId(4))));
}

#[test]
fn a_group_that_nobody_began_yet_keeps_its_first_members() {
    let mut state = formed(&["a", "b", "c"]);
    state.apply(10, create(1, &[1, 2, 3], 1)).unwrap();
    assert_eq!(state.apply(11, remove(3, true)), Err(Refusal::Moving(GroupId(1))));
    state.apply(12, settle(1, 1, &[1, 2, 3])).unwrap();
    assert_eq!(state.apply(13, remove(3, true)), Ok(Answer::Changed));
}

#[test]
fn a_refusal_says_what_to_do() {
    let (node, group) = (NodeId(2), GroupId(4));
    for (refusal, says) in [
        (Refusal::NameTaken { name: "b".into(), node }, "`pelton node remove b --lost`"),
        (Refusal::NameTaken { name: "b".into(), node }, "join under a new name"),
        (Refusal::Removed { node, name: "b".into() }, "empty data directory"),
        (Refusal::LastReplica { node, group }, "the only replica of group 4"),
        (Refusal::Silent(node, 12), "not answered for 12 s"),
    ] {
        assert!(refusal.to_string().contains(says), "{refusal}");
    }
}

fn any_command() -> impl Strategy<Value = ClusterCommand> {
    let node = || (1_u64..7).prop_map(NodeId);
    let nodes = || btree_set(node(), 0..4);
    let group = || (0_u32..4).prop_map(GroupId);
    prop_oneof![
        (1_u64..7, 1_u64..9).prop_map(|(number, nonce)| join(number, nonce)),
        (1_u64..7, 1_u64..9, 1_u64..9).prop_map(|(node, name, nonce_of)| {
            let info = broker_info(name, "b");
            ClusterCommand::Update { node: NodeId(node), info, nonce: nonce(nonce_of), speaks: Speaks::default() }
        }),
        node().prop_map(ClusterCommand::Drain),
        node().prop_map(ClusterCommand::Undrain),
        (node(), any::<bool>()).prop_map(|(node, lost)| ClusterCommand::Remove { node, lost }),
        (group(), nodes(), node(), any::<bool>()).prop_map(|(group, replicas, home, keyed)| {
            ClusterCommand::CreateGroup { group, replicas, home, keyed }
        }),
        (group(), 0_u64..4, nodes(), node()).prop_map(|(group, version, replicas, node)| {
            let preferred = replicas.contains(&node).then_some(node);
            ClusterCommand::PlaceGroup { group, version, replicas, preferred, home: Some(node) }
        }),
        (group(), 0_u64..4, nodes()).prop_map(|(group, term, voters)| ClusterCommand::Settle { group, term, voters }),
    ]
}

/// A cluster that was formed by one node may stay one. Any other has too few voters until there are as many as were asked
/// for, also once a node was removed.
#[test]
fn as_many_voters_are_wanted_as_were_asked_for() {
    let group = GroupId(1);
    let wanted = |state: &ClusterState| (state.voters_wanted(REGISTRY), state.voters_wanted(group));
    let mut alone = formed(&["a"]);
    assert_eq!(wanted(&alone), (1, 1));
    alone
        .apply(5, ClusterCommand::Join { info: broker_info(2, "b"), nonce: nonce(2), speaks: Speaks::default() })
        .unwrap();
    assert_eq!(wanted(&alone), (3, 3));
    let mut state = three_nodes();
    assert_eq!(wanted(&state), (3, 3));
    assert_eq!(state.voters_there(&state.groups[&group]), Some(3));
    state.apply(20, ClusterCommand::Remove { node: NodeId(3), lost: true }).unwrap();
    assert_eq!(wanted(&state), (3, 3));
    assert_eq!(state.voters_there(&state.groups[&group]), Some(2), "its vote may still be asked for, and it is gone");
    assert_eq!(state.voters_there(&GroupRecord::default()), None, "it had no leader yet");
    for (replication, want) in [(1, (1, 1)), (2, (1, 2)), (4, (3, 4)), (5, (5, 5)), (7, (5, 7))] {
        assert_eq!(wanted(&ClusterState { replication, ..state.clone() }), want, "{replication}");
    }
}

proptest! {
    /// Whatever is proposed, in whatever order.
    #[test]
    fn what_must_hold_of_the_cluster_holds(commands in vec(any_command(), 0..60)) {
        let mut state = three_nodes();
        let mut nonces: BTreeMap<NodeId, Nonce> = state.nodes.iter().map(|(id, node)| (*id, node.nonce)).collect();
        for (index, command) in (20..).zip(commands) {
            let before = state.clone();
            let outcome = state.apply(index, command.clone());
            if !matches!(outcome, Ok(Answer::Joined(_) | Answer::Created(_) | Answer::Changed)) {
                prop_assert_eq!(&before, &state, "refused, and changed: {:?}", command);
            }
            // An id is never given again, and none is forgotten.
            for (id, node) in &state.nodes {
                prop_assert_eq!(*nonces.entry(*id).or_insert(node.nonce), node.nonce);
                prop_assert!(id.0 < state.next_node);
            }
            prop_assert_eq!(nonces.len(), state.nodes.len());
            // A removed node stays removed.
            for (id, node) in before.nodes.iter().filter(|(_, node)| node.phase() == NodePhase::Removed) {
                prop_assert_eq!(&node.info, &state.nodes[id].info);
            }
            // Names are unique among members, and somebody is left.
            let names: BTreeSet<_> = state.members().map(|(_, info)| info.name.clone()).collect();
            prop_assert_eq!(names.len(), state.members().count());
            prop_assert!(state.brokers().next().is_some());
            // Groups have replicas, on members; only a loss takes the last.
            let lost = matches!(command, ClusterCommand::Remove { lost: true, .. });
            for (id, group) in state.groups.iter().map(|(id, group)| (*id, group)).chain([(REGISTRY, &state.registry)]) {
                prop_assert!(group.replicas.iter().all(|node| state.member(*node).is_some()));
                prop_assert!(group.preferred.is_none_or(|node| group.replicas.contains(&node)));
                let had_any = before.group(id).is_none_or(|group| !group.replicas.is_empty());
                prop_assert!(!group.replicas.is_empty() || !had_any || (lost && id != REGISTRY), "{id}: {command:?}");
                let Some(was) = before.group(id).filter(|was| was.replicas != group.replicas) else { continue };
                prop_assert!(was.version < group.version);
                if let ClusterCommand::PlaceGroup { .. } = command && !group.settled.is_empty() {
                    let most = if id == REGISTRY { state::MAX_ADDED_TO_REGISTRY } else { 1 };
                    prop_assert!((&group.replicas - &group.settled).len() <= most);
                    prop_assert!((&group.settled - &group.replicas).len() <= 1);
                }
            }
            // It reads back as it is.
            let json = serde_json::to_vec(&state).unwrap();
            prop_assert_eq!(serde_json::from_slice::<ClusterState>(&json).unwrap(), state.clone());
        }
    }
}
