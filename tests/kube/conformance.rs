//! What Knative asks of the control plane of Brokers and Triggers, in its numbers (spec/eventing.md, sections 4 and 7.3 to
//! 7.4), each row against a running server. Check 22, a change while events come, is in `changing`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::command::Up;
use crate::support::http::{Connection, Message, call};
use crate::support::sink::{Sink, answer};
use crate::support::{wait_for, wait_until};

const JSON: &str = "content-type: application/json\r\n";
const MERGE: &str = "content-type: application/merge-patch+json\r\n";
const CLASS: &str = "eventing.knative.dev/broker.class";
const DEPENDENCY: &str = "knative.dev/dependency";
const INJECTION: &str = "eventing.knative.dev/injection";

/// A server and its API.
struct Plane {
    up: Up,
    api: SocketAddr,
    _folder: tempfile::TempDir,
}

fn path(plural: &str, name: &str) -> String {
    let slash = if name.is_empty() { "" } else { "/" };
    format!("/apis/eventing.knative.dev/v1/namespaces/default/{plural}{slash}{name}")
}

fn broker(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}, "spec": spec})
}

/// A Trigger of the Broker `default` to a subscriber that nobody is, with other fields in its `spec`. `null` takes one out.
fn trigger(name: &str, other: Value) -> Value {
    let mut spec = json!({"broker": "default", "subscriber": {"uri": "http://127.0.0.1:9/"}});
    for (field, value) in other.as_object().unwrap() {
        match value {
            Value::Null => drop(spec.as_object_mut().unwrap().remove(field)),
            value => spec[field] = value.clone(),
        }
    }
    json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": name}, "spec": spec})
}

fn annotated(mut object: Value, name: &str, value: &str) -> Value {
    object["metadata"]["annotations"] = json!({ name: value });
    object
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == name)
}

/// `Ready` and its reason; of what has none, nothing.
fn ready(object: &Value) -> (String, String) {
    let text =
        |field: &str| condition(object, "Ready").and_then(|it| it[field].as_str()).unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

impl Plane {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let up = Up::start(folder.path(), &[]);
        let api = up.address("api").parse().unwrap();
        Self { up, api, _folder: folder }
    }

    fn create(&self, object: &Value) -> Message {
        let plural = if object["kind"] == "Broker" { "brokers" } else { "triggers" };
        call(self.api, "POST", &path(plural, ""), JSON, object.to_string().as_bytes())
    }

    /// As it is stored.
    fn created(&self, object: &Value) -> Value {
        taken(&self.create(object), 201)
    }

    fn patch(&self, path: &str, patch: &Value) -> Message {
        call(self.api, "PATCH", path, MERGE, patch.to_string().as_bytes())
    }

    fn patched(&self, path: &str, patch: &Value) -> Value {
        taken(&self.patch(path, patch), 200)
    }

    fn get(&self, path: &str) -> Value {
        taken(&call(self.api, "GET", path, "", b""), 200)
    }

    /// The object, when `Ready` is what it is to be with a reason (any, if none is named), of the generation that it has.
    #[track_caller]
    fn settled(&self, path: &str, status: &str, reason: &str) -> Value {
        wait_for(&format!("{path} to be {status} {reason}"), || {
            let object = self.get(path);
            let (is, why) = ready(&object);
            // Check 11.
            let is_of_now = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            let is_so = is == status && (reason.is_empty() || why == reason);
            if is_so && is_of_now { Ok(object) } else { Err(object["status"].to_string()) }
        })
    }

    fn post(&self, broker: &str, id: &str, ty: &str) -> u16 {
        let ingress = self.up.address("ingress").parse().unwrap();
        let headers = format!("ce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /conformance\r\nce-type: {ty}\r\n");
        let mut connection = Connection::open(ingress).unwrap();
        connection.call("POST", &format!("/default/{broker}"), &headers, b"").unwrap().status()
    }
}

#[track_caller]
fn taken(answer: &Message, code: u16) -> Value {
    assert_eq!(answer.status(), code, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asserts a `Status` that names just these fields, one cause for each, and says this of them.
#[track_caller]
fn refused(row: &str, answer: &Message, fields: &[&str], says: &str) {
    let text = answer.text();
    assert_eq!(answer.status(), 422, "{row}: {text}");
    let status: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (status["kind"].as_str(), status["reason"].as_str()),
        (Some("Status"), Some("Invalid")),
        "{row}: {text}"
    );
    let causes = status["details"]["causes"].as_array().unwrap();
    let named: Vec<&str> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert_eq!(named, fields, "{row}: {text}");
    let said: Vec<&str> = causes.iter().map(|cause| cause["message"].as_str().unwrap()).collect();
    assert!(said.iter().any(|said| said.contains(says)), "{row}: {says:?} is not in {said:?}");
}

/// Checks 12, 15, 38 to 40, 42 and 43, and section 4.5.
#[test]
fn what_is_against_a_rule_is_refused_and_named() {
    let plane = Plane::start();
    let with_delivery =
        |delivery: Value| (broker("bad", json!({"delivery": delivery})), trigger("bad", json!({"delivery": delivery})));
    for (row, delivery, field, says) in [
        ("12 retry", json!({"retry": -1}), "spec.delivery.retry", "invalid value: -1"),
        ("12 policy", json!({"backoffPolicy": "odd"}), "spec.delivery.backoffPolicy", "linear or exponential"),
        ("12 period", json!({"backoffDelay": "1 second"}), "spec.delivery.backoffDelay", "ISO-8601"),
        ("12 timeout", json!({"timeout": "PT0S"}), "spec.delivery.timeout", "PT0S"),
        ("12 format", json!({"format": "xml"}), "spec.delivery.format", "xml"),
        ("12 sink", json!({"deadLetterSink": {"uri": "/here"}}), "spec.delivery.deadLetterSink.uri", "Relative URI"),
    ] {
        let (broker, trigger) = with_delivery(delivery);
        refused(row, &plane.create(&broker), &[field], says);
        refused(row, &plane.create(&trigger), &[field], says);
    }
    let subscriber = |destination: Value| trigger("bad", json!({"subscriber": destination}));
    let filter = |filter: Value| trigger("bad", json!({"filters": [filter]}));
    let to = json!({"apiVersion": "v1", "kind": "Service", "name": "s"});
    let by_reference = |namespace: &str| {
        let reference = json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default", "namespace": namespace});
        trigger("bad", json!({"broker": null, "brokerRef": reference}))
    };
    let both =
        trigger("bad", json!({"brokerRef": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b"}}));
    let depends = |on: &str| annotated(trigger("bad", json!({})), DEPENDENCY, on);
    let injected = |value: &str, broker: &str| annotated(trigger("bad", json!({"broker": broker})), INJECTION, value);
    let dependency = format!("metadata.annotations[{DEPENDENCY}]");
    let injection = format!("metadata.annotations[{INJECTION}]");
    let of_dependency = |field: &str| format!("{dependency}.{field}");
    for (row, object, fields, says) in [
        (
            "15 no broker",
            trigger("bad", json!({"broker": null})),
            &["spec.broker", "spec.brokerRef"][..],
            "got neither",
        ),
        ("15 two brokers", both, &["spec.broker", "spec.brokerRef"], "got both"),
        ("38", filter(json!({"exact": {"type": "a"}, "prefix": {"type": "a"}})), &["spec.filters[0]"], "dialect"),
        ("39", filter(json!({"cesql": "type ="})), &["spec.filters[0].cesql"], "cesql"),
        ("40 neither", subscriber(json!({})), &["spec.subscriber.ref", "spec.subscriber.uri"], "got none"),
        (
            "40 both",
            subscriber(json!({"ref": to, "uri": "http://h.example/"})),
            &["spec.subscriber.ref", "spec.subscriber.uri"],
            "Absolute URI is not allowed",
        ),
        ("40 relative", subscriber(json!({"uri": "/here"})), &["spec.subscriber.uri"], "Relative URI is not allowed"),
        ("40 no host", subscriber(json!({"uri": "http:///here"})), &["spec.subscriber.uri"], "no host"),
        (
            "40 PEM",
            subscriber(json!({"uri": "http://h.example/", "CACerts": "no certificate"})),
            &["spec.subscriber.CACerts"],
            "certificate",
        ),
        (
            "4.3 reference",
            subscriber(json!({"ref": {"kind": "Service"}})),
            &["spec.subscriber.ref.name", "spec.subscriber.ref.apiVersion"],
            "missing field(s)",
        ),
        ("42 no dialect", filter(json!({})), &["spec.filters[0]"], "dialect"),
        ("42 no attributes", filter(json!({"exact": {}})), &["spec.filters[0].exact"], "exact"),
        ("42 exact", filter(json!({"exact": {"type": ""}})), &["spec.filters[0].exact[type]"], "empty"),
        ("42 prefix", filter(json!({"prefix": {"type": ""}})), &["spec.filters[0].prefix[type]"], "empty"),
        ("42 suffix", filter(json!({"suffix": {"type": ""}})), &["spec.filters[0].suffix[type]"], "empty"),
        ("43", by_reference("other"), &["spec.brokerRef.namespace"], "another namespace is not supported"),
        ("4.5 dependency", depends("route"), &[&dependency], "was not a corev1.ObjectReference"),
        (
            "4.5 dependency elsewhere",
            depends(r#"{"kind":"Route","name":"r","apiVersion":"serving.knative.dev/v1","namespace":"other"}"#),
            &[&of_dependency("namespace")],
            "Namespace must be empty or equal to the trigger namespace",
        ),
        (
            "4.5 dependency of nothing",
            depends("{}"),
            &[&of_dependency("kind"), &of_dependency("name"), &of_dependency("apiVersion")],
            "missing field(s)",
        ),
        ("4.5 injection", injected("perhaps", "default"), &[&injection], "can only be \"enabled\" or \"disabled\""),
        ("4.5 injection elsewhere", injected("enabled", "other"), &[&injection], "only used for default broker"),
    ] {
        refused(row, &plane.create(&object), fields, says);
    }
    for plural in ["brokers", "triggers"] {
        let missing = call(plane.api, "GET", &path(plural, "bad"), "", b"");
        assert_eq!(missing.status(), 404, "{}", missing.text());
    }
}

/// Checks 24 to 34.
#[test]
fn a_filter_names_attributes_by_their_rule() {
    let plane = Plane::start();
    let good = [
        "source",
        "id",
        "specversion",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "aaa",
        "c1d2e3",
        "abcdefghijklmnopqrst",
    ];
    for (number, name) in good.into_iter().enumerate() {
        let older = json!({"attributes": {name: "v"}});
        let stored = plane.created(&trigger(&format!("older-{number}"), json!({"filter": older})));
        assert_eq!(stored["spec"]["filter"], older, "as it was given");
        let newer = json!([{"exact": {name: "v"}}]);
        let stored = plane.created(&trigger(&format!("newer-{number}"), json!({"filters": newer})));
        assert_eq!(stored["spec"]["filters"], newer, "as it was given");
    }
    for bad in ["SOURCE", "Source", "souRce", "s pace s", "s_pace_s", "s-pace-s", "123", "🙂", "!@#$%^&*()", "{}[]|"]
    {
        let older = plane.create(&trigger("bad", json!({"filter": {"attributes": {bad: "v"}}})));
        let says = format!("invalid key name {bad:?}");
        refused(bad, &older, &["spec.filter.attributes"], &says);
        let newer = plane.create(&trigger("bad", json!({"filters": [{"exact": {bad: "v"}}]})));
        refused(bad, &newer, &["spec.filters[0].exact"], &says);
    }
}

/// Checks 1 to 3, 8, 15 to 16, 23, 35 to 36, and section 4.4.
#[test]
fn defaults_are_filled_in_and_what_is_fixed_stays() {
    let plane = Plane::start();
    let stored = plane.created(&broker("b", json!({})));
    assert_eq!(stored["metadata"]["annotations"][CLASS], "Pelton", "1");
    let delivery = &stored["spec"]["delivery"];
    assert!(
        delivery["retry"].is_i64() && delivery["backoffPolicy"].is_string() && delivery["backoffDelay"].is_string(),
        "8"
    );
    let config = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name});
    let stored = plane.created(&broker("configured", json!({"config": config("c"), "delivery": {"retry": 1}})));
    assert_eq!(stored["spec"]["delivery"], json!({"retry": 1}), "8: its own is left as it is");
    assert_eq!(stored["spec"]["config"]["namespace"], "default");

    let to = json!({"ref": {"apiVersion": "v1", "kind": "Service", "name": "s"}});
    let stored = plane.created(&trigger("t", json!({"subscriber": to, "delivery": {"deadLetterSink": to}})));
    assert_eq!(stored["spec"]["filter"], json!({}), "35");
    assert_eq!(stored["spec"]["broker"], "default", "23");
    assert_eq!(stored["metadata"]["labels"]["eventing.knative.dev/broker"], "default");
    for place in ["/spec/subscriber/ref/namespace", "/spec/delivery/deadLetterSink/ref/namespace"] {
        assert_eq!(stored.pointer(place).unwrap(), "default", "36 {place}");
    }
    let by_ref = json!({"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "b"});
    plane.created(&trigger("r", json!({"broker": null, "brokerRef": by_ref})));

    let class = format!("metadata.annotations[{CLASS}]");
    for (row, plural, name, patch, field) in [
        ("2", "brokers", "b", json!({"metadata": {"annotations": {CLASS: "Kafka"}}}), class.as_str()),
        ("3", "brokers", "configured", json!({"spec": {"config": config("d")}}), "spec.config"),
        ("3", "brokers", "b", json!({"spec": {"config": config("d")}}), "spec.config"),
        ("3", "brokers", "configured", json!({"spec": {"config": null}}), "spec.config"),
        ("16", "triggers", "t", json!({"spec": {"broker": "b"}}), "spec.broker"),
        ("16", "triggers", "r", json!({"spec": {"brokerRef": {"name": "default"}}}), "spec.brokerRef.name"),
    ] {
        let before = plane.get(&path(plural, name));
        refused(row, &plane.patch(&path(plural, name), &patch), &[field], "Immutable fields changed");
        let after = plane.get(&path(plural, name));
        assert_eq!(
            (&after["spec"], &after["metadata"]["generation"]),
            (&before["spec"], &before["metadata"]["generation"])
        );
    }
}

/// Checks 4 to 7, 9 to 11, 13, 14 and 17 to 20.
#[test]
fn what_is_ready_works_and_what_is_not_says_why() {
    let plane = Plane::start();
    let (came, coming) = std::sync::mpsc::channel();
    let sink = Sink::start(move |request, stream| {
        let _ = came.send(request.header("ce-id").unwrap_or_default().to_owned());
        answer(stream, 200, "", b"")
    });
    plane.created(&trigger("early", json!({"broker": "late", "subscriber": {"uri": sink.url()}})));
    let early = plane.settled(&path("triggers", "early"), "False", "BrokerDoesNotExist");
    assert!(condition(&early, "BrokerReady").unwrap()["message"].as_str().unwrap().contains("\"late\""), "18");

    let dead = |port: u16| json!({"delivery": {"deadLetterSink": {"uri": format!("http://127.0.0.1:{port}/")}}});
    plane.created(&broker("late", dead(8)));
    let ready = plane.settled(&path("brokers", "late"), "True", "");
    assert_eq!(ready["status"]["deadLetterSinkUri"], "http://127.0.0.1:8/", "7");
    let url = ready["status"]["address"]["url"].as_str().unwrap();
    assert_eq!(url, format!("http://{}/default/late", plane.up.address("ingress")), "6");
    assert_eq!(plane.post("late", "5", "at.once"), 202, "5");
    let early = plane.settled(&path("triggers", "early"), "True", "");
    assert_eq!(early["status"]["subscriberUri"], sink.url(), "17, 19");
    assert_eq!(early["status"]["deadLetterSinkUri"], "http://127.0.0.1:8/", "its Broker's");
    assert_eq!(plane.post("late", "14", "at.once"), 202);
    // What was sent before the Trigger was Ready may come, and does before the other.
    wait_until("14: what was sent to come", || coming.try_recv().is_ok_and(|id| id == "14"));

    plane.patched(&path("brokers", "late"), &json!({"spec": dead(7)}));
    plane.settled(&path("brokers", "late"), "True", "");
    wait_until("9: the Trigger to follow", || {
        plane.get(&path("triggers", "early"))["status"]["deadLetterSinkUri"] == "http://127.0.0.1:7/"
    });

    let elsewhere = json!({"config": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "namespace": "other"}});
    plane.created(&broker("elsewhere", elsewhere));
    plane.settled(&path("brokers", "elsewhere"), "True", "");

    let lost =
        json!({"delivery": {"deadLetterSink": {"ref": {"apiVersion": "v1", "kind": "Service", "name": "gone"}}}});
    plane.patched(&path("brokers", "late"), &json!({"spec": {"delivery": null}}));
    plane.patched(&path("brokers", "late"), &json!({"spec": lost}));
    let broken = plane.settled(&path("brokers", "late"), "False", "ReferenceNotFound");
    assert_eq!(broken["status"].get("deadLetterSinkUri"), None);
    plane.settled(&path("triggers", "early"), "False", "ReferenceNotFound");
    let removed = call(plane.api, "DELETE", &path("brokers", "late"), "", b"");
    assert_eq!(removed.status(), 200, "{}", removed.text());
    plane.settled(&path("triggers", "early"), "False", "BrokerDoesNotExist");
}

/// Checks 21, 37, 41 and 310, and section 4.3.
#[test]
fn references_are_followed_and_broken_ones_are_told() {
    let plane = Plane::start();
    let service = "/api/v1/namespaces/default/services";
    let external =
        |host: &str| json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": host}});
    let to = json!({"ref": {"apiVersion": "v1", "kind": "Service", "name": "s"}, "uri": "/in?x=1"});
    plane.created(&trigger("t", json!({"subscriber": to})));
    let at = path("triggers", "t");
    let alone = plane.settled(&at, "False", "ReferenceNotFound");
    assert_eq!(alone["status"].get("subscriberUri"), None, "21");
    taken(&call(plane.api, "POST", service, JSON, external("h.example").to_string().as_bytes()), 201);
    assert_eq!(plane.settled(&at, "True", "")["status"]["subscriberUri"], "http://h.example/in?x=1", "41");
    plane.patched(&format!("{service}/s"), &json!({"spec": {"externalName": "other.example"}}));
    wait_until("it to be followed", || plane.get(&at)["status"]["subscriberUri"] == "http://other.example/in?x=1");
    taken(&call(plane.api, "DELETE", &format!("{service}/s"), "", b""), 200);
    assert_eq!(plane.settled(&at, "False", "ReferenceNotFound")["status"].get("subscriberUri"), None, "310");

    // Each Broker has an address that a Trigger may lead to.
    plane.created(&broker("next", json!({})));
    let next = json!({"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "next"}});
    plane.created(&trigger("chain", json!({"subscriber": next})));
    let chain = plane.settled(&path("triggers", "chain"), "True", "");
    assert_eq!(chain["status"]["subscriberUri"], format!("http://{}/default/next", plane.up.address("ingress")));

    let on = r#"{"kind":"Broker","name":"needed","apiVersion":"eventing.knative.dev/v1"}"#;
    plane.created(&annotated(trigger("waits", json!({})), DEPENDENCY, on));
    plane.settled(&path("triggers", "waits"), "False", "DependencyDoesNotExist");
    plane.created(&broker("needed", json!({})));
    plane.settled(&path("triggers", "waits"), "True", "");
}
