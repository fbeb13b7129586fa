//! What there is, and who may do it.

use crate::scene::with_every_kubectl;

#[test]
fn everybody_may_do_everything_on_the_loopback_interface() {
    with_every_kubectl("auth", |scene| {
        scene.rows(&[
            ("auth can-i create triggers", 0, &["yes\n"], &[]),
            ("auth can-i get brokers --subresource=status", 0, &["yes\n"], &[]),
            ("auth can-i get /healthz", 0, &["yes\n"], &[]),
            ("auth can-i '*' '*'", 0, &["yes\n"], &[]),
            ("auth can-i --list", 0, &["triggers.eventing.knative.dev", "[create delete deletecollection get"], &[]),
            ("auth whoami", 0, &["Username    pelton:local\n", "[system:masters]"], &[]),
            ("auth can-i create triggers --as=somebody", 1, &[], &["nobody can act as somebody else here"]),
        ]);
    });
}

#[test]
fn kinds_and_versions_are_listed() {
    with_every_kubectl("api-resources", |scene| {
        scene.rows(&[
            (
                "api-resources",
                0,
                &[
                    "brokers                                     eventing.knative.dev/v1       true         Broker\n",
                    "services                    kservice,ksvc   serving.knative.dev/v1        true         Service\n",
                    "namespaces                  ns              v1       ",
                ],
                &[],
            ),
            ("api-resources --api-group=eventing.knative.dev -o name", 0, &["brokers.", "triggers."], &[]),
            ("api-resources --categories=knative --verbs=watch -o name", 0, &["revisions.serving.knative.dev\n"], &[]),
            ("api-versions", 0, &["eventing.knative.dev/v1\n", "events.k8s.io/v1\n", "\nv1\n"], &[]),
            ("cluster-info", 0, &["is running at", "http://127.0.0.1:"], &[]),
            ("config current-context", 0, &["pelton\n"], &[]),
        ]);
        let said = scene.say("version");
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.contains("+pelton\n"), "{said:?}");
    });
}
