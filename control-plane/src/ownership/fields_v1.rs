//! `fieldsV1`: a set of paths as nested maps, `{"f:spec":{"f:delivery":{"f:retry":{}}}}`.

use serde_json::{Map, Value, json};

use super::path::{KeyedList, MAX_DEPTH, Path, PathSet, Step};

/// Why a `fieldsV1` cannot be read. `at` is the path that was read so far.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldsV1Error {
    /// A member is something else than a map.
    #[error("the member at \"{at}\" is not a map")]
    NotAMap {
        /// Where it is.
        at: String,
    },
    /// A key is not one of `f:`, `v:`, `k:`, `i:` with what belongs there.
    #[error("the key {key:?} has no meaning at \"{at}\"")]
    Key {
        /// Where it is.
        at: String,
        /// The key.
        key: String,
    },
    /// A path is too long.
    #[error("a path has more than {MAX_DEPTH} steps")]
    TooDeep,
}

/// What a key says.
enum Key {
    /// The map itself is owned too. As one of its members is, that adds nothing.
    Itself,
    /// A member.
    Member(Step),
    /// An item of a list that is one leaf here: the whole list is owned.
    OfOneLeaf,
}

impl PathSet {
    /// The set as nested maps. Without `.` members, since no path of a set leads through another.
    #[must_use]
    pub fn fields_v1(&self) -> Value {
        let mut root = Map::new();
        for path in self.iter() {
            let mut node = &mut root;
            for step in path.steps() {
                let child = node.entry(key_of(step)).or_insert_with(|| Value::Object(Map::new()));
                node = child.as_object_mut().expect("nothing but maps is put in");
            }
        }
        Value::Object(root)
    }

    /// Reads nested maps.
    ///
    /// # Errors
    /// When it is not made of maps, a key has no meaning, or a path has too many steps.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, FieldsV1Error> {
        let mut set = Self::default();
        read(fields, &mut Vec::new(), &mut set)?;
        Ok(set)
    }
}

fn key_of(step: &Step) -> String {
    match step {
        Step::Field(name) => format!("f:{name}"),
        Step::Owner(uid) => format!("k:{}", json!({ "uid": uid })),
        Step::Finalizer(name) => format!("v:{}", json!(name)),
    }
}

/// Calls itself at most [`MAX_DEPTH`] times.
fn read(node: &Value, path: &mut Vec<Step>, set: &mut PathSet) -> Result<(), FieldsV1Error> {
    let at = |path: &[Step]| Path::from(path).to_string();
    let Value::Object(members) = node else { return Err(FieldsV1Error::NotAMap { at: at(path) }) };
    let mut is_leaf = true;
    // An item is a leaf, though some servers go on with the fields of an owner reference.
    let is_item = matches!(path.last(), Some(Step::Owner(_) | Step::Finalizer(_)));
    for (key, child) in members.iter().filter(|_| !is_item) {
        match read_key(key, path) {
            None => return Err(FieldsV1Error::Key { at: at(path), key: key.clone() }),
            Some(Key::Itself | Key::OfOneLeaf) => {}
            Some(Key::Member(_)) if path.len() == MAX_DEPTH => return Err(FieldsV1Error::TooDeep),
            Some(Key::Member(step)) => {
                is_leaf = false;
                path.push(step);
                read(child, path, set)?;
                path.pop();
            }
        }
    }
    if is_leaf && !path.is_empty() {
        set.insert(Path::from(path.as_slice()));
    }
    Ok(())
}

fn read_key(key: &str, path: &[Step]) -> Option<Key> {
    if key == "." {
        return Some(Key::Itself);
    }
    let (form, text) = key.split_once(':')?;
    let list = KeyedList::at(path);
    if form == "f" {
        return list.is_none().then(|| Key::Member(Step::Field(text.to_owned())));
    }
    let value: Value = serde_json::from_str(text).ok()?;
    match (form, list) {
        ("v", Some(list @ KeyedList::Finalizers)) => list.step(&value).map(Key::Member),
        ("k", Some(list @ KeyedList::Owners)) if value.as_object()?.len() == 1 => list.step(&value).map(Key::Member),
        ("v", None) => Some(Key::OfOneLeaf),
        ("k", None) => value.is_object().then_some(Key::OfOneLeaf),
        ("i", None) => value.is_u64().then_some(Key::OfOneLeaf),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read_texts(fields: &Value) -> Result<Vec<String>, FieldsV1Error> {
        Ok(PathSet::from_fields_v1(fields)?.iter().map(Path::to_string).collect())
    }

    #[test]
    fn sets_are_read() {
        let rows: &[(Value, &[&str])] = &[
            (json!({}), &[]),
            (json!({ ".": {} }), &[]),
            (json!({"f:spec": {"f:a": {}, "f:b": {"f:c": {}}}}), &[".spec.a", ".spec.b.c"]),
            (json!({"f:spec": {".": {}, "f:a": {".": {}}}}), &[".spec.a"]),
            (json!({"f:spec": {".": {}}}), &[".spec"]),
            (json!({"f:metadata": {"f:labels": {"f:a.b/c:d": {}}}}), &[".metadata.labels.a.b/c:d"]),
            (
                json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"x/\\\"y\"": {}}}}),
                &[r#".metadata.finalizers[="x/\"y"]"#],
            ),
            (
                json!({"f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}}}),
                &[r#".metadata.ownerReferences[uid="u"]"#],
            ),
            // As servers before 1.20 wrote it.
            (
                json!({"f:metadata": {"f:ownerReferences": {"k:{\"uid\":\"u\"}": {".": {}, "f:name": {}}}}}),
                &[r#".metadata.ownerReferences[uid="u"]"#],
            ),
            // From a server that owns the items of such lists one by one.
            (json!({"f:spec": {"f:l": {"k:{\"name\":\"a\"}": {"f:image": {}}, "v:1": {}, "i:0": {}}}}), &[".spec.l"]),
        ];
        for (fields, want) in rows {
            assert_eq!(read_texts(fields).unwrap(), *want, "{fields}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let key = |at: &str, key: &str| FieldsV1Error::Key { at: at.to_owned(), key: key.to_owned() };
        let not_a_map = |at: &str| FieldsV1Error::NotAMap { at: at.to_owned() };
        let rows = [
            (json!(null), not_a_map("")),
            (json!([]), not_a_map("")),
            (json!({"f:spec": 1}), not_a_map(".spec")),
            (json!({"f:metadata": {"f:finalizers": {"v:\"x\"": []}}}), not_a_map(".metadata.finalizers[=\"x\"]")),
            (json!({"spec": {}}), key("", "spec")),
            (json!({"x:spec": {}}), key("", "x:spec")),
            (json!({"f:spec": {"k:[]": {}}}), key(".spec", "k:[]")),
            (json!({"f:spec": {"k:{": {}}}), key(".spec", "k:{")),
            (json!({"f:spec": {"i:-1": {}}}), key(".spec", "i:-1")),
            (json!({"f:metadata": {"f:finalizers": {"v:1": {}}}}), key(".metadata.finalizers", "v:1")),
            (json!({"f:metadata": {"f:finalizers": {"f:x": {}}}}), key(".metadata.finalizers", "f:x")),
            (
                json!({"f:metadata": {"f:ownerReferences": {"k:{\"name\":\"a\"}": {}}}}),
                key(".metadata.ownerReferences", "k:{\"name\":\"a\"}"),
            ),
        ];
        for (fields, want) in rows {
            assert_eq!(read_texts(&fields).unwrap_err(), want, "{fields}");
        }
    }

    #[test]
    fn a_path_has_a_longest_length() {
        let nested = |depth| (0..depth).fold(json!({}), |inner, _| json!({ "f:a": inner }));
        assert_eq!(read_texts(&nested(MAX_DEPTH)).unwrap(), [".a".repeat(MAX_DEPTH)]);
        assert_eq!(read_texts(&nested(MAX_DEPTH + 1)).unwrap_err(), FieldsV1Error::TooDeep);
    }

    fn any_path() -> impl Strategy<Value = Path> {
        let metadata = |list: &str, item| {
            Path::from([Step::Field("metadata".to_owned()), Step::Field(list.to_owned()), item].as_slice())
        };
        prop_oneof![
            vec("[a-b./:{\"]{0,2}", 1..4)
                .prop_map(|names| { Path::from(names.into_iter().map(Step::Field).collect::<Vec<_>>().as_slice()) }),
            "[a-c\"\\\\é]{0,2}".prop_map(move |name| metadata("finalizers", Step::Finalizer(name))),
            "[a-c\"\\\\é]{0,2}".prop_map(move |uid| metadata("ownerReferences", Step::Owner(uid))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(paths in vec(any_path(), 0..12)) {
            let set: PathSet = paths.into_iter().collect();
            prop_assert_eq!(PathSet::from_fields_v1(&set.fields_v1()), Ok(set));
        }
    }
}
