use super::*;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn built(filters: &str, filter: &str) -> Filter {
    let filters: Vec<SubscriptionsApiFilter> = serde_json::from_str(filters).unwrap();
    let filter: Option<TriggerFilter> = serde_json::from_str(filter).unwrap();
    Filter::of(&filters, filter.as_ref())
}

/// Knative Eventing, Trigger filters: `filters` counts alone when it is not empty; its elements are ANDed.
#[test]
fn precedence_and_composition() {
    let exact_a = Filter::Exact(pairs(&[("type", "a")]));
    let rows = [
        ("[]", "null", Filter::everything()),
        ("[]", "{}", Filter::everything()),
        ("[]", r#"{"attributes": {"type": "a"}}"#, exact_a.clone()),
        (
            "[]",
            r#"{"attributes": {"type": "a", "source": "s"}}"#,
            Filter::Exact(pairs(&[("source", "s"), ("type", "a")])),
        ),
        ("[]", r#"{"attributes": {"type": ""}}"#, Filter::Present(vec!["type".into()])),
        (
            "[]",
            r#"{"attributes": {"type": "a", "subject": ""}}"#,
            Filter::All(vec![exact_a.clone(), Filter::Present(vec!["subject".into()])]),
        ),
        (r#"[{"exact": {"type": "a"}}]"#, r#"{"attributes": {"type": "b"}}"#, exact_a.clone()),
        (
            r#"[{"exact": {"type": "a"}}, {"prefix": {"source": "p"}}]"#,
            "null",
            Filter::All(vec![exact_a.clone(), Filter::Prefix(pairs(&[("source", "p")]))]),
        ),
        (r#"[{"all": [{"exact": {"type": "a"}}]}]"#, "null", exact_a.clone()),
        (r#"[{"any": [{"exact": {"type": "a"}}]}]"#, "null", exact_a.clone()),
        (
            r#"[{"any": [{"exact": {"type": "a"}}, {"suffix": {"id": "z"}}]}]"#,
            "null",
            Filter::Any(vec![exact_a.clone(), Filter::Suffix(pairs(&[("id", "z")]))]),
        ),
        (r#"[{"not": {"exact": {"type": "a"}}}]"#, "null", Filter::Not(Box::new(exact_a))),
        // Refused at admission; should one be there all the same, it lets nothing pass.
        ("[{}]", "null", Filter::nothing()),
        (r#"[{"exact": {}}]"#, "null", Filter::nothing()),
        (r#"[{"all": []}]"#, "null", Filter::nothing()),
        (r#"[{"any": []}]"#, "null", Filter::nothing()),
        (r#"[{"cesql": "TRUE"}]"#, "null", Filter::nothing()),
    ];
    for (filters, filter, want) in rows {
        assert_eq!(built(filters, filter), want, "{filters} {filter}");
    }
    assert!(Filter::everything().is_everything() && !Filter::nothing().is_everything());
}

/// Which filters pass the event {type: com.example.order, source: /shop, subject: ""}. `subject` cannot be empty in
/// a valid event; it is here to tell "present" from "not empty".
#[test]
fn filters_pass_or_not() {
    let event = [("type", "com.example.order"), ("source", "/shop"), ("subject", "")];
    let attribute = |name: &str| event.iter().find(|(k, _)| *k == name).map(|(_, v)| Cow::Borrowed(*v));
    let one = |name: &str, value: &str| pairs(&[(name, value)]);
    let rows = [
        (Filter::everything(), true),
        (Filter::nothing(), false),
        (Filter::Exact(one("type", "com.example.order")), true),
        (Filter::Exact(one("type", "com.example.Order")), false),
        (Filter::Exact(one("type", "com.example")), false),
        (Filter::Exact(one("missing", "x")), false),
        (Filter::Exact(pairs(&[("type", "com.example.order"), ("source", "/shop")])), true),
        (Filter::Exact(pairs(&[("type", "com.example.order"), ("source", "/other")])), false),
        (Filter::Prefix(one("type", "com.example.")), true),
        (Filter::Prefix(one("type", "example")), false),
        (Filter::Prefix(one("missing", "x")), false),
        (Filter::Suffix(one("type", ".order")), true),
        (Filter::Suffix(one("type", ".orde")), false),
        (Filter::Suffix(one("missing", "x")), false),
        (Filter::Present(vec!["type".into()]), true),
        (Filter::Present(vec!["subject".into()]), false),
        (Filter::Present(vec!["missing".into()]), false),
        (Filter::Not(Box::new(Filter::Exact(one("missing", "x")))), true),
        (Filter::Not(Box::new(Filter::everything())), false),
        (Filter::Any(vec![Filter::nothing(), Filter::Prefix(one("source", "/"))]), true),
        (Filter::Any(vec![Filter::nothing(), Filter::nothing()]), false),
        (Filter::All(vec![Filter::everything(), Filter::Prefix(one("source", "/"))]), true),
        (Filter::All(vec![Filter::everything(), Filter::nothing()]), false),
    ];
    for (filter, want) in rows {
        assert_eq!(filter.matches(&attribute), want, "{filter:?}");
    }
}
