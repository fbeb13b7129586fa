//! Status and problem of every check (Knative Eventing's broker ingress; CloudEvents HTTP binding and webhooks).

use std::time::Duration;

use pelton_client::AppendError;
use pelton_ingress::Options;

use crate::support::{FakeLog, HEAD, Producer, ask, event, request, serve, start, typed};

const JSON: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const GOOD: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#;

fn head_with(line: &str) -> String {
    request(&format!("{HEAD}{line}\r\n"), "x")
}

fn without(name: &str) -> String {
    let head: String = HEAD.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect();
    request(&head, "x")
}

fn at(path: &str) -> String {
    request(&HEAD.replace("/default/default", path), "x")
}

fn with_method(method: &str) -> String {
    request(&HEAD.replace("POST", method), "")
}

#[tokio::test]
async fn every_request_has_its_answer() {
    let (_log, ingress) = start();
    let deep = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let deeper_envelope = "[".repeat(10_000);
    let table: Vec<(&str, String, u16, &str)> = vec![
        ("binary", event("{}"), 202, "-"),
        ("binary without data", event(""), 202, "-"),
        ("thrift", head_with("content-type: application/vnd.apache.thrift.binary"), 202, "-"),
        ("xml", head_with("content-type: application/xml"), 202, "-"),
        ("json", head_with("content-type: application/json"), 202, "-"),
        ("names in capitals", event("x").replace("ce-id", "CE-Id"), 202, "-"),
        ("structured", typed(JSON, GOOD), 202, "-"),
        ("structured with charset", typed("application/cloudevents+json; charset=UTF-8", GOOD), 202, "-"),
        ("batch", typed(BATCH, &format!("[{GOOD},{GOOD}]")), 202, "-"),
        ("empty batch", typed(BATCH, "[]"), 202, "-"),
        ("trailing slash", at("/default/default/"), 202, "-"),
        ("query", at("/default/default?a=b/c"), 202, "-"),
        ("escaped path", at("/default/d%65fault"), 202, "-"),
        ("absolute form", at("http://example.com/default/default"), 202, "-"),
        ("hops left", head_with("ce-knativebrokerttl: 2"), 202, "-"),
        ("identity", head_with("content-encoding: identity"), 202, "-"),
        // Methods.
        ("OPTIONS", with_method("OPTIONS"), 200, "-"),
        ("OPTIONS elsewhere", with_method("OPTIONS").replace("/default/default", "/no/such/thing"), 200, "-"),
        ("OPTIONS *", with_method("OPTIONS").replace("/default/default", "*"), 200, "-"),
        ("GET", with_method("GET"), 405, "method-not-allowed"),
        ("PUT", with_method("PUT"), 405, "method-not-allowed"),
        ("PATCH", with_method("PATCH"), 405, "method-not-allowed"),
        ("DELETE", with_method("DELETE"), 405, "method-not-allowed"),
        ("HEAD", with_method("HEAD"), 405, "-"),
        ("made-up method", with_method("BREW"), 405, "method-not-allowed"),
        ("GET of nothing", with_method("GET").replace("/default/default", "/"), 405, "method-not-allowed"),
        // Paths.
        ("root", at("/"), 404, "no-broker-named"),
        ("one segment", at("/default"), 400, "bad-path"),
        ("three segments", at("/default/default/x"), 400, "bad-path"),
        ("empty segment", at("//default"), 400, "bad-path"),
        ("two slashes behind", at("/default/default//"), 400, "bad-path"),
        ("no label", at("/default/De_fault"), 400, "bad-broker-name"),
        ("dots", at("/../default"), 400, "bad-broker-name"),
        ("escaped slash", at("/default/a%2fb"), 400, "bad-broker-name"),
        ("escapes not UTF-8", at("/default/%ff"), 400, "bad-broker-name"),
        ("unknown broker", at("/default/other"), 404, "unknown-broker"),
        ("unknown namespace", at("/other/default"), 404, "unknown-broker"),
        // Events.
        ("no specversion", without("ce-specversion"), 400, "invalid-attribute"),
        ("no type", without("ce-type"), 400, "invalid-attribute"),
        ("no source", without("ce-source"), 400, "invalid-attribute"),
        ("no id", without("ce-id"), 400, "invalid-attribute"),
        ("specversion 0.3", event("x").replace("1.0", "0.3"), 400, "invalid-attribute"),
        ("specversion 19.0", event("x").replace("1.0", "19.0"), 400, "invalid-attribute"),
        ("specversion 9000.1", event("garbage").replace("1.0", "9000.1"), 400, "invalid-attribute"),
        ("no event", request("POST /default/default HTTP/1.1\r\nhost: x\r\n", "x"), 400, "not-an-event"),
        ("bad time", head_with("ce-time: yesterday"), 400, "invalid-attribute"),
        ("attribute twice", head_with("ce-id: 2"), 400, "invalid-attribute"),
        ("datacontenttype", head_with("ce-datacontenttype: text/plain"), 400, "invalid-attribute"),
        ("name", head_with("ce-my_ext: 1"), 400, "invalid-attribute"),
        ("escapes not UTF-8 in a value", head_with("ce-a: %C0%A0"), 400, "invalid-attribute"),
        ("line feed in a value", head_with("ce-a: x%0Ay"), 400, "invalid-attribute"),
        ("garbage JSON", typed(JSON, "{"), 400, "malformed-json"),
        ("JSON that is no event", typed(JSON, "[1]"), 400, "malformed-json"),
        ("JSON without id", typed(JSON, &GOOD.replace("\"id\"", "\"jd\"")), 400, "invalid-attribute"),
        ("nested too deeply", typed(JSON, &deep), 400, "malformed-json"),
        ("nothing but nesting", typed(JSON, &deeper_envelope), 400, "malformed-json"),
        ("batch with a bad one", typed(BATCH, &format!("[{GOOD},{{}}]")), 400, "invalid-attribute"),
        ("batch that is none", typed(BATCH, GOOD), 400, "malformed-json"),
        ("protobuf", typed("application/cloudevents+protobuf", "x"), 415, "unsupported-format"),
        ("unknown format", typed("application/cloudevents", "x"), 415, "unsupported-format"),
        ("charset", typed("application/cloudevents+json; charset=latin1", GOOD), 415, "unsupported-format"),
        ("gzip", head_with("content-encoding: gzip"), 415, "content-encoding"),
        // Hops.
        ("ttl 1", head_with("ce-knativebrokerttl: 1"), 400, "hop-count"),
        ("ttl 0", head_with("ce-knativebrokerttl: 0"), 400, "hop-count"),
        ("ttl -1", head_with("ce-knativebrokerttl: -1"), 400, "hop-count"),
        ("ttl twice", head_with("ce-knativebrokerttl: 9\r\nce-knativebrokerttl: 9"), 400, "invalid-attribute"),
        ("ttl 0 in JSON", typed(JSON, &GOOD.replace("\"data\"", "\"knativebrokerttl\":0,\"data\"")), 400, "hop-count"),
    ];
    for (name, bytes, status, problem) in table {
        // HEAD answers have the length of a body and no body, so each gets its own connection.
        let mut producer = Producer::connect(ingress.local_addr()).await;
        producer.send(&bytes).await;
        let answer = if name == "HEAD" {
            producer.send("\0").await;
            let mut text = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut producer.stream, &mut text).await;
            let text = String::from_utf8(text).unwrap();
            assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("allow: POST, OPTIONS\r\n"), "{text}");
            continue;
        } else {
            producer.answer().await
        };
        assert_eq!((answer.status, &*answer.problem()), (status, problem), "{name}: {}", answer.body);
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{name}");
        if status == 202 {
            assert_eq!(answer.header("content-length"), Some("0"), "{name}");
        }
    }
}

/// CloudEvents webhooks, "Abuse protection".
#[tokio::test]
async fn options_grants_everybody_any_rate() {
    let (log, ingress) = start();
    let asked = "OPTIONS /default/default HTTP/1.1\r\nhost: x\r\nWebHook-Request-Origin: producer.example\r\n\
                 WebHook-Request-Rate: 120\r\n\r\n";
    let answer = ask(&ingress, asked).await;
    assert_eq!(answer.header("webhook-allowed-origin"), Some("*"));
    assert_eq!(answer.header("webhook-allowed-rate"), Some("*"));
    assert!(log.calls().is_empty());
}

#[tokio::test]
async fn a_problem_names_attribute_rule_and_index() {
    let (log, ingress) = start();
    let problem = ask(&ingress, head_with("ce-time: yesterday")).await.json();
    assert_eq!(problem["attribute"], "time");
    assert_eq!(problem["rule"], "not_a_timestamp");
    assert!(problem.get("index").is_none());

    let batch = format!("[{GOOD},{GOOD},{}]", GOOD.replace("/s", ""));
    let problem = ask(&ingress, typed(BATCH, &batch)).await.json();
    assert_eq!((&problem["index"], &problem["attribute"]), (&2.into(), &"source".into()));

    let hopless = GOOD.replace("\"data\"", "\"knativebrokerttl\":\"1\",\"data\"");
    let problem = ask(&ingress, typed(BATCH, &format!("[{GOOD},{hopless}]"))).await.json();
    assert_eq!((&problem["index"], &problem["attribute"]), (&1.into(), &"knativebrokerttl".into()));
    assert!(log.calls().is_empty(), "a batch is stored whole or not at all");
}

/// Our fault is never a 4xx, and what may pass says when to ask again.
#[tokio::test]
async fn what_the_log_says_becomes_a_status() {
    let (log, ingress) = start();
    for (error, status, problem, retry_after) in [
        (AppendError::Overloaded { retry_after: Duration::from_millis(1_500) }, 503, "overloaded", Some("2")),
        (AppendError::StorageFull, 503, "storage-full", Some("5")),
        (AppendError::Damaged, 503, "damaged", Some("5")),
        (AppendError::Unavailable, 503, "unavailable", Some("1")),
        (AppendError::OutcomeUnknown, 503, "outcome-unknown", Some("1")),
        (AppendError::TooLarge { size_bytes: 9, limit_bytes: 8 }, 413, "too-large", None),
    ] {
        log.answer(Some(error.clone()));
        let answer = ask(&ingress, event("x")).await;
        assert_eq!((answer.status, &*answer.problem()), (status, problem), "{error}");
        assert_eq!(answer.header("retry-after"), retry_after, "{error}");
        assert_eq!(answer.body.contains("may or may not"), problem == "outcome-unknown", "{error}: {}", answer.body);
    }
    log.answer(None);
    assert_eq!(ask(&ingress, event("x")).await.status, 202);
}

#[tokio::test]
async fn an_append_without_an_answer_is_an_outcome_unknown() {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options { append_deadline: Duration::from_millis(20), ..Options::default() });
    log.open(false);
    let answer = ask(&ingress, event("x")).await;
    assert_eq!((answer.status, &*answer.problem()), (503, "outcome-unknown"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn brokers_come_and_go() {
    let (log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    assert_eq!(producer.ask(at("/team/orders")).await.status, 404);
    log.create("team/orders", None);
    assert_eq!(producer.ask(at("/team/orders")).await.status, 202, "as soon as it was created");
    log.delete("team/orders");
    // A deletion is told by a task; ask until it was.
    crate::support::soon("the deletion", async {
        while producer.ask(at("/team/orders")).await.status != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
