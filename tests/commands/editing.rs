//! `pelton edit`, `pelton label` and `pelton annotate`.

use crate::command::run;
use crate::scene::Scene;

/// Edits an object with a script as the editor, which gets the file as its argument.
fn edit(scene: &Scene, line: &str, script: &str) -> (i32, String, String) {
    let editor = scene.file("editor.sh", script);
    let mut command = scene.command(&format!("edit {line}"));
    command.env("TMPDIR", scene.folder.path()).env_remove("VISUAL").env("EDITOR", format!("sh {}", editor.display()));
    run(&mut command)
}

/// The files that were left behind.
fn drafts(scene: &Scene) -> Vec<String> {
    let names = std::fs::read_dir(scene.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("pelton-edit-")).collect()
}

#[test]
fn what_was_changed_is_sent_and_nothing_else() {
    let scene = Scene::with_shop();
    let (code, stdout, stderr) = edit(&scene, "trigger orders", "sed -i s/9.orders/9\\\\/changed/ $1\n");
    assert_eq!((code, stdout.as_str()), (0, "trigger.eventing.knative.dev/orders edited\n"), "{stderr}");
    assert_eq!(scene.ok("get trigger orders -o jsonpath={.spec.subscriber.uri}"), "http://127.0.0.1:9/changed\n");
    for script in ["true\n", ": > $1\n"] {
        let (code, stdout, stderr) = edit(&scene, "trigger/orders", script);
        assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
        assert!(stderr.contains("no changes made"), "{stderr}");
    }
    assert_eq!(drafts(&scene), [""; 0]);
}

/// A draft may be a Secret: where nobody wrote anything none is left, and nothing is said of it.
#[test]
fn a_draft_that_nobody_wrote_in_does_not_stay() {
    let scene = Scene::with_shop();
    let check = |(code, stdout, stderr): (i32, String, String)| {
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.contains("the editor") && !stderr.contains("what you wrote"), "{stderr}");
        assert_eq!(drafts(&scene), [""; 0]);
    };
    check(edit(&scene, "trigger orders", "exit 3\n"));
    let mut command = scene.command("edit trigger orders");
    command.env("TMPDIR", scene.folder.path()).env_remove("VISUAL").env("EDITOR", "no-such-editor");
    check(run(&mut command));
}

#[test]
fn what_is_refused_is_kept() {
    let scene = Scene::with_shop();
    let pelton = env!("CARGO_BIN_EXE_pelton");
    let meanwhile =
        format!("{pelton} trigger update orders --filter type=other > /dev/null\nsed -i s/9.orders/9\\\\/mine/ $1\n");
    for (script, code, want) in [
        ("sed -i s/http:.*/nowhere/ $1\n", 1, "The Trigger \"orders\" is invalid: spec.subscriber.uri"),
        ("sed -i 's/broker: shop/broker: shop\\n  colour: red/' $1\n", 1, "colour"),
        ("sed -i 's/name: orders/name: others/' $1\n", 2, "metadata.name cannot be changed"),
        ("echo '[' > $1\n", 2, "no object"),
        ("echo '# mine' >> $1\nexit 3\n", 1, "ended with"),
        (&meanwhile, 1, "(Conflict)"),
    ] {
        let (got, stdout, stderr) = edit(&scene, "trigger orders", script);
        assert_eq!((got, stdout.as_str()), (code, ""), "{script}: {stderr}");
        let kept = drafts(&scene);
        assert_eq!(kept.len(), 1, "{script}: {stderr}");
        assert!(stderr.contains(want) && stderr.contains(&kept[0]), "{script}: {stderr}");
        std::fs::remove_file(scene.folder.path().join(&kept[0])).unwrap();
    }
    let (code, _, stderr) = edit(&scene, "trigger missing", "true\n");
    assert!(code == 1 && stderr.contains("not found"), "{stderr}");
}

#[test]
fn labels_and_annotations_are_set_and_removed() {
    let scene = Scene::with_shop();
    scene.rows(&[
        ("label trigger orders team=a", 0, &["trigger.eventing.knative.dev/orders labeled\n"], &[]),
        ("label trigger orders team=a", 0, &["trigger.eventing.knative.dev/orders unchanged\n"], &[]),
        ("label trigger orders team=b", 1, &[], &["has team=a already", "--overwrite"]),
        ("label trigger orders team=b --overwrite", 0, &["labeled"], &[]),
        ("label trigger orders bills team- stage=test", 0, &["orders labeled", "bills labeled"], &[]),
        ("get triggers -l stage=test,!team -o name", 0, &["bills\ntrigger.eventing.knative.dev/orders\n"], &[]),
        ("label trigger orders a=not/valid", 1, &[], &["invalid"]),
        ("annotate trigger/orders a.example/b=c=d", 0, &["orders annotated"], &[]),
        ("get trigger orders -o jsonpath={.metadata.annotations['a.example/b']}", 0, &["c=d\n"], &[]),
        ("annotate trigger missing a=b", 1, &[], &["not found"]),
        ("annotate trigger orders", 2, &[], &["KEY=VALUE"]),
        ("label trigger orders a=b a-", 2, &[], &["KEY=VALUE", "\"a\" is given twice"]),
        ("annotate trigger orders c=d a=b c=e", 2, &[], &["KEY=VALUE", "\"c\" is given twice"]),
    ]);
}
