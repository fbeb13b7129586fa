//! `pelton events`.

use crate::command::{Running, pelton};
use crate::scene::Scene;

fn ids(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned)).collect()
}

#[test]
fn events_are_listed_by_each_selector() {
    let scene = Scene::start();
    for n in 0..6 {
        let headers = format!("ce-subject: s{}\r\nce-partitionkey: k{}\r\n", n % 2, n % 3);
        scene.send_to("default", &format!("e{n}"), &format!("t{}", n % 3), &headers);
    }
    scene.send_to("lonely", "alone", "t0", "");
    let rows: &[(&[&str], &[&str])] = &[
        (&[], &["e0", "e1", "e2", "e3", "e4", "e5"]),
        (&["lonely"], &["alone"]),
        (&["default/lonely"], &["alone"]),
        (&["lonely", "-n", "default"], &["alone"]),
        (&["--type", "t1"], &["e1", "e4"]),
        (&["--subject", "s0"], &["e0", "e2", "e4"]),
        (&["--subject", "s0", "--type", "t1"], &["e4"]),
        (&["--id", "e3"], &["e3"]),
        (&["--source", "/tests/events", "--limit", "2"], &["e0", "e1"]),
        (&["--source", "/other"], &[]),
        (&["-x", "partitionkey=k2"], &["e2", "e5"]),
        (&["-x", "partitionkey=k2", "-x", "subject=s1"], &["e5"]),
        (&["--since", "5m", "--until", "2200-01-01T00:00:00Z"], &["e0", "e1", "e2", "e3", "e4", "e5"]),
        (&["--since", "2200-01-01T00:00:00Z"], &[]),
        (&["--until", "30m"], &[]),
        (&["--all"], &["e0", "e1", "e2", "e3", "e4", "e5"]),
    ];
    for (words, want) in rows {
        let words: Vec<&str> = ["events", "list"].iter().chain(*words).copied().collect();
        assert_eq!(ids(&scene.ok(&words)), *want, "{words:?}");
    }
}

#[test]
fn a_list_goes_on_where_it_ended_and_shows_data_on_request_only() {
    let scene = Scene::start();
    (0..5).for_each(|n| scene.send(&format!("e{n}"), "t"));
    let (code, first, said) = scene.run(&["events", "list", "--limit", "2"]);
    assert_eq!((code, ids(&first)), (0, vec!["e0".to_owned(), "e1".to_owned()]), "{said}");
    let token = said.split("--continue ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let rest = scene.ok(&["events", "list", "--continue", token]);
    assert_eq!(ids(&rest), ["e2", "e3", "e4"]);

    let page = scene.json(&["events", "list", "--id", "e1", "-o", "json"]);
    let (event, position) = (&page["items"][0], page["items"][0]["position"].as_str().unwrap().to_owned());
    assert_eq!((&event["attributes"]["type"], &event["broker"]), (&"t".into(), &"default/default".into()));
    assert!(event["event"].is_null() && !page.to_string().contains("secret"), "{page:#}");
    assert_eq!(scene.ok(&["events", "list", "--id", "e1", "-o", "name"]), format!("{position}\n"));
    assert!(scene.ok(&["events", "list", "--id", "e1", "-o", "wide"]).contains("BYTES"));
    assert!(scene.ok(&["events", "list", "--id", "e1", "-o", "yaml"]).contains("position: "));
    assert!(!scene.ok(&["events", "show", &position]).contains("secret"));
    for words in [["events", "show", &position, "--data"], ["events", "list", "--id=e1", "--data"]] {
        assert!(scene.ok(&words).contains("\"secret\": 1"), "{words:?}");
    }
    let shown = scene.json(&["events", "show", &position, "--data", "-o", "json"]);
    assert_eq!(shown["event"]["data"]["secret"], 1, "{shown:#}");
}

#[test]
fn what_cannot_be_shown_is_refused_with_the_reason() {
    let scene = Scene::start();
    let rows: &[(&[&str], i32, &str)] = &[
        (&["events", "list", "nobody"], 1, "Broker default/nobody does not exist"),
        (&["events", "tail", "nobody"], 1, "does not exist"),
        (&["events", "show", "1/99999"], 1, "no event at 1/99999"),
        (&["events", "show", "77/0"], 1, "no log group 77"),
        (&["events", "list", "--since", "noon"], 2, "such as 10m"),
        (&["events", "list", "--limit", "-3"], 2, "-3"),
        (&["events", "list", "--limit", "0"], 2, "0"),
        (&["events", "list", "--continue", "x"], 1, "next"),
        (&["events", "list", "-x", "Upper=1"], 1, "Upper"),
        (&["events", "list", "--api", "http://127.0.0.1:1"], 3, "cannot connect"),
        (&["trace", "/tests/events", "unheard-of"], 1, "there is no event"),
        (&["trace", "/s", "1", "--broker", "nobody"], 1, "does not exist"),
        (&["trigger", "test", "nobody"], 1, "Trigger default/nobody does not exist"),
        (&["trigger", "test"], 2, "a filter is wanted"),
        (&["trigger", "test", "ok", "--type", "t"], 2, "by one of them"),
        (&["trigger", "test", "--type", "t", "--broker", "nobody"], 1, "does not exist"),
        (&["trigger", "test", "-f", "nowhere.yaml"], 2, "nowhere.yaml"),
        (&["top", "--once", "--api", "http://127.0.0.1:1"], 3, "cannot connect"),
    ];
    for (words, code, want) in rows {
        let (got, stdout, stderr) = scene.run(words);
        assert_eq!(got, *code, "{words:?}: {stdout}{stderr}");
        assert!(stderr.contains(want), "{words:?}: {stderr}");
    }
}

#[test]
fn what_is_followed_comes_at_once_and_ends_with_the_server() {
    let scene = Scene::start();
    scene.send("before", "t");
    let start = |words: &[&str]| {
        let mut command = pelton();
        command.args(["events", "tail"]).args(words).env("PELTON_API", scene.api());
        Running::start(&mut command)
    };
    let from_before = start(&["--since", "5m", "--type", "t", "-o", "json"]);
    let line: serde_json::Value = serde_json::from_str(&from_before.line_with("before")).unwrap();
    assert_eq!((&line["kind"], &line["attributes"]["id"]), (&"event".into(), &"before".into()));
    scene.send("other", "not-t");
    scene.send("after", "t");
    assert!(!from_before.line_with("\"id\":").contains("other"));
    scene.node.process.stop();
    assert_eq!(from_before.wait().code(), Some(3), "no more answers");
}
