use std::borrow::Cow;
use std::collections::BTreeSet;

use pelton_event::AttributeValue;
use proptest::prelude::*;

use super::*;

fn event(ty: &str, source: &str, extensions: &[(&str, AttributeValue<'_>)]) -> Event {
    let mut builder = Event::builder().id("1").source(source).ty(ty);
    for (name, value) in extensions {
        builder = builder.extension(name, *value);
    }
    builder.build().unwrap()
}

fn naive(filter: &Filter, event: &Event) -> bool {
    filter.matches(&|name: &str| event.attribute(name).map(|value| Cow::Owned(value.to_canonical().into_owned())))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn passes(filter: &Filter, event: &Event) -> bool {
    let mut index = MatchIndex::default();
    index.insert(0_u8, filter);
    let mut found = 0;
    index.matches(event, |_| found += 1);
    assert!(found <= 1, "{filter:?} found a trigger twice");
    assert_eq!(found == 1, naive(filter, event), "{filter:?} on {event:?}");
    found == 1
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

/// The filter table of Knative's suite (without CESQL).
#[test]
fn the_dialects_pass_what_they_should() {
    let full = event("com.example.FullEvent", "http://example.com/source", &[]);
    let (wrong_type, wrong_source) = (event("wrong", full.source(), &[]), event(full.ty(), "/wrong", &[]));
    let (ty, source) = (full.ty(), full.source());
    let filters = [
        ("exact", Filter::Exact(pairs(&[("type", ty), ("source", source)]))),
        ("prefix", Filter::Prefix(pairs(&[("type", &ty[..4]), ("source", &source[..4])]))),
        ("suffix", Filter::Suffix(pairs(&[("type", &ty[5..]), ("source", &source[5..])]))),
    ];
    for (name, filter) in filters {
        assert!(passes(&filter, &full), "{name}");
        assert!(!passes(&filter, &wrong_type) && !passes(&filter, &wrong_source), "{name}");
        assert!(!passes(&not(filter), &full), "not {name}");
    }
    let any = Filter::Any(vec![
        Filter::Exact(pairs(&[("type", "exact.event.type")])),
        Filter::Prefix(pairs(&[("type", "prefix")])),
        Filter::Suffix(pairs(&[("type", "suffix")])),
    ]);
    for (ty, want) in [
        ("exact.event.type", true),
        ("prefix.event.type", true),
        ("event.type.suffix", true),
        ("not.event.type", false),
        ("Exact.event.type", false),
    ] {
        assert_eq!(passes(&any, &event(ty, "/s", &[])), want, "{ty}");
    }
}

#[test]
fn a_missing_attribute_passes_nothing_but_a_negation() {
    let without = event("t", "/s", &[]);
    let with = event("t", "/s", &[("colour", AttributeValue::String("red"))]);
    for filter in [
        Filter::Exact(pairs(&[("colour", "red")])),
        Filter::Prefix(pairs(&[("colour", "r")])),
        Filter::Suffix(pairs(&[("colour", "d")])),
        Filter::Present(vec!["colour".into()]),
    ] {
        assert!(!passes(&filter, &without) && passes(&filter, &with), "{filter:?}");
        assert!(passes(&not(filter.clone()), &without) && !passes(&not(filter.clone()), &with), "not {filter:?}");
    }
    for missing in ["subject", "time", "dataschema", "datacontenttype"] {
        assert!(!passes(&Filter::Exact(pairs(&[(missing, "x")])), &without), "{missing}");
        assert!(!passes(&Filter::Present(vec![missing.into()]), &without), "{missing}");
    }
    assert!(passes(&Filter::Exact(pairs(&[("specversion", "1.0")])), &without));
}

#[test]
fn values_compare_in_their_canonical_text() {
    let event = Event::builder()
        .id("1")
        .source("/s")
        .ty("grün")
        .time("2020-03-21T12:34:56.780Z")
        .extension("exbool", AttributeValue::Boolean(true))
        .extension("exint", AttributeValue::Integer(-42))
        .extension("exbinary", AttributeValue::Binary(&[0, 1, 2, 3]))
        .build()
        .unwrap();
    let rows = [
        ("exbool", "true", true),
        ("exbool", "True", false),
        ("exint", "-42", true),
        ("exint", "-42.0", false),
        ("exbinary", "AAECAw==", true),
        ("time", "2020-03-21T12:34:56.780Z", true),
        ("time", "2020-03-21T12:34:56.78Z", false),
        ("type", "grün", true),
        ("type", "gru\u{308}n", false),
    ];
    for (name, value, want) in rows {
        assert_eq!(passes(&Filter::Exact(pairs(&[(name, value)])), &event), want, "{name} = {value}");
    }
}

#[test]
fn ten_thousand_types_cost_what_one_costs() {
    let mut index = MatchIndex::default();
    for n in 0..10_000_u32 {
        index.insert(n, &Filter::Exact(pairs(&[("type", &format!("type.{n}"))])));
    }
    let mut found = Vec::new();
    index.matches(&event("type.4711", "/s", &[]), |key| found.push(key));
    assert_eq!(found, [4711]);
    // What is looked at for an event of that type is one list of one trigger.
    assert_eq!(index.by_type["type.4711"].any_source.len(), 1);
    assert!(index.rest.is_empty() && index.by_source.is_empty());
    for n in 0..10_000_u32 {
        assert!(index.remove(n));
    }
    assert!(index.is_empty() && index.by_type.is_empty());
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let name = prop::sample::select(vec!["type", "source", "subject", "id", "colour", "number"]);
    let value = prop::sample::select(vec!["a", "b", "ab", "1", "/s"]);
    let some = prop::collection::vec((name.clone(), value), 1..3).prop_map(|list| pairs(&list));
    let leaf = prop_oneof![
        4 => some.clone().prop_map(Filter::Exact),
        1 => some.clone().prop_map(Filter::Prefix),
        1 => some.prop_map(Filter::Suffix),
        1 => name.prop_map(|name| Filter::Present(vec![name.to_owned()])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Any),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

prop_compose! {
    fn any_event()(
        ty in prop::sample::select(vec!["a", "b", "ab"]),
        source in prop::sample::select(vec!["a", "/s", "ab"]),
        subject in prop::option::of(prop::sample::select(vec!["a", "ab"])),
        colour in prop::option::of(prop::sample::select(vec!["a", "b", "1"])),
        number in prop::option::of(prop::sample::select(vec![1, 2])),
    ) -> Event {
        let mut builder = Event::builder().id("1").source(source).ty(ty);
        if let Some(subject) = subject {
            builder = builder.subject(subject);
        }
        if let Some(colour) = colour {
            builder = builder.extension("colour", AttributeValue::String(colour));
        }
        if let Some(number) = number {
            builder = builder.extension("number", AttributeValue::Integer(number));
        }
        builder.build().unwrap()
    }
}

proptest! {
    /// The index finds exactly the triggers whose filter lets the event pass, each once, whatever was put in, changed
    /// and taken out before.
    #[test]
    fn the_index_is_the_naive_evaluation(
        changes in prop::collection::vec((0_u8..8, prop::option::weighted(0.8, any_filter())), 1..24),
        event in any_event(),
    ) {
        let mut index = MatchIndex::default();
        let mut model = std::collections::BTreeMap::new();
        for (key, filter) in changes {
            match filter {
                Some(filter) => {
                    index.insert(key, &filter);
                    model.insert(key, filter);
                }
                None => prop_assert_eq!(index.remove(key), model.remove(&key).is_some()),
            }
        }
        let mut found = Vec::new();
        index.matches(&event, |key| found.push(key));
        let want: BTreeSet<_> =
            model.iter().filter(|(_, filter)| naive(filter, &event)).map(|(key, _)| *key).collect();
        prop_assert_eq!(found.len(), want.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), want);
        for key in model.keys() {
            prop_assert_eq!(index.matches_one(*key, &event), naive(&model[key], &event));
        }
        for key in model.keys().copied().collect::<Vec<_>>() {
            index.remove(key);
        }
        prop_assert!(index.by_type.is_empty() && index.by_source.is_empty() && index.rest.is_empty());
    }
}
