//! F18: nodes of version N and of N + 1 form a cluster, and are exchanged one by one under load, both ways.
//!
//! There is one program. A debug build is told which versions of the protocol it speaks; told of one more than it has, it
//! writes entries, checkpoints and snapshots in forms, and sends requests of a version, that it refuses when it is not told. So a node of
//! N in these tests fails over anything that is meant for N + 1 only.

use crate::cluster::{Cluster, PROTOCOL};
use crate::logs;
use crate::scene::{FAILOVER, Scene};
use crate::support::{Start, wait_until};

/// What a program of version N speaks, and what one of N + 1 does.
const OLD: &str = "1-1";
const NEW: &str = "1-2";

/// The versions of changes of groups, and of the registry's commands, that a cluster at N and one at N + 1 write.
const OLD_FORMS: (u8, u8) = (3, 1);
const NEW_FORMS: (u8, u8) = (4, 2);

/// Stops a node in good order and starts it as another program, while the load goes on.
#[track_caller]
fn exchange(scene: &mut Scene, machine: usize, versions: &str) {
    scene.cluster.stop(machine);
    let others = scene.cluster.up_with_ingress();
    scene.take(&others, &format!("while node {machine} is exchanged"));
    scene.cluster.speaks(machine, versions);
    scene.cluster.restart(&[machine]);
    scene.all_take(&format!("once node {machine} speaks {versions}"));
    // As the operator is told to: the next one only when this one has what the others have.
    wait_until("every group to have its replicas", || scene.cluster.status().replicas_answer().is_ok());
}

#[track_caller]
fn data_folders(cluster: &Cluster) -> Vec<std::path::PathBuf> {
    (0..3).map(|machine| cluster.start_of(machine).data_folder().to_owned()).collect()
}

/// Everything in the logs was written in one of these forms. Each node has changes in all of them; of the registry only the
/// newest are kept.
#[track_caller]
fn assert_written(folders: &[std::path::PathBuf], want: &[(u8, u8)]) {
    for folder in folders {
        let written = logs::written(folder);
        assert_eq!(written.changes, want.iter().map(|(change, _)| *change).collect(), "{folder:?}");
        assert!(
            written.commands.iter().all(|is| want.iter().any(|(_, command)| command == is)),
            "{folder:?}: {written:?}"
        );
    }
}

#[test]
fn a_cluster_is_upgraded_node_by_node_and_goes_on_to_what_only_the_new_program_reads() {
    let dress = |_, start: Start| start.args(&["--raise-version-after", "2s"]).env(PROTOCOL, OLD);
    let mut scene = Scene::new(Cluster::start(3, dress), false);
    for machine in 0..3 {
        let said = scene.cluster.node(machine).process.said();
        assert!(!said.contains("gone on to a newer version"), "one still speaks only the old one: {said}");
        exchange(&mut scene, machine, NEW);
    }
    let has_gone_on =
        |scene: &Scene, machine| scene.cluster.node(machine).process.said().contains("gone on to a newer version");
    wait_until("the cluster to go on", || (0..3).all(|machine| has_gone_on(&scene, machine)));
    scene.all_take("in what only the new program reads");

    // The old program is not let in any more, whether its own folder says so or the others do.
    scene.cluster.stop(2);
    scene.cluster.speaks(2, OLD);
    let (code, said) = scene.cluster.start_of(2).refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("speaks 1 to 1") && said.contains("2 to 2"), "both ranges are named: {said}");
    let newcomer = scene.cluster.prepared(3, "late", 3).env(PROTOCOL, OLD);
    let (code, said) = newcomer.refused();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("speaks 1 to 1") && said.contains("2 to 2"), "both ranges are named: {said}");
    scene.cluster.speaks(2, NEW);
    scene.cluster.restart(&[2]);
    scene.all_take("with all three");

    // All at once: what is on the disks is read again, and by itself nothing of it is read by the old program.
    scene.cluster.kill_all();
    scene.cluster.speaks(0, OLD);
    let (code, said) = scene.cluster.start_of(0).refused();
    assert!(code == Some(1) && said.contains("is at version 2") && said.contains("speaks 1 to 1"), "{said}");
    scene.cluster.speaks(0, NEW);
    scene.cluster.restart(&[0, 1, 2]);
    scene.all_take("once all were started again");
    let (_kept, folders) = (scene.cluster.folder(), data_folders(&scene.cluster));
    scene.ends("rolling upgrade");
    assert_written(&folders, &[OLD_FORMS, NEW_FORMS]);
}

/// One of three is older; then none is; then all are. The cluster has not gone on meanwhile, so nothing was written that
/// the old program does not read.
#[test]
fn a_cluster_of_both_is_upgraded_and_taken_back_node_by_node() {
    let dress = |machine, start: Start| start.env(PROTOCOL, if machine == 1 { OLD } else { NEW });
    let mut scene = Scene::new(Cluster::start(3, dress), false);
    scene.may_be_unavailable = Some(FAILOVER);
    exchange(&mut scene, 1, NEW);
    for machine in [2, 0, 1] {
        exchange(&mut scene, machine, OLD);
    }
    let (_kept, folders) = (scene.cluster.folder(), data_folders(&scene.cluster));
    scene.ends("rolling downgrade");
    assert_written(&folders, &[OLD_FORMS]);
}
