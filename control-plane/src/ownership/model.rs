//! Ownership by a model: an object is a flat map from the text of a path to the text of a leaf, and a path has owners.
//!
//! It shares nothing with the implementation. Where that merges trees and compares sets, the model asks of each path
//! what stands there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::managed::{Entry, Operation};
use super::{ConflictOf, ManagedFields, PathSet, Writer, apply, update};

/// From `.spec.map.a` to `1`. An empty map is the leaf `{}`; other maps are not in it.
type Flat = BTreeMap<String, String>;
/// A manager, and whether it applies.
type Owner = (&'static str, bool);

const MANAGERS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, PartialEq)]
enum Stands<'a> {
    Nothing,
    Map,
    Leaf(&'a str),
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

fn stands<'a>(object: &'a Flat, path: &str) -> Stands<'a> {
    match object.get(path) {
        Some(leaf) if leaf == "{}" => Stands::Map,
        Some(leaf) => Stands::Leaf(leaf),
        None if object.keys().any(|other| is_below(other, path)) => Stands::Map,
        None => Stands::Nothing,
    }
}

fn merge(base: &Flat, over: &Flat) -> Flat {
    let mut merged = base.clone();
    for (path, leaf) in over {
        if leaf == "{}" && stands(&merged, path) == Stands::Map {
            continue;
        }
        merged.retain(|other, _| !is_below(other, path) && !is_below(path, other));
        merged.insert(path.clone(), leaf.clone());
    }
    merged
}

#[derive(Debug, Default)]
struct Model {
    object: Flat,
    owners: BTreeMap<String, BTreeSet<Owner>>,
}

impl Model {
    fn owned_by(&self, owner: Owner) -> BTreeSet<String> {
        self.owners.iter().filter(|(_, owners)| owners.contains(&owner)).map(|(path, _)| path.clone()).collect()
    }

    fn is_owned(&self, path: &str) -> bool {
        self.owners.get(path).is_some_and(|owners| !owners.is_empty())
    }

    fn disown(&mut self, path: &str, owner: Owner) {
        if let Some(owners) = self.owners.get_mut(path) {
            owners.remove(&owner);
        }
    }

    /// The conflicts, if it is refused.
    fn apply(&mut self, manager: &'static str, applied: &Flat, force: bool) -> Result<(), BTreeSet<(Owner, String)>> {
        let me = (manager, true);
        let merged = merge(&self.object, applied);
        let changed = |path: &str| stands(&self.object, path) != stands(&merged, path);
        let pairs =
            self.owners.iter().flat_map(|(path, owners)| owners.iter().map(move |owner| (*owner, path.clone())));
        let lost: BTreeSet<_> = pairs.filter(|(owner, path)| *owner != me && changed(path)).collect();
        if !force && !lost.is_empty() {
            return Err(lost);
        }
        for (owner, path) in lost {
            self.disown(&path, owner);
        }
        self.object = merged;

        let before = self.owned_by(me);
        for path in &before {
            self.disown(path, me);
        }
        for path in applied.keys() {
            self.owners.entry(path.clone()).or_default().insert(me);
        }
        for path in before {
            if !self.is_owned(&path) && self.object.remove(&path).is_some() {
                // Maps that are left empty are gone with it, unless somebody owns that they are there.
                let above = self.owners.keys().filter(|above| is_below(&path, above) && self.is_owned(above));
                if let Some(above) = above.max_by_key(|above| above.len()).cloned()
                    && stands(&self.object, &above) == Stands::Nothing
                {
                    self.object.insert(above, "{}".to_owned());
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, manager: &'static str, new: Flat) {
        let me = (manager, false);
        for (path, owners) in &mut self.owners {
            if stands(&new, path) == Stands::Nothing || stands(&new, path) != stands(&self.object, path) {
                owners.clear();
            }
        }
        for path in new.keys() {
            if stands(&new, path) != stands(&self.object, path) {
                self.owners.entry(path.clone()).or_default().insert(me);
            }
        }
        // Who owns a member of a map does not own the map as an empty one.
        let mine = self.owned_by(me);
        for path in &mine {
            if mine.iter().any(|other| is_below(other, path)) {
                self.disown(path, me);
            }
        }
        self.object = new;
    }

    fn pairs(&self) -> BTreeSet<(String, Owner)> {
        self.owners.iter().flat_map(|(path, owners)| owners.iter().map(|owner| (path.clone(), *owner))).collect()
    }
}

/// The object that a flat map is, sorted in its keyed lists.
fn build(flat: &Flat) -> Value {
    let mut object = json!({"apiVersion": "x/v1", "kind": "K", "metadata": {"name": "n"}});
    for (path, leaf) in flat {
        let leaf: Value = serde_json::from_str(leaf).expect("leaves are JSON");
        let list = path.strip_prefix(".metadata.").and_then(|rest| rest.split_once('['));
        if let Some((list, _)) = list {
            match object["metadata"][list].as_array_mut() {
                Some(items) => items.push(leaf),
                None => object["metadata"][list] = json!([leaf]),
            }
            continue;
        }
        let place = path[1..].split('.').fold(&mut object, |node, name| &mut node[name]);
        *place = leaf;
    }
    sorted(object)
}

fn sorted(mut object: Value) -> Value {
    for list in ["finalizers", "ownerReferences"] {
        if let Some(items) = object["metadata"].get_mut(list).and_then(Value::as_array_mut) {
            items.sort_by_key(Value::to_string);
        }
    }
    object
}

/// A scalar, a map, an empty map or nothing at one path, so that types change.
fn any_poly() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![(".spec.poly", "1")]),
        Just(vec![(".spec.poly", "{}")]),
        Just(vec![(".spec.poly.p", "1")]),
        Just(vec![(".spec.poly.p", "2"), (".spec.poly.q", "{}")]),
        Just(vec![(".spec.poly.p.deep", "1")]),
    ]
}

fn any_of(
    path: &'static str,
    leaves: &'static [&'static str],
) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop_oneof![Just(vec![]), proptest::sample::select(leaves).prop_map(move |leaf| vec![(path, leaf)])]
}

fn any_object() -> impl Strategy<Value = Flat> {
    let fields = (
        any_of(".spec.retry", &["1", "2"]),
        any_of(".spec.list", &["[]", "[1]", "[{\"x\":1}]"]),
        any_of(".spec.nest.in.x", &["1", "2"]),
        any_of(".spec.nest.y", &["\"t\""]),
        any_of(".metadata.labels.l", &["\"1\"", "\"2\""]),
        any_of(r#".metadata.finalizers[="f"]"#, &["\"f\""]),
        any_of(r#".metadata.finalizers[="g"]"#, &["\"g\""]),
        any_of(r#".metadata.ownerReferences[uid="u"]"#, &[r#"{"uid":"u"}"#, r#"{"name":"n","uid":"u"}"#]),
        any_of(r#".metadata.ownerReferences[uid="w"]"#, &[r#"{"uid":"w"}"#]),
        any_poly(),
    );
    (fields, any::<bool>()).prop_map(|((a, b, c, d, e, f, g, h, i, j), has_spec)| {
        let leaves = [a, b, c, d, e, f, g, h, i, j].concat();
        let mut object: Flat = leaves.into_iter().map(|(path, leaf)| (path.to_owned(), leaf.to_owned())).collect();
        if has_spec && !object.keys().any(|path| path.starts_with(".spec")) {
            object.insert(".spec".to_owned(), "{}".to_owned());
        }
        object
    })
}

#[derive(Debug, Clone)]
enum Write {
    Apply {
        force: bool,
    },
    /// A merge patch.
    Patch,
    /// A PUT.
    Replace,
}

fn any_write() -> impl Strategy<Value = (&'static str, Write, Flat)> {
    let write = prop_oneof![
        3 => Just(Write::Apply { force: false }),
        2 => Just(Write::Apply { force: true }),
        1 => Just(Write::Patch),
        1 => Just(Write::Replace),
    ];
    (proptest::sample::select(&MANAGERS[..]), write, any_object())
}

fn owner(manager: &str, operation: Operation) -> Owner {
    let manager = MANAGERS.into_iter().find(|name| *name == manager).expect("nobody else writes");
    (manager, operation == Operation::Apply)
}

fn pairs(managed: &ManagedFields) -> BTreeSet<(String, Owner)> {
    let of = |entry: &Entry| {
        let owner = owner(&entry.manager, entry.operation);
        entry.fields.iter().map(|path| (path.to_string(), owner)).collect::<Vec<_>>()
    };
    managed.entries().iter().flat_map(of).collect()
}

fn conflict_pair(conflict: &ConflictOf) -> (Owner, String) {
    (owner(&conflict.manager, conflict.operation), conflict.field.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// After every write the object, the owners and the conflicts are those of the model; nothing is lost on the wire;
    /// and the same apply once more changes nothing, times included.
    #[test]
    fn ownership_is_that_of_the_model(writes in proptest::collection::vec(any_write(), 1..14)) {
        let mut model = Model::default();
        let mut live: Option<Value> = None;
        let mut managed = ManagedFields::default();
        for (nth, (manager, write, flat)) in writes.iter().enumerate() {
            let now = format!("2026-01-01T00:00:{nth:02}Z");
            let writer = Writer { manager, api_version: "x/v1", subresource: None, now: &now };
            let body = build(flat);
            match write {
                Write::Apply { force } => {
                    let none = PathSet::default();
                    match apply(live.as_ref(), &body, &managed, &writer, *force, &none) {
                        Ok((object, owned)) => {
                            prop_assert_eq!(model.apply(manager, flat, *force), Ok(()), "write {}", nth);
                            let later = Writer { now: "2030-01-01T00:00:00Z", ..writer };
                            let again = apply(Some(&object), &body, &owned, &later, false, &none);
                            prop_assert_eq!(&again, &Ok((object.clone(), owned.clone())), "write {}", nth);
                            (live, managed) = (Some(object), owned);
                        }
                        Err(conflicts) => {
                            let found: BTreeSet<_> = conflicts.iter().map(conflict_pair).collect();
                            prop_assert_eq!(found.len(), conflicts.len());
                            prop_assert_eq!(model.apply(manager, flat, *force), Err(found), "write {}", nth);
                        }
                    }
                }
                Write::Patch | Write::Replace => {
                    let new = if matches!(write, Write::Patch) { merge(&model.object, flat) } else { flat.clone() };
                    let object = build(&new);
                    managed = update(live.as_ref(), &object, &managed, &writer);
                    prop_assert_eq!(&update(Some(&object), &object, &managed, &writer), &managed, "write {}", nth);
                    model.update(manager, new);
                    live = Some(object);
                }
            }
            if let Some(live) = &live {
                prop_assert_eq!(sorted(live.clone()), build(&model.object), "write {}", nth);
            }
            prop_assert_eq!(pairs(&managed), model.pairs(), "write {}", nth);
            prop_assert_eq!(ManagedFields::parse(&managed.to_value()), Ok(managed.clone()), "write {}", nth);
        }
    }
}
