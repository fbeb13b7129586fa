//! Nodes that are lost for ever, and nodes that take their place.

use std::fs;

use crate::cluster::{Cluster, Scene, scenario};
use crate::scene::FAILOVER;
use crate::support::{Start, wait_for, wait_until};

/// F17: an id whose disk is gone does not come back; the name does, once the lost node was removed.
#[track_caller]
pub fn replaced_under_its_name(scene: &mut Scene, machine: usize) {
    let start = scene.cluster.start_of(machine).clone();
    fs::remove_dir_all(start.data_folder()).unwrap();
    let name = scene.cluster.name(machine);
    let (code, said) = start.refused();
    assert_eq!(code, Some(1), "an empty disk under the name of a node that was not removed: {said}");
    for word in [name.as_str(), "node remove", "--lost"] {
        assert!(said.contains(word), "{word:?} is not in what an empty disk is refused with: {said}");
    }
    scene.cluster.command(&["node", "remove", &name, "--lost"]);
    scene.cluster.restart(&[machine]);
}

#[test]
fn a_node_with_an_empty_disk_joins_once_the_lost_one_was_removed() {
    scenario("lost disk", |scene, round| {
        let machine = round % 3;
        scene.cluster.kill(machine);
        scene.all_take(&format!("without node {machine}, in round {round}"));
        wait_until("the metrics to tell of it", || AILMENTS.iter().all(|metric| sum(&scene.cluster, metric) > 0.0));
        replaced_under_its_name(scene, machine);
        wait_until("the metrics to tell that all is well", || {
            AILMENTS.iter().chain(&NEVER).all(|metric| sum(&scene.cluster, metric) == 0.0)
        });
    });
}

/// What is above 0 while a node is lost.
const AILMENTS: [&str; 2] = ["pelton_cluster_under_replicated_groups", "pelton_cluster_silent_nodes"];

/// What one lost node of three brings about for a moment at most.
const NEVER: [&str; 2] = ["pelton_cluster_groups_without_leader", "pelton_cluster_failed_replicas"];

/// Of a metric, over all nodes that are up. One without the metric is not well.
fn sum(cluster: &Cluster, metric: &str) -> f64 {
    let text = |machine: usize| cluster.node(machine).metrics_text();
    let is_there = cluster.up().into_iter().all(|machine| text(machine).contains(metric));
    assert!(is_there, "a node has no {metric}");
    cluster.up().into_iter().map(|machine| cluster.node(machine).metric(metric)).sum()
}

/// F16: a fourth node comes, and one of the others goes, while the load goes on and a third is killed in the midst of it.
/// The machine that was left is free for the next.
#[test]
fn a_node_is_replaced_by_a_new_one_under_load_while_another_is_killed() {
    scenario("replacement", |scene, round| {
        let (free, leaves, dies) = ((round + 3) % 4, round % 4, (round + 1) % 4);
        let new = format!("new-{round}");
        let start = scene.cluster.prepared(free, &new, 3);
        scene.cluster.replace(free, &new, start);
        scene.cluster.restart(&[free]);
        scene.all_take(&format!("with a fourth node, in round {round}"));
        let old = scene.cluster.name(leaves);
        scene.cluster.command(&["group", "move", "1", "--from", &old, "--to", &new]);
        scene.cluster.command(&["node", "drain", &old]);
        scene.cluster.kill(dies);
        scene.all_take(&format!("with one that is going and one that was killed, in round {round}"));
        scene.cluster.restart(&[dies]);
        scene.cluster.command(&["node", "drain", &old, "--wait", "100s"]);
        scene.all_take(&format!("with a node that holds nothing, in round {round}"));
        scene.cluster.command(&["node", "remove", &old]);
        scene.cluster.stop(leaves);
    });
}

/// F16, F17: nobody is at the keyboard. A node that is silent for longer than was set is given up, and what it had is
/// made anew on one that has room.
#[test]
fn what_a_lost_node_had_is_made_anew_elsewhere() {
    let hasty = |start: Start| start.args(&["--node-lost-after", "5s"]);
    let mut cluster = Cluster::start(3, |_, start| hasty(start));
    let fourth = hasty(cluster.prepared(3, "fourth", 3));
    cluster.replace(3, "fourth", fourth);
    cluster.restart(&[3]);
    let mut scene = Scene::new(cluster, false);
    scene.may_be_unavailable = Some(FAILOVER);
    scene.strike(0, |scene, _| {
        scene.cluster.kill(1);
        let made_anew = || scene.cluster.status().replicas_answer();
        wait_for("every group to have all its replicas without the lost node", made_anew);
    });
    scene.cluster.command(&["node", "remove", &scene.cluster.name(1), "--lost"]);
    scene.ends("lost for good");
}
