use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{broker_info, formed, nonce};
use super::super::{REGISTRY, command_for};
use super::*;

/// Far more rounds than anything here takes.
const MAX_ROUNDS: usize = 400;

fn ids(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

fn all_answer() -> Observed {
    Observed { silent: BTreeMap::new(), lost_after: Duration::from_secs(600), unfit: BTreeSet::new() }
}

fn silent(nodes: &[u64], seconds: u64) -> Observed {
    let silent = nodes.iter().map(|node| (NodeId(*node), Duration::from_secs(seconds))).collect();
    Observed { silent, ..all_answer() }
}

fn apply(state: &mut ClusterState, command: ClusterCommand) {
    let index = state.version + 1;
    let outcome = state.apply(index, command.clone());
    assert!(outcome.is_ok(), "{command:?}: {outcome:?}");
}

/// What group leaders do: bring the voters about and record them, where a quorum is there.
fn settle(state: &mut ClusterState, observed: &Observed) -> bool {
    let groups: Vec<_> = state.groups.iter().map(|(id, group)| (*id, group.clone())).collect();
    let mut changed = false;
    for (group, record) in groups.into_iter().chain([(REGISTRY, state.registry.clone())]) {
        let before = if record.settled.is_empty() { &record.replicas } else { &record.settled };
        let gone = |node: &&NodeId| observed.silent_for(**node) > Duration::ZERO || state.member(**node).is_none();
        if 2 * before.iter().filter(gone).count() >= before.len() {
            continue;
        }
        let added = record.replicas.difference(&record.settled);
        if record.is_moving() && !(added.clone().any(|node| observed.silent_for(*node) > Duration::ZERO)) {
            apply(state, ClusterCommand::Settle { group, term: 1, voters: record.replicas });
            changed = true;
        }
    }
    changed
}

/// Groups that copy a replica. Operators may have more moved than placement does.
fn copying(state: &ClusterState, observed: &Observed) -> usize {
    let copies = |group: &&GroupRecord| !group.settled.is_empty() && !group.replicas.is_subset(&group.settled);
    let quorum = |group: &&GroupRecord| {
        let there =
            |node: &&NodeId| state.member(**node).is_some() && observed.silent_for(**node) < observed.lost_after;
        2 * group.settled.iter().filter(there).count() > group.settled.len()
    };
    state.groups.values().chain([&state.registry]).filter(copies).filter(quorum).count()
}

/// Plans, applies and settles until nothing is left to do. What must hold on the way is checked on the way.
fn converge(state: &mut ClusterState, observed: &Observed) -> Vec<ClusterCommand> {
    let mut all = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let before = copying(state, observed);
        let commands = plan(state, observed);
        for command in &commands {
            apply(state, command.clone());
        }
        let after = copying(state, observed);
        assert!(after <= MAX_MOVES.max(before), "{after} moves at a time, after {before}");
        let settled = settle(state, observed);
        if commands.is_empty() && !settled {
            return all;
        }
        all.extend(commands);
    }
    panic!("no end after {MAX_ROUNDS} rounds: {:?}", &all[all.len() - 4..]);
}

fn cluster(zones: &[&str]) -> ClusterState {
    let mut state = formed(zones);
    converge(&mut state, &all_answer());
    state
}

fn join(state: &mut ClusterState, number: u64, zone: &str) {
    apply(
        state,
        ClusterCommand::Join {
            info: broker_info(number, zone),
            nonce: nonce(number),
            speaks: crate::cluster::Speaks::default(),
        },
    );
}

fn replicas(state: &ClusterState, group: u32) -> &BTreeSet<NodeId> {
    &state.group(GroupId(group)).unwrap().replicas
}

/// Replicas a node, nodes without any among them.
fn counts(state: &ClusterState) -> Vec<usize> {
    let loads = loads(state);
    state.brokers().map(|node| loads.get(&node).copied().unwrap_or_default()).collect()
}

fn zone_of(state: &ClusterState, node: NodeId) -> String {
    state.nodes[&node].info.zone.clone()
}

/// No two replicas in one zone while another zone has room.
fn assert_spread(state: &ClusterState) {
    for (id, group) in &state.groups {
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        group.replicas.iter().for_each(|node| *used.entry(zone_of(state, *node)).or_default() += 1);
        let most = used.values().copied().max().unwrap_or_default();
        for node in state.brokers().filter(|node| !group.replicas.contains(node)) {
            let here = used.get(&zone_of(state, node)).copied().unwrap_or_default();
            assert!(here + 1 >= most, "group {id} on {:?} leaves room on {node}", group.replicas);
        }
    }
}

#[test]
fn a_complete_cluster_gets_a_group_for_each_node_with_replicas_and_leaders_evenly() {
    for nodes in 1..=7_usize {
        let state = cluster(&vec!["a"; nodes]);
        assert_eq!(state.groups.len(), nodes);
        assert!(state.groups.values().all(|group| group.keyed && group.replicas.len() == nodes.min(3)));
        let leaders: BTreeSet<_> = state.groups.values().map(|group| group.preferred).collect();
        assert_eq!(leaders.len(), nodes, "one each");
        let counts = counts(&state);
        assert!(counts.iter().all(|count| *count == nodes.min(3)), "{nodes}: {counts:?}");
    }
}

#[test]
fn no_group_is_made_before_the_cluster_is_complete() {
    let mut state = ClusterState::default();
    let (info, first) = (broker_info(1, ""), nonce(1));
    apply(
        &mut state,
        ClusterCommand::Form {
            initial_nodes: 3,
            replication: 3,
            info,
            nonce: first,
            speaks: crate::cluster::Speaks::default(),
        },
    );
    assert_eq!(plan(&state, &all_answer()), []);
    join(&mut state, 2, "");
    assert_eq!(plan(&state, &all_answer()), []);
    join(&mut state, 3, "");
    assert_eq!(
        plan(&state, &all_answer()).iter().filter(|c| matches!(c, ClusterCommand::CreateGroup { .. })).count(),
        3
    );
}

#[test]
fn a_node_without_the_role_holds_nothing_and_completes_the_cluster_all_the_same() {
    let mut state = ClusterState::default();
    let (info, first) = (broker_info(1, ""), nonce(1));
    apply(
        &mut state,
        ClusterCommand::Form {
            initial_nodes: 3,
            replication: 3,
            info,
            nonce: first,
            speaks: crate::cluster::Speaks::default(),
        },
    );
    let ingress = pelton_client::NodeInfo { roles: BTreeSet::from([Role::Ingress]), ..broker_info(2, "") };
    apply(
        &mut state,
        ClusterCommand::Join { info: ingress, nonce: nonce(2), speaks: crate::cluster::Speaks::default() },
    );
    join(&mut state, 3, "");
    converge(&mut state, &all_answer());
    assert_eq!((state.groups.len(), &state.registry.replicas), (2, &ids(&[1])));
    assert!(state.groups.values().all(|group| group.replicas == ids(&[1, 3])));
    assert_eq!(state.registry_learners(), ids(&[3]));
    // A broker that gives the role up is like one that drains.
    join(&mut state, 4, "");
    let info = pelton_client::NodeInfo { roles: BTreeSet::from([Role::Ingress]), ..broker_info(3, "") };
    apply(
        &mut state,
        ClusterCommand::Update { node: NodeId(3), info, nonce: nonce(3), speaks: crate::cluster::Speaks::default() },
    );
    converge(&mut state, &all_answer());
    assert!(state.groups.values().all(|group| group.replicas == ids(&[1, 4])));
}

#[test]
fn replicas_are_spread_over_zones() {
    for zones in [
        &["a", "b", "c"][..],
        &["a", "a", "b", "b", "c", "c"],
        &["a", "a", "a", "b", "c"],
        &["a", "a", "b", "b"],
        &["a", "b", "b", "b", "b"],
        &["a", "a", "a", "b", "b", "b", "c"],
    ] {
        let state = cluster(zones);
        assert_spread(&state);
        let leaders: BTreeSet<_> = state.groups.values().map(|group| group.preferred).collect();
        assert_eq!(leaders.len(), zones.len(), "{zones:?}");
    }
    let counts = counts(&cluster(&["a", "a", "b", "b", "c", "c"]));
    assert_eq!(counts, [3; 6]);
}

#[test]
fn the_registry_has_an_odd_number_of_voters() {
    for (nodes, voters) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (7, 5)] {
        let state = cluster(&vec!["a"; nodes]);
        assert_eq!(state.registry.replicas.len(), voters, "{nodes} nodes");
        assert_eq!(state.registry_learners().len(), nodes - voters);
    }
}

/// With two voters the loss of either stops it.
#[test]
fn the_registry_grows_from_one_odd_number_to_the_next() {
    let mut state = formed(&["a"; 5]);
    let mut voters = vec![state.registry.settled.len()];
    while *voters.last().unwrap() < 5 {
        for command in plan(&state, &all_answer()) {
            apply(&mut state, command);
        }
        settle(&mut state, &all_answer());
        voters.push(state.registry.settled.len());
    }
    voters.dedup();
    assert_eq!(voters, [1, 3, 5]);
}

#[test]
fn what_is_in_order_stays_as_it_is() {
    for nodes in 1..=7 {
        assert_eq!(plan(&cluster(&vec!["a"; nodes]), &all_answer()), []);
        assert_eq!(plan(&cluster(&["a", "b", "c", "a", "b", "c", "a"][..nodes]), &all_answer()), []);
    }
    assert_eq!(plan(&ClusterState::default(), &all_answer()), []);
}

#[test]
fn a_node_that_comes_later_gets_a_group_that_it_leads_and_the_others_stay() {
    let mut state = cluster(&["a", "b", "c"]);
    let before = state.groups.clone();
    join(&mut state, 4, "d");
    let commands = converge(&mut state, &all_answer());
    let group = &state.groups[&GroupId(4)];
    assert_eq!((group.preferred, group.keyed, group.replicas.len()), (Some(NodeId(4)), false, 3));
    before.iter().for_each(|(id, group)| assert_eq!(&state.groups[id], group));
    assert_eq!(commands.len(), 1, "{commands:?}");
}

#[test]
fn a_cluster_of_one_that_grows_gets_its_replicas() {
    let mut state = cluster(&[""]);
    for number in 2..=4 {
        join(&mut state, number, "");
        converge(&mut state, &all_answer());
        assert_eq!(replicas(&state, 1).len(), 3.min(number as usize));
    }
    assert!(state.groups.iter().all(|(id, group)| group.keyed == (id.0 == 1)), "a key stays in its group");
}

#[test]
fn a_draining_node_hands_over_its_leaders_then_its_replicas_one_group_at_a_time() {
    let mut state = cluster(&["a", "a", "a", "a"]);
    let node = NodeId(2);
    apply(&mut state, ClusterCommand::Drain(node));
    let first = plan(&state, &all_answer());
    first.iter().cloned().for_each(|command| apply(&mut state, command));
    assert!(state.groups.values().all(|group| group.preferred != Some(node)), "leaders first");
    assert_eq!(state.groups.values().filter(|group| group.replicas.contains(&node)).count(), 3, "and nothing else");
    let mut rounds = 0;
    while !plan(&state, &all_answer()).is_empty() || state.groups.values().any(GroupRecord::is_moving) {
        plan(&state, &all_answer()).into_iter().for_each(|command| apply(&mut state, command));
        let leaving = state.groups.values().filter(|group| group.settled.difference(&group.replicas).next().is_some());
        assert!(leaving.count() <= 1);
        settle(&mut state, &all_answer());
        rounds += 1;
        assert!(rounds < MAX_ROUNDS);
    }
    assert!(state.groups.values().chain([&state.registry]).all(|group| !group.holders().contains(&node)));
    assert!(state.groups.values().all(|group| group.replicas.len() == 3));
    apply(&mut state, ClusterCommand::Undrain(node));
    converge(&mut state, &all_answer());
    assert_eq!(state.groups[&GroupId(2)].preferred, Some(node), "its own group comes home");
}

#[test]
fn a_node_that_nobody_can_replace_hands_over_its_leaders_only() {
    let mut state = cluster(&["a", "b", "c"]);
    apply(&mut state, ClusterCommand::Drain(NodeId(2)));
    converge(&mut state, &all_answer());
    assert!(state.groups.values().all(|group| group.preferred != Some(NodeId(2)) && group.replicas == ids(&[1, 2, 3])));
    assert_eq!((&state.registry.replicas, state.registry.preferred), (&ids(&[1, 2, 3]), Some(NodeId(1))));
    join(&mut state, 4, "d");
    converge(&mut state, &all_answer());
    assert!(state.groups.values().all(|group| !group.replicas.contains(&NodeId(2))));
    assert_eq!(state.registry.replicas, ids(&[1, 3, 4]));
    assert_eq!(state.registry.preferred, None);
}

#[test]
fn a_lost_node_is_replaced_and_one_that_is_away_for_a_while_is_not() {
    let mut state = cluster(&["a", "a", "a", "a"]);
    let before = state.clone();
    converge(&mut state, &silent(&[2], 599));
    assert_eq!(state, before);
    converge(&mut state, &silent(&[2], 600));
    assert!(state.groups.values().chain([&state.registry]).all(|group| !group.replicas.contains(&NodeId(2))));
    assert!(state.groups.values().all(|group| group.replicas.len() == 3 && group.preferred != Some(NodeId(2))));
    converge(&mut state, &all_answer());
    assert_eq!(state.groups[&GroupId(2)].preferred, Some(NodeId(2)), "it is back");
    let mut three = cluster(&["a", "b", "c"]);
    converge(&mut three, &silent(&[3], 600));
    assert!(three.groups.values().all(|group| group.replicas == ids(&[1, 2, 3])), "nobody can take its place");
    assert!(three.groups.values().all(|group| group.preferred != Some(NodeId(3))));
}

#[test]
fn what_is_lost_is_made_again_where_the_zones_stay_apart() {
    // 1 and 4 in a, 2 and 5 in b, 3 and 6 in c: the place of a lost one is in its zone, though others hold less.
    for lost in 1..=6 {
        let mut state = cluster(&["a", "b", "c", "a", "b", "c"]);
        converge(&mut state, &silent(&[lost], 600));
        for group in state.groups.values().filter(|group| !group.replicas.contains(&NodeId(lost))) {
            let zones: BTreeSet<_> = group.replicas.iter().map(|node| zone_of(&state, *node)).collect();
            assert_eq!(zones.len(), 3, "{lost}: {:?}", group.replicas);
        }
        assert!(state.groups.values().all(|group| !group.replicas.contains(&NodeId(lost))));
    }
}

#[test]
fn a_node_that_has_not_answered_for_a_while_gets_nothing() {
    let mut state = cluster(&["a", "b", "c"]);
    join(&mut state, 4, "d");
    assert_eq!(plan(&state, &silent(&[4], 10)), []);
    assert_eq!(plan(&state, &silent(&[4], 9)).len(), 1);
}

#[test]
fn a_new_node_takes_the_place_of_one_that_was_removed() {
    let mut state = cluster(&["a", "b", "c"]);
    apply(&mut state, ClusterCommand::Remove { node: NodeId(3), lost: true });
    converge(&mut state, &silent(&[3], 60));
    assert!(state.groups.values().all(|group| group.settled == ids(&[1, 2])));
    assert_eq!(state.registry.settled.len(), 1);
    join(&mut state, 4, "c");
    converge(&mut state, &all_answer());
    assert_eq!(state.groups.len(), 3, "it gets the group that was left behind");
    assert!(state.groups.values().all(|group| group.settled == ids(&[1, 2, 4]) && group.keyed));
    assert_eq!(state.groups[&GroupId(3)].preferred, Some(NodeId(4)));
    assert_eq!(state.registry.settled, ids(&[1, 2, 4]));
}

#[test]
fn what_an_operator_moved_stays_there() {
    let mut state = cluster(&["a", "a", "a", "a"]);
    let target = *ids(&[1, 2, 3, 4]).difference(replicas(&state, 1)).next().unwrap();
    let change = pelton_client::ClusterChange::Move { group: GroupId(1), from: NodeId(1), to: target };
    let command = command_for(&state, &all_answer(), change).unwrap().unwrap();
    apply(&mut state, command);
    converge(&mut state, &all_answer());
    let group = &state.groups[&GroupId(1)];
    assert!(!group.replicas.contains(&NodeId(1)) && group.preferred == Some(target));
    assert_eq!(state.groups.len(), 4, "node 1 had its group");
    let change = pelton_client::ClusterChange::Lead { group: GroupId(2), node: *replicas(&state, 2).last().unwrap() };
    if let Some(command) = command_for(&state, &all_answer(), change).unwrap() {
        apply(&mut state, command);
    }
    assert_eq!(converge(&mut state, &all_answer()), []);
}

#[test]
fn a_move_whose_target_is_lost_goes_elsewhere() {
    let mut state = cluster(&["a"; 5]);
    let group = GroupId(1);
    let outside: Vec<_> = ids(&[1, 2, 3, 4, 5]).difference(replicas(&state, 1)).copied().collect();
    let from = *replicas(&state, 1).last().unwrap();
    let change = pelton_client::ClusterChange::Move { group, from, to: outside[0] };
    let command = command_for(&state, &all_answer(), change).unwrap().unwrap();
    apply(&mut state, command);
    let observed = silent(&[outside[0].0], 600);
    converge(&mut state, &observed);
    let record = &state.groups[&group];
    assert!(!record.is_moving() && !record.replicas.contains(&outside[0]) && record.replicas.len() == 3, "{record:?}");
}

#[derive(Debug, Clone)]
enum Happening {
    Join(u8),
    Change(pelton_client::ClusterChange),
    Silent(u64, u64),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    use pelton_client::ClusterChange::{Drain, Lead, Move, Remove, Undrain};
    let node = || (1_u64..9).prop_map(NodeId);
    prop_oneof![
        3 => (0_u8..3).prop_map(Happening::Join),
        2 => node().prop_map(|node| Happening::Change(Drain(node))),
        2 => node().prop_map(|node| Happening::Change(Undrain(node))),
        1 => node().prop_map(|node| Happening::Change(Remove { node, lost: true })),
        1 => node().prop_map(|node| Happening::Change(Remove { node, lost: false })),
        1 => (1_u32..6, node(), node()).prop_map(|(group, from, to)| {
            Happening::Change(Move { group: GroupId(group), from, to })
        }),
        1 => (1_u32..6, node()).prop_map(|(group, node)| Happening::Change(Lead { group: GroupId(group), node })),
        3 => (1_u64..9, prop::sample::select(vec![0_u64, 5, 11, 700])).prop_map(|(n, s)| Happening::Silent(n, s)),
    ]
}

proptest! {
    #[test]
    fn the_first_groups_are_spread_over_whatever_zones_and_led_by_one_node_each(
        zones in vec(prop::sample::select(vec!["a", "b", "c"]), 1..=7),
        replication in 1_u32..=5,
    ) {
        let mut state = formed(&zones);
        state.replication = replication;
        converge(&mut state, &all_answer());
        assert_spread(&state);
        prop_assert!(state.groups.values().all(|group| group.replicas.len() == zones.len().min(replication as usize)));
        let leaders: BTreeSet<_> = state.groups.values().filter_map(|group| group.preferred).collect();
        prop_assert_eq!(leaders.len(), zones.len());
        if zones.iter().all(|zone| *zone == zones[0]) {
            let counts = counts(&state);
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }

    /// Whatever happens to a cluster: placement comes to an end, leaves what is in order, and puts in order what can be.
    #[test]
    fn placement_comes_to_an_end_and_leaves_nothing_undone(
        nodes in 1_usize..6,
        happenings in vec(any_happening(), 0..12),
        settles in vec(any::<bool>(), 12),
    ) {
        let mut state = cluster(&["a", "b", "c", "a", "b"][..nodes]);
        let mut observed = all_answer();
        for (happening, settles) in happenings.into_iter().zip(settles) {
            match happening {
                Happening::Join(zone) => {
                    let number = state.next_node;
                    if number < 9 {
                        join(&mut state, number, ["a", "b", "c"][usize::from(zone)]);
                    }
                }
                Happening::Change(change) => {
                    if let Ok(Some(command)) = command_for(&state, &observed, change) {
                        let index = state.version + 1;
                        let _ = state.apply(index, command);
                    }
                }
                Happening::Silent(node, 0) => { observed.silent.remove(&NodeId(node)); }
                Happening::Silent(node, seconds) => {
                    observed.silent.insert(NodeId(node), Duration::from_secs(seconds));
                }
            }
            // Plans run between any two, and groups may or may not get on.
            plan(&state, &observed).into_iter().for_each(|command| apply(&mut state, command));
            if settles {
                settle(&mut state, &observed);
            }
        }
        converge(&mut state, &observed);
        prop_assert_eq!(plan(&state, &observed), []);
        // Once everybody who is left answers again, every group that still has a quorum is in order.
        observed = all_answer();
        converge(&mut state, &observed);
        prop_assert_eq!(plan(&state, &observed), []);
        let active: BTreeSet<_> =
            state.members().filter(|(_, info)| info.phase == NodePhase::Active).map(|(id, _)| id).collect();
        for (id, group) in &state.groups {
            let there = group.settled.iter().filter(|node| state.member(**node).is_some()).count();
            if group.is_moving() {
                prop_assert!(2 * there <= group.settled.len(), "group {id} does not settle: {:?}", group);
                continue;
            }
            prop_assert!(group.replicas.len() >= active.len().min(3), "group {id}: {:?} of {active:?}", group);
            if active.len() >= 3 {
                prop_assert!(group.replicas.is_subset(&active), "group {id}: {:?} of {active:?}", group);
            }
            if group.replicas.intersection(&active).next().is_some() {
                prop_assert!(group.preferred.is_some_and(|node| active.contains(&node)));
            }
        }
        let voters = &state.registry;
        prop_assert!(voters.is_moving() || voters.replicas.len() % 2 == 1, "{voters:?}");
    }
}

/// A full, slow or hung disk takes no replica away, and gets no leader. Whoever led at home does so again afterwards.
#[test]
fn an_unfit_node_leads_nothing_until_it_is_fit_again() {
    let preferred = |state: &ClusterState| -> Vec<_> {
        state.groups.values().map(|group| group.preferred.expect("somebody should lead").0).collect()
    };
    let unfit = |nodes: &[u64]| Observed { unfit: ids(nodes), ..all_answer() };
    let mut state = cluster(&["x", "y", "z"]);
    let before = state.clone();
    assert_eq!(preferred(&state), [1, 2, 3]);
    let (first, second) = (GroupId(1), GroupId(2));
    converge(&mut state, &unfit(&[1]));
    assert_eq!(preferred(&state)[1..], [2, 3]);
    assert_ne!(state.groups[&first].preferred, Some(NodeId(1)));
    assert_eq!(state.groups[&first].replicas, before.groups[&first].replicas);
    assert_eq!(state.registry, before.registry);
    converge(&mut state, &unfit(&[1, 2]));
    assert_eq!(preferred(&state), [3, 3, 3]);
    // Nobody could do it better.
    converge(&mut state, &unfit(&[1, 2, 3]));
    assert_eq!(state.groups[&second].preferred, Some(NodeId(2)));
    converge(&mut state, &all_answer());
    assert_eq!(preferred(&state), [1, 2, 3]);
}
