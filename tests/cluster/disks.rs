//! Disks that fill, and disks that fail.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Scene, scenario_with};
use crate::replace::replaced_under_its_name;
use crate::support::event::TYPE_C;
use crate::support::mount::Mount;
use crate::support::{Connection, Start, TestEvent, Unable, skipped, wait_for, wait_until};

/// The node with the disk in question.
const VICTIM: usize = 2;

/// Room for the log's first segments, which are 64, 128 and 128 MiB.
const DISK_MEBIBYTES: u64 = 448;

/// Runs a program so that its syncs can be interfered with.
const STRACE: [&str; 10] =
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "signal=none"];

/// Generous: metrics are as old as a second, and the machine is busy. The disk hangs for longer.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(10);

/// Events that nobody subscribes to, to fill a log with.
const FILLER_BYTES: usize = 256 * 1024;

/// F8: one node has no space left. The others take events and deliver them, and it catches up once there is room.
#[test]
fn a_node_whose_disk_is_full_is_done_without_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = match Mount::new(&disk, DISK_MEBIBYTES) {
        Ok(mount) => mount,
        Err(why) => return skipped("a full disk in a cluster", &why),
    };
    let (data, ballast) = (mount.path().join("data"), mount.path().join("ballast"));
    let dress = |machine, start: Start| if machine == VICTIM { start.data(&data) } else { start };
    scenario_with("full disk", dress, |scene, round| {
        wait_until("the log to have prepared its spare segments", || {
            let files = fs::read_dir(data.join("log")).unwrap().flatten();
            files.filter(|file| file.path().extension().is_some_and(|extension| extension == "seg")).count() >= 3
        });
        fill(&ballast);
        fill_log(scene);
        // Nobody is at the keyboard. Events of every key are taken, on every node.
        leads_nothing(scene);
        scene.all_take(&format!("while node {VICTIM} has no space, in round {round}"));
        fs::remove_file(&ballast).unwrap();
        wait_until("the alarm to end", || scene.cluster.node(VICTIM).metric("pelton_log_storage_full") == 0.0);
        leads_again(scene);
    });
}

/// Waits until the victim leads no group.
#[track_caller]
fn leads_nothing(scene: &Scene) {
    wait_until("the node to lead nothing", || scene.cluster.node(VICTIM).metric("pelton_group_leads") == 0.0);
}

/// Waits until it leads again what it is the home of.
#[track_caller]
fn leads_again(scene: &Scene) {
    wait_until("the node to lead again", || scene.cluster.node(VICTIM).metric("pelton_group_leads") > 0.0);
}

/// Writes until there is no byte left.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for piece in [1 << 20, 1 << 12] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).is_ok() {}
    }
}

/// Posts events that nobody wants, to nodes that have space, until the one that has none says so.
#[track_caller]
fn fill_log(scene: &Scene) {
    let mut connection = Connection::open(scene.cluster.node(0).ingress).unwrap();
    let mut number = 1 << 50;
    wait_for("a log to be full", || {
        number += 1;
        let answer = connection.post(&TestEvent::sized(number, TYPE_C, FILLER_BYTES)).unwrap();
        let victim = scene.cluster.node(VICTIM);
        // The alarm comes while there is still room in what was prepared.
        let is_full =
            victim.metric("pelton_log_storage_full") == 1.0 && victim.metric("pelton_broker_fit_to_lead") == 0.0;
        if is_full { Ok(()) } else { Err(format!("event {number}: {}", answer.status())) }
    });
}

/// F9 and F17: a sync fails, the node ends by itself, the others go on; what it had is not used again, and a node with
/// an empty disk takes its place.
#[test]
fn a_node_whose_sync_fails_ends_and_is_replaced() {
    if let Err(why) = can_inject() {
        return skipped("a sync that fails in a cluster", &why);
    }
    // Counted for each thread: it is the one that syncs the log that comes so far, well into the load.
    let words = [&STRACE[..], &["-e", "inject=fdatasync:error=EIO:when=1000+"]].concat();
    let dress = |machine, start: Start| {
        if machine == VICTIM { start.wrapped(&words).args(&["--direct-io", "off"]) } else { start }
    };
    let mut has_failed = false;
    scenario_with("failed sync", dress, |scene, round| {
        if !has_failed {
            let (code, said) = scene.cluster.ended(VICTIM);
            assert_eq!(code, Some(70), "{said}");
            assert!(said.contains("could not be written or synced"), "{said}");
        } else {
            scene.cluster.kill(VICTIM);
        }
        has_failed = true;
        scene.all_take(&format!("without node {VICTIM}, in round {round}"));
        let name = scene.cluster.name(VICTIM);
        let unharmed = scene.cluster.prepared(VICTIM, &name, 3);
        scene.cluster.replace(VICTIM, &name, unharmed);
        replaced_under_its_name(scene, VICTIM);
    });
}

/// F15: each sync of one node takes as long as on a very slow disk. It is waited for only where it has to be.
#[test]
fn a_node_whose_disk_is_slow_loses_nothing() {
    if let Err(why) = can_inject() {
        return skipped("a slow disk in a cluster", &why);
    }
    let words = [&STRACE[..], &["-e", "inject=fdatasync:delay_exit=50ms"]].concat();
    let dress = |machine, start: Start| {
        if machine == VICTIM { start.wrapped(&words).args(&["--direct-io", "off"]) } else { start }
    };
    scenario_with("slow disk", dress, |scene, round| {
        let others: Vec<_> = (0..3).filter(|other| *other != VICTIM).collect();
        scene.take(&others, &format!("beside a node with a slow disk, in round {round}"));
    });
}

/// F15: on a disk that makes each sync take a quarter of a second more nothing is led as long as others can.
#[test]
fn a_leader_whose_disk_is_slow_hands_over() {
    if let Err(why) = can_inject() {
        return skipped("a leader with a slow disk in a cluster", &why);
    }
    let words = [&STRACE[..], &["-e", "inject=fdatasync:delay_exit=250ms"]].concat();
    let dress = |machine, start: Start| {
        if machine == VICTIM { start.wrapped(&words).args(&["--direct-io", "off"]) } else { start }
    };
    scenario_with("slow leader", dress, |scene, round| {
        leads_nothing(scene);
        scene.all_take(&format!("while node {VICTIM} leads nothing, in round {round}"));
    });
}

/// F6: a sync of a leader does not return for a while, and its network lives.
#[test]
fn a_leader_whose_disk_hangs_hands_over() {
    if let Err(why) = can_inject() {
        return skipped("a leader with a disk that hangs", &why);
    }
    // Counted for each thread: it is the one that syncs the log that comes so far, well into the load.
    let words = [&STRACE[..], &["-e", "inject=fdatasync:delay_exit=30s:when=1000"]].concat();
    let dress = |machine, start: Start| {
        if machine == VICTIM { start.wrapped(&words).args(&["--direct-io", "off"]) } else { start }
    };
    scenario_with("hung disk", dress, |scene, round| {
        // It hangs once.
        if round == 0 {
            wait_until("the disk to hang", || scene.cluster.node(VICTIM).metric("pelton_log_hung") == 1.0);
            let since = Instant::now();
            leads_nothing(scene);
            let took = since.elapsed();
            eprintln!("hung disk: the node led nothing {took:.1?} after it was known");
            assert!(took < HANDED_OVER_WITHIN, "{took:?}");
            scene.all_take("while a disk hangs");
            wait_until("the disk to answer", || scene.cluster.node(VICTIM).metric("pelton_log_hung") == 0.0);
            leads_again(scene);
        }
    });
}

/// Whether this machine has `strace` and lets it trace.
fn can_inject() -> Result<(), Unable> {
    let run = Command::new("strace")
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1000", "true"])
        .output();
    match run {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Unable::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(Unable::start("strace", &error)),
    }
}
