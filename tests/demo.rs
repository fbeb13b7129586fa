//! `pelton demo` does what it says, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/pelton.rs"]
mod support;

use support::{Running, pelton, run};

#[test]
fn the_demo_tells_the_whole_story_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(pelton().arg("demo").env("TMPDIR", folder.path()));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let mut rest = stdout.as_str();
    for word in [
        "applied",
        "accepted",
        "failed",
        "retried",
        "dead letter",
        "mended",
        "redriven",
        "delivered",
        "cold",
        "accepted",
        "started",
        "delivered",
        "paused",
        "stopped",
        "4 accepted, 3 delivered, 1 matched no trigger",
        "none lost",
    ] {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word:?} does not come in its turn in {stdout}"));
        rest = &rest[at + word.len()..];
    }
    assert_eq!(stderr, "", "nothing goes wrong");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary folder is gone");
}

#[test]
fn the_demo_stays_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Running::start(pelton().args(["demo", "--stay"]).env("TMPDIR", folder.path()));
    let line = demo.line_with("export PELTON_API=");
    let api = line.split_once('=').unwrap().1.to_owned();
    let (code, stdout, stderr) = run(pelton().args(["get", "triggers", "-n", "shop", "--api", &api]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("warehouse") && stdout.contains("payments"), "{stdout}");
    assert_eq!(demo.stop().code(), Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary folder is gone");
}
