//! Where is my event? Whichever node is asked.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::command::{pelton, run};
use crate::support::event::TYPE_A;
use crate::support::{Connection, TestEvent, wait_for};

/// What a command prints as JSON, asked of one node.
#[track_caller]
fn asked(cluster: &Cluster, machine: usize, words: &[&str]) -> Value {
    let api = format!("http://{}", cluster.node(machine).api);
    let (code, stdout, stderr) = run(pelton().args(words).env("PELTON_API", api));
    assert_eq!(code, 0, "{words:?} of machine {machine}: {stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn any_node_says_where_an_event_is() {
    let cluster = Cluster::start(3, |_, start| start);
    let numbers: BTreeSet<u64> = (0..).filter(|n| TestEvent::numbered_type(*n) == TYPE_A).take(30).collect();
    let ingresses = cluster.ingresses();
    for (at, number) in numbers.iter().enumerate() {
        let mut producer = Connection::open(ingresses[at % 3]).unwrap();
        assert_eq!(producer.post(&TestEvent::numbered(*number)).unwrap().status(), 202);
    }
    cluster.wait_until_delivered(&numbers);
    for machine in 0..3 {
        let list = asked(&cluster, machine, &["events", "list", "--all", "-o", "json"]);
        let items = list["items"].as_array().unwrap();
        let ids: BTreeSet<_> = items.iter().map(|event| event["attributes"]["id"].as_str().unwrap()).collect();
        assert!(ids.len() == 30 && items.len() == 30, "machine {machine}: {} of {}", ids.len(), items.len());
        let groups: BTreeSet<_> =
            items.iter().filter_map(|event| event["position"].as_str()?.split('/').next()).collect();
        assert!(groups.len() > 1, "the events are led by several nodes: {groups:?}");
        let tested = asked(&cluster, machine, &["trigger", "test", "all", "-o", "json"]);
        assert_eq!(tested["matched"], 30, "{tested:#}");
        // An answer is counted a moment after it was given.
        wait_for(&format!("machine {machine} to count what all dispatchers did"), || {
            let top = asked(&cluster, machine, &["top", "--json"]);
            let counted = &top["triggers"][0];
            match [&counted["delivered"], &counted["matched"], &top["events"]].iter().all(|count| **count == 30) {
                true => Ok(()),
                false => Err(format!("{top:#}")),
            }
        });
        for event in items.iter().step_by(7) {
            let attributes = &event["attributes"];
            let (source, id) = (attributes["source"].as_str().unwrap(), attributes["id"].as_str().unwrap());
            wait_for(&format!("machine {machine} to say what became of {id}"), || {
                let trace = asked(&cluster, machine, &["trace", source, id, "-o", "json"]);
                let trigger = &trace["copies"][0]["triggers"][0];
                match (trigger["state"].as_str(), trigger["attempts"].as_array().map(Vec::len)) {
                    (Some("delivered"), Some(1)) => Ok(()),
                    _ => Err(format!("{trace:#}")),
                }
            });
        }
    }
}

#[test]
fn a_dispatcher_that_is_gone_is_said_to_be() {
    let mut cluster = Cluster::start(3, |_, start| start);
    let number = (0..).find(|n| TestEvent::numbered_type(*n) == TYPE_A).unwrap();
    let event = TestEvent::numbered(number);
    assert_eq!(Connection::open(cluster.ingresses()[0]).unwrap().post(&event).unwrap().status(), 202);
    cluster.wait_until_delivered(&BTreeSet::from([number]));
    cluster.kill(0);
    let name = cluster.name(0);
    // Somebody else leads what it led, once it is missed.
    wait_for("another node to say so", || {
        let api = format!("http://{}", cluster.node(1).api);
        let words = ["trace", "/tests/durable", &event.id(), "-o", "json"];
        let (code, stdout, stderr) = run(pelton().args(words).env("PELTON_API", api));
        let trace: Value = serde_json::from_str(&stdout).unwrap_or_default();
        let dispatchers = trace["dispatchers"].as_array().cloned().unwrap_or_default();
        let is_silent = dispatchers.iter().any(|it| it["node"] == name.as_str() && it["answers"] == false);
        let copy = &trace["copies"][0];
        let is_done = matches!(copy["triggers"][0]["state"].as_str(), Some("delivered" | "done"));
        match code == 0 && is_silent && is_done && copy["rememberedSince"].is_string() {
            true => Ok(()),
            false => Err(format!("exit code {code}: {trace:#}{stderr}")),
        }
    });
}
