//! `pelton trigger`

mod test;

use clap::{Args, Subcommand};
use pelton_resource::annotations::PAUSED;
use pelton_resource::{Kind, StartPosition};
use serde_json::{Map, Value, json};

use super::delivery::{DeliveryArgs, Sink, without_nulls};
use super::once::once;
use super::output::WriteForm;
use super::print_line;
use super::target::ApiArgs;
use super::verbs::{self, ListArgs, ShowArgs, Which};
use crate::contexts::Target;
use crate::exit::Failure;
use crate::kube::{Write, kinds};

/// What `pelton trigger` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        pelton trigger create orders --filter type=com.example.order.created --sink ksvc:orders\n  \
                        pelton trigger create all --broker shop --sink http://127.0.0.1:9000/ --retry 3 --backoff-delay 1s\n  \
                        pelton trigger list -A\n  pelton trigger describe orders\n  \
                        pelton trigger update orders --filter source=/shop --filter type- --sink broker:other\n  \
                        pelton trigger delete orders\n  pelton trigger pause orders\n  pelton trigger resume orders\n  \
                        pelton trigger rewind orders --to earliest\n  \
                        pelton trigger rewind shop/orders --to 2026-11-22T08:00:00Z\n  \
                        pelton trigger test orders --since 24h")]
pub struct TriggerArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make one
    Create(CreateArgs),
    /// List them
    List(ListArgs),
    /// Show one, with what happened to it
    Describe(ShowArgs),
    /// Change one; no event is lost or repeated by it
    Update(UpdateArgs),
    /// Delete one
    Delete(verbs::DeleteArgs),
    /// Deliver nothing; events wait and no attempt is spent
    Pause(Which),
    /// Deliver again, from where it stopped
    Resume(Which),
    /// Tell which of the last hour's events a filter would have let pass
    Test(Box<test::TestArgs>),
    /// Deliver again from another place in the log
    Rewind {
        #[command(flatten)]
        which: Which,
        /// latest, earliest, offset:N, or an RFC 3339 time
        #[arg(long, value_parser = place)]
        to: String,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    which: Which,
    /// The Broker, in the same namespace
    #[arg(long, default_value = "default")]
    broker: String,
    /// Only events whose attribute has that value, as NAME=VALUE; may be repeated, and all must hold
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = filter)]
    filters: Vec<Filter>,
    /// Who gets the events: URL, or ksvc:NAME, broker:NAME or svc:NAME, each with :NAMESPACE where it is another one
    #[arg(long)]
    sink: Sink,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    which: Which,
    /// NAME=VALUE for another value of an attribute, NAME- to ask for none; may be repeated
    #[arg(long = "filter", value_name = "NAME=VALUE", value_parser = filter_or_none)]
    filters: Vec<Filter>,
    /// Who gets the events: URL, or ksvc:NAME, broker:NAME or svc:NAME, each with :NAMESPACE where it is another one
    #[arg(long)]
    sink: Option<Sink>,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
}

/// An attribute, and the value that it is to have, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    name: String,
    value: Option<String>,
}

fn filter(text: &str) -> Result<Filter, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Filter { name: name.to_owned(), value: Some(value.to_owned()) }),
        _ => Err("expected NAME=VALUE, such as type=com.example.order.created".into()),
    }
}

fn filter_or_none(text: &str) -> Result<Filter, String> {
    match text.strip_suffix('-') {
        Some(name) if !name.is_empty() && !name.contains('=') => Ok(Filter { name: name.to_owned(), value: None }),
        _ => filter(text),
    }
}

fn place(text: &str) -> Result<String, String> {
    match StartPosition::of(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected latest, earliest, offset:N or a time such as 2026-11-22T08:00:00Z".into()),
    }
}

/// Does what is asked with Triggers.
pub async fn run(args: TriggerArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    match args.verb {
        Verb::Create(args) => {
            are_once(&args.filters)?;
            let (namespace, name) = args.which.within(&target);
            let trigger = trigger(&namespace, &name, &args);
            verbs::create(&mut target.kube(), Kind::Trigger, &namespace, &trigger, args.output).await
        }
        Verb::List(list) => verbs::list(&target, Kind::Trigger, &list).await,
        Verb::Describe(show) => verbs::describe(&target, Kind::Trigger, &show).await,
        Verb::Update(args) => {
            are_once(&args.filters)?;
            let (namespace, name) = args.which.within(&target);
            let Some(patch) = update(&namespace, &args) else { return Err(verbs::nothing_to_change()) };
            if !args.filters.is_empty() {
                has_no_other_filters(&target, &namespace, &name).await?;
            }
            verbs::update(&mut target.kube(), Kind::Trigger, &namespace, &name, &patch, args.output).await
        }
        Verb::Delete(delete) => verbs::delete(&target, Kind::Trigger, &delete).await,
        Verb::Test(args) => test::run(&target, *args).await,
        Verb::Pause(which) => set_paused(&target, &which, true).await,
        Verb::Resume(which) => set_paused(&target, &which, false).await,
        Verb::Rewind { which, to } => {
            let key = which.key(Kind::Trigger, &target);
            target.admin().rewind(&key, &to).await?;
            print_line(&format!("{key} rewound to {to}"))
        }
    }
}

/// A Trigger of these flags.
fn trigger(namespace: &str, name: &str, args: &CreateArgs) -> Value {
    let filter = (!args.filters.is_empty()).then(|| json!({"attributes": attributes(&args.filters)}));
    without_nulls(json!({
        "apiVersion": "eventing.knative.dev/v1", "kind": "Trigger",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "broker": args.broker, "filter": filter, "subscriber": args.sink.destination(namespace),
            "delivery": args.delivery.spec(namespace),
        },
    }))
}

/// What these flags change, as a merge patch. `None` when it is nothing.
fn update(namespace: &str, args: &UpdateArgs) -> Option<Value> {
    let mut spec = Map::new();
    if !args.filters.is_empty() {
        spec.insert("filter".to_owned(), json!({"attributes": attributes(&args.filters)}));
    }
    spec.extend(args.sink.as_ref().map(|sink| ("subscriber".to_owned(), sink.destination(namespace))));
    spec.extend(args.delivery.spec(namespace).map(|delivery| ("delivery".to_owned(), delivery)));
    (!spec.is_empty()).then(|| json!({"spec": spec}))
}

/// Beside `spec.filters`, what these flags say would not count.
async fn has_no_other_filters(target: &Target, namespace: &str, name: &str) -> Result<(), Failure> {
    let trigger = target.kube().get(kinds::row(Kind::Trigger), namespace, name).await?;
    match trigger.pointer("/spec/filters").and_then(Value::as_array) {
        Some(filters) if !filters.is_empty() => Err(Failure::Failed(format!(
            "{namespace}/{name} has spec.filters, beside which --filter would not count: pelton edit trigger changes them"
        ))),
        _ => Ok(()),
    }
}

fn are_once(filters: &[Filter]) -> Result<(), Failure> {
    once("--filter", filters.iter().map(|filter| filter.name.as_str()))
}

fn attributes(filters: &[Filter]) -> Map<String, Value> {
    filters.iter().map(|filter| (filter.name.clone(), json!(filter.value))).collect()
}

/// Sets the annotation, whatever else is changed meanwhile.
async fn set_paused(target: &Target, which: &Which, paused: bool) -> Result<(), Failure> {
    let key = which.key(Kind::Trigger, target);
    let patch = json!({"metadata": {"annotations": {PAUSED: paused.then_some("true")}}});
    target.kube().patch(kinds::row(Kind::Trigger), &key.namespace, &key.name, &patch, Write::default()).await?;
    print_line(&format!("{key} {}", if paused { "paused" } else { "resumed" }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pelton_resource::{Defaults, Resource};

    use super::*;

    #[derive(Debug, Parser)]
    struct Create {
        #[command(flatten)]
        args: CreateArgs,
    }

    #[derive(Debug, Parser)]
    struct Update {
        #[command(flatten)]
        args: UpdateArgs,
    }

    /// Each row: flags, and the `spec` that they make.
    #[test]
    fn flags_become_a_trigger() {
        let hello = json!({"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello", "namespace": "shop"}});
        for (line, want) in [
            ("t --sink http://x/", json!({"broker": "default", "subscriber": {"uri": "http://x/"}})),
            (
                "t --broker b --filter type=a --filter source=/s=1 --sink ksvc:hello",
                json!({"broker": "b", "filter": {"attributes": {"type": "a", "source": "/s=1"}}, "subscriber": hello}),
            ),
            (
                "t --sink http://x/ --retry 1 --backoff-policy exponential",
                json!({"broker": "default", "subscriber": {"uri": "http://x/"}, "delivery": {"retry": 1, "backoffPolicy": "exponential"}}),
            ),
            (
                "t --filter type= --sink http://x/",
                json!({"broker": "default", "filter": {"attributes": {"type": ""}}, "subscriber": {"uri": "http://x/"}}),
            ),
        ] {
            let args = Create::try_parse_from(format!("x {line}").split_whitespace()).unwrap().args;
            let trigger = trigger("shop", "t", &args);
            assert_eq!(trigger["spec"], want, "{line}");
            assert!(Resource::from_manifest(trigger).unwrap().validate(&Defaults::default()).is_ok(), "{line}");
        }
        for bad in [
            "t",
            "--sink http://x",
            "t --sink a:b",
            "t --sink x --filter type",
            "t --sink x --filter type-",
            "T --sink x",
        ] {
            assert!(Create::try_parse_from(format!("x {bad}").split_whitespace()).is_err(), "{bad}");
        }
    }

    /// Each row: flags, and the merge patch that they make.
    #[test]
    fn flags_become_a_change() {
        for (line, want) in [
            ("t", None),
            (
                "t --filter type=b --filter source-",
                Some(json!({"filter": {"attributes": {"type": "b", "source": null}}})),
            ),
            ("t --retry 0", Some(json!({"delivery": {"retry": 0}}))),
            (
                "t --sink http://x/",
                Some(json!({"subscriber": {"uri": "http://x/", "ref": null, "CACerts": null, "audience": null}})),
            ),
        ] {
            let args = Update::try_parse_from(format!("x {line}").split_whitespace()).unwrap().args;
            assert_eq!(update("shop", &args), want.map(|spec| json!({"spec": spec})), "{line}");
        }
    }
}
