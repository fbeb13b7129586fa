//! `pelton trace`: each way that an event can go.

use serde_json::Value;

use crate::scene::Scene;
use crate::support::wait_until;

/// What was asked, what came of it, and the code: of each attempt.
fn attempts(trigger: &Value) -> Vec<(u64, String, Option<u64>)> {
    let attempts = trigger["attempts"].as_array().cloned().unwrap_or_default();
    let short = |attempt: &Value| {
        (attempt["number"].as_u64().unwrap(), attempt["result"].as_str().unwrap().to_owned(), attempt["code"].as_u64())
    };
    attempts.iter().map(short).collect()
}

fn row(number: u64, result: &str, code: u64) -> (u64, String, Option<u64>) {
    (number, result.to_owned(), Some(code))
}

#[test]
fn an_event_that_is_delivered_and_one_that_is_retried() {
    let scene = Scene::start();
    scene.send("1", "to-ok");
    scene.send("2", "to-flaky");
    let (copy, trigger) = scene.traced("1", "ok", "delivered");
    assert_eq!(attempts(&trigger), [row(1, "delivered", 202)]);
    assert_eq!((&trigger["matches"], &copy["rememberedSince"]), (&true.into(), &Value::Null), "{copy:#}");
    let others: Vec<_> = copy["triggers"].as_array().unwrap()[1..].iter().map(|it| it["state"].clone()).collect();
    assert!(others.iter().all(|state| state == "filtered-out") && others.len() == 8, "{others:?}");
    let (_, trigger) = scene.traced("2", "flaky", "delivered");
    assert_eq!(attempts(&trigger), [row(1, "failed", 503), row(2, "failed", 503), row(3, "delivered", 202)]);
    let text = scene.ok(&["trace", "/tests/events", "2"]);
    for want in
        ["default/flaky  delivered", "by attempt 3", "503", "next 20", "8 Triggers do not let it pass", "1 copy in"]
    {
        assert!(text.contains(want), "{want:?} is not in\n{text}");
    }
    assert!(!text.contains("not kept any more"), "{text}");
    assert!(scene.ok(&["trace", "/tests/events", "2", "-o", "wide"]).contains("default/ok  filtered-out"));
}

#[test]
fn an_event_that_is_given_up_or_rejected_or_taken_by_the_sink() {
    let scene = Scene::start();
    scene.send("1", "to-broken");
    scene.send("2", "to-wrong");
    scene.send("3", "to-sink");
    let (_, trigger) = scene.traced("1", "broken", "dead-letter");
    assert_eq!(attempts(&trigger), [row(1, "failed", 500), row(2, "failed", 500), row(3, "failed", 500)]);
    assert!(trigger["why"].as_str().unwrap().contains("after 3 attempts (retries-exhausted)"), "{trigger:#}");
    let (_, trigger) = scene.traced("2", "wrong", "dead-letter");
    assert_eq!(attempts(&trigger), [row(1, "rejected", 400)]);
    let (_, trigger) = scene.traced("3", "sink", "dead-letter-sink");
    assert_eq!(attempts(&trigger), [row(1, "failed", 500), row(1, "delivered", 202)]);
    assert_eq!(trigger["attempts"][1]["asked"], "dead-letter-sink");
}

#[test]
fn an_event_that_waits_says_for_what() {
    let scene = Scene::start();
    scene.send("1", "to-rests");
    scene.send("2", "to-patient");
    let states = || {
        let trace = scene.json(&["trace", "/tests/events", "1", "-o", "json"]);
        let triggers = trace["copies"][0]["triggers"].as_array().cloned().unwrap_or_default();
        triggers.into_iter().find(|it| it["trigger"] == "default/rests").unwrap_or_default()
    };
    wait_until("the paused Trigger to say so", || {
        let trigger = states();
        matches!(trigger["state"].as_str(), Some("waiting" | "not-reached"))
            && trigger["why"].as_str().is_some_and(|why| why.contains("the Trigger is paused"))
    });
    let (_, trigger) = scene.traced("2", "patient", "waiting");
    wait_until("the first attempt to have failed", || {
        let (_, trigger) = scene.traced("2", "patient", "waiting");
        trigger["why"].as_str().is_some_and(|why| why.starts_with("in retry until 20") && why.contains("with 500"))
            && trigger["failedAttempts"] == 1
    });
    assert_eq!(trigger["matches"], true);
    scene.ok(&["trigger", "resume", "rests"]);
    scene.traced("1", "rests", "delivered");
}

#[test]
fn replies_lead_from_one_event_to_the_next_and_back() {
    let scene = Scene::start();
    scene.send("1", "to-reply");
    let (copy, trigger) = scene.traced("1", "reply", "delivered");
    assert_eq!(attempts(&trigger), [row(1, "replied", 200)]);
    let reply = trigger["attempts"][0]["reply"].as_str().unwrap().to_owned();
    let (next, _) = scene.traced("reply-to-1", "ok", "delivered");
    assert_eq!(next["event"]["position"], reply.as_str());
    let reply_to = &next["replyTo"];
    assert_eq!((&reply_to["position"], &reply_to["trigger"]), (&copy["event"]["position"], &"default/reply".into()));
    assert!(scene.ok(&["trace", "/tests/events", "1"]).contains(&format!("reply {reply}")));
}

#[test]
fn every_copy_is_told_and_what_came_before_a_trigger_too() {
    let scene = Scene::start();
    scene.send_to("lonely", "1", "to-ok", "");
    scene.send("1", "to-ok");
    scene.send("1", "to-ok");
    wait_until("both copies to be delivered", || {
        let trace = scene.json(&["trace", "/tests/events", "1", "-o", "json"]);
        let states = trace["copies"].as_array().unwrap().iter().map(|copy| copy["triggers"][0]["state"].clone());
        states.collect::<Vec<_>>() == [Value::Null, "delivered".into(), "delivered".into()]
    });
    let text = scene.ok(&["trace", "/tests/events", "1"]);
    assert!(text.contains("3 copies in 3 events") && text.contains("The Broker has no Trigger."), "{text}");
    let in_one = scene.json(&["trace", "/tests/events", "1", "--broker", "lonely", "-o", "json"]);
    assert_eq!(in_one["copies"].as_array().unwrap().len(), 1);
    assert_eq!(scene.ok(&["trace", "/tests/events", "1", "-o", "name"]).lines().count(), 3);
}
