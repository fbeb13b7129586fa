//! Events, in the words of both of their groups.

use crate::scene::{shop, with_every_kubectl};

#[test]
fn events_are_shown_with_their_object() {
    with_every_kubectl("events", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -f shop.yaml");
        let uid = scene.ok("get broker shop -o jsonpath={.metadata.uid}");
        // Just now, as the server has it: an Event that is old is not kept.
        let now = scene.ok("get broker shop -o jsonpath={.metadata.creationTimestamp}");
        scene.file(
            "event.yaml",
            &format!(
                "apiVersion: v1\nkind: Event\nmetadata: {{name: shop.1}}\nreason: Tested\nmessage: it was looked at\n\
                 type: Warning\ninvolvedObject: {{apiVersion: eventing.knative.dev/v1, kind: Broker, name: shop, \
                 namespace: default, uid: {uid}}}\n\
                 firstTimestamp: '{now}'\nlastTimestamp: '{now}'\ncount: 3\nsource: {{component: tester}}\n"
            ),
        );
        scene.rows(&[
            ("get events", 0, &[], &["No resources found in default namespace.\n"]),
            ("create -f event.yaml", 0, &["event/shop.1 created\n"], &[]),
            (
                "get events",
                0,
                &["LAST SEEN   TYPE      REASON   OBJECT", "Warning   Tested   broker/shop   it was looked at"],
                &[],
            ),
            ("events", 0, &["(x3 over", "Broker/shop   it was looked at"], &[]),
            ("events --for broker.eventing.knative.dev/shop", 0, &["it was looked at"], &[]),
            ("events --types=Normal", 0, &[], &["No events found in default namespace.\n"]),
            ("describe broker shop", 0, &["Warning  Tested", "tester", "it was looked at"], &[]),
            ("get events --field-selector involvedObject.name=shop,reason=Tested -o name", 0, &["event/shop.1\n"], &[]),
            (
                "get events --field-selector involvedObject.name=other",
                0,
                &[],
                &["No resources found in default namespace.\n"],
            ),
            ("get events.events.k8s.io shop.1 -o jsonpath={.note}:{.deprecatedCount}", 0, &["it was looked at:3"], &[]),
        ]);
    });
}

/// As upstream: an Event's own name is only in the wide table.
#[test]
fn an_event_is_told_without_its_name() {
    with_every_kubectl("the columns of events", |scene| {
        scene.file(
            "event.yaml",
            "apiVersion: v1\nkind: Event\nmetadata: {name: e}\nreason: R\nmessage: m\ntype: Normal\n\
             involvedObject: {kind: Broker, name: default, namespace: default}\n",
        );
        scene.ok("create -f event.yaml");
        let table = scene.ok("get events");
        assert!(table.starts_with("LAST SEEN "), "{table}");
    });
}
