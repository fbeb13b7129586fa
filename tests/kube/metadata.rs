//! Labels and annotations.

use crate::scene::{config_map, with_every_kubectl};

#[test]
fn labels_and_annotations_are_set_and_taken_away() {
    with_every_kubectl("label and annotate", |scene| {
        scene.ok("create cm c --from-literal=a=b");
        scene.ok("create cm d --from-literal=a=b");
        scene.rows(&[
            ("label cm c tier=front", 0, &["configmap/c labeled\n"], &[]),
            ("label cm c tier=front", 0, &["configmap/c not labeled\n"], &[]),
            ("label cm c tier=back", 1, &[], &["already has a value (front), and --overwrite is false"]),
            ("label cm c tier=back --overwrite", 0, &["configmap/c labeled\n"], &[]),
            ("label cm c --list", 0, &["tier=back\n"], &[]),
            ("get cm -l tier=back -o name", 0, &["configmap/c\n"], &[]),
            ("get cm -l tier!=back -o name", 0, &["configmap/d\n"], &[]),
            ("get cm -l '!tier' -o name", 0, &["configmap/d\n"], &[]),
            ("get cm -l 'tier in (back, side)' -o name", 0, &["configmap/c\n"], &[]),
            ("get cm -l 'tier notin (back)' -o name", 0, &["configmap/d\n"], &[]),
            ("label cm c tier-", 0, &["configmap/c unlabeled\n"], &[]),
            ("label cm c tier-", 0, &["label \"tier\" not found.\n"], &[]),
            ("label cm --all set=both", 0, &["configmap/c labeled\n", "configmap/d labeled\n"], &[]),
            ("label cm -l set=both more=1 --dry-run=server", 0, &["configmap/c labeled (server dry run)\n"], &[]),
            ("get cm -l more", 0, &[], &["No resources found in default namespace.\n"]),
            ("annotate cm c note='with blanks'", 0, &["configmap/c annotated\n"], &[]),
            ("get cm c -o jsonpath={.metadata.annotations.note}", 0, &["with blanks"], &[]),
            ("annotate cm c note-", 0, &["configmap/c annotated\n"], &[]),
            ("get cm c -o jsonpath={.metadata.annotations}", 0, &[], &[]),
            ("label cm nothing a=b", 1, &[], &["configmaps \"nothing\" not found"]),
        ]);
        // Of a custom kind it is no change of what is wanted.
        scene.rows(&[
            ("label broker default a=b", 0, &["labeled\n"], &[]),
            ("annotate broker default a=b", 0, &["annotated\n"], &[]),
            ("get broker default -o jsonpath={.metadata.generation}", 0, &["1"], &[]),
        ]);
    });
}

/// Kubernetes, "Labels and Selectors", "Syntax and character set".
#[test]
fn bad_keys_and_values_are_refused() {
    with_every_kubectl("bad labels", |scene| {
        for (number, metadata) in [
            ", labels: {'bad key': x}",
            ", labels: {'example.com/': x}",
            ", labels: {'Bad_Prefix/x': x}",
            ", labels: {a: 'bad value'}",
            ", labels: {a: '-x'}",
            ", annotations: {'bad key': x}",
        ]
        .into_iter()
        .enumerate()
        {
            scene.file("bad.yaml", &config_map(&format!("c{number}"), metadata, ""));
            let said = scene.say("apply -f bad.yaml");
            assert_eq!(said.code, 1, "{metadata}: {said:?}");
            assert!(said.stderr.contains("is invalid: metadata."), "{metadata}: {said:?}");
        }
    });
}
