//! `pelton get`

use clap::{Args, ValueEnum};
use pelton_env::{Clock as _, SystemClock, UnixMillis};
use pelton_resource::{Kind, Resource};

use super::output::{json, yaml};
use super::print;
use super::target::ApiArgs;
use crate::api::view::ResourceList;
use crate::exit::Failure;
use crate::table::Table;

pub mod columns;

/// What `pelton get` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton get brokers\n  pelton get ksvc -n shop -o wide\n  \
                        pelton get triggers -o yaml > triggers.yaml")]
pub struct GetArgs {
    /// brokers, triggers, services, configurations, revisions, routes or domainmappings
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
pub enum Output {
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
    show(items, args.kind, args.output)
}

/// Prints resources of one kind.
///
/// # Errors
/// As [`print()`].
pub fn show(items: Vec<Resource>, kind: Kind, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Json => json(&ResourceList::new(items))?,
        Output::Yaml => yaml(&ResourceList::new(items))?,
        Output::Table | Output::Wide if items.is_empty() => {
            eprintln!("There is no {kind} yet.");
            return Ok(());
        }
        Output::Table => table(&items, kind, false, SystemClock.now()),
        Output::Wide => table(&items, kind, true, SystemClock.now()),
    };
    print(&text)
}

fn table(items: &[Resource], kind: Kind, wide: bool, now: UnixMillis) -> String {
    let mut table = Table::new(&columns::head(kind, wide));
    for item in items {
        table.row(columns::row(item, wide, now));
    }
    table.to_string()
}
