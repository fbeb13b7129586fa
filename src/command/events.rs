//! `pelton events`

pub mod render;
mod select;

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use pelton_client::Position;

use self::render::Output;
pub use self::select::{SelectArgs, add, moment};
use super::target::{ApiArgs, Name};
use super::{print, print_error, print_while_read};
use crate::admin::Admin;
use crate::api::events_view::{EventPage, EventView, Looked, TailRecord};
use crate::contexts::Target;
use crate::exit::Failure;

/// Events asked for at a time.
const PAGE: u64 = 500;

/// The longest line of what is followed: an event of the largest size, of which JSON makes no more than six times as much.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// What `pelton events` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Events are shown by their attributes; --data shows the data, too. Times are when Pelton took an event \
                        in.\n\n\
                        Examples:\n  pelton events list --since 10m --type com.example.order.created\n  \
                        pelton events list shop/orders --subject 17 -x partitionkey=a -o wide\n  \
                        pelton events show 1/4711 --data\n  \
                        pelton events tail --source /shop -o json | jq -r .attributes.id\n\n\
                        pelton trace SOURCE ID tells what became of one."
)]
pub struct EventsArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them as they were taken in, from the last hour unless told otherwise
    List(ListArgs),
    /// Print some by their places in the log
    Show {
        /// Where they stand, as the list shows it
        #[arg(value_name = "GROUP/OFFSET", required = true)]
        positions: Vec<Position>,
        /// With their data
        #[arg(long)]
        data: bool,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Print them as they are committed, from now on unless told otherwise, until it is interrupted or the server stops
    Tail {
        #[command(flatten)]
        which: BrokerArgs,
        /// Begin with those that were taken in since then: a time, or how long ago
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<String>,
        #[command(flatten)]
        select: SelectArgs,
        /// With their data
        #[arg(long)]
        data: bool,
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    which: BrokerArgs,
    /// Only those taken in since then: a time such as 2026-11-22T08:00:00Z, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = moment)]
    since: String,
    /// Only those taken in until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    #[command(flatten)]
    select: SelectArgs,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Not only the first ones
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where a list ended, with what it said
    #[arg(long = "continue", value_name = "TOKEN", conflicts_with = "since")]
    next: Option<String>,
    /// With their data
    #[arg(long)]
    data: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Which Broker is meant.
#[derive(Debug, Args)]
struct BrokerArgs {
    /// The Broker: NAME or NAMESPACE/NAME
    #[arg(value_name = "BROKER", default_value = "default")]
    broker: Name,
    /// The namespace of a name that has none [default: that of the context, else default]
    #[arg(short, long)]
    namespace: Option<String>,
}

impl BrokerArgs {
    fn path(&self, target: &Target) -> String {
        let namespace = target.namespace(self.namespace.as_deref());
        let (namespace, name) = self.broker.within(&namespace);
        format!("/v1/events/{namespace}/{name}")
    }
}

/// Shows events.
pub async fn run(args: EventsArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    let mut admin = target.admin();
    match args.verb {
        Verb::List(args) => list(&mut admin, &args.which.path(&target), args).await,
        Verb::Show { positions, data, output } => {
            let mut events = Vec::with_capacity(positions.len());
            for position in positions {
                events.push(admin.get::<EventView>(&format!("/v1/event/{position}?data={data}")).await?);
            }
            print(&render::events(&events, output, render::Detail::All)?)
        }
        Verb::Tail { which, since, select, data, output } => {
            let mut path = format!("{}/tail?data={data}{}", which.path(&target), select.query());
            if let Some(since) = since {
                add(&mut path, "since", &since);
            }
            tail(&admin, &path, output).await
        }
    }
}

async fn list(admin: &mut Admin, broker: &str, args: ListArgs) -> Result<(), Failure> {
    let mut query = format!("{broker}?data={}{}", args.data, args.select.query());
    if let Some(until) = &args.until {
        add(&mut query, "until", until);
    }
    // Where it goes on its places say from where.
    if args.next.is_none() {
        add(&mut query, "since", &args.since);
    }
    let limit = if args.all { u64::MAX } else { args.limit };
    let (mut events, mut looked_at, mut missing) = (Vec::<EventView>::new(), 0, 0);
    let mut next = args.next;
    let notes = Notes::new();
    let looked = loop {
        let wanted = PAGE.min(limit - events.len() as u64);
        let mut path = format!("{query}&limit={wanted}");
        if let Some(next) = &next {
            add(&mut path, "next", next);
        }
        let page: EventPage = admin.get(&path).await?;
        events.extend(page.items);
        looked_at += page.looked.events;
        missing += page.looked.missing;
        if page.looked.next.is_none() || events.len() as u64 >= limit {
            break page.looked;
        }
        notes.looked(looked_at, page.looked.to.as_deref());
        next = page.looked.next;
    };
    notes.clear();
    match (events.is_empty(), args.output) {
        (true, Output::Table | Output::Wide) => {
            print_error(&format!("There are no such events: {looked_at} of all Brokers were looked at."));
        }
        (_, Output::Json | Output::Yaml) => {
            let page = EventPage { items: events, looked: Looked { events: looked_at, missing, ..looked.clone() } };
            print(&render::value(&page, args.output)?)?;
        }
        _ => print(&render::events(&events, args.output, render::Detail::Rows)?)?,
    }
    if missing > 0 {
        print_error(&format!(
            "{missing} events went out of the log, or could not be read, while it was looked through."
        ));
    }
    if let Some(next) = looked.next {
        print_error(&format!("There may be more: --all lists them, --continue {next} goes on here."));
    }
    Ok(())
}

async fn tail(admin: &Admin, path: &str, output: Output) -> Result<(), Failure> {
    let mut stream = admin.lines(path, MAX_LINE_BYTES).await?;
    while let Some(record) = stream.next_as::<TailRecord>().await? {
        if let TailRecord::Missing { group, events } = &record {
            print_error(&format!(
                "{events} events of log group {group} could not be read: they went out of the log, as this is too slow, or are \
                 damaged."
            ));
        }
        let Some(text) = render::record(&record, output)? else { continue };
        // Each by itself: whoever reads a pipe sees it at once.
        if !print_while_read(&text)? {
            return Ok(());
        }
    }
    Err(Failure::NoAnswer(format!("{} ended what was followed: it is stopping", stream.authority())))
}

/// Without the end of a line. A terminal that is gone needs nothing.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// What is said on standard error while a long look goes on, if people read it.
#[derive(Debug)]
pub struct Notes {
    are_read: bool,
}

impl Notes {
    /// As standard error is.
    #[must_use]
    pub fn new() -> Self {
        Self { are_read: std::io::stderr().is_terminal() }
    }

    /// How far it is.
    pub fn looked(&self, events: u64, to: Option<&str>) {
        if self.are_read {
            say(&format!("\r\x1b[K{events} events looked at, up to {}", to.unwrap_or("the beginning")));
        }
    }

    /// Nothing any more.
    pub fn clear(&self) {
        if self.are_read {
            say("\r\x1b[K");
        }
    }
}
