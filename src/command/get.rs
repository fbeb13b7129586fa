//! `pelton get`

use std::time::Duration;

use clap::{Args, ValueEnum};
use pelton_env::{Clock as _, SystemClock, UnixMillis};
use pelton_resource::annotations::PAUSED;
use pelton_resource::conditions::{READY, Severity};
use pelton_resource::{Broker, ConditionStatus, Conditions, Kind, ObjectMeta, Resource, Trigger};

use super::print;
use super::target::ApiArgs;
use crate::api::view::ResourceList;
use crate::exit::Failure;
use crate::table::{Table, age};

/// What `pelton get` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton get brokers\n  pelton get triggers -n shop -o wide\n  \
                        pelton get triggers -o yaml > triggers.yaml")]
pub struct GetArgs {
    /// brokers or triggers
    kind: Kind,
    /// Only those of this namespace
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// A List that `pelton apply` reads
    Json,
    /// A List that `pelton apply` reads
    Yaml,
}

/// Lists resources.
pub async fn run(args: GetArgs) -> Result<(), Failure> {
    let items = args.api.admin()?.list(args.kind, args.namespace.as_deref()).await?;
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&ResourceList::new(items))
            .map(|text| text + "\n")
            .map_err(|error| Failure::failed("cannot write JSON", &error))?,
        Output::Yaml => serde_saphyr::to_string(&ResourceList::new(items))
            .map_err(|error| Failure::failed("cannot write YAML", &error))?,
        Output::Table | Output::Wide if items.is_empty() => {
            eprintln!("There is no {} yet.", args.kind);
            return Ok(());
        }
        Output::Table => table(&items, args.kind, false, SystemClock.now()),
        Output::Wide => table(&items, args.kind, true, SystemClock.now()),
    };
    print(&text)
}

fn table(items: &[Resource], kind: Kind, wide: bool, now: UnixMillis) -> String {
    let mut head = match kind {
        Kind::Broker => vec!["NAMESPACE", "NAME", "READY", "REASON", "URL", "AGE"],
        Kind::Trigger => vec!["NAMESPACE", "NAME", "READY", "REASON", "BROKER", "SUBSCRIBER", "AGE"],
    };
    if wide {
        head.extend(match kind {
            Kind::Broker => &["DEAD LETTER SINK", "WARNINGS"][..],
            Kind::Trigger => &["FILTER", "PAUSED", "DEAD LETTER SINK", "WARNINGS"],
        });
    }
    let mut table = Table::new(&head);
    for item in items {
        let mut row = match item {
            Resource::Broker(broker) => broker_row(broker, now),
            Resource::Trigger(trigger) => trigger_row(trigger, now),
        };
        if wide {
            row.extend(match item {
                Resource::Broker(broker) => vec![or_dash(broker.status.dead_letter_sink_uri.as_deref())],
                Resource::Trigger(trigger) => vec![
                    filter(trigger),
                    trigger.metadata.annotation(PAUSED).unwrap_or("false").to_owned(),
                    or_dash(trigger.status.dead_letter_sink_uri.as_deref()),
                ],
            });
            row.push(warnings(item.conditions()));
        }
        table.row(row);
    }
    table.to_string()
}

fn broker_row(broker: &Broker, now: UnixMillis) -> Vec<String> {
    let url = broker.status.address.as_ref().and_then(|address| address.url.as_deref());
    let mut row = common(&broker.metadata, &broker.status.conditions);
    row.extend([or_dash(url), age_of(&broker.metadata, now)]);
    row
}

fn trigger_row(trigger: &Trigger, now: UnixMillis) -> Vec<String> {
    let subscriber = trigger.status.subscriber_uri.as_deref().or(trigger.spec.subscriber.uri.as_deref());
    let mut row = common(&trigger.metadata, &trigger.status.conditions);
    row.extend([trigger.broker_name().to_owned(), or_dash(subscriber), age_of(&trigger.metadata, now)]);
    row
}

fn common(meta: &ObjectMeta, conditions: &Conditions) -> Vec<String> {
    let ready = match conditions.status(READY) {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    };
    let reason = conditions.find(READY).map_or("", |ready| ready.reason.as_str());
    vec![meta.namespace.clone(), meta.name.clone(), ready.to_owned(), or_dash(Some(reason))]
}

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

fn age_of(meta: &ObjectMeta, now: UnixMillis) -> String {
    let created = meta.creation_timestamp.map(|time| UnixMillis(time.unix_millis()));
    created.map_or_else(|| "-".to_owned(), |created| age(Duration::max(now.since(created), Duration::ZERO)))
}

/// The filter as its YAML would say it, on one line.
fn filter(trigger: &Trigger) -> String {
    let older = trigger.spec.filter.as_ref().filter(|filter| !filter.attributes.is_empty());
    let json = match (trigger.spec.filters.as_slice(), older) {
        ([], None) => return "-".into(),
        ([], Some(filter)) => serde_json::to_string(filter),
        (filters, _) => serde_json::to_string(filters),
    };
    json.unwrap_or_else(|_| "-".into())
}

fn warnings(conditions: &Conditions) -> String {
    let warnings: Vec<&str> =
        conditions.iter().filter(|c| c.severity == Severity::Warning).map(|c| c.reason.as_str()).collect();
    or_dash(Some(&warnings.join(",")))
}
