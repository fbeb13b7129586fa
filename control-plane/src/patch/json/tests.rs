use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Small values whose few keys make two of them likely to meet.
pub(in crate::patch) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (-2i64..3).prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_pointer() -> impl Strategy<Value = String> {
    vec("[a-d0-2-]", 0..4).prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect())
}

fn any_operation() -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]);
    (op, any_pointer(), any_pointer(), any_json())
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}

fn applied(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut target = target.clone();
    json(&mut target, patch).map(|()| target)
}

fn why(target: &Value, patch: &Value) -> (String, bool) {
    let error = applied(target, patch).unwrap_err();
    (error.to_string(), error.is_malformed())
}

/// How deep objects and lists are inside each other.
fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// The cases of RFC 6902, appendix A, and of sections 4.1 to 4.6.
#[test]
fn operations_do_what_the_rfc_says() {
    let rows = [
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux"}]),
            json!({"baz": "qux", "foo": "bar"}),
        ),
        (
            json!({"foo": ["a", "c"]}),
            json!([{"op": "add", "path": "/foo/1", "value": "b"}]),
            json!({"foo": ["a", "b", "c"]}),
        ),
        (json!({"baz": 1, "foo": 2}), json!([{"op": "remove", "path": "/baz"}]), json!({"foo": 2})),
        (json!({"foo": ["a", "b", "c"]}), json!([{"op": "remove", "path": "/foo/1"}]), json!({"foo": ["a", "c"]})),
        (
            json!({"baz": 1, "foo": 2}),
            json!([{"op": "replace", "path": "/baz", "value": 3}]),
            json!({"baz": 3, "foo": 2}),
        ),
        (
            json!({"foo": {"bar": 1, "waldo": 2}, "qux": {"corge": 3}}),
            json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
            json!({"foo": {"bar": 1}, "qux": {"corge": 3, "thud": 2}}),
        ),
        (
            json!({"foo": [1, 2, 3, 4]}),
            json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
            json!({"foo": [1, 3, 4, 2]}),
        ),
        (
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
            json!([{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}]),
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        ),
        (
            json!({"foo": 1}),
            json!([{"op": "add", "path": "/child", "value": {"a": {}}}]),
            json!({"foo": 1, "child": {"a": {}}}),
        ),
        (json!({"foo": 1}), json!([{"op": "add", "path": "/baz", "value": 2, "xyz": 3}]), json!({"foo": 1, "baz": 2})),
        (json!({"/": 9, "~1": 10}), json!([{"op": "test", "path": "/~01", "value": 10}]), json!({"/": 9, "~1": 10})),
        (
            json!({"foo": ["bar"]}),
            json!([{"op": "add", "path": "/foo/-", "value": ["abc"]}]),
            json!({"foo": ["bar", ["abc"]]}),
        ),
        (json!({"foo": 1}), json!([{"op": "add", "path": "/foo", "value": 2}]), json!({"foo": 2})),
        (json!({"foo": []}), json!([{"op": "add", "path": "/foo/0", "value": 2}]), json!({"foo": [2]})),
        (json!({"foo": 1}), json!([{"op": "add", "path": "", "value": [2]}]), json!([2])),
        (json!({"foo": 1}), json!([{"op": "replace", "path": "", "value": {}}]), json!({})),
        (json!({"foo": 1}), json!([{"op": "copy", "from": "", "path": "/bar"}]), json!({"foo": 1, "bar": {"foo": 1}})),
        (json!({"foo": [1]}), json!([{"op": "copy", "from": "/foo/0", "path": "/foo/-"}]), json!({"foo": [1, 1]})),
        (json!({"foo": [1]}), json!([{"op": "move", "from": "/foo", "path": ""}]), json!([1])),
        (json!({"foo": [1]}), json!([{"op": "move", "from": "/foo/0", "path": "/foo/0"}]), json!({"foo": [1]})),
        (
            json!({"f": [1.0, {"a": 2}]}),
            json!([{"op": "test", "path": "", "value": {"f": [1, {"a": 2.0}]}}]),
            json!({"f": [1.0, {"a": 2}]}),
        ),
        (json!({"foo": 1}), json!([]), json!({"foo": 1})),
    ];
    for (target, patch, want) in rows {
        assert_eq!(applied(&target, &patch), Ok(want), "{target} with {patch}");
    }
}

/// What kube-rs' `finalizer` sends: where the field is absent, null is what is there.
#[test]
fn a_test_of_null_passes_where_nothing_is() {
    let target = json!({"metadata": {"name": "b", "x": null}, "list": [], "text": "t"});
    let test = |path: &str| json!([{"op": "test", "path": path, "value": null}]);
    for path in ["/metadata/finalizers", "/metadata/x", "/nosuch"] {
        assert_eq!(applied(&target, &test(path)).as_ref(), Ok(&target), "{path}");
    }
    for (path, missing) in [("/nosuch/a", "/nosuch"), ("/list/0", "/list/0"), ("/text/a", "/text/a")] {
        let want = format!("operation 0 (test {path:?}) does not apply: there is nothing at {missing:?}");
        assert_eq!(why(&target, &test(path)), (want, false));
    }
    let want = "operation 0 (test \"/metadata/name\") does not apply: the value there is not the one tested for";
    assert_eq!(why(&target, &test("/metadata/name")), (want.to_owned(), false));
    let adds = json!([{"op": "test", "path": "/metadata/finalizers", "value": null},
                      {"op": "add", "path": "/metadata/finalizers", "value": ["f"]}]);
    assert_eq!(applied(&target, &adds).unwrap()["metadata"]["finalizers"], json!(["f"]));
}

#[test]
fn what_does_not_apply_says_where_and_why() {
    let target = json!({"foo": "bar", "list": [1, 2], "~a/b": 1});
    let rows = [
        (json!({"op": "add", "path": "/a/b", "value": 1}), r#"there is nothing at "/a""#),
        (json!({"op": "add", "path": "/foo/b", "value": 1}), r#"there is neither an object nor a list at "/foo""#),
        (json!({"op": "add", "path": "/list/3", "value": 1}), r#""3" is no place in a list of 2"#),
        (json!({"op": "add", "path": "/list/01", "value": 1}), r#""01" is no place in a list of 2"#),
        (json!({"op": "add", "path": "/list/x", "value": 1}), r#""x" is no place in a list of 2"#),
        (json!({"op": "remove", "path": "/a"}), r#"there is nothing at "/a""#),
        (json!({"op": "remove", "path": "/list/2"}), r#""2" is no place in a list of 2"#),
        (json!({"op": "remove", "path": "/list/-"}), r#""-" is no place in a list of 2"#),
        (json!({"op": "remove", "path": "/foo/a"}), r#"there is nothing at "/foo/a""#),
        (json!({"op": "replace", "path": "/a", "value": 1}), r#"there is nothing at "/a""#),
        (json!({"op": "replace", "path": "/list/-", "value": 1}), r#"there is nothing at "/list/-""#),
        (json!({"op": "move", "path": "/b", "from": "/a"}), r#"there is nothing at "/a""#),
        (json!({"op": "move", "path": "/a", "from": "/a"}), r#"there is nothing at "/a""#),
        (json!({"op": "copy", "path": "/b", "from": "/a"}), r#"there is nothing at "/a""#),
        (json!({"op": "test", "path": "/a", "value": 1}), r#"there is nothing at "/a""#),
        (json!({"op": "test", "path": "/foo", "value": null}), "the value there is not the one tested for"),
        (json!({"op": "test", "path": "/list", "value": [1]}), "the value there is not the one tested for"),
        (json!({"op": "test", "path": "/list/0", "value": "1"}), "the value there is not the one tested for"),
    ];
    for (operation, want) in rows {
        let (op, path) = (operation["op"].as_str().unwrap(), operation["path"].as_str().unwrap());
        let want = format!("operation 1 ({op} {path:?}) does not apply: {want}");
        let first = json!({"op": "test", "path": "/~0a~1b", "value": 1});
        assert_eq!(why(&target, &json!([first, operation])), (want, false));
    }
}

#[test]
fn what_is_malformed_is_so_before_anything_is_done() {
    let rows = [
        (json!(1), "(? \"?\")", "an operation is an object, not a number"),
        (json!({"path": "/a"}), "(? \"/a\")", "`op` is missing or not a string"),
        (json!({"op": 1, "path": "/a"}), "(? \"/a\")", "`op` is missing or not a string"),
        (json!({"op": "add", "value": 1}), "(add \"?\")", "`path` is missing or not a string"),
        (json!({"op": "add", "path": "/a"}), "(add \"/a\")", "`value` is missing"),
        (json!({"op": "replace", "path": "/a"}), "(replace \"/a\")", "`value` is missing"),
        (json!({"op": "test", "path": "/a"}), "(test \"/a\")", "`value` is missing"),
        (json!({"op": "copy", "path": "/a"}), "(copy \"/a\")", "`from` is missing or not a string"),
        (
            json!({"op": "Add", "path": "/a", "value": 1}),
            "(Add \"/a\")",
            "`op` is none of add, remove, replace, move, copy, test",
        ),
        (
            json!({"op": "remove", "path": "a"}),
            "(remove \"a\")",
            "`path` is no JSON pointer: it starts with / and has ~0 for ~ and ~1 for /",
        ),
        (
            json!({"op": "move", "path": "/a", "from": "/~"}),
            "(move \"/a\")",
            "`from` is no JSON pointer: it starts with / and has ~0 for ~ and ~1 for /",
        ),
        (json!({"op": "move", "path": "/a/b", "from": "/a"}), "(move \"/a/b\")", "a value cannot be moved into itself"),
        (json!({"op": "move", "path": "/a", "from": ""}), "(move \"/a\")", "a value cannot be moved into itself"),
        (json!({"op": "remove", "path": ""}), "(remove \"\")", "the whole object cannot be removed by a patch"),
    ];
    for (operation, named, fault) in rows {
        // The first one would not apply.
        let patch = json!([{"op": "remove", "path": "/nosuch"}, operation]);
        assert_eq!(why(&json!({}), &patch), (format!("operation 1 {named} is malformed: {fault}"), true));
    }
    for (patch, found) in [(json!({}), "an object"), (json!("x"), "a string"), (json!(null), "null")] {
        assert_eq!(why(&json!({}), &patch), (format!("a JSON patch is a list of operations, not {found}"), true));
    }
    // A name that begins with the other's is not inside it.
    assert!(applied(&json!({"a": 1}), &json!([{"op": "move", "from": "/a", "path": "/ab"}])).is_ok());
    let long = format!("/{}", "é".repeat(10_000));
    assert!(why(&json!({}), &json!([{"op": "remove", "path": long}])).0.len() < 1000);
}

#[test]
fn the_number_of_operations_has_a_bound() {
    let patch = |count| Value::Array(vec![json!({"op": "test", "path": "", "value": {}}); count]);
    assert!(applied(&json!({}), &patch(MAX_OPERATIONS)).is_ok());
    let error = PatchError::TooManyOperations { count: MAX_OPERATIONS + 1, limit: MAX_OPERATIONS };
    assert_eq!(applied(&json!({}), &patch(MAX_OPERATIONS + 1)), Err(error));
}

#[test]
fn what_is_written_has_a_bound() {
    let too_large = |operations: Value| {
        matches!(
            applied(&json!({"a": "0123456789", "list": []}), &operations),
            Err(PatchError::DoesNotApply { mismatch: Mismatch::TooLarge { .. }, .. })
        )
    };
    // Twenty doublings of some ten bytes.
    let doubling = |i: usize| json!({"op": "copy", "from": "", "path": format!("/{i}")});
    assert!(too_large((0..20).map(doubling).collect()));
    assert!(!too_large((0..15).map(doubling).collect()));
    // At the bound and one past it, with the quotes.
    let add = |len: usize| json!([{"op": "add", "path": "/b", "value": "x".repeat(len)}]);
    assert!(!too_large(add(MAX_WRITTEN_BYTES - 2)));
    assert!(too_large(add(MAX_WRITTEN_BYTES - 1)));
    // Every operation that writes counts.
    let half = json!({"op": "add", "path": "/b", "value": "x".repeat(MAX_WRITTEN_BYTES / 2)});
    for second in [
        json!({"op": "copy", "from": "/b", "path": "/c"}),
        json!({"op": "move", "from": "/b", "path": "/c"}),
        json!({"op": "replace", "path": "/a", "value": "x".repeat(MAX_WRITTEN_BYTES / 2)}),
    ] {
        assert!(too_large(json!([half, second])));
    }
    // Items at the front of a long list, which all others make room for.
    let front = json!({"op": "add", "path": "/list/0", "value": 0});
    let mut patch = vec![json!({"op": "add", "path": "/list", "value": vec![0; 100_000]})];
    patch.extend(std::iter::repeat_n(front, 100));
    assert!(too_large(Value::Array(patch)));
}

/// Numbers in the allowance never count for more than their text, or a body within its limit would be refused.
#[test]
fn numbers_count_for_no_more_than_their_text() {
    for text in ["0", "9", "10", "99", "100", "-1", "-100", "0.5", "1e3", "18446744073709551615"] {
        let Value::Number(number) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        assert!((1..=text.len()).contains(&digits(&number)), "{text}");
    }
}

#[test]
fn nesting_has_a_bound() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let cases = |levels: usize| {
        [
            json!([{"op": "add", "path": "/a", "value": nested(levels)}]),
            json!([{"op": "add", "path": "", "value": {"a": nested(levels)}}]),
            json!([{"op": "replace", "path": "/b", "value": nested(levels)}]),
            json!([{"op": "add", "path": "", "value": {"x": {"y": {"z": 1}}, "f": nested(levels - 1)}},
                   {"op": "move", "from": "/f", "path": "/x/f"}]),
            json!([{"op": "add", "path": "", "value": {"x": {"y": {"z": 1}}, "f": nested(levels - 1)}},
                   {"op": "copy", "from": "/f", "path": "/x/f"}]),
        ]
    };
    for patch in cases(MAX_NESTING - 1) {
        assert_eq!(applied(&json!({"b": 1}), &patch).map(|value| nesting(&value)), Ok(MAX_NESTING));
    }
    for patch in cases(MAX_NESTING) {
        let error = applied(&json!({"b": 1}), &patch).unwrap_err();
        assert!(matches!(error, PatchError::DoesNotApply { mismatch: Mismatch::TooDeep { .. }, .. }), "{error}");
    }
    // A value copied into its own innermost place, again and again.
    let into = |i: u32| json!({"op": "copy", "from": "", "path": "/a".repeat(1 << i)});
    let error = applied(&json!({"a": 1}), &(0..8).map(into).collect()).unwrap_err();
    assert!(matches!(error, PatchError::DoesNotApply { index: 6, mismatch: Mismatch::TooDeep { .. }, .. }), "{error}");
}

/// The patch that turns one value into another, written with every operation but `move`.
fn diff(path: &str, from: &Value, to: &Value, patch: &mut Vec<Value>) {
    patch.push(json!({"op": "test", "path": path, "value": from}));
    match (from, to) {
        (Value::Object(old), Value::Object(new)) => {
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                patch.push(json!({"op": "remove", "path": format!("{path}/{key}")}));
            }
            for (key, value) in new {
                let path = format!("{path}/{key}");
                match old.get(key) {
                    Some(old) => diff(&path, old, value, patch),
                    None => patch.push(json!({"op": "add", "path": path, "value": value})),
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let common = old.iter().zip(new).take_while(|(old, new)| old == new).count();
            for _ in common..old.len() {
                patch.push(json!({"op": "remove", "path": format!("{path}/{common}")}));
            }
            for (i, value) in new.iter().enumerate().skip(common).rev() {
                // A copy of an item that stays, where there is an equal one; else in front of those added before.
                let add = match new[..common].iter().position(|old| old == value) {
                    Some(twin) => {
                        json!({"op": "copy", "from": format!("{path}/{twin}"), "path": format!("{path}/{common}")})
                    }
                    None if i + 1 == new.len() => json!({"op": "add", "path": format!("{path}/-"), "value": value}),
                    None => json!({"op": "add", "path": format!("{path}/{common}"), "value": value}),
                };
                patch.push(add);
            }
        }
        (_, to) => patch.push(json!({"op": "replace", "path": path, "value": to})),
    }
}

proptest! {
    #[test]
    fn a_difference_leads_to_where_it_points(from in any_json(), to in any_json()) {
        let mut patch = Vec::new();
        diff("", &from, &to, &mut patch);
        prop_assert_eq!(applied(&from, &Value::Array(patch)), Ok(to));
    }

    #[test] // Between two parts of an object, so that neither half of the move shifts what the other one points at.
    fn a_move_is_a_copy_and_a_removal(x in any_json(), y in any_json(), from in any_pointer(), path in any_pointer()) {
        let (target, from, path) = (json!({"x": x, "y": y}), format!("/x{from}"), format!("/y{path}"));
        let moved = applied(&target, &json!([{"op": "move", "from": &from, "path": &path}]));
        let copied = json!([{"op": "copy", "from": &from, "path": &path}, {"op": "remove", "path": &from}]);
        prop_assert_eq!(moved.ok(), applied(&target, &copied).ok());
    }

    #[test]
    fn any_patch_ends_within_the_bounds(one in any_json(), two in any_json(), patch in vec(any_operation(), 0..12)) {
        let patch = Value::Array(patch);
        let results = [applied(&one, &patch), applied(&two, &patch)];
        for result in results.iter().flatten() {
            prop_assert!(nesting(result) <= MAX_NESTING);
        }
        // A malformed patch is one whatever it is applied to.
        let [first, second] = results.map(|result| result.err().filter(PatchError::is_malformed));
        prop_assert_eq!(first, second);
    }
}
