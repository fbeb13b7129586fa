//! F19: two of three nodes are gone for ever, and an operator says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::cluster::{Cluster, Scene};
use crate::command::{pelton, run};
use crate::logs;
use crate::support::{TestEvent, wait_until};

/// `pelton recover` on a data folder: exit code, standard output, standard error.
fn recover(data: &Path, flags: &[&str]) -> (i32, String, String) {
    run(pelton().args(["recover", "--data"]).arg(data).args(flags))
}

#[test]
fn the_last_of_three_goes_on_with_all_it_holds_and_the_old_cluster_is_a_stranger() {
    let mut scene = Scene::new(Cluster::start(3, |_, start| start), false);
    let left = 2;
    let data = scene.cluster.start_of(left).data_folder().to_owned();
    let (code, _, said) = recover(&data, &["--yes-i-may-lose-events"]);
    assert!(code == 1 && said.contains("in use"), "the node runs: {said}");

    // Both at once, in the middle of the load: of what they acknowledged last, the third may have nothing.
    [0, 1].iter().for_each(|machine| scene.cluster.node(*machine).process.killer().kill());
    [0, 1].iter().for_each(|machine| scene.cluster.kill(*machine));
    let aside = data.with_file_name("of-the-old-cluster");
    fs::rename(scene.cluster.start_of(0).data_folder(), &aside).unwrap();
    fs::remove_dir_all(scene.cluster.start_of(1).data_folder()).unwrap();
    scene.cluster.kill(left);

    let held: BTreeSet<u64> = logs::events(&data).iter().filter_map(|id| TestEvent::number_of(id)).collect();
    let (code, plan, said) = recover(&data, &[]);
    assert!(code == 1 && said.contains("nothing was changed"), "{said}");
    for says in ["node-0", "node-1", "0 (registry)", "BECOMES COMMITTED", "acknowledged once a majority"] {
        assert!(plan.contains(says), "{says:?} is not in:\n{plan}");
    }
    let (code, plan, said) = recover(&data, &["--yes-i-may-lose-events"]);
    assert!(code == 0 && plan.contains("done: node-2"), "{plan}{said}");
    // Nobody has acknowledged anything since: an answer that was on its way has come.
    let lost_at = Instant::now();
    scene.cluster.restart(&[left]);
    scene.all_take("by the one that is left");

    // A node of the old cluster comes back after all.
    let old = scene.cluster.start_of(0).clone().data(&aside);
    let (code, said) = old.refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to cluster"), "{said}");

    for machine in [0, 1] {
        let name = format!("new-{machine}");
        let start = scene.cluster.prepared(machine, &name, 3);
        scene.cluster.replace(machine, &name, start);
    }
    scene.cluster.restart(&[0, 1]);
    scene.all_take("with two new nodes");
    wait_until("every group to have three replicas", || scene.cluster.status().replicas_answer().is_ok());

    // What the others acknowledged, and this one never had. Everything else must have come.
    let lost: BTreeSet<u64> = {
        let acks = scene.ledger.acks();
        acks.iter()
            .filter(|(number, ack)| ack.at <= lost_at && !held.contains(number))
            .map(|(number, _)| *number)
            .collect()
    };
    eprintln!("recovered: {} events were held, {} acknowledged ones were not", held.len(), lost.len());
    scene.ledger.give_up(&lost);
    scene.cluster.wait_until_delivered(&held);
    scene.ends("recovered from one of three");
}
