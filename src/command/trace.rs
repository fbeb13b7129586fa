//! `pelton trace`

mod render;

use clap::{Args, ValueEnum};
use pelton_client::BrokerName;

use super::events::{Notes, add, moment};
use super::output::{json, yaml};
use super::print;
use super::target::{ApiArgs, Name};
use crate::admin::encode;
use crate::api::events_view::TraceView;
use crate::exit::Failure;

/// What `pelton trace` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Of each copy of the event in the log: for each Trigger of its Broker whether it matches, the attempts with \
                        their codes and times, whether it was delivered, became a dead letter or waits, and for what, and \
                        where the replies stand that it brought.\n\n\
                        What is delivered and what waits is stored; single attempts are remembered by the dispatchers for \
                        a while, and it is said since when.\n\n\
                        Exits with 1 when there is no such event.\n\n\
                        Examples:\n  pelton trace /shop 17\n  pelton trace /shop 17 --broker shop/orders --since 1h\n  \
                        pelton trace /shop 17 -o json | jq '.copies[].triggers[].state'"
)]
pub struct TraceArgs {
    /// Its source
    source: String,
    /// Its id
    id: String,
    /// Only in this Broker: NAME or NAMESPACE/NAME
    #[arg(long)]
    broker: Option<Name>,
    /// The namespace of a name that has none [default: that of the context, else default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Look only at what was taken in since then: a time, or how long ago. Everything that is kept unless given
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Look only at what was taken in until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// With its data
    #[arg(long)]
    data: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// The same, with Triggers whose filters do not let it pass
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Only where the copies stand
    Name,
}

/// Tells what became of an event.
pub async fn run(args: TraceArgs) -> Result<(), Failure> {
    let trace = ask(&args).await?;
    if trace.copies.is_empty() && matches!(args.output, Output::Text | Output::Wide | Output::Name) {
        let looked = &trace.looked;
        return Err(Failure::Failed(format!(
            "there is no event with the source {:?} and the id {:?}: {} events were looked at, up to {}{}",
            args.source,
            args.id,
            looked.events,
            looked.to.as_deref().unwrap_or("the beginning"),
            render::missing(looked.missing),
        )));
    }
    let is_found = !trace.copies.is_empty();
    let text = match args.output {
        Output::Text => render::text(&trace, render::Shown::Concerned),
        Output::Wide => render::text(&trace, render::Shown::All),
        Output::Json => json(&trace)?,
        Output::Yaml => {
            let whole = serde_json::to_value(&trace).map_err(|error| Failure::failed("cannot write JSON", &error))?;
            yaml(&whole)?
        }
        Output::Name => trace.copies.iter().map(|copy| format!("{}\n", copy.event.position)).collect(),
    };
    print(&text)?;
    match is_found {
        true => Ok(()),
        false => Err(Failure::Failed("there is no such event".to_owned())),
    }
}

/// Asks until everything was looked at.
async fn ask(args: &TraceArgs) -> Result<TraceView, Failure> {
    let target = args.api.target()?;
    let mut query = format!("/v1/trace?source={}&id={}&data={}", encode(&args.source), encode(&args.id), args.data);
    if let Some(broker) = &args.broker {
        let namespace = target.namespace(args.namespace.as_deref());
        let (namespace, name) = broker.within(&namespace);
        add(&mut query, "broker", BrokerName::new(namespace, name).as_str());
    }
    if let Some(until) = &args.until {
        add(&mut query, "until", until);
    }
    let mut path = query.clone();
    if let Some(since) = &args.since {
        add(&mut path, "since", since);
    }
    let mut admin = target.admin();
    let notes = Notes::new();
    let mut whole: Option<TraceView> = None;
    loop {
        let mut page: TraceView = admin.get(&path).await?;
        if let Some(mut before) = whole.take() {
            page.looked.events += before.looked.events;
            page.looked.missing += before.looked.missing;
            page.looked.to = page.looked.to.or(before.looked.to);
            before.copies.append(&mut page.copies);
            page.copies = before.copies;
            if page.dispatchers.is_empty() {
                page.dispatchers = before.dispatchers;
            }
        }
        let Some(next) = page.looked.next.clone() else {
            notes.clear();
            return Ok(page);
        };
        notes.looked(page.looked.events, page.looked.to.as_deref());
        path.clone_from(&query);
        // Where it goes on its place says from where; events before that moment are left out all the same.
        if let Some(since) = &args.since {
            add(&mut path, "since", since);
        }
        add(&mut path, "next", &next);
        whole = Some(page);
    }
}
