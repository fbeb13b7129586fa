//! The Triggers of a run, and what each has to deliver.
//!
//! Each has a number of its own, which is its name and the path of its subscriber, so that a request tells whose it is.

use pelton_resource::{Kind, Resource, ResourceKey, parse_documents};

/// The namespace and the Broker of all events.
pub const NAMESPACE: &str = "sim";
pub const BROKER: &str = "b";

/// Subscribers are places like nodes, with numbers of their own.
pub const SINKS: [u64; 2] = [101, 102];

/// The Triggers that there are from the beginning.
pub const FIRST: u64 = 4;

/// How many more are made in a run, at most.
pub const MOST: u64 = 12;

/// Retries of those whose subscriber never takes some events.
const FEW_RETRIES: u32 = 2;

/// Retries of the others: more than the longest trouble takes.
const MANY_RETRIES: u32 = 30;

/// The type of an event follows from its number.
pub fn type_of(event: u64) -> &'static str {
    ["a", "a", "b", "c"][event as usize % 4]
}

/// Events that the subscriber of a Trigger never takes.
pub fn is_poison(trigger: u64, event: u64) -> bool {
    has_few_retries(trigger) && event.is_multiple_of(3)
}

fn has_few_retries(trigger: u64) -> bool {
    matches!(trigger, 3 | 4)
}

pub fn retries(trigger: u64) -> u32 {
    if has_few_retries(trigger) { FEW_RETRIES } else { MANY_RETRIES }
}

/// The type that the Trigger gets, whatever becomes of its filter in the run; `None` gets all.
fn filter(trigger: u64) -> Option<&'static str> {
    match trigger {
        2 => None,
        3 | 4 => Some("b"),
        _ => Some("a"),
    }
}

/// The Trigger must get the event.
pub fn wants(trigger: u64, event: u64) -> bool {
    filter(trigger).is_none_or(|ty| ty == type_of(event))
}

/// The Trigger may get the event: it matches the filter that it has now and then.
pub fn may_get(trigger: u64, event: u64) -> bool {
    wants(trigger, event) || (is_changed(trigger) && type_of(event) == "c")
}

/// Those whose filter changes.
pub fn is_changed(trigger: u64) -> bool {
    trigger == 1
}

/// What it gives up goes to a dead-letter sink, and is kept only if that does not take it either.
pub fn has_sink(trigger: u64) -> bool {
    trigger == 3
}

fn subscriber(trigger: u64) -> u64 {
    SINKS[trigger as usize % SINKS.len()]
}

/// The Trigger as a document; `wide` with the wider of its filters.
pub fn trigger(number: u64, wide: bool) -> Resource {
    let types: Vec<_> = filter(number).into_iter().chain((wide && is_changed(number)).then_some("c")).collect();
    let filters = match types[..] {
        [] => String::new(),
        [one] => format!("\n  filters:\n  - exact: {{type: {one}}}"),
        _ => format!(
            "\n  filters:\n  - any:\n{}",
            types.iter().map(|ty| format!("    - exact: {{type: {ty}}}\n")).collect::<String>()
        ),
    };
    let sink = subscriber(number);
    let dead = if has_sink(number) {
        format!("\n    deadLetterSink: {{uri: 'http://n{}/d/{number}'}}", SINKS[0])
    } else {
        String::new()
    };
    let text = format!(
        "apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: t{number}, namespace: {NAMESPACE}}}
spec:
  broker: {BROKER}
  subscriber: {{uri: 'http://n{sink}/t/{number}'}}
  delivery:
    retry: {}
    backoffPolicy: linear
    backoffDelay: PT0.1S
    timeout: PT2S{dead}{filters}
",
        retries(number),
    );
    one(&text)
}

pub fn broker(retention: &str) -> Resource {
    one(&format!(
        "apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {{name: {BROKER}, namespace: {NAMESPACE}, annotations: {{pelton.dev/retention: {retention}}}}}
spec: {{}}
"
    ))
}

pub fn key(number: u64) -> ResourceKey {
    ResourceKey { kind: Kind::Trigger, namespace: NAMESPACE.to_owned(), name: format!("t{number}") }
}

/// The number in a Trigger's name.
pub fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix('t')?.parse().ok()
}

fn one(text: &str) -> Resource {
    let mut read = parse_documents(text, "simulation").unwrap_or_else(|errors| panic!("{errors:?} in {text}"));
    read.remove(0)
}
