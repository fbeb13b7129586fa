use super::*;

fn filters(json: &str) -> Vec<SubscriptionsApiFilter> {
    serde_json::from_str(json).unwrap()
}

fn errors_of(json: &str) -> Vec<String> {
    let mut errors = FieldErrors::new();
    validate_filters(&filters(json), "spec.filters", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// Conformance checks 24 to 34: names that a filter may and may not use, in each of the four maps.
#[test]
fn attribute_names_follow_knative() {
    let good = [
        "source",
        "id",
        "specversion",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "aaa",
        "c1d2e3",
        "abcdefghijabcdefghij",
    ];
    let bad =
        ["SOURCE", "Source", "souRce", "s pace s", "s_pace_s", "s-pace-s", "123", "😀", "!@#$%^&*()", "[]{}<>", ""];
    let names = good.iter().map(|name| (*name, true)).chain(bad.iter().map(|name| (*name, false)));
    for (name, is_good) in names {
        let map = BTreeMap::from([(name.to_owned(), "value".to_owned())]);
        let mut errors = FieldErrors::new();
        TriggerFilter { attributes: map.clone() }.validate("spec.filter", &mut errors);
        assert_eq!(errors.is_empty(), is_good, "{name:?} in filter.attributes");
        if !is_good {
            let want = format!("invalid key name {name:?}: spec.filter.attributes\n{ATTRIBUTE_NAME}");
            assert_eq!(errors.to_string(), want);
        }
        for field in ["exact", "prefix", "suffix"] {
            let json = serde_json::json!([{ field: map }]).to_string();
            let want: Vec<String> = if is_good {
                Vec::new()
            } else {
                vec![format!("invalid key name {name:?}: spec.filters[0].{field}\n{ATTRIBUTE_NAME}")]
            };
            assert_eq!(errors_of(&json), want, "{name:?} in {field}");
        }
    }
}

#[test]
fn filters_that_can_be_built_are_taken() {
    let rows = [
        "[]",
        r#"[{"exact": {"type": "a"}}]"#,
        r#"[{"exact": {"type": "a", "source": "b"}}]"#,
        r#"[{"prefix": {"type": "a"}}, {"suffix": {"type": "a"}}]"#,
        r#"[{"all": [{"exact": {"type": "a"}}, {"not": {"prefix": {"source": "x"}}}]}]"#,
        r#"[{"any": [{"any": [{"suffix": {"subject": "x"}}]}]}]"#,
    ];
    for json in rows {
        assert_eq!(errors_of(json), Vec::<String>::new(), "{json}");
    }
    let mut errors = FieldErrors::new();
    let present = TriggerFilter { attributes: BTreeMap::from([("type".into(), String::new())]) };
    present.validate("spec.filter", &mut errors);
    assert!(errors.is_empty(), "an empty value in filter.attributes means present: {errors}");
}

/// Conformance checks 38 and 42, and what else Knative accepts without being able to build it.
#[test]
fn filters_that_cannot_be_built_are_refused() {
    const EMPTY: &str = "\nan empty value matches nothing in particular; leave the attribute out";
    const NONE: &str = "\nthe dialects are all, any, not, exact, prefix and suffix";
    let many = "multiple dialects found, filters can have only one dialect set";
    let none = "empty filter, expected exactly one dialect";
    let rows = [
        ("[{}]", format!("{none}: spec.filters[0]{NONE}")),
        (r#"[{"exact": {"type": "a"}}, {}]"#, format!("{none}: spec.filters[1]{NONE}")),
        (r#"[{"not": {}}]"#, format!("{none}: spec.filters[0].not{NONE}")),
        (r#"[{"any": [{"exact": {"type": "a"}}, {}]}]"#, format!("{none}: spec.filters[0].any[1]{NONE}")),
        (r#"[{"exact": {}}]"#, "exact must contain at least one attribute: spec.filters[0].exact".to_owned()),
        (r#"[{"prefix": {}}]"#, "prefix must contain at least one attribute: spec.filters[0].prefix".to_owned()),
        (r#"[{"suffix": {}}]"#, "suffix must contain at least one attribute: spec.filters[0].suffix".to_owned()),
        (r#"[{"all": []}]"#, "all must contain at least one nested filter: spec.filters[0].all".to_owned()),
        (r#"[{"any": []}]"#, "any must contain at least one nested filter: spec.filters[0].any".to_owned()),
        (r#"[{"exact": {"type": ""}}]"#, format!("invalid value: \"\": spec.filters[0].exact[type]{EMPTY}")),
        (r#"[{"prefix": {"type": ""}}]"#, format!("invalid value: \"\": spec.filters[0].prefix[type]{EMPTY}")),
        (
            r#"[{"all": [{"not": {"suffix": {"type": ""}}}]}]"#,
            format!("invalid value: \"\": spec.filters[0].all[0].not.suffix[type]{EMPTY}"),
        ),
        (
            r#"[{"exact": {"type": "a"}, "prefix": {"type": "a"}}]"#,
            format!("{many}: spec.filters[0]\nfound exact, prefix"),
        ),
        (
            r#"[{"not": {"not": {"exact": {"type": "a"}}, "any": [{"exact": {"type": "a"}}]}}]"#,
            format!("{many}: spec.filters[0].not\nfound any, not"),
        ),
        (
            r#"[{"cesql": "type = 'a'"}]"#,
            "the cesql dialect is not supported yet: use exact, prefix, suffix, all, any and not: \
             spec.filters[0].cesql"
                .to_owned(),
        ),
    ];
    for (json, want) in rows {
        assert_eq!(errors_of(json), [want], "{json}");
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    let errors = errors_of(r#"[{}, {"exact": {"TYPE": ""}}, {"all": [{"cesql": "x"}, {"any": []}]}]"#);
    assert_eq!(errors.len(), 5, "{errors:#?}");
}

/// `not` around `exact`, so that the innermost filter is at `depth`.
fn nested(depth: usize) -> Vec<SubscriptionsApiFilter> {
    let map = BTreeMap::from([("type".to_owned(), "a".to_owned())]);
    let mut filter = SubscriptionsApiFilter { exact: Some(map), ..SubscriptionsApiFilter::default() };
    for _ in 1..depth {
        filter = SubscriptionsApiFilter { not: Some(Box::new(filter)), ..SubscriptionsApiFilter::default() };
    }
    vec![filter]
}

fn errors_in(filters: &[SubscriptionsApiFilter]) -> FieldErrors {
    let mut errors = FieldErrors::new();
    validate_filters(filters, "spec.filters", &mut errors);
    errors
}

#[test]
fn bounds_hold_at_the_bound_and_one_past_it() {
    assert!(errors_in(&nested(MAX_FILTER_DEPTH)).is_empty());
    let deep = errors_in(&nested(MAX_FILTER_DEPTH + 1)).to_string();
    assert!(deep.starts_with("filters are nested too deeply: spec.filters[0].not.not"), "{deep}");

    let many = |n| std::iter::repeat_with(|| nested(1)).take(n).flatten().collect::<Vec<_>>();
    assert!(errors_in(&many(MAX_FILTER_NODES)).is_empty());
    let too_many = errors_in(&many(MAX_FILTER_NODES + 1)).to_string();
    assert_eq!(too_many, "too many filters: spec.filters\nat most 1024 filters, nested ones counted");

    let wide = |n: usize| {
        let map = (0..n).map(|i| (format!("a{i}"), "v".to_owned())).collect();
        vec![SubscriptionsApiFilter { exact: Some(map), ..SubscriptionsApiFilter::default() }]
    };
    assert!(errors_in(&wide(MAX_FILTER_ATTRIBUTES)).is_empty());
    let too_wide = errors_in(&wide(MAX_FILTER_ATTRIBUTES + 1)).to_string();
    assert_eq!(too_wide, "invalid value: 257 attributes: spec.filters[0].exact\nat most 256 attributes");

    let long = |n: usize| {
        let map = BTreeMap::from([("type".to_owned(), "v".repeat(n))]);
        vec![SubscriptionsApiFilter { suffix: Some(map), ..SubscriptionsApiFilter::default() }]
    };
    assert!(errors_in(&long(MAX_FILTER_VALUE_BYTES)).is_empty());
    let too_long = errors_in(&long(MAX_FILTER_VALUE_BYTES + 1)).to_string();
    assert_eq!(too_long, "invalid value: 4097 bytes: spec.filters[0].suffix[type]\nat most 4096 bytes");
}
