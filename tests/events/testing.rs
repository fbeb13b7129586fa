//! `pelton trigger test`.

use crate::scene::Scene;

#[test]
fn a_filter_is_tried_by_name_by_file_and_by_flags() {
    let scene = Scene::start();
    for n in 0..20 {
        scene.send(&format!("e{n}"), if n % 4 == 0 { "to-ok" } else { "to-nobody" });
    }
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let manifest = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: tried}\nspec:\n  broker: default\n  \
                    filters: [{suffix: {id: '9'}}]\n  subscriber: {uri: 'http://127.0.0.1:1/'}\n";
    std::fs::write(file.path(), manifest).unwrap();
    let file = file.path().to_str().unwrap();
    for (words, first, last) in [
        (vec!["ok"], "5 of 20 events of the Broker default/default match", "e16"),
        (vec!["--type", "to-nobody"], "15 of 20", "e13"),
        (vec!["-f", file], "2 of 20", "e19"),
        (vec!["--type", "to-ok", "--broker", "lonely"], "0 of 0", ""),
        (vec!["ok", "--since", "2200-01-01T00:00:00Z"], "0 of 0", ""),
    ] {
        let words: Vec<&str> = ["trigger", "test"].into_iter().chain(words).collect();
        let text = scene.ok(&words);
        assert!(text.starts_with(first) && text.trim_end().ends_with(last), "{words:?}: {text}");
    }
    let few = scene.ok(&["trigger", "test", "ok", "--limit", "2"]);
    assert!(few.contains("The first 2:") && !few.contains("e8"), "{few}");
    let page = scene.json(&["trigger", "test", "ok", "-o", "json"]);
    assert_eq!((&page["matched"], &page["lookedAt"]), (&5.into(), &20.into()));
    assert!(!scene.ok(&["get", "triggers"]).contains("tried"), "nothing is changed");
}
