//! `pelton broker`

use clap::{Args, Subcommand};
use pelton_resource::Kind;
use serde_json::{Value, json};

use super::delivery::{DeliveryArgs, without_nulls};
use super::output::WriteForm;
use super::target::ApiArgs;
use super::verbs::{self, ListArgs, ShowArgs};
use crate::exit::Failure;

/// What `pelton broker` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton broker create orders\n  \
                        pelton broker create orders --retry 5 --backoff-delay 1s --dl-sink ksvc:failed\n  \
                        pelton broker list -A\n  pelton broker describe orders\n  pelton broker update orders --retry 3\n  \
                        pelton broker delete orders")]
pub struct BrokerArgs {
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
    /// Change how the events of one are delivered, where a Trigger says nothing of it
    Update(UpdateArgs),
    /// Delete one, with its Triggers left behind
    Delete(verbs::DeleteArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    which: verbs::Which,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
}

#[derive(Debug, Args)]
struct UpdateArgs {
    #[command(flatten)]
    which: verbs::Which,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
}

/// Does what is asked with Brokers.
pub async fn run(args: BrokerArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    match args.verb {
        Verb::Create(CreateArgs { which, delivery, output }) => {
            let (namespace, name) = which.within(&target);
            let broker = broker(&namespace, &name, &delivery);
            verbs::create(&mut target.kube(), Kind::Broker, &namespace, &broker, output).await
        }
        Verb::List(list) => verbs::list(&target, Kind::Broker, &list).await,
        Verb::Describe(show) => verbs::describe(&target, Kind::Broker, &show).await,
        Verb::Update(UpdateArgs { which, delivery, output }) => {
            let (namespace, name) = which.within(&target);
            let Some(delivery) = delivery.spec(&namespace) else { return Err(verbs::nothing_to_change()) };
            let patch = json!({"spec": {"delivery": delivery}});
            verbs::update(&mut target.kube(), Kind::Broker, &namespace, &name, &patch, output).await
        }
        Verb::Delete(delete) => verbs::delete(&target, Kind::Broker, &delete).await,
    }
}

fn broker(namespace: &str, name: &str, delivery: &DeliveryArgs) -> Value {
    without_nulls(json!({
        "apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
        "metadata": {"name": name, "namespace": namespace},
        "spec": delivery.spec(namespace).map(|delivery| json!({"delivery": delivery})),
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CreateArgs,
    }

    #[test]
    fn flags_become_a_broker() {
        for (line, spec) in [
            ("b", None),
            (
                "b --retry 2 --dl-sink broker:x",
                Some(json!({"delivery": {"retry": 2, "deadLetterSink": {"ref": {
                "apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "x", "namespace": "shop"}}}})),
            ),
        ] {
            let args = Line::try_parse_from(format!("x {line}").split_whitespace()).unwrap().args;
            let broker = broker("shop", "b", &args.delivery);
            assert_eq!(broker.get("spec"), spec.as_ref(), "{line}");
            assert!(pelton_resource::Resource::from_manifest(broker).is_ok(), "{line}");
        }
    }
}
