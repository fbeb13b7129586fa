//! Objects seen as leaves at paths.

use serde_json::{Map, Value};

use super::path::{KeyedList, MAX_DEPTH, Path, Step};

/// Fields of `metadata` that the server writes or that name the object. Nobody owns them.
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// The part of an object that a write can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All but `status` and what the server writes.
    Main,
    /// `status`
    Status,
}

impl Part {
    /// What is written through a subresource, or without one.
    pub(crate) fn of(subresource: Option<&str>) -> Self {
        if subresource == Some("status") { Self::Status } else { Self::Main }
    }

    /// Whether the path is in it.
    pub(crate) fn covers(self, path: &Path) -> bool {
        let field = |level: usize| match path.steps().get(level) {
            Some(Step::Field(name)) => Some(name.as_str()),
            _ => None,
        };
        match (self, field(0)) {
            (Self::Status, first) => first == Some("status"),
            (Self::Main, None | Some("apiVersion" | "kind" | "status")) => false,
            (Self::Main, Some("metadata")) => field(1).is_some_and(|name| !UNOWNED_METADATA.contains(&name)),
            (Self::Main, Some(_)) => true,
        }
    }
}

/// Whether the value is a map whose members are owned one by one.
pub(crate) fn is_map(path: &[Step], value: &Value) -> bool {
    value.is_object() && path.len() < MAX_DEPTH && !matches!(path.last(), Some(Step::Owner(_)))
}

/// The leaves of a part of an object, in its order. A null is not there.
pub(crate) fn leaves(object: &Value, part: Part) -> Vec<(Path, &Value)> {
    let mut found = Vec::new();
    walk(object, &mut Vec::new(), &mut found);
    found.retain(|(path, _)| part.covers(path));
    found
}

/// Calls itself at most [`MAX_DEPTH`] times.
fn walk<'a>(value: &'a Value, path: &mut Vec<Step>, found: &mut Vec<(Path, &'a Value)>) {
    let Some(children) = children(value, path) else {
        return found.push((Path::from(path.as_slice()), value));
    };
    for (step, child) in children {
        path.push(step);
        walk(child, path, found);
        path.pop();
    }
}

/// What is below a value that is not a leaf.
fn children<'a>(value: &'a Value, path: &[Step]) -> Option<Vec<(Step, &'a Value)>> {
    match value {
        Value::Object(members) if is_map(path, value) => {
            let there = members.iter().filter(|(_, child)| !child.is_null());
            let children: Vec<_> = there.map(|(name, child)| (Step::Field(name.clone()), child)).collect();
            (!children.is_empty()).then_some(children)
        }
        // A list with an item that has no key is refused later; until then it is one leaf like any other list.
        Value::Array(items) => {
            let list = KeyedList::at(path)?;
            items.iter().map(|item| Some((list.step(item)?, item))).collect()
        }
        _ => None,
    }
}

/// What is at a path.
pub(crate) fn at<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let mut steps = path.iter();
    let value = steps.try_fold(object, |value, step| match step {
        Step::Field(name) => value.as_object()?.get(name),
        item => value.as_array()?.iter().find(|value| item.leads_to(value)),
    });
    value.filter(|value| !value.is_null())
}

/// Whether a path stands for the same thing in both objects. Of a map it says only that there is one.
pub(crate) fn is_same(path: &[Step], old: &Value, new: &Value) -> bool {
    match (at(old, path), at(new, path)) {
        (Some(old), Some(new)) => (is_map(path, old) && is_map(path, new)) || old == new,
        _ => false,
    }
}

/// Puts a leaf in its place. Whatever is in the way of the path goes; a map that is there already stays as it is.
pub(crate) fn put(object: &mut Value, path: &[Step], leaf: &Value) {
    if is_map(path, leaf) && at(object, path).is_some_and(|there| is_map(path, there)) {
        return;
    }
    *path.iter().fold(object, child_mut) = leaf.clone();
}

fn child_mut<'a>(node: &'a mut Value, step: &Step) -> &'a mut Value {
    if let Step::Field(name) = step {
        if !node.is_object() {
            *node = Value::Object(Map::new());
        }
        let members = node.as_object_mut().expect("it was made a map");
        return members.entry(name.clone()).or_insert(Value::Null);
    }
    if !node.is_array() {
        *node = Value::Array(Vec::new());
    }
    let items = node.as_array_mut().expect("it was made a list");
    let place = items.iter().position(|item| step.leads_to(item)).unwrap_or_else(|| {
        items.push(Value::Null);
        items.len() - 1
    });
    &mut items[place]
}

/// Takes out what is at a path, and the maps and lists above it that are left empty, up to the first that `stays`.
pub(crate) fn take_out(object: &mut Value, path: &[Step], stays: &dyn Fn(&[Step]) -> bool) {
    if !path.is_empty() {
        take_out_below(object, path, 0, stays);
    }
}

/// Says whether the node was left empty.
fn take_out_below(node: &mut Value, path: &[Step], level: usize, stays: &dyn Fn(&[Step]) -> bool) -> bool {
    match (node, &path[level]) {
        (Value::Object(members), Step::Field(name)) => {
            let goes = level + 1 == path.len()
                || members
                    .get_mut(name)
                    .is_some_and(|child| take_out_below(child, path, level + 1, stays) && !stays(&path[..=level]));
            goes && members.remove(name).is_some() && members.is_empty()
        }
        (Value::Array(items), item) => {
            let before = items.len();
            items.retain(|value| !item.leads_to(value));
            items.len() < before && items.is_empty()
        }
        _ => false,
    }
}

/// The value without the members of maps that are null. Below [`MAX_DEPTH`] it is left as it is.
pub(crate) fn without_nulls(value: &Value) -> Value {
    without_nulls_below(value, 0)
}

fn without_nulls_below(value: &Value, level: usize) -> Value {
    match value {
        Value::Object(members) if level < MAX_DEPTH => {
            let there = members.iter().filter(|(_, child)| !child.is_null());
            Value::Object(there.map(|(name, child)| (name.clone(), without_nulls_below(child, level + 1))).collect())
        }
        Value::Array(items) if level < MAX_DEPTH => {
            Value::Array(items.iter().map(|item| without_nulls_below(item, level + 1)).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(object: &Value, part: Part) -> Vec<String> {
        let mut texts: Vec<_> = leaves(object, part).iter().map(|(path, _)| path.to_string()).collect();
        texts.sort();
        texts
    }

    /// kube-api, 10.4: what is a leaf, and what nobody owns.
    #[test]
    fn an_object_has_these_leaves() {
        let object = json!({
            "apiVersion": "v1", "kind": "K",
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 1, "selfLink": "/",
                "creationTimestamp": "t", "deletionTimestamp": "t", "deletionGracePeriodSeconds": 0,
                "managedFields": [],
                "labels": {"x": "1"}, "annotations": {}, "finalizers": ["f", "g"], "ownerReferences": [{"uid": "o"}],
            },
            "spec": {"a": {"b": 1, "c": null}, "list": [{"x": 1}], "empty": {}, "nulls": {"d": null}, "none": null},
            "status": {"url": "u", "conditions": []},
        });
        let want = [
            ".metadata.annotations",
            ".metadata.finalizers[=\"f\"]",
            ".metadata.finalizers[=\"g\"]",
            ".metadata.labels.x",
            ".metadata.ownerReferences[uid=\"o\"]",
            ".spec.a.b",
            ".spec.empty",
            ".spec.list",
            ".spec.nulls",
        ];
        assert_eq!(texts(&object, Part::Main), want);
        assert_eq!(texts(&object, Part::Status), [".status.conditions", ".status.url"]);
    }

    #[test]
    fn odd_objects_have_few_leaves() {
        let rows: &[(Value, &[&str])] = &[
            (json!(null), &[]),
            (json!([]), &[]),
            (json!({}), &[]),
            (json!({"metadata": {}}), &[]),
            (json!({"metadata": "x"}), &[]),
            (json!({"metadata": {"finalizers": []}}), &[]),
            (json!({"metadata": {"finalizers": [1]}}), &[".metadata.finalizers"]),
            (json!({"metadata": {"ownerReferences": [{"name": "a"}]}}), &[".metadata.ownerReferences"]),
            (json!({"spec": {}}), &[".spec"]),
        ];
        for (object, want) in rows {
            assert_eq!(texts(object, Part::Main), *want, "{object}");
        }
    }

    #[test]
    fn a_map_too_deep_is_one_leaf() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
        for depth in [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1] {
            let object = nested(depth);
            let found = leaves(&object, Part::Main);
            assert_eq!(found[0].0.steps().len(), depth.min(MAX_DEPTH), "{depth}");
            let mut copy = json!({});
            put(&mut copy, found[0].0.steps(), found[0].1);
            assert_eq!(copy, object, "{depth}");
        }
    }

    #[test]
    fn what_is_taken_out_takes_empty_parents_along() {
        let object = json!({"spec": {"a": {"b": {"c": 1}}, "d": 1}, "metadata": {"finalizers": ["f"], "name": "n"}});
        let field = |name: &str| Step::Field(name.to_owned());
        let deep = [field("spec"), field("a"), field("b"), field("c")];
        let finalizer = [field("metadata"), field("finalizers"), Step::Finalizer("f".to_owned())];
        let missing = [field("spec"), field("a"), field("x")];
        let rows: &[(&[Step], usize, Value)] = &[
            (&deep, 0, json!({"spec": {"d": 1}, "metadata": {"finalizers": ["f"], "name": "n"}})),
            (&deep, 2, json!({"spec": {"a": {}, "d": 1}, "metadata": {"finalizers": ["f"], "name": "n"}})),
            (&deep, 3, json!({"spec": {"a": {"b": {}}, "d": 1}, "metadata": {"finalizers": ["f"], "name": "n"}})),
            (&finalizer, 0, json!({"spec": {"a": {"b": {"c": 1}}, "d": 1}, "metadata": {"name": "n"}})),
            (&missing, 0, object.clone()),
            (&[], 0, object.clone()),
        ];
        for (path, staying, want) in rows {
            let mut left = object.clone();
            take_out(&mut left, path, &|above| above.len() == *staying);
            assert_eq!(left, *want, "{path:?} {staying}");
        }
    }
}
