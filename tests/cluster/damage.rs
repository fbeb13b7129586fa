//! Bits that flip on disks: what one node has lost the others give back while they serve, and what all have lost is
//! named and never passed over (reliability, 3.2).

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pelton_log::OnDamage;

use crate::cluster::{Cluster, Scene};
use crate::support::event::TYPE_C;
use crate::support::{Connection, Start, TestEvent, wait_for, wait_until};

/// Where the records of a segment begin.
const RECORDS_AT: u64 = 4_096;

/// The newest segments are only prepared; the first one is written from the beginning on.
fn segments(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("log")).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    segments.sort();
    segments
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    file.sync_all().unwrap();
}

/// Flips a bit in so many events of the first segment, spread over the `nth` of `of` parts of them. (A vote that nothing
/// repeats would be no matter of repair.)
fn flip_events(data: &Path, places: usize, nth: usize, of: usize) {
    const SOURCE: &[u8] = b"/tests/durable";
    let segment = &segments(data)[0];
    let bytes = fs::read(segment).unwrap();
    let found: Vec<_> = (0..bytes.len() - SOURCE.len()).filter(|at| bytes[*at..].starts_with(SOURCE)).collect();
    let part = found.len() / of;
    assert!(part > 2 * places, "too little is in the log to damage it: {} events", found.len());
    // The last event of all may be what says how far the log goes.
    (0..places).for_each(|place| flip(segment, found[nth * part + place * (part - 1) / places] as u64));
}

/// Three nodes under load, whose disks will be damaged.
fn damaged(dress: impl Fn(usize, Start) -> Start) -> Scene {
    let mut cluster = Cluster::start(3, dress);
    cluster.on_damage = OnDamage::Keep;
    Scene::new(cluster, false)
}

fn repaired(scene: &Scene, machine: usize) -> f64 {
    scene.cluster.node(machine).metric("pelton_log_repaired_entries_total")
}

#[track_caller]
fn wait_until_sound(scene: &Scene, machine: usize) {
    wait_until("nothing to be damaged any more", || {
        repaired(scene, machine) >= 1.0 && scene.cluster.node(machine).metric("pelton_log_damaged_entries") == 0.0
    });
}

/// One node after the other, and another part of its data each time: the others serve while it is away, and then it has
/// what they have.
#[test]
fn a_damaged_node_heals_while_the_others_serve() {
    let mut scene = damaged(|_, start| start);
    type Spoil = fn(&Path);
    let rows: [(&str, Spoil, bool); 4] = [
        ("events", |data| flip_events(data, 5, 0, 1), true),
        ("the header of a segment", |data| flip(&segments(data)[0], 20), false),
        ("a prepared segment", |data| flip(segments(data).last().unwrap(), 20), false),
        (
            "the registry's store",
            |data| {
                for file in fs::read_dir(data.join("registry.sled")).unwrap() {
                    let path = file.unwrap().path();
                    if path.is_file() && path.metadata().unwrap().len() > 100 {
                        flip(&path, 60);
                    }
                }
            },
            false,
        ),
    ];
    for (nth, (what, spoil, costs_entries)) in rows.into_iter().enumerate() {
        let machine = nth % 3;
        scene.cluster.stop(machine);
        scene.all_take(&format!("without a node of which {what} will be damaged"));
        spoil(scene.cluster.start_of(machine).data_folder());
        scene.cluster.restart(&[machine]);
        if costs_entries {
            wait_until_sound(&scene, machine);
        }
        scene.all_take(&format!("after {what} of a node had been damaged"));
        scene.cluster.wait_until_applied();
    }
    scene.ends("damage on one node");
}

/// All three at once, each in other places.
#[test]
fn nodes_that_are_damaged_in_different_places_heal_each_other() {
    let mut scene = damaged(|_, start| start);
    (0..3).for_each(|machine| scene.cluster.stop(machine));
    for machine in 0..3 {
        flip_events(scene.cluster.start_of(machine).data_folder(), 2, machine, 3);
    }
    scene.cluster.restart(&[0, 1, 2]);
    (0..3).for_each(|machine| wait_until_sound(&scene, machine));
    scene.all_take("after all had been damaged");
    scene.ends("damage on all nodes");
}

/// Nobody reads it, and it is found all the same.
#[test]
fn what_rots_while_nobody_reads_it_is_found_and_repaired() {
    const FILLER_BYTES: usize = 256 * 1024;
    let dress = |_, start: Start| start.args(&["--scrub-bytes-per-second", "64MiB"]);
    let scene = damaged(dress);
    let data = scene.cluster.start_of(1).data_folder();
    let mut connection = Connection::open(scene.cluster.node(0).ingress).unwrap();
    let mut number = 1 << 50;
    wait_for("the first segment to be full", || {
        number += 1;
        connection.post(&TestEvent::sized(number, TYPE_C, FILLER_BYTES)).unwrap();
        let written = segments(data).iter().filter(|segment| end_is_past_header(segment)).count();
        if written > 1 { Ok(()) } else { Err(format!("{} events", number - (1 << 50))) }
    });
    flip_events(data, 3, 0, 1);
    wait_until_sound(&scene, 1);
    assert!(scene.cluster.node(1).metric("pelton_log_scrub_damage_total") >= 1.0);
    scene.all_take("after rot was found");
    scene.ends("rot");
}

/// Whether anything was written to the segment.
fn end_is_past_header(path: &Path) -> bool {
    let file = fs::File::open(path).unwrap();
    let mut block = [0; 512];
    file.read_exact_at(&mut block, RECORDS_AT).is_ok() && block.iter().any(|byte| *byte != 0)
}

/// The same event on all three nodes.
#[test]
fn what_is_damaged_on_all_nodes_stops_its_group_and_is_named() {
    let mut cluster = Cluster::start(3, |_, start| start);
    let lost = TestEvent::sized(1 << 51, TYPE_C, 5_000);
    let mut connection = Connection::open(cluster.node(0).ingress).unwrap();
    // A leader finds out where its followers agree with it from the middle on: what it cannot read must not be there.
    for number in 0..200 {
        let event = if number == 10 { lost.clone() } else { TestEvent::sized((1 << 50) + number, TYPE_C, 500) };
        assert_eq!(connection.post(&event).unwrap().status(), 202);
    }
    cluster.wait_until_caught_up();
    (0..3).for_each(|machine| cluster.stop(machine));
    for machine in 0..3 {
        let segment = &segments(cluster.start_of(machine).data_folder())[0];
        let bytes = fs::read(segment).unwrap();
        let found = bytes.windows(64).position(|window| window == &lost.data[1_000..1_064]);
        flip(segment, found.expect("the event is in the log") as u64);
    }
    cluster.restart(&[0, 1, 2]);
    let said = wait_for("the status to name what is lost", || {
        let said = cluster.status().problems();
        if said.contains("all replicas are damaged") && said.contains("offsets") { Ok(said) } else { Err(said) }
    });
    eprintln!("damage everywhere: {said}");
    // Keys belong to groups: what belongs to the one that is stopped is refused, which says why, and the others go on.
    let post = |key: u64| {
        let mut connection = Connection::open(cluster.node(0).ingress).unwrap();
        let event = TestEvent::sized((1 << 52) + key, TYPE_C, 10);
        let headers = format!("{}ce-partitionkey: {key}\r\n", event.headers());
        let answer = connection.call("POST", "/default/default", &headers, &event.data).unwrap();
        (answer.status(), answer.text())
    };
    wait_for("one group to refuse events, and the others to take them", || {
        let answers: Vec<_> = (0..12).map(post).collect();
        let refused = |(status, text): &(u16, String)| *status == 503 && text.contains("damaged");
        let is_so = answers.iter().any(refused) && answers.iter().any(|(status, _)| *status == 202);
        let is_clear = answers.iter().all(|answer| refused(answer) || answer.0 == 202);
        if is_so && is_clear { Ok(()) } else { Err(format!("{answers:?}")) }
    });
    (0..3).for_each(|machine| cluster.stop(machine));
}
