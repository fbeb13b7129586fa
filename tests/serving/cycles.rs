//! From zero to one and back, with requests at every phase on the way.

use std::time::Duration;

use super::service::{Client, metric, node_with, pid, service};
use super::support::Dice;

/// How many cycles there are: `PELTON_SERVING_CYCLES`, else 60.
fn cycles() -> u64 {
    std::env::var("PELTON_SERVING_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// An instance is paused after 5 ms and stopped after 20. Requests come after 0 to 40 ms: while it runs, is being paused, is
/// paused, is being stopped, is stopped. Each is answered, and once.
#[test]
fn requests_at_every_phase_of_a_cycle_are_answered_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let idle = [("pelton.dev/idle-pause", "5ms"), ("pelton.dev/idle-stop", "20ms")];
    let node = node_with(folder.path(), &service("hello", &[], &idle, ""));
    let mut dice = Dice::new(7);
    let (mut starts, mut last) = (0, pid(&node, "hello.default.localhost"));
    let mut client = Client::of(&node, "hello.default.localhost");
    for cycle in 0..cycles() {
        std::thread::park_timeout(Duration::from_micros(dice.below(40_000)));
        let body = format!("cycle {cycle}");
        let answer = client.call("POST", "/echo", "", body.as_bytes()).unwrap();
        assert_eq!((answer.status(), answer.text()), (200, body), "cycle {cycle}");
        let now = client.get("/pid").text();
        starts += u64::from(now != last);
        last = now;
    }
    assert!(starts > 0, "it never was at zero");
    assert!(metric(&node, "pelton_gateway_resumes_total") > 0.0, "it never was paused");
    assert_eq!(metric(&node, "pelton_gateway_failed_instances_total"), 0.0);
}
