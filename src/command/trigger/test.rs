//! `pelton trigger test`

use std::path::{Path, PathBuf};

use clap::Args;
use pelton_resource::Resource;
use serde_json::json;

use crate::admin::Admin;
use crate::api::events_view::MatchPage;
use crate::command::events::render::{Output, table, value};
use crate::command::events::{Notes, SelectArgs, add, moment};
use crate::command::once::once;
use crate::command::print;
use crate::command::target::Name;
use crate::contexts::Target;
use crate::exit::Failure;
use crate::manifests;

/// What `pelton trigger test` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The filter is that of a Trigger that exists, of a manifest that was not applied, or of flags, which must \
                        all match exactly. Nothing is delivered and nothing is changed.\n\n\
                        Examples:\n  pelton trigger test orders\n  pelton trigger test -f trigger.yaml --since 24h\n  \
                        pelton trigger test --broker orders --type com.example.order.created --limit 3"
)]
pub struct TestArgs {
    /// The Trigger: NAME or NAMESPACE/NAME
    #[arg(value_name = "TRIGGER")]
    name: Option<Name>,
    /// The namespace of a name that has none [default: that of the context, else default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// A manifest with one Trigger; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "name")]
    file: Option<PathBuf>,
    /// The Broker whose events are looked at, when the filter is given by flags
    #[arg(long, value_name = "BROKER", default_value = "default", conflicts_with_all = ["name", "file"])]
    broker: Name,
    #[command(flatten)]
    select: SelectArgs,
    /// Look at what was taken in since then: a time, or how long ago
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = moment)]
    since: String,
    /// Look at what was taken in until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Show so many of the events that match: the first
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Look at no more events of the log than about so many
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_events: u64,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl TestArgs {
    /// Whom to ask for what: a path with a query.
    fn path(&self, target: &Target) -> Result<String, Failure> {
        let namespace = target.namespace(self.namespace.as_deref());
        let pairs = self.select.pairs();
        match (&self.name, &self.file) {
            (Some(_), _) | (_, Some(_)) if !pairs.is_empty() => {
                Err(Failure::Usage("a filter is given by a Trigger, a manifest, or flags: by one of them".to_owned()))
            }
            (Some(name), _) => {
                let (namespace, name) = name.within(&namespace);
                Ok(format!("/v1/triggers/{namespace}/{name}/matches?"))
            }
            (None, Some(file)) => of_file(file, &namespace),
            (None, None) if pairs.is_empty() => Err(Failure::Usage(
                "a filter is wanted: the name of a Trigger, -f FILE, or flags such as --type".to_owned(),
            )),
            (None, None) => {
                // --type and the like say what --attribute says as well.
                once("--attribute", pairs.iter().map(|(name, _)| *name))?;
                let (namespace, name) = self.broker.within(&namespace);
                let exact: serde_json::Map<_, _> =
                    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                let mut path = format!("/v1/events/{namespace}/{name}/matches?");
                add(&mut path, "filters", &json!([{"exact": exact}]).to_string());
                Ok(path)
            }
        }
    }
}

/// The same of the Trigger in a manifest; one that says no namespace is in that one.
fn of_file(file: &Path, namespace: &str) -> Result<String, Failure> {
    let resources = manifests::read(&[file.to_owned()])?;
    let triggers: Vec<_> = resources
        .into_iter()
        .filter_map(|resource| match resource {
            Resource::Trigger(trigger) => Some(trigger),
            _ => None,
        })
        .collect();
    let [trigger] = triggers.as_slice() else {
        let found = triggers.len();
        return Err(Failure::Usage(format!("{}: expected one Trigger, found {found}", file.display())));
    };
    let namespace = match trigger.metadata.namespace.as_str() {
        "" => namespace,
        its_own => its_own,
    };
    let mut path = format!("/v1/events/{namespace}/{}/matches?", trigger.broker_name());
    let text = |value: serde_json::Result<String>| value.map_err(|error| Failure::failed("cannot write JSON", &error));
    if let Some(filter) = &trigger.spec.filter {
        add(&mut path, "filter", &text(serde_json::to_string(filter))?);
    }
    if !trigger.spec.filters.is_empty() {
        add(&mut path, "filters", &text(serde_json::to_string(&trigger.spec.filters))?);
    }
    Ok(path)
}

/// Says what a filter would have let pass.
pub async fn run(target: &Target, args: TestArgs) -> Result<(), Failure> {
    let mut query = args.path(target)?;
    add(&mut query, "limit", &args.limit.to_string());
    add(&mut query, "since", &args.since);
    if let Some(until) = &args.until {
        add(&mut query, "until", until);
    }
    let page = ask(&mut target.admin(), &query, &args).await?;
    match args.output {
        Output::Json | Output::Yaml => print(&value(&page, args.output)?),
        Output::Name => print(&page.items.iter().map(|event| format!("{}\n", event.position)).collect::<String>()),
        Output::Table | Output::Wide => print(&text(&page, &args)),
    }
}

/// Asks until everything was looked at, or as much as may be.
async fn ask(admin: &mut Admin, query: &str, args: &TestArgs) -> Result<MatchPage, Failure> {
    let notes = Notes::new();
    let mut page: MatchPage = admin.get(query).await?;
    while page.looked.events < args.max_events {
        let Some(next) = page.looked.next.take() else { break };
        notes.looked(page.looked.events, page.looked.to.as_deref());
        let mut path = query.to_owned();
        add(&mut path, "next", &next);
        let more: MatchPage = admin.get(&path).await?;
        page.looked_at += more.looked_at;
        page.matched += more.matched;
        let room = (args.limit as usize).saturating_sub(page.items.len());
        page.items.extend(more.items.into_iter().take(room));
        page.looked.events += more.looked.events;
        page.looked.missing += more.looked.missing;
        page.looked.to = more.looked.to.or(page.looked.to);
        page.looked.next = more.looked.next;
    }
    notes.clear();
    Ok(page)
}

fn text(page: &MatchPage, args: &TestArgs) -> String {
    let mut out = format!(
        "{} of {} events of the Broker {} match, since {}.\n",
        page.matched, page.looked_at, page.broker, args.since
    );
    if page.looked.missing > 0 {
        out.push_str(&format!("{} events went out of the log, or cannot be read.\n", page.looked.missing));
    }
    if page.looked.next.is_some() {
        let to = page.looked.to.as_deref().unwrap_or("the beginning");
        let events = page.looked.events;
        out.push_str(&format!("Looked at up to {to} only: {events} events, and --max-events allows more.\n"));
    }
    if !page.items.is_empty() {
        let shown = page.items.len();
        out.push_str(&format!("The first {shown}:\n\n{}", table(&page.items, args.output)));
    }
    out
}
