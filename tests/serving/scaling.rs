//! Which instance gets a request, which one ends, and what waits (spec/serving.md 10, "Acceptance checks").

use std::collections::BTreeSet;
use std::path::Path;

use super::service::{Client, get, metric, node_with, of_command, pid, service};
use super::support::{Node, wait_for, wait_until};

const HOST: &str = "hello.default.localhost";

/// Requests that are not answered before the file is there.
fn hold(node: &Node, count: usize, gate: &Path) -> Vec<Client> {
    let begin = |_| {
        let mut client = Client::of(node, HOST);
        client.send("GET", &format!("/hold?{}", gate.display()), "", b"").unwrap();
        client
    };
    (0..count).map(begin).collect()
}

/// knative/serving#13096, with a request that lasts as long as the others.
#[test]
fn an_idle_instance_is_used_and_not_a_busy_one() {
    let folder = tempfile::tempdir().unwrap();
    let two = [("autoscaling.knative.dev/min-scale", "2"), ("autoscaling.knative.dev/max-scale", "2")];
    let node = node_with(folder.path(), &service("hello", &[], &two, "      containerConcurrency: 1\n"));
    wait_until("two instances", || metric(&node, "kn_revision_pods_count") == 2.0);
    let gate = folder.path().join("gate");
    let mut busy = hold(&node, 1, &gate);
    wait_until("it to be on its way", || metric(&node, "kn_revision_request_active") == 1.0);
    let mut others = BTreeSet::new();
    for _ in 0..100 {
        // On the busy one it would wait for ever.
        others.insert(pid(&node, HOST));
    }
    std::fs::write(&gate, "").unwrap();
    let busy = busy[0].answer().unwrap().text();
    assert!(others.len() == 1 && !others.contains(&busy), "{others:?}, and {busy} is busy");
}

/// knative/serving#3759: of five, four idle, the busy one stays.
#[test]
fn the_busy_instance_survives_the_scale_down() {
    let folder = tempfile::tempdir().unwrap();
    let quick = [
        ("autoscaling.knative.dev/window", "6s"),
        ("autoscaling.knative.dev/max-scale", "5"),
        ("autoscaling.knative.dev/target-utilization-percentage", "100"),
    ];
    let node = node_with(folder.path(), &service("hello", &[], &quick, "      containerConcurrency: 1\n"));
    let (gate, last) = (folder.path().join("gate"), folder.path().join("last"));
    let busy = hold(&node, 4, &gate);
    let mut lasting = hold(&node, 1, &last);
    wait_until("five instances, all busy", || metric(&node, "kn_revision_request_active") == 5.0);
    std::fs::write(&gate, "").unwrap();
    let mut ended = BTreeSet::new();
    for mut client in busy {
        ended.insert(client.answer().unwrap().text());
    }
    assert_eq!(ended.len(), 4, "each had an instance of its own");
    wait_until("one instance to be left", || metric(&node, "kn_revision_pods_count") == 1.0);
    for pid in &ended {
        wait_until("the idle ones to be gone", || !Path::new(&format!("/proc/{pid}")).exists());
    }
    std::fs::write(&last, "").unwrap();
    let answer = lasting[0].answer().unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(!ended.contains(&answer.text()), "{ended:?}");
}

/// knative/serving#9888: each request that may be made again is answered, and one that may not is not made twice.
#[test]
fn instances_that_die_cost_no_safe_request_and_no_other_is_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let arguments = ["record", record.to_str().unwrap()];
    let node = node_with(folder.path(), &service("hello", &arguments, &[], ""));
    let gate = folder.path().join("gate");
    for round in 1..=3 {
        let first: i32 = pid(&node, HOST).parse().unwrap();
        let mut safe = hold(&node, 8, &gate);
        let mut unsafe_ = Client::of(&node, HOST);
        unsafe_.send("POST", &format!("/hold?{}", gate.display()), "", b"once").unwrap();
        wait_until("all to be on their way", || metric(&node, "kn_revision_request_active") == 9.0);
        rustix::process::kill_process(rustix::process::Pid::from_raw(first).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        let answer = unsafe_.answer().unwrap();
        assert_eq!(answer.status(), 502, "round {round}: {}", answer.text());
        wait_until("the others to be on their way again", || metric(&node, "kn_revision_request_active") == 8.0);
        std::fs::write(&gate, "").unwrap();
        for client in &mut safe {
            let answer = client.answer().unwrap();
            assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
            assert_ne!(answer.text(), first.to_string());
        }
        assert_eq!(get(&node, HOST, "/seen").text(), "9", "round {round}: eight, and the question");
        std::fs::remove_file(&gate).unwrap();
    }
}

/// knative/serving#13583: what fits waits, the rest is refused at once, not after the others.
#[test]
fn the_queue_is_bounded_and_rejects_the_rest_at_once() {
    // The bound of each revision (docs/serving.md).
    const BOUND: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    super::neighbours::room_for_descriptors();
    std::fs::write(&gate, "").unwrap();
    let ends = [("pelton.dev/idle-stop", "200ms")];
    let node = node_with(folder.path(), &service("hello", &["gate", gate.to_str().unwrap()], &ends, ""));
    wait_until("it to be at zero", || {
        metric(&node, "kn_revision_pods_count") == 0.0 && metric(&node, "kn_revision_pods_terminating_count") == 0.0
    });
    std::fs::remove_file(&gate).unwrap();
    let mut waiting = Vec::new();
    for number in 0..BOUND {
        let mut client = Client::of(&node, HOST);
        client.send("POST", "/echo", "", number.to_string().as_bytes()).unwrap();
        waiting.push(client);
    }
    wait_for("all of them to wait", || {
        let queued = metric(&node, "kn_revision_request_queued");
        if queued == BOUND as f64 { Ok(()) } else { Err(format!("{queued} wait")) }
    });
    for _ in 0..100 {
        let answer = get(&node, HOST, "/");
        assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
        assert!(answer.text().contains("pending request queue full"), "{}", answer.text());
    }
    std::fs::write(&gate, "").unwrap();
    for (number, client) in waiting.iter_mut().enumerate() {
        let answer = client.answer().unwrap();
        assert_eq!((answer.status(), answer.text()), (200, number.to_string()));
    }
}

/// `$(VAR)` as Kubernetes reads it, down to the process.
#[test]
fn variables_in_the_command_and_the_environment_are_expanded() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = service("hello", &["record", "$(FOLDER)/$$(FOLDER)-$(NOBODY)"], &[], "");
    let manifest =
        manifest.replace("          env:\n", "          env:\n            - {name: FOLDER, value: /tmp/x}\n");
    let node = node_with(folder.path(), &manifest);
    let told: serde_json::Value = serde_json::from_slice(&get(&node, HOST, "/what").body).unwrap();
    assert_eq!(told["environment"]["CONSUMER"], "record /tmp/x/$(FOLDER)-$(NOBODY)");
    drop(node);

    let folder = tempfile::tempdir().unwrap();
    let words = ["/bin/sh", "-c", "exec \"$0\" --exact consumer::serve --nocapture $(FLAG)", "$(PROGRAM)"];
    let program = std::env::current_exe().unwrap();
    let variables = [("PROGRAM", program.to_str().unwrap()), ("FLAG", "--test-threads=1"), ("CONSUMER", "x")];
    let command = words.map(str::to_owned);
    let node = node_with(folder.path(), &of_command("hello", &command, &variables, &[], ""));
    let told: serde_json::Value = serde_json::from_slice(&get(&node, HOST, "/what").body).unwrap();
    let arguments: Vec<&str> = told["arguments"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
    assert_eq!(arguments[1..], ["--exact", "consumer::serve", "--nocapture", "--test-threads=1"]);
}
