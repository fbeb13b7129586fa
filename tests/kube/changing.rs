//! A Trigger that is changed while events come: none is lost, and none comes twice (conformance check 22).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::scene::{Scene, with_every_kubectl};
use crate::support::http::Connection;
use crate::support::sink::{Sink, answer};
use crate::support::wait_until;

/// What came, in its order: the path and the id.
type Came = Arc<Mutex<Vec<(String, String)>>>;

fn sink() -> (Sink, Came) {
    let came = Came::default();
    let into = Arc::clone(&came);
    let sink = Sink::start(move |request, stream| {
        let path = request.first.split(' ').nth(1).unwrap_or_default().to_owned();
        into.lock().unwrap().push((path, request.header("ce-id").unwrap_or_default().to_owned()));
        answer(stream, 200, "", b"")
    });
    (sink, came)
}

fn post(connection: &mut Connection, id: &str) {
    let headers = format!("ce-specversion: 1.0\r\nce-id: {id}\r\nce-source: /shop\r\nce-type: com.example.order\r\n");
    let answer = connection.call("POST", "/default/default", &headers, b"").unwrap();
    assert_eq!(answer.status(), 202, "{}", answer.text());
}

fn at(came: &Came, path: &str) -> usize {
    came.lock().unwrap().iter().filter(|(to, _)| to == path).count()
}

/// Sends while the Trigger is changed; gives how many were sent.
fn change_under_load(scene: &Scene, url: &str, came: &Came) -> usize {
    let ingress = scene.up.address("ingress").parse().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut connection = Connection::open(ingress).unwrap();
            let mut sent = 0;
            while !is_over.load(Ordering::Acquire) {
                post(&mut connection, &format!("load-{sent}"));
                sent += 1;
            }
            sent
        });
        wait_until("events to come", || at(came, "/first") > 0);
        let lead = |path: &str| format!(r#"{{"spec":{{"subscriber":{{"uri":"{url}{path}"}}}}}}"#);
        for (patch, path) in [
            (lead("second"), "second"),
            (
                r#"{"spec":{"delivery":{"retry":3,"backoffPolicy":"linear","backoffDelay":"PT0.1S"}}}"#.to_owned(),
                "second",
            ),
            (r#"{"spec":{"filters":[{"prefix":{"type":"com.example."}}]}}"#.to_owned(), "second"),
            (lead("third"), "third"),
            (r#"{"spec":{"filters":null,"filter":{"attributes":{"source":"/shop"}}}}"#.to_owned(), "third"),
            (lead("first"), "first"),
        ] {
            let path = format!("/{path}");
            let before = at(came, &path);
            scene.ok(&format!("patch trigger orders --type=merge -p '{patch}'"));
            wait_until("events to come after the change", || at(came, &path) > before + 20);
        }
        is_over.store(true, Ordering::Release);
        sending.join().unwrap()
    })
}

#[test]
fn a_trigger_that_is_changed_loses_and_repeats_nothing() {
    with_every_kubectl("a trigger that is changed", |scene| {
        let (sink, came) = sink();
        let url = sink.url();
        scene.file(
            "trigger.yaml",
            &format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: orders}}\nspec:\n  broker: default\n  \
                 filter: {{attributes: {{type: com.example.order}}}}\n  subscriber: {{uri: '{url}first'}}\n"
            ),
        );
        scene.ok("apply -f trigger.yaml");
        scene.ok("wait --for=condition=Ready trigger/orders --timeout=60s");
        let sent = change_under_load(scene, &url, &came);
        wait_until("everything to have come", || came.lock().unwrap().len() >= sent);
        // A filter counts for what is sent after it was changed, and what it let pass by does not come later.
        let mut connection = Connection::open(scene.up.address("ingress").parse().unwrap()).unwrap();
        let filter = |ty: &str| {
            let patch = format!(r#"{{"spec":{{"filter":{{"attributes":{{"source":null,"type":"{ty}"}}}}}}}}"#);
            scene.ok(&format!("patch trigger orders --type=merge -p '{patch}'"));
        };
        filter("com.example.other");
        (0..10).for_each(|n| post(&mut connection, &format!("passed-{n}")));
        filter("com.example.order");
        (0..10).for_each(|n| post(&mut connection, &format!("last-{n}")));
        wait_until("the last to have come", || came.lock().unwrap().len() >= sent + 10);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        came.lock().unwrap().iter().for_each(|(_, id)| *counts.entry(id.clone()).or_default() += 1);
        let wanted = (0..sent).map(|n| format!("load-{n}")).chain((0..10).map(|n| format!("last-{n}")));
        assert_eq!(counts, wanted.map(|id| (id, 1)).collect());
        let generation = scene.ok("get trigger orders -o jsonpath={.metadata.generation}");
        scene.ok(&format!(
            "wait --for=jsonpath={{.status.observedGeneration}}={generation} trigger/orders --timeout=60s"
        ));
        assert_eq!(generation, "9");
    });
}
