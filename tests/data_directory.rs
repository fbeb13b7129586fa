//! What becomes of a process whose data directory is not as it should be: wrong, taken, full, large.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::event::{TYPE_A, TYPE_B, TYPE_C};
use support::mount::Mount;
use support::sink::answer;
use support::{Connection, Node, Recorder, Sink, Start, TestEvent, skipped, trigger, wait_for, wait_until};

/// Every file below a folder with its bytes, as far as they are small, and its length.
fn contents(folder: &Path) -> BTreeMap<String, (u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            if meta.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let start = bytes[..bytes.len().min(1 << 20)].to_vec();
                found.insert(path.display().to_string(), (meta.len(), start));
            }
        }
    }
    found
}

#[track_caller]
fn refuses(start: &Start, what: &str, words: &[&str]) {
    let (code, said) = start.refused();
    assert_eq!(code, Some(1), "{what}: {said}");
    for word in words {
        assert!(said.contains(word), "{what}: {word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{what}: {said}");
}

/// Each row: what was done to a directory that was good, and what the refusal says.
#[test]
fn a_directory_that_cannot_be_understood_is_refused_and_left_as_it_is() {
    type Spoil = fn(&Path);
    let rows: [(&str, Spoil, &[&str]); 5] = [
        (
            "another format",
            |data| {
                let path = data.join("identity.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
            },
            &["identity.json", "format 2", "format 1"],
        ),
        (
            "a damaged identity",
            |data| fs::write(data.join("identity.json"), "{\"for").unwrap(),
            &["identity.json", "damaged"],
        ),
        ("no identity", |data| fs::remove_file(data.join("identity.json")).unwrap(), &["identity.json", "missing"]),
        (
            "the identity of another node",
            |data| {
                let path = data.join("identity.json");
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("\"node\": 1", "\"node\": 2")).unwrap();
            },
            &["belongs to node 1"],
        ),
        (
            "a file where the log should be",
            |data| {
                fs::remove_dir_all(data.join("log")).unwrap();
                fs::write(data.join("log"), "").unwrap();
            },
            &["log"],
        ),
    ];
    for (what, spoil, words) in rows {
        let folder = tempfile::tempdir().unwrap();
        let start = Start::new(folder.path());
        let node = start.node();
        node.is_well("the start");
        node.process.stop();
        let data = folder.path().join("data");
        spoil(&data);
        let before = contents(&data);
        refuses(&start, what, words);
        let after = contents(&data);
        assert!(before == after, "{what}: changed: {:?} {:?}", before.keys(), after.keys());
    }
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, "precious").unwrap();
    refuses(&Start::new(folder.path()), "a file", &["data directory", &path.display().to_string()]);
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn a_directory_in_use_is_refused_and_its_user_is_not_disturbed() {
    let (folder, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Start::new(folder.path()).node();
    refuses(&Start::new(second.path()).data(folder.path().join("data")), "in use", &["in use by another process"]);
    node.is_well("another process wanted its directory");
    node.process.stop();
    let node = Start::new(second.path()).data(folder.path().join("data")).node();
    node.is_well("it took over a free directory");
}

#[test]
fn a_read_only_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut mount = match Mount::new(&disk, 160) {
        Ok(mount) => mount,
        Err(why) => return skipped("a read-only directory", &why),
    };
    let start = Start::new(folder.path()).data(mount.path().join("data"));
    start.node().process.stop();
    mount.run(&format!("mount -o remount,bind,ro '{}'", disk.display())).unwrap();
    refuses(&start, "read-only", &["read-only"]);
    refuses(&start.clone().data(mount.path().join("new")), "new on read-only", &["Read-only"]);
    mount.run(&format!("mount -o remount,bind,rw '{}'", disk.display())).unwrap();
    start.node().is_well("the directory could be written again");
}

/// F8: no space for events. What was acknowledged is delivered meanwhile, progress and dead letters are kept, and it
/// goes on by itself when there is room.
#[test]
fn a_full_disk_refuses_events_keeps_delivering_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // Room for the log's next segments, once it is given: 64, 128 and 128 MiB.
    let mount = match Mount::new(&disk, 448) {
        Ok(mount) => mount,
        Err(why) => return skipped("a full disk", &why),
    };
    let (sink, recorder, gate) = gated_sink();
    let delivery = "  delivery: {retry: 1000, backoffPolicy: linear, backoffDelay: PT0.1S}\n";
    let manifest = trigger("all", &sink.url(), delivery);
    let start = Start::new(folder.path()).manifest(&manifest).data(mount.path().join("data")).args(&["--log", "warn"]);
    let node = start.node();
    let mut connection = Connection::open(node.ingress).unwrap();
    assert_eq!(connection.post(&TestEvent::sized(LETTER, TYPE_B, 1024)).unwrap().status(), 202);
    wait_until("a dead letter to be kept", || node.dead_letters("all").len() == 1);
    // The log has the segment that it writes and two to spare; the rest of the disk goes to somebody else.
    wait_until("the log to have prepared its spare segments", || {
        let files = fs::read_dir(mount.path().join("data/log")).unwrap().flatten();
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "seg")).count() >= 3
    });
    let ballast = mount.path().join("ballast");
    fill(&ballast);

    let mut acknowledged = Vec::new();
    fill_log(&node, &mut acknowledged);
    assert!(!acknowledged.is_empty());
    let taken = acknowledged.len();
    // It delivers while it is full, and stays full: there is more that nobody has taken.
    assert_eq!(recorder.events(), 0);
    let half = taken / 2;
    gate.store(half, Ordering::Release);
    delivered(&recorder, &acknowledged[..half]);
    is_full(&node);

    // Killed on a full disk, it comes up on it again, and nothing is missing.
    node.process.kill();
    recorder.next_life();
    let node = start.node();
    keeps_its_dead_letter(&node);
    gate.store(usize::MAX, Ordering::Release);
    delivered(&recorder, &acknowledged);
    // A few more may fit where the last life stopped, but the reserve is not given away because of a restart.
    let before = acknowledged.len();
    fill_log(&node, &mut acknowledged);
    let more = acknowledged.len() - before;
    assert!(more < 100, "{more} more events of 64 KiB were taken after the restart");
    delivered(&recorder, &acknowledged);
    eprintln!("full disk: {taken} events of 64 KiB, {more} after a restart");
    is_full(&node);
    keeps_its_dead_letter(&node);

    // Room, and it goes on: the same process, on the same connection.
    let mut connection = Connection::open(node.ingress).unwrap();
    fs::remove_file(ballast).unwrap();
    let next = wait_for("events to be taken again", || {
        let next = acknowledged.len() as u64 + 1_000_000;
        let answer = connection.post(&event(next)).unwrap();
        match answer.status() {
            202 => Ok(next),
            503 => Err(says_when_to_come_again(&answer)),
            status => panic!("{status}"),
        }
    });
    acknowledged.push(next);
    delivered(&recorder, &acknowledged);
    wait_until("the alarm to end", || node.metric("pelton_log_storage_full") == 0.0);
    keeps_its_dead_letter(&node);
    node.process.stop();
    // Nor has a subscriber that was down for a while cost any other event.
    keeps_its_dead_letter(&start.node());
}

/// The number of the event that becomes a dead letter before the disk is full.
const LETTER: u64 = 999_999;

/// A subscriber that refuses events of type B, and takes those of type A whose number is below the gate.
fn gated_sink() -> (Sink, Recorder, Arc<AtomicUsize>) {
    let (recorder, gate) = (Recorder::default(), Arc::<AtomicUsize>::default());
    let (recording, below) = (recorder.clone(), Arc::clone(&gate));
    let sink = Sink::start(move |request, stream| {
        if request.header("ce-type") == Some(TYPE_B) {
            return answer(stream, 400, "", b"");
        }
        let number = request.header("ce-id").and_then(TestEvent::number_of).unwrap();
        if number >= below.load(Ordering::Acquire) as u64 {
            return answer(stream, 503, "retry-after: 1\r\n", b"");
        }
        recording.noted(&request);
        answer(stream, 200, "", b"")
    });
    (sink, recorder, gate)
}

/// It says so, and refuses.
#[track_caller]
fn is_full(node: &Node) {
    assert_eq!(node.metric("pelton_log_storage_full"), 1.0);
    let answer = Connection::open(node.ingress).unwrap().post(&event(2_000_000)).unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    says_when_to_come_again(&answer);
}

/// A refusal for want of room: what it says.
#[track_caller]
fn says_when_to_come_again(answer: &support::http::Message) -> String {
    let after = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert!(after.is_some_and(|seconds| seconds > 0), "{:?}", answer.headers);
    answer.text()
}

/// The dead letter that was kept before the disk was full is there, and its event can be read.
#[track_caller]
fn keeps_its_dead_letter(node: &Node) {
    let letters = node.dead_letters("all");
    let [letter] = &letters[..] else { panic!("{} dead letters and not one: {letters:?}", letters.len()) };
    let one = node.get(&format!("/v1/dead-letters/default/all/{}", letter["position"].as_str().unwrap()));
    assert_eq!(one["event"]["id"], format!("event-{LETTER}"), "{one}");
}

fn event(number: u64) -> TestEvent {
    TestEvent::sized(number, TYPE_A, 64 * 1024)
}

/// Writes until there is no byte left.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for piece in [1 << 20, 1 << 12] {
        let zeros = vec![0; piece];
        while file.write_all(&zeros).is_ok() {}
    }
}

/// Posts until an event is refused.
fn fill_log(node: &Node, acknowledged: &mut Vec<u64>) {
    let mut connection = Connection::open(node.ingress).unwrap();
    let first = acknowledged.last().map_or(0, |last| last + 1);
    for number in first..first + 10_000 {
        let answer = connection.post(&event(number)).unwrap();
        match answer.status() {
            202 => acknowledged.push(number),
            503 => return drop(says_when_to_come_again(&answer)),
            status => panic!("event {number}: {status} {}", answer.text()),
        }
    }
    panic!("10,000 events of 64 KiB fit into what the ballast left");
}

fn delivered(recorder: &Recorder, acknowledged: &[u64]) {
    wait_for("everything acknowledged to be delivered", || {
        let missing = acknowledged.iter().filter(|number| !recorder.has(**number)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", acknowledged.len())) }
    });
}

/// What a start reads is bounded by segments, not by what is kept. Counted in bytes, which no busy machine changes.
#[test]
fn a_start_reads_no_more_than_the_last_segments_however_much_is_kept() {
    // The segment that was written last and the two spares behind it, of 128 MiB each, and a little of all others.
    const BOUND_KIB: u64 = (3 * 128 + 24) * 1024;
    for mebibytes in [132, 450] {
        let folder = tempfile::tempdir().unwrap();
        let start = Start::new(folder.path());
        let node = start.node();
        fill_with(&node, mebibytes);
        node.process.kill();
        let after_kill = bytes_read_at_start(&start, mebibytes);
        let after_stop = bytes_read_at_start(&start, mebibytes);
        eprintln!("restart: {mebibytes} MiB kept: {after_kill} KiB read after a kill, {after_stop} KiB after a stop");
        assert!(after_kill < BOUND_KIB, "after a kill: {after_kill} KiB with {mebibytes} MiB kept");
        assert!(after_stop < BOUND_KIB, "after a stop: {after_stop} KiB with {mebibytes} MiB kept");
    }
}

/// Posts so much, and on until a checkpoint was stored: what comes after the last one is read again after a kill.
fn fill_with(node: &Node, mebibytes: u64) {
    let mut connection = Connection::open(node.ingress).unwrap();
    let mut post = |number: u64, bytes: u64| {
        let event = TestEvent::sized(number, TYPE_C, bytes as usize);
        assert_eq!(connection.post(&event).unwrap().status(), 202);
    };
    (0..mebibytes).for_each(|number| post(number, EVENT_BYTES));
    let checkpoints = || node.metric("pelton_broker_checkpoints_total");
    let before = checkpoints();
    for number in 0.. {
        if checkpoints() > before {
            return;
        }
        // Four in a MiB: the log must grow by 64 MiB at most until one is due.
        post(number, EVENT_BYTES / 4);
    }
}

/// Nearly a MiB: with its attributes it is still an event that is taken.
const EVENT_BYTES: u64 = (1 << 20) - 4096;

/// Starts, reads what the system counted, in KiB, and stops.
fn bytes_read_at_start(start: &Start, mebibytes: u64) -> u64 {
    let node = start.node();
    let io = fs::read_to_string(format!("/proc/{}/io", node.process.pid())).unwrap();
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok()).unwrap();
    wait_until("the size of the log to be shown", || {
        node.metric("pelton_log_bytes") >= (mebibytes * EVENT_BYTES) as f64
    });
    node.process.stop();
    read / 1024
}
