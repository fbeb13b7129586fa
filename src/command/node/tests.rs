use serde_json::{Value, json};

use super::*;

fn node(name: &str, phase: &str, roles: &[&str]) -> Value {
    json!({
        "id": 1, "name": name, "phase": phase, "answers": true, "roles": roles, "zone": "z", "version": "0.1.0",
        "peer": "10.0.0.1:7400", "leads": 0, "replicas": 0,
    })
}

fn group(name: &str, replicas: &[(&str, bool)]) -> Value {
    let replicas: Vec<_> =
        replicas.iter().map(|(node, wanted)| json!({"node": node, "wanted": wanted, "role": "follower"})).collect();
    json!({"name": name, "term": 1, "keyed": true, "replicas": replicas})
}

/// Three nodes, of which b drains and all have everything, and others.
fn status(others: &[Value], groups: &[Value]) -> ClusterStatus {
    let nodes =
        [("a", "active"), ("b", "draining"), ("c", "active")].map(|(name, phase)| node(name, phase, &["broker"]));
    let nodes: Vec<_> = nodes.iter().chain(others).collect();
    let status = json!({"now": "2026-01-01T00:00:00Z", "nodes": nodes, "groups": groups, "problems": []});
    serde_json::from_value(status).unwrap()
}

/// Each row: nodes besides a, b and c; what group 2 has beside a and c; whether b keeps its replica for good.
#[test]
fn a_drained_node_keeps_what_nobody_can_take() {
    let all = [("a", true), ("b", true), ("c", true)];
    let leaves = [("a", true), ("b", false), ("c", true), ("d", true)];
    let spare = node("d", "active", &["broker"]);
    type Row<'a> = (&'a str, Vec<Value>, &'a [(&'a str, bool)], bool);
    let rows: [Row<'_>; 6] = [
        ("three nodes", vec![], &all, true),
        ("a fourth that is free", vec![spare.clone()], &all, false),
        ("a fourth that drains, too", vec![node("d", "draining", &["broker"])], &all, true),
        ("a fourth that keeps nothing", vec![node("d", "active", &["ingress", "dispatcher"])], &all, true),
        ("it is on its way out", vec![spare.clone()], &leaves, false),
        ("it has none", vec![spare], &[("a", true), ("c", true), ("d", true)], false),
    ];
    for (what, others, replicas, keeps) in rows {
        let status = status(&others, &[group("registry", &all), group("2", replicas)]);
        let why = stays(&status, "b");
        assert_eq!(why.is_some(), keeps, "{what}: {why:?}");
        assert!(why.is_none_or(|why| why.contains("node b") && why.contains("group 2")), "{what}");
    }
}

#[test]
fn many_groups_are_counted() {
    let all = [("a", true), ("b", true), ("c", true)];
    let why = stays(&status(&[], &[group("1", &all), group("2", &all)]), "b").unwrap();
    assert!(why.contains("2 groups, 1 among them"), "{why}");
}
