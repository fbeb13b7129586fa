//! Nodes that are lost for ever, and nodes that take their place.

use std::fs;

use crate::cluster::{Cluster, Scene, scenario};
use crate::one_at_a_time;
use crate::support::{Start, wait_for};

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
        replaced_under_its_name(scene, machine);
    });
}

/// F16: a fourth node comes, and one of the others goes, while the load goes on. The machine that it left is free for the
/// next.
#[test]
fn a_node_is_replaced_by_a_new_one_under_load() {
    scenario("replacement", |scene, round| {
        let (free, leaves) = ((round + 3) % 4, round % 4);
        let new = format!("new-{round}");
        let start = scene.cluster.prepared(free, &new, 3);
        scene.cluster.replace(free, &new, start);
        scene.cluster.restart(&[free]);
        scene.all_take(&format!("with a fourth node, in round {round}"));
        let old = scene.cluster.name(leaves);
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
    let _one = one_at_a_time();
    let hasty = |start: Start| start.args(&["--node-lost-after", "5s"]);
    let mut cluster = Cluster::start(3, |_, start| hasty(start));
    let fourth = hasty(cluster.prepared(3, "fourth", 3));
    cluster.replace(3, "fourth", fourth);
    cluster.restart(&[3]);
    let mut scene = Scene::new(cluster, false);
    scene.cluster.kill(1);
    wait_for("every group to have all its replicas without the lost node", || scene.cluster.status().replicas_answer());
    scene.all_take("without the lost node");
    scene.cluster.command(&["node", "remove", &scene.cluster.name(1), "--lost"]);
    scene.ends("lost for good");
}
