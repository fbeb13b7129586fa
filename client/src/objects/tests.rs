//! Namespaces, owners, finalizers, the age of Events.

use pelton_resource::parse_documents;

use super::*;
use crate::admission::{admit, uid_from_bits};

const NOW: UnixMillis = UnixMillis(10 * EVENTS_KEPT_MILLIS);

fn stored(text: &str) -> Resources {
    let mut next = 0;
    let resources = parse_documents(text, "test").unwrap();
    let admitted = admit(&Resources::default(), resources, Time::from_unix_millis(NOW.0), &mut || {
        next += 1;
        uid_from_bits(0, next)
    });
    Resources::default().with(admitted.unwrap(), 1)
}

fn settle_at(resources: &Resources, now: UnixMillis) -> ObjectChanges {
    settle(resources, now, &mut || "11111111-1111-4111-8111-111111111111".to_owned())
}

/// Names of what is put and of what is deleted.
fn names(changes: &ObjectChanges) -> (Vec<String>, Vec<String>) {
    let put = changes.put.iter().map(|resource| resource.key().to_string()).collect();
    (put, changes.delete.iter().map(ToString::to_string).collect())
}

/// Does everything that is asked for, until nothing is.
fn settled(resources: Resources) -> Resources {
    settled_by(&mut Objects::default(), resources)
}

/// The same by who has followed the resources so far. Looking at everything then finds nothing more.
fn settled_by(objects: &mut Objects, mut resources: Resources) -> Resources {
    for version in 2..10 {
        objects.follow(&resources);
        let changes = objects.settle(NOW, &mut || "11111111-1111-4111-8111-111111111111".to_owned());
        objects.done();
        if changes.put.is_empty() && changes.delete.is_empty() {
            assert_eq!(names(&settle_at(&resources, NOW)), (vec![], vec![]));
            return resources;
        }
        for key in &changes.delete {
            resources = resources.without(key, version);
        }
        resources = resources.with(changes.put, version);
    }
    panic!("it never settles");
}

fn broker(namespace: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}, namespace: {namespace}{more}}}\n"
    )
}

fn keys(resources: &Resources) -> Vec<String> {
    resources.iter().map(|resource| resource.key().to_string()).collect()
}

#[test]
fn a_namespace_is_there_when_something_is_in_it() {
    let (put, delete) = names(&settle_at(&Resources::default(), NOW));
    assert_eq!((put, delete), (vec!["Namespace default".to_owned()], vec![]));
    let all = settled(stored(&broker("shop", "b", "")));
    assert_eq!(keys(&all), ["Broker shop/b", "Namespace default", "Namespace shop"]);
    let namespace = all.namespace("shop").unwrap();
    assert!(namespace.metadata.uid.is_some() && namespace.metadata.creation_timestamp.is_some());
    assert_eq!(namespace.text("/status/phase"), Some("Active"));
}

#[test]
fn what_is_in_a_namespace_goes_before_it() {
    let mut objects = Objects::default();
    let all = stored(&format!("{}---\n{}", broker("shop", "b", ""), broker("shop", "kept", ", finalizers: [x.y/z]")));
    let all = settled_by(&mut objects, all);
    let namespace = all.find(&ResourceKey::new(Kind::Namespace, "", "shop")).unwrap();
    let Removal::Marked(marked) = removal(&namespace, Time::from_unix_millis(NOW.0)) else { panic!("it waits") };
    assert_eq!(removal(&marked, Time::from_unix_millis(NOW.0)), Removal::Waits);
    let all = settled_by(&mut objects, all.with([*marked], 20));
    assert_eq!(keys(&all), ["Broker shop/kept", "Namespace default", "Namespace shop"]);
    let mut kept = all.find(&ResourceKey::new(Kind::Broker, "shop", "kept")).unwrap();
    assert!(kept.meta().deletion_timestamp.is_some() && !may_go(&kept));
    kept.meta_mut().finalizers.clear();
    assert!(may_go(&kept));
    assert_eq!(keys(&settled_by(&mut objects, all.with([kept], 21))), ["Namespace default"]);
}

#[test]
fn what_has_lost_its_owner_goes() {
    let owned = |uid: &str, api_version: &str| {
        let more = format!(", ownerReferences: [{{apiVersion: {api_version}, kind: Broker, name: a, uid: {uid}}}]");
        format!("{}---\n{}", broker("default", "a", ""), broker("default", "b", &more))
    };
    let is = uid_from_bits(0, 1);
    for (uid, api_version, stays) in [
        (is.as_str(), "eventing.knative.dev/v1", true),
        ("gone", "eventing.knative.dev/v1", false),
        // A kind that is not known here may have it.
        ("gone", "apps/v1", true),
    ] {
        let mut objects = Objects::default();
        let all = settled_by(&mut objects, stored(&owned(uid, api_version)));
        assert_eq!(all.brokers.contains_key("default/b"), stays, "{uid} {api_version}");
        let without = all.without(&ResourceKey::new(Kind::Broker, "default", "a"), 20);
        let stays = stays && uid == "gone";
        assert_eq!(settled_by(&mut objects, without).brokers.contains_key("default/b"), stays, "{uid} {api_version}");
    }
}

/// With much that is there, a write of one object has that one looked at.
#[test]
fn a_change_has_looked_at_what_changed() {
    let many: Vec<_> = (0..1_000).map(|n| broker("default", &format!("b{n}"), "")).collect();
    let mut objects = Objects::default();
    let all = settled_by(&mut objects, stored(&many.join("---\n")));
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\n";
    objects.follow(&all.with(parse_documents(config, "test").unwrap(), 20));
    assert_eq!(objects.count(), 1);
}

#[test]
fn events_are_kept_for_an_hour() {
    let event = |name: &str, seen: u64| {
        let seen = Time::from_unix_millis(seen);
        format!(
            "apiVersion: v1\nkind: Event\nmetadata: {{name: {name}}}\ninvolvedObject: {{namespace: default}}\nlastTimestamp: {seen}\n"
        )
    };
    let at = |age: u64| NOW.0 - age;
    let text =
        [event("old", at(EVENTS_KEPT_MILLIS)), event("new", at(1_000)), event("later", NOW.0 + 5_000)].join("---\n");
    let all = stored(&text);
    assert_eq!(names(&settle_at(&all, NOW)).1, Vec::<String>::new(), "they have just been told");
    let long_ago = all.iter().map(|mut event| {
        event.meta_mut().creation_timestamp = Some(Time::from_unix_millis(0));
        event
    });
    let changes = settle_at(&all.with(long_ago, 2), NOW);
    assert_eq!(names(&changes).1, ["Event default/old"]);
    assert_eq!(changes.wake_at, Some(UnixMillis(at(1_000) + EVENTS_KEPT_MILLIS)));
    let old = stored(&event("e", at(1_000))).find(&ResourceKey::new(Kind::Event, "default", "e")).unwrap();
    let many = (0..=MAX_EVENTS).map(|i| {
        let mut event = old.clone();
        event.meta_mut().name = format!("e{i}");
        event
    });
    assert_eq!(names(&settle_at(&Resources::default().with(many, 1), NOW)).1, ["Event default/e0"]);
}
