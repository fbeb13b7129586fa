//! Strangers in great number: slow ones, and ones that send much. The process stays within its bounds, and goes on
//! serving the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::event::{TYPE_A, TYPE_C};
use support::node::quiet_node;
use support::skip::has;
use support::wait::DEADLINE;
use support::{Connection, Start, TestEvent, skipped};

/// A thread of which there are many.
fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new().stack_size(256 * 1024).spawn(work).unwrap()
}

/// S2: clients that send a byte now and then, or nothing. The others are served meanwhile, and those are cut.
#[test]
fn slow_clients_keep_nobody_waiting_and_are_cut() {
    let crowd = room_for_descriptors(2_500).min(2_000);
    let (_folder, _sink, node) = quiet_node();
    let event = TestEvent::sized(1, TYPE_A, 0).headers();
    let body = format!("POST /default/default HTTP/1.1\r\nhost: x\r\n{event}content-length: 5000\r\n\r\nabc");
    let mut slow = Vec::new();
    for (name, listener) in node.listeners() {
        // More than the listener for metrics serves at a time, fewer than that for the API.
        for place in 0..if name == "ingress" { crowd } else { 100 } {
            let Ok(mut connection) = Connection::open(listener) else { continue };
            let begun: &[u8] = match place % 3 {
                0 => b"",
                1 => b"POST /default/default HTTP/1.1\r\nhost: x\r\nce-id",
                _ => body.as_bytes(),
            };
            connection.write(begun).unwrap();
            slow.push((name, place, connection));
        }
    }
    eprintln!("crowds: {} slow connections", slow.len());
    assert!(slow.len() as u64 >= crowd, "{} connections", slow.len());
    let mut ordinary = Connection::open(node.ingress).unwrap();
    for number in 0..200 {
        assert_eq!(ordinary.post(&TestEvent::sized(number, TYPE_A, 1000)).unwrap().status(), 202, "event {number}");
        if number % 20 == 0 {
            for (_, place, connection) in &mut slow {
                // One of them may have been cut already; the first kind stays silent.
                let _ = if *place % 3 == 0 { Ok(()) } else { connection.write(b"x") };
            }
        }
    }
    for (name, place, connection) in &mut slow {
        assert!(connection.ends_within(DEADLINE), "connection {place} on {name} is never cut");
    }
    node.is_well("slow clients");
    node.within_memory("slow clients");
}

/// S2: never silent, and still too slow: a quarter of the 1 KiB/s that a body must reach.
#[test]
fn a_body_that_drips_is_cut() {
    let (_folder, _sink, node) = quiet_node();
    let mut connection = Connection::open(node.ingress).unwrap();
    let event = TestEvent::sized(1, TYPE_A, 0).headers();
    let head = format!("POST /default/default HTTP/1.1\r\nhost: x\r\n{event}content-length: 1000000\r\n\r\n");
    connection.write(head.as_bytes()).unwrap();
    let (mut dripping, slow) = (connection.writer(), Arc::new(()));
    let goes_on = Arc::downgrade(&slow);
    let dripper = spawn(move || {
        // The pause is the attack. A machine that makes it longer makes the body slower still.
        while goes_on.upgrade().is_some() && dripping.write_all(&[b'x'; 64]).is_ok() {
            std::thread::park_timeout(Duration::from_millis(250));
        }
    });
    let answer = connection.answer().unwrap();
    assert_eq!(answer.status(), 408, "{}", answer.text());
    assert!(answer.text().contains("urn:pelton:problem:body-too-slow"), "{}", answer.text());
    assert!(connection.ends_within(DEADLINE), "and the connection ends");
    drop(slow);
    dripper.join().unwrap();
    node.is_well("a body that drips");
}

/// How many huge bodies of each kind at once.
const HUGE: usize = 100;

/// S1: bodies that are announced as huge, or never end, a hundred of each at once, on a listener of its own process
/// each. What they may cost together, in MiB: what the bodies of a listener may hold, and buffers.
#[test]
fn huge_bodies_are_refused_without_being_read() {
    for (place, path, cost_mib) in [
        (0, "/default/default", 64),
        (1, "/apis/eventing.knative.dev/v1/namespaces/default/triggers", 128),
        (2, "/metrics", 64),
    ] {
        let (_folder, _sink, node) = quiet_node();
        node.is_well("the start");
        let (name, listener) = node.listeners()[place];
        let before = node.memory_kib("VmRSS");
        let both = |_| [spawn(move || announced(name, listener, path)), spawn(move || endless(name, listener, path))];
        let threads: Vec<_> = (0..HUGE).flat_map(both).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        node.is_well(&format!("huge bodies on {name}"));
        let growth = node.memory_kib("VmHWM").saturating_sub(before) / 1024;
        eprintln!("crowds: {} huge bodies on {name} cost at most {growth} MiB", 2 * HUGE);
        assert!(growth <= cost_mib, "{name}: {growth} MiB");
    }
}

fn request(listener: SocketAddr, path: &str, header: &str) -> Connection {
    let event = TestEvent::sized(1, TYPE_A, 0).headers();
    let mut connection = Connection::open(listener).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {listener}\r\n{event}{header}\r\n\r\n");
    connection.write(head.as_bytes()).unwrap();
    connection
}

fn announced(name: &str, listener: SocketAddr, path: &str) {
    let mut connection = request(listener, path, "content-length: 1073741824");
    assert_eq!(connection.answer().unwrap().status(), 413, "1 GiB announced on {name}");
}

fn endless(name: &str, listener: SocketAddr, path: &str) {
    let mut connection = request(listener, path, "transfer-encoding: chunked");
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    let mut taken: u64 = 0;
    while connection.write(&chunk).is_ok() {
        taken += 0x10000;
        assert!(taken < 256 << 20, "{name} reads for ever");
    }
}

/// F29: more large bodies at once than there is room for.
#[test]
fn five_hundred_of_the_largest_bodies_at_once_stay_within_memory() {
    let (_folder, _sink, node) = quiet_node();
    let event = TestEvent::sized(1, TYPE_C, (1 << 20) - 1024);
    let answers = Arc::<Mutex<BTreeMap<u16, usize>>>::default();
    let gate = Arc::new(std::sync::Barrier::new(500));
    let threads: Vec<_> = (0..500)
        .map(|_| {
            let (ingress, answers, gate, event) =
                (node.ingress, Arc::clone(&answers), Arc::clone(&gate), event.clone());
            let send = move || {
                let connection = Connection::open(ingress);
                gate.wait();
                let answer = connection.and_then(|mut connection| connection.post(&event));
                // A refusal may come while the body is still being sent; the rest of it may then cut the answer off.
                let status = answer.map_or(0, |answer| answer.status());
                *answers.lock().entry(status).or_default() += 1;
            };
            spawn(send)
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let answers = answers.lock().clone();
    eprintln!("crowds: 500 bodies of 1 MiB at once: {answers:?}");
    assert!(answers.get(&202).is_some_and(|taken| *taken > 0), "{answers:?}");
    assert!(answers.keys().all(|status| [0, 202, 429, 503].contains(status)), "{answers:?}");
    assert!(answers.get(&0).is_none_or(|broken| *broken < 50), "{answers:?}");
    node.is_well("500 large bodies");
    node.within_memory("500 large bodies");
}

/// S1 on the listener whose bodies may be largest: many manifests that never end.
#[test]
fn many_large_manifests_at_once_stay_within_memory() {
    let (_folder, _sink, node) = quiet_node();
    let mut held = Vec::new();
    let piece = vec![b' '; 1 << 20];
    for _ in 0..40 {
        let mut connection = Connection::open(node.api).unwrap();
        let head = format!(
            "POST /v1/apply HTTP/1.1\r\nhost: {}\r\ncontent-type: application/yaml\r\ncontent-length: 16777216\r\n\r\n",
            node.api
        );
        let mut sent = connection.write(head.as_bytes());
        for _ in 0..15 {
            sent = sent.and_then(|()| connection.write(&piece));
        }
        held.push((connection, sent));
    }
    drop(held);
    node.is_well("40 manifests of 16 MiB");
    node.within_memory("40 manifests of 16 MiB");
}

/// F30: no descriptor left. What is connected is served, and the rest is once there is one.
#[test]
fn without_descriptors_it_lives_and_recovers() {
    if let Err(why) = has("prlimit") {
        return skipped("a process with few descriptors", &why);
    }
    let wanted = room_for_descriptors(2_500);
    let folder = tempfile::tempdir().unwrap();
    let node =
        Start::new(folder.path()).args(&["--log", "warn"]).wrapped(&["prlimit", "--nofile=128:128", "--"]).node();
    let mut early = Connection::open(node.ingress).unwrap();
    let mut post = |number: u64| {
        let answer = early.post(&TestEvent::sized(number, TYPE_C, 100));
        let status = answer.as_ref().map_or(0, support::http::Message::status);
        assert_eq!(status, 202, "event {number}: {answer:?}; {}", node.process.said());
    };
    post(0);
    let mut crowd = Vec::new();
    for (place, (_, listener)) in (0..wanted.min(2_000)).zip(node.listeners().into_iter().cycle()) {
        // A full backlog drops the first packet of a connection, and the system tries again only after a second.
        let Ok(stream) = connect_at_once(listener) else { continue };
        crowd.push(stream);
        if place % 100 == 0 {
            post(place);
        }
    }
    eprintln!("crowds: {} connections against 128 descriptors", crowd.len());
    post(9_999);
    assert_eq!(node.process.ended(), None);
    drop(crowd);
    node.is_well("2,000 connections");
    node.process.stop();
}

fn connect_at_once(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.write_all(b"POST ")?;
    Ok(stream)
}

/// Raises this process's own limit; gives how many descriptors may be used.
fn room_for_descriptors(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(wanted + 500, |maximum| maximum.min(wanted + 500));
    if limit.current.is_some_and(|current| current < raised) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(wanted + 500).saturating_sub(500)
}
