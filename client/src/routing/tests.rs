use std::collections::BTreeMap;

use pelton_event::Event;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{GroupInfo, NodeInfo, NodePhase};

const THIS: NodeId = NodeId(1);

fn node() -> NodeInfo {
    NodeInfo {
        name: "n".into(),
        peer_address: "n:7400".into(),
        ingress: None,
        api: None,
        gateway: None,
        zone: String::new(),
        roles: BTreeSet::new(),
        phase: NodePhase::Active,
        version: String::new(),
    }
}

/// A view in which these nodes lead the groups 1, 2, ...; the first `keyed` of them take keys.
fn view(nodes: u64, leaders: &[Option<u64>], keyed: usize) -> ClusterView {
    let group = |at: usize, leader: &Option<u64>| GroupInfo {
        leader: leader.map(NodeId),
        keyed: at < keyed,
        ..GroupInfo::default()
    };
    ClusterView {
        this: Some(THIS),
        nodes: (1..=nodes).map(|id| (NodeId(id), node())).collect(),
        groups: leaders.iter().enumerate().map(|(at, l)| (GroupId(at as u32 + 1), group(at, l))).collect(),
        ..ClusterView::default()
    }
}

fn routes(nodes: u64, leaders: &[Option<u64>], keyed: usize) -> Routes {
    Routes::of(&view(nodes, leaders, keyed), Deduplicating::default())
}

fn event(id: &str, key: Option<&str>) -> Event {
    let event = Event::builder().id(id).source("/s").ty("t");
    match key {
        Some(key) => event.extension("partitionkey", pelton_event::AttributeValue::String(key)).build().unwrap(),
        None => event.build().unwrap(),
    }
}

fn broker() -> BrokerName {
    BrokerName::new("default", "b")
}

#[test]
fn an_event_without_a_key_stays_where_it_came_in() {
    for (leaders, failed, want) in [
        (&[Some(2), Some(1), Some(3)][..], 0, Some(2)),
        // It was refused here: one that somebody leads, each in turn.
        (&[Some(2), Some(1), Some(3)], 1, Some(2)),
        (&[Some(2), Some(1), Some(3)], 2, Some(3)),
        // Nothing is led here.
        (&[Some(2), Some(3)], 0, Some(1)),
        (&[None, Some(3)], 0, Some(2)),
        // Nobody leads, but somebody may in a moment.
        (&[None, None], 0, Some(1)),
        (&[None, None], 1, Some(2)),
        (&[], 0, None),
    ] {
        assert_eq!(routes(3, leaders, 2).any(0, failed), want.map(GroupId), "{leaders:?} after {failed}");
    }
}

#[test]
fn what_goes_elsewhere_is_spread_over_the_leaders() {
    let routes = routes(4, &[Some(2), Some(3), None, Some(4)], 4);
    let went: BTreeSet<_> = (0..3).filter_map(|turn| routes.any(turn, 0)).collect();
    assert_eq!(went, [1, 2, 4].map(GroupId).into());
}

#[test]
fn with_one_group_there_is_nothing_to_choose() {
    let routes = routes(1, &[Some(1)], 1);
    let events = [event("1", Some("a")), event("2", None)];
    assert_eq!(routes.targets(&broker(), &events), Ok(Target::Group(GroupId(1))));
    assert!(routes.is_alone() && routes.is_led_here(GroupId(1)));
}

#[test]
fn a_removed_or_second_node_is_not_alone() {
    assert!(!routes(2, &[Some(1)], 1).is_alone());
    let apart = ClusterView { this: None, ..view(1, &[Some(1)], 1) };
    assert!(!Routes::of(&apart, Deduplicating::default()).is_alone());
}

/// The numbers are part of the cluster's life: an event must find the group that its key had under an older version.
#[test]
fn keys_have_the_same_number_for_ever() {
    assert_eq!(key_of(&event("1", Some("a")), false), key_of(&event("2", Some("a")), true));
    assert_eq!(key_of(&event("1", None), false), None);
    let known = [Some("a"), Some(""), Some("order-4711")].map(|key| key_of(&event("1", key), false).unwrap());
    assert_eq!(known, KNOWN);
    assert_eq!(key_of(&event("1", None), true), Some(KNOWN_IDENTITY));
}

const KNOWN: [u64; 3] = [8_009_288_523_836_384_771, 12_473_750_986_195_770_878, 13_670_907_987_210_108_182];
const KNOWN_IDENTITY: u64 = 1_839_157_693_230_115_231;

#[test]
fn source_and_id_choose_the_group_where_events_are_deduplicated() {
    let manifest = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b, namespace: default, \
                    annotations: {pelton.dev/deduplication-window: PT1M}}\n";
    let parsed = pelton_resource::parse_documents(manifest, "test").unwrap();
    let resources = Resources::default().with(parsed, 1);
    let leaders = [Some(1), Some(2), Some(3)];
    assert!(Deduplicating::is_of_both(&resources, &resources.clone()));
    assert!(!Deduplicating::is_of_both(&Resources::default(), &resources));
    let routes = Routes::of(&view(3, &leaders, 3), Deduplicating::of(&resources));
    let target = |broker: &BrokerName, id: &str| routes.targets(broker, &[event(id, None)]).unwrap();
    let went: BTreeSet<_> = (0..50)
        .map(|n| match target(&broker(), &n.to_string()) {
            Target::Group(group) => group,
            Target::Any => panic!("{n} has no group"),
        })
        .collect();
    assert_eq!(went.len(), 3);
    assert_eq!(target(&broker(), "1"), target(&broker(), "1"));
    assert_eq!(target(&BrokerName::new("default", "other"), "1"), Target::Any);
}

#[test]
fn keys_of_several_groups_part_a_call() {
    let routes = routes(3, &[Some(1), Some(2), Some(3)], 3);
    let events: Vec<_> = (0..50).map(|n: u32| event(&n.to_string(), Some(&n.to_string()))).collect();
    let parted = routes.targets(&broker(), &events).unwrap_err();
    assert_eq!(parted.len(), events.len());
    let same: Vec<_> = (0..50).map(|n: u32| event(&n.to_string(), Some("k"))).collect();
    assert!(matches!(routes.targets(&broker(), &same), Ok(Target::Group(_))));
}

proptest! {
    /// Leaders come and go, and groups that are not for keys are added: a key keeps its group.
    #[test]
    fn a_key_keeps_its_group(
        key in ".{0,20}",
        keyed in 1_usize..6,
        before in vec(proptest::option::of(1_u64..5), 6..9),
        after in vec(proptest::option::of(1_u64..5), 6..9),
    ) {
        prop_assume!(Event::builder().id("1").source("/s").ty("t").extension("partitionkey", pelton_event::AttributeValue::String(&key)).build().is_ok());
        let events = [event("1", Some(&key))];
        let target = |leaders: &[Option<u64>]| routes(4, leaders, keyed).targets(&broker(), &events);
        prop_assert_eq!(target(&before), target(&after));
        let Ok(Target::Group(group)) = target(&before) else { panic!("it has a key") };
        prop_assert!(group.0 as usize <= keyed);
    }
}

#[test]
fn groups_for_keys_get_their_share() {
    let routes = routes(3, &[Some(1); 3], 3);
    let mut shares: BTreeMap<GroupId, u32> = BTreeMap::new();
    for n in 0..3_000 {
        let Ok(Target::Group(group)) = routes.targets(&broker(), &[event("1", Some(&n.to_string()))]) else { panic!() };
        *shares.entry(group).or_default() += 1;
    }
    assert!(shares.len() == 3 && shares.values().all(|share| (800..1_200).contains(share)), "{shares:?}");
}
