//! `pelton describe`

use std::fmt::Write as _;

use clap::Args;
use pelton_control_plane::kinds::Row;
use pelton_env::{Clock as _, SystemClock, UnixMillis};
use pelton_resource::{Conditions, Kind, Time};
use serde_json::{Value, json};

use super::objects::{ObjectName, Objects, SelectArgs, Within};
use super::output::yaml;
use super::service::describe::{conditions, indented};
use super::target::ApiArgs;
use super::{print, print_error};
use crate::exit::Failure;
use crate::kube::object::{name, namespace, text};
use crate::kube::{KubeApi, Place, Selection, kinds};
use crate::table::{Table, age, or_dash};
use crate::terminal::{escape, escape_block};

/// The whole object, as `kubectl apply` had it: the values of a Secret as well.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What `pelton describe` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton describe trigger orders\n  pelton describe ksvc/hello broker/default\n  \
                        pelton describe triggers -l team=shop -n shop")]
pub struct DescribeArgs {
    /// KIND or KIND,KIND, KIND NAME..., or KIND/NAME...; a NAME may be NAMESPACE/NAME
    #[arg(value_name = "KIND", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    api: ApiArgs,
}

/// Shows objects with what happened to them.
pub async fn run(args: DescribeArgs) -> Result<(), Failure> {
    let (mut api, at) = args.api.kube(args.within.namespace.as_deref())?;
    let (mut parts, mut failures) = (Vec::new(), Vec::new());
    match Objects::read(&args.words, &at)?.by_themselves(&args.within, &args.select)? {
        Objects::Named(names) => {
            for object in names {
                match named(&mut api, &object).await {
                    Ok(part) => parts.push(part),
                    // Nobody would answer for the others either.
                    Err(failure @ Failure::NoAnswer(_)) => {
                        failures.push(failure);
                        break;
                    }
                    Err(failure) => failures.push(failure),
                }
            }
        }
        Objects::OfKinds(rows) => {
            for row in rows {
                let list = api.list(row, &args.within.place(&at), &args.select.selection()).await?;
                for item in list.items {
                    parts.push(with_events(&mut api, row, item).await?);
                }
            }
            if parts.is_empty() {
                print_error("No resources found.");
            }
        }
    }
    print(&parts.join("\n\n"))?;
    Failure::all(failures)
}

/// Shows one object with what happened to it.
///
/// # Errors
/// It cannot be read.
pub async fn show(api: &mut KubeApi, object: &ObjectName) -> Result<(), Failure> {
    print(&named(api, object).await?)
}

async fn named(api: &mut KubeApi, object: &ObjectName) -> Result<String, Failure> {
    let item = api.get(object.row, &object.namespace, &object.name).await?;
    with_events(api, object.row, item).await
}

async fn with_events(api: &mut KubeApi, row: &Row, item: Value) -> Result<String, Failure> {
    let events = events(api, row, &item).await?;
    described(row, item, &events, SystemClock.now())
}

/// The Events about an object, the oldest first.
async fn events(api: &mut KubeApi, row: &Row, item: &Value) -> Result<Vec<Value>, Failure> {
    let place = match namespace(item) {
        "" => Place::Everywhere,
        namespace => Place::Namespace(namespace.to_owned()),
    };
    let fields = format!("involvedObject.kind={},involvedObject.name={}", row.kind, name(item));
    let selection = Selection { labels: None, fields: Some(fields) };
    let mut events = api.list(kinds::row(Kind::Event), &place, &selection).await?.items;
    // One of the same kind and name in another group, or one that was there before, has another uid.
    events.retain(|event| ["", text(item, "/metadata/uid")].contains(&text(event, "/involvedObject/uid")));
    events.sort_by_key(|event| last_seen(event).map(Time::unix_millis));
    Ok(events)
}

fn last_seen(event: &Value) -> Option<Time> {
    let times = ["/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"];
    times.iter().find_map(|at| serde_json::from_value(event.pointer(at)?.clone()).ok())
}

/// An object for people: what it is, what is wanted, what is, and what happened.
fn described(row: &Row, mut item: Value, events: &[Value], now: UnixMillis) -> Result<String, Failure> {
    if let Some(annotations) = item.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    let full_name = match namespace(&item) {
        "" => name(&item).to_owned(),
        namespace => format!("{namespace}/{}", name(&item)),
    };
    let mut out = format!("{} {}\n", row.kind, escape(&full_name));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<15} {}", escape(value));
    };
    line("API version", text(&item, "/apiVersion"));
    line("Created", &or_dash(Some(text(&item, "/metadata/creationTimestamp"))));
    line("Generation", &item.pointer("/metadata/generation").map_or("-".to_owned(), Value::to_string));
    line("UID", text(&item, "/metadata/uid"));
    for (title, at) in [("Deleted", "/metadata/deletionTimestamp")] {
        if !text(&item, at).is_empty() {
            line(title, text(&item, at));
        }
    }
    for (title, at) in [
        ("Labels", "labels"),
        ("Annotations", "annotations"),
        ("Finalizers", "finalizers"),
        ("Owners", "ownerReferences"),
    ] {
        match item.pointer(&format!("/metadata/{at}")) {
            Some(value) if !is_empty(value) => section(&mut out, title, &yaml(value)?),
            _ => {}
        }
    }
    let told = item.pointer("/status/conditions").cloned();
    if let Some(fields) = item.pointer_mut("/status").and_then(Value::as_object_mut) {
        fields.remove("conditions");
    }
    let Value::Object(fields) = item else { return Ok(out) };
    for (field, value) in fields {
        if ["apiVersion", "kind", "metadata"].contains(&field.as_str()) || is_empty(&value) {
            continue;
        }
        let value = if row.kind == "Secret" && field != "type" { sizes(&value) } else { value };
        section(&mut out, &title(&field), &yaml(&value)?);
    }
    if let Some(told) = told {
        match serde_json::from_value::<Conditions>(told.clone()) {
            Ok(told) => section(&mut out, "Conditions", &conditions(&told, now)),
            Err(_) => section(&mut out, "Conditions", &yaml(&told)?),
        }
    }
    section(&mut out, "Events", &table_of(events, now));
    Ok(out)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn section(out: &mut String, title: &str, text: &str) {
    let _ = write!(out, "\n{}\n{}", escape(title), indented(&escape_block(text)));
}

fn title(field: &str) -> String {
    let mut rest = field.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// How long the values of a Secret are, which are nobody's business on a screen.
fn sizes(data: &Value) -> Value {
    let Value::Object(fields) = data else { return json!("(not shown)") };
    // Three bytes of four characters, without those that fill the last four up.
    let bytes = |text: &str| text.trim_end_matches('=').len() * 3 / 4;
    fields
        .iter()
        .map(|(key, value)| (key.clone(), json!(format!("{} bytes", bytes(value.as_str().unwrap_or_default())))))
        .collect()
}

fn table_of(events: &[Value], now: UnixMillis) -> String {
    if events.is_empty() {
        return "none in the last hour".to_owned();
    }
    let mut table = Table::new(&["LAST SEEN", "COUNT", "TYPE", "REASON", "MESSAGE"]);
    for event in events {
        let seen = last_seen(event).map(|at| age(now.since(UnixMillis(at.unix_millis()))));
        table.row([
            or_dash(seen.as_deref()),
            event.get("count").and_then(Value::as_i64).unwrap_or(1).to_string(),
            or_dash(Some(text(event, "/type"))),
            or_dash(Some(text(event, "/reason"))),
            or_dash(Some(text(event, "/message"))),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: Kind, object: Value, events: &[Value]) -> String {
        described(kinds::row(kind), object, events, UnixMillis(120_000)).unwrap()
    }

    #[test]
    fn an_object_is_shown_with_what_is_wanted_what_is_and_what_happened() {
        let trigger = json!({
            "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger",
            "metadata": {"name": "orders", "namespace": "shop", "generation": 3, "labels": {"team": "a"},
                         "managedFields": [{"manager": "somebody"}]},
            "spec": {"broker": "default", "note": "\u{1b}[31mred"},
            "status": {"subscriberUri": "http://x", "conditions": [
                {"type": "Ready", "status": "False", "reason": "NoBroker", "message": "there is none",
                 "lastTransitionTime": "1970-01-01T00:01:00Z"}]},
        });
        let event = json!({"type": "Warning", "reason": "Gone", "message": "it answered 410", "count": 4,
                           "lastTimestamp": "1970-01-01T00:01:50Z"});
        let shown = shown(Kind::Trigger, trigger, &[event]);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = shown.lines().map(words).collect();
        for want in [
            "Trigger shop/orders",
            "Generation 3",
            "team: a",
            "broker: default",
            "subscriberUri: http://x",
            "Ready False 1m NoBroker there is none",
            "10s 4 Warning Gone it answered 410",
        ] {
            assert!(lines.iter().any(|line| line == want), "{want:?} is not in\n{shown}");
        }
        assert!(!shown.contains("somebody") && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_secret_keeps_its_values() {
        let applied = r#"{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}"#;
        let metadata = json!({"name": "s", "annotations": {LAST_APPLIED: applied, "team": "a"}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque",
                            "data": {"password": "aHVudGVyMg=="}});
        let shown = shown(Kind::Secret, secret, &[]);
        assert!(shown.contains("password: 7 bytes") && shown.contains("Opaque"), "{shown}");
        assert!(!shown.contains("aHVudGVyMg") && shown.contains("none in the last hour"), "{shown}");
        assert!(!shown.contains("last-applied") && shown.contains("team: a"), "{shown}");
    }
}
