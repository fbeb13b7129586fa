//! `pelton broker` and `pelton trigger`, in `kn`'s manner.

use crate::scene::Scene;

#[test]
fn a_broker_is_made_changed_and_deleted() {
    let scene = Scene::start();
    let delivery = "get broker orders -o jsonpath={.spec.delivery";
    scene.rows(&[
        (
            "broker create orders --retry 5 --backoff-delay 1s --dl-sink ksvc:failed",
            0,
            &["broker.eventing.knative.dev/orders created\n"],
            &[],
        ),
        ("broker create orders", 1, &[], &["(AlreadyExists)"]),
        ("broker create shop/orders -o name", 0, &["broker.eventing.knative.dev/orders\n"], &[]),
        (&format!("{delivery}.backoffDelay}}"), 0, &["PT1S\n"], &[]),
        (&format!("{delivery}.deadLetterSink.ref.name}}"), 0, &["failed\n"], &[]),
        ("broker list -A", 0, &["NAMESPACE", "default     orders", "shop        orders"], &[]),
        ("broker list -o name", 0, &["broker.eventing.knative.dev/orders"], &[]),
        ("broker update orders --retry 3 --dl-sink http://127.0.0.1:9/dead", 0, &["orders updated"], &[]),
        (&format!("{delivery}.retry}}"), 0, &["3\n"], &[]),
        (&format!("{delivery}.backoffDelay}}"), 0, &["PT1S\n"], &[]),
        (&format!("{delivery}.deadLetterSink}}"), 0, &["{\"uri\":\"http://127.0.0.1:9/dead\"}\n"], &[]),
        ("broker update orders", 2, &[], &["nothing is to be changed"]),
        ("broker update missing --retry 1", 1, &[], &["(NotFound)"]),
        ("broker describe orders", 0, &["Broker default/orders", "backoffDelay: PT1S"], &[]),
        ("broker delete orders missing", 1, &["orders deleted"], &["missing"]),
        ("broker delete orders --ignore-not-found", 0, &[], &[]),
        ("broker delete orders -n shop", 0, &["orders deleted"], &[]),
    ]);
}

#[test]
fn a_trigger_is_made_changed_paused_and_deleted() {
    let scene = Scene::start();
    let spec = "get trigger t -o jsonpath={.spec";
    scene.rows(&[
        (
            "trigger create t --filter type=a --filter source=/s --sink http://127.0.0.1:9/",
            0,
            &["trigger.eventing.knative.dev/t created\n"],
            &[],
        ),
        ("trigger create t --sink http://127.0.0.1:9/", 1, &[], &["(AlreadyExists)"]),
        ("trigger create bad --sink http://", 1, &[], &["is invalid"]),
        (
            "trigger create bad --filter type=a --filter source=/s --filter type=b --sink http://127.0.0.1:9/",
            2,
            &[],
            &["--filter", "\"type\" is given twice"],
        ),
        ("trigger update t --filter type=a --filter type-", 2, &[], &["--filter", "\"type\" is given twice"]),
        ("trigger test -x a=b -x a=c", 2, &[], &["--attribute", "\"a\" is given twice"]),
        ("trigger test --type a -x type=b", 2, &[], &["--attribute", "\"type\" is given twice"]),
        ("trigger list -o wide", 0, &[r#"{"source":"/s","type":"a"}"#, "default"], &[]),
        ("trigger update t --filter type=b --filter source- --sink broker:other --retry 1", 0, &["t updated"], &[]),
        (&format!("{spec}.filter.attributes}}"), 0, &["{\"type\":\"b\"}\n"], &[]),
        (&format!("{spec}.subscriber.ref.kind}}"), 0, &["Broker\n"], &[]),
        (&format!("{spec}.subscriber.uri}}"), 0, &[], &[]),
        ("trigger update t --sink http://127.0.0.1:9/x", 0, &["t updated"], &[]),
        (&format!("{spec}.subscriber}}"), 0, &["{\"uri\":\"http://127.0.0.1:9/x\"}\n"], &[]),
        ("trigger pause t", 0, &["Trigger default/t paused\n"], &[]),
        ("trigger pause t", 0, &["paused"], &[]),
        ("trigger list -o wide", 0, &["true"], &[]),
        ("trigger resume t", 0, &["Trigger default/t resumed\n"], &[]),
        ("trigger list -o wide", 0, &["false"], &[]),
        ("trigger pause missing", 1, &[], &["(NotFound)"]),
        ("trigger rewind t --to earliest", 0, &["rewound to earliest"], &[]),
        ("trigger describe t", 0, &["Trigger default/t", "uri: http://127.0.0.1:9/x"], &[]),
        ("trigger delete t", 0, &["t deleted"], &[]),
    ]);
    scene.file(
        "many.yaml",
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: many}\nspec: {broker: default, filters: \
         [{prefix: {type: a}}], subscriber: {uri: 'http://127.0.0.1:9/'}}\n",
    );
    scene.ok("apply -f many.yaml");
    scene.rows(&[("trigger update many --filter type=a", 1, &[], &["spec.filters", "pelton edit"])]);
}
