//! Services and clients that take more than is theirs: the others are served meanwhile, and the gateway stays within its bounds.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::service::{Client, get, metric, node_with, pid, service, wait_ready};
use super::support::wait::DEADLINE;
use super::support::{Node, Start, wait_for, wait_until};

const HOST: &str = "bad.default.localhost";
const GOOD: &str = "good.default.localhost";

/// A service that misbehaves, beside one that does not.
fn beside(folder: &Path, bad: &str) -> Node {
    let manifest = [bad, &service("good", &[], &[], "")].concat();
    let node = Start::new(folder).manifest(&manifest).args(&["--log", "error"]).node();
    wait_ready(&node, "good");
    node
}

#[track_caller]
fn good_is_well(node: &Node) {
    let answer = get(node, GOOD, "/");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "good-00001"));
}

#[track_caller]
fn delete_bad(node: &Node) {
    node.delete("services", "bad");
}

fn is_gone(pid: &str) -> bool {
    // What its parent left behind is taken by init, in its own time.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn one_that_listens_on_the_wrong_port_is_ended_and_the_condition_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let soon = [("serving.knative.dev/progress-deadline", "1s"), ("pelton.dev/activation-timeout", "1s")];
    let node = beside(folder.path(), &service("bad", &["astray"], &soon, ""));
    wait_for("a condition to say why", || {
        let text = node.resource("services", "bad")["status"]["conditions"].to_string();
        if text.contains("connection refused at 127.0.0.1") { Ok(()) } else { Err(text) }
    });
    let answer = get(&node, HOST, "/");
    assert_eq!(answer.status(), 503, "{}", answer.text());
    good_is_well(&node);
}

#[test]
fn one_that_answers_garbage_costs_its_callers_502_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let node = beside(folder.path(), &service("bad", &["garbage"], &[], ""));
    wait_ready(&node, "bad");
    for _ in 0..10 {
        for method in ["GET", "POST"] {
            let mut client = Client::of(&node, HOST);
            let answer = client.call(method, "/", "", b"").unwrap();
            assert_eq!(answer.status(), 502, "{method}: {}", answer.text());
            assert!(!answer.text().contains("this is no HTTP"), "{method}: {}", answer.text());
        }
        good_is_well(&node);
    }
}

/// SIGKILL comes when the grace period is over: the time of a request.
#[test]
fn one_that_ignores_sigterm_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let bad = service("bad", &["stubborn"], &[], "      timeoutSeconds: 1\n");
    let node = beside(folder.path(), &bad);
    wait_ready(&node, "bad");
    let first = pid(&node, HOST);
    delete_bad(&node);
    wait_until("it to be killed", || is_gone(&first));
    good_is_well(&node);
    // The gateway itself does not wait for such a one for ever.
    node.store(&bad);
    wait_ready(&node, "bad");
    let second = pid(&node, HOST);
    node.process.stop();
    wait_until("it to be killed", || is_gone(&second));
}

#[test]
fn what_one_has_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let children = folder.path().join("children");
    let node = beside(folder.path(), &service("bad", &["children", children.to_str().unwrap()], &[], ""));
    wait_ready(&node, "bad");
    let mut all: Vec<String> = std::fs::read_to_string(&children).unwrap().lines().map(str::to_owned).collect();
    all.push(pid(&node, HOST));
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|pid| !is_gone(pid)), "{all:?}");
    delete_bad(&node);
    for pid in &all {
        wait_until("it to be gone", || is_gone(pid));
    }
    good_is_well(&node);
}

/// How much is printed: `PELTON_SERVING_FLOOD_MIB`, else 256, which is many times what is kept. (A GiB takes a debug build
/// more than a minute.)
fn flood_mib() -> u64 {
    std::env::var("PELTON_SERVING_FLOOD_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(256)
}

/// What is kept of it is bounded (`LogOptions`: 3 files of 10 MiB), in memory as well, and it is served as soon as it listens.
#[test]
fn one_that_prints_without_end_fills_neither_disk_nor_memory() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = flood_mib() << 20;
    let node = beside(folder.path(), &service("bad", &["flood", &bytes.to_string()], &[], ""));
    let logs = folder.path().join("data/serving/logs");
    let mut most = 0;
    wait_for("it to be done", || {
        good_is_well(&node);
        most = most.max(size_of(&logs));
        let answer = get(&node, HOST, "/");
        if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
    });
    wait_ready(&node, "bad");
    most = most.max(size_of(&logs));
    eprintln!("of {} MiB at most {} MiB were on the disk", flood_mib(), most >> 20);
    // A file is made before the oldest is taken away, and the other service has a few lines.
    assert!(most > 0 && most <= 41 << 20, "{most} bytes");
    node.within_memory("all that output");
}

/// The bytes in a folder and those below it.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |path: PathBuf| match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => size_of(&path),
        Ok(meta) => meta.len(),
        // It was rotated away meanwhile.
        Err(_) => 0,
    };
    entries.map(|entry| size(entry.path())).sum()
}

/// Has this process have all the descriptors that it may; gives how many are left for a test.
pub fn room_for_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    // Other tests of this process run beside it.
    getrlimit(Resource::Nofile).current.map_or(u64::MAX, |most| most.saturating_sub(4_000))
}

/// The most that a connection may cost which is kept and not used, in bytes: the buffers of both sides, and what hyper has
/// of it. Measured: 20 KiB.
const IDLE_CONNECTION_BYTES: u64 = 32 * 1024;

/// Connections that are kept and not used. Fewer where the system gives no process so many descriptors.
#[test]
fn ten_thousand_idle_connections_keep_nobody_waiting() {
    const WANTED: u64 = 10_000;
    let count = WANTED.min(room_for_descriptors());
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("good", &[], &[("pelton.dev/idle-pause", "never")], ""));
    let before = pid(&node, GOOD);
    let memory_before = node.memory_kib("VmRSS");
    let mut idle = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(node.gateway.unwrap()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // Half of them have had an answer, the others have not even asked.
        if number % 2 == 0 {
            stream.write_all(format!("GET /pid HTTP/1.1\r\nhost: {GOOD}\r\n\r\n").as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
        idle.push(stream);
    }
    let held = metric(&node, "pelton_gateway_connections");
    eprintln!("{count} connections were made, and {held} are held");
    for _ in 0..100 {
        assert_eq!(pid(&node, GOOD), before, "one instance is enough");
    }
    let grown = node.memory_kib("VmHWM").saturating_sub(memory_before) * 1024;
    assert!(grown <= count * IDLE_CONNECTION_BYTES, "{} bytes for each of {count}", grown / count);
    drop(idle);
    wait_until("their places to be free", || metric(&node, "pelton_gateway_connections") <= 1.0);
}

/// A head may take 10 s; a body as long as a request may, and then its slot is free.
#[test]
fn a_client_that_sends_a_byte_a_second_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let more = "      timeoutSeconds: 3\n      containerConcurrency: 1\n";
    let one = [("autoscaling.knative.dev/max-scale", "1")];
    let node = node_with(folder.path(), &service("bad", &[], &one, more));
    let head = format!("POST /echo HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000\r\n\r\n");
    let (mut in_head, mut in_body) = (Client::of(&node, HOST), Client::of(&node, HOST));
    in_body.connection().write(head.as_bytes()).unwrap();
    wait_until("its request to be on its way", || metric(&node, "kn_revision_request_active") == 1.0);
    let drip = |client: &mut Client, bytes: Vec<u8>| {
        let mut stream = client.connection().writer();
        std::thread::spawn(move || {
            for byte in bytes {
                // The pause is the attack. A machine that makes it longer makes the client slower still.
                std::thread::park_timeout(Duration::from_secs(1));
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
            }
        })
    };
    let drippers = [drip(&mut in_head, head.into_bytes()), drip(&mut in_body, vec![b'x'; 1000])];
    let late = in_body.answer().unwrap();
    assert_eq!(late.status(), 504, "{}", late.text());
    assert_eq!(get(&node, HOST, "/").status(), 200, "its slot is free");
    assert!(in_head.connection().ends_within(DEADLINE), "a head that never ends");
    assert!(in_body.connection().ends_within(DEADLINE), "a body that never ends");
    drop((in_head, in_body));
    for dripper in drippers {
        dripper.join().unwrap();
    }
}
