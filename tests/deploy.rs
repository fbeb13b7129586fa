//! What can be checked of `deploy/` without a container engine: that it can be read, and that Pelton takes what it is
//! told there. Images are not built and containers are not started by this.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/pelton.rs"]
mod pelton_process;
#[path = "support/skip.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod skip;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use pelton_process::{pelton, run};
use serde_json::Value;
use skip::{Unable, skipped};

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compose() -> Value {
    serde_saphyr::from_str(&file("compose.yaml")).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// That a command line has no mistake: one is added, and is the only one that is found. Nothing is started.
#[track_caller]
fn is_right_but_for_the_mistake_added(command: &mut Command) {
    let (code, stdout, stderr) = run(command.args(["--workers", "0"]));
    assert_eq!(code, 2, "{stdout}{stderr}");
    assert!(stderr.contains("has 1 mistake:") && stderr.contains("workers"), "{stderr}");
}

#[test]
fn compose_runs_three_nodes_that_know_each_other() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let declared: BTreeSet<&String> = compose["volumes"].as_object().unwrap().keys().collect();
    let mut joins = BTreeSet::new();
    for (name, service) in services {
        let words = texts(&service["command"]);
        is_right_but_for_the_mistake_added(pelton().args(&words));
        let value = |flag: &str| {
            let found = words.iter().find_map(|word| word.strip_prefix(&format!("--{flag}=")));
            found.unwrap_or_else(|| panic!("{name} has no {flag}")).to_owned()
        };
        assert_eq!(&value("name"), name);
        assert!(value("join").split(',').any(|address| address == value("peer-advertise")), "{name} is not listed");
        joins.insert(value("join"));
        let mounted: Vec<String> = texts(&service["volumes"]);
        for used in [value("peer-ca"), value("peer-cert"), value("peer-key"), "/var/lib/pelton".to_owned()] {
            let target = |volume: &String| volume.split(':').nth(1) == Some(&used);
            assert!(mounted.iter().any(target), "{name}: nothing is mounted at {used}");
        }
        let named = mounted.iter().filter(|volume| !volume.starts_with('.'));
        for volume in named.map(|volume| volume.split(':').next().unwrap().to_owned()) {
            assert!(declared.contains(&volume), "{name}: {volume} is not declared");
        }
    }
    assert_eq!(joins.len(), 1, "each node has the same list: {joins:?}");
}

/// The check of the compose file and that of the image are a command that there is.
#[test]
fn health_checks_are_commands_that_there_are() {
    let check = texts(&compose()["x-node"]["healthcheck"]["test"]);
    assert_eq!(check, ["CMD", "pelton", "ready"]);
    assert!(file("Containerfile").contains(r#"CMD ["pelton", "ready"]"#));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, stderr) = run(pelton().args(["ready", "--metrics", &format!("http://{closed}")]));
    assert_eq!(code, 3, "{stderr}");
}

#[test]
fn the_image_is_built_by_the_pinned_toolchain_and_runs_as_nobody_special() {
    let text = file("Containerfile");
    let toolchain = include_str!("../rust-toolchain.toml");
    let pinned = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let minor = pinned.rsplit_once('.').unwrap().0;
    assert!(text.contains(&format!("FROM docker.io/library/rust:{minor}-slim")), "the toolchain is {pinned}");
    let user = text.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!user.starts_with('0') && !user.starts_with("root"), "{user}");
    let mut command = pelton();
    for setting in text.split_whitespace().filter(|word| word.starts_with("PELTON_")) {
        let (name, value) = setting.split_once('=').unwrap();
        command.env(name, value);
    }
    is_right_but_for_the_mistake_added(command.arg("up"));
}

/// Orphans of Services would stay as zombies otherwise, until there are no process ids left.
#[test]
fn the_first_process_of_the_image_collects_orphans() {
    let text = file("Containerfile");
    let (_, image) = text.rsplit_once("\nFROM ").unwrap();
    let entry = image.lines().find_map(|line| line.strip_prefix("ENTRYPOINT ")).unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!(texts(&entry), ["/usr/bin/tini", "--", "pelton"]);
    assert!(image.lines().any(|line| line.contains("apt-get install") && line.contains(" tini")), "{image}");
    let compose = compose();
    for service in compose["services"].as_object().unwrap().values().chain([&compose["x-node"]]) {
        assert_eq!(service.get("entrypoint"), None, "the image's own is not replaced");
    }
}

fn unit_value<'a>(unit: &'a str, key: &str) -> &'a str {
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit has no {key}"))
}

#[test]
fn the_unit_runs_a_node_with_the_example_configuration() {
    let unit = file("systemd/pelton.service");
    let start = unit_value(&unit, "ExecStart");
    let words: Vec<&str> = start.split_whitespace().skip(1).collect();
    assert_eq!(words, ["server", "--config", "/etc/pelton/pelton.yaml"]);
    let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/pelton.yaml");
    is_right_but_for_the_mistake_added(pelton().args(["server", "--config"]).arg(config));
    // The codes that no restart mends are those of src/exit.rs.
    assert_eq!(unit_value(&unit, "RestartPreventExitStatus"), "2 70");
    let stop: u64 = unit_value(&unit, "TimeoutStopSec").parse().unwrap();
    assert!(stop > 20 + 5, "it is killed before shutdown-grace and handing over are done");
}

/// What goes away by starting again is started again, and nothing else is: docs/configuration.md, "Exit codes".
#[test]
fn only_what_a_start_cannot_mend_is_left_alone() {
    let unit = file("systemd/pelton.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("not there");
    assert_eq!((value("Restart="), value("RestartPreventExitStatus=")), ("on-failure", "2 70"));
}

#[test]
fn systemd_understands_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pelton.service");
    let unit = file("systemd/pelton.service").replace("/usr/local/bin/pelton", env!("CARGO_BIN_EXE_pelton"));
    std::fs::write(&path, unit).unwrap();
    let checked = match Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&path).output() {
        Ok(checked) => checked,
        // Not everybody who builds this has systemd, nor needs it.
        Err(error) => return skipped("systemd-analyze verify", &Unable::Refused(error.to_string())),
    };
    let said = String::from_utf8_lossy(&checked.stderr);
    let about_it: Vec<&str> = said.lines().filter(|line| line.contains("pelton.service")).collect();
    assert!(checked.status.success() && about_it.is_empty(), "{said}");
}
