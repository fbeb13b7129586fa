//! `kubectl explain`, from the OpenAPI documents.

use crate::scene::with_every_kubectl;

#[test]
fn kinds_and_fields_are_explained() {
    with_every_kubectl("explain", |scene| {
        scene.rows(&[
            (
                "explain trigger",
                0,
                &["GROUP:      eventing.knative.dev\nKIND:       Trigger\nVERSION:    v1\n", "spec\t<TriggerSpec>"],
                &[],
            ),
            ("explain trigger.spec", 0, &["subscriber\t<Destination> -required-"], &[]),
            ("explain trigger.spec.delivery.retry", 0, &["FIELD: retry <integer>"], &[]),
            ("explain trigger.spec.delivery", 0, &["backoffPolicy\t<string>", "enum: exponential, linear"], &[]),
            ("explain trigger.metadata.labels", 0, &["FIELD: labels <map[string]string>"], &[]),
            (
                "explain trigger --recursive",
                0,
                &["    deadLetterSink\t<Destination>\n", "  observedGeneration\t<integer>\n"],
                &[],
            ),
            ("explain broker.spec --recursive", 0, &["delivery\t<DeliverySpec>"], &[]),
            (
                "explain ksvc.spec.template.spec.containers",
                0,
                &["FIELD: containers <[]Container>", "image\t<string>"],
                &[],
            ),
            ("explain cm.data", 0, &["KIND:       ConfigMap\n", "FIELD: data <map[string]string>"], &[]),
            ("explain event --api-version=events.k8s.io/v1", 0, &["GROUP:      events.k8s.io\n", "regarding\t"], &[]),
            ("explain ns", 0, &["KIND:       Namespace\n"], &[]),
            ("explain nosuch", 1, &[], &["the server doesn't have a resource type \"nosuch\""]),
            ("explain trigger.spec.nosuch", 1, &["KIND:       Trigger\n"], &["field \"nosuch\" does not exist"]),
        ]);
    });
}
