//! `pelton revision`

use clap::{Args, Subcommand};
use pelton_resource::Kind;
use pelton_resource::serving::labels::SERVICE;

use super::target::ApiArgs;
use super::verbs::{self, ListArgs, ShowArgs};
use crate::exit::Failure;

/// What `pelton revision` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton revision list\n  pelton revision list --service hello -o wide\n  \
                        pelton revision describe hello-00001")]
pub struct RevisionArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List Revisions
    List {
        /// Only those of the Service of this name
        #[arg(short, long, value_name = "NAME")]
        service: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one, with what happened to it
    Describe(ShowArgs),
}

/// Lists or shows Revisions.
pub async fn run(args: RevisionArgs) -> Result<(), Failure> {
    let target = args.api.target()?;
    match args.verb {
        Verb::List { service, mut list } => {
            if let Some(service) = service {
                let own = format!("{SERVICE}={service}");
                let selector = list.select.selector.take();
                list.select.selector = Some(selector.map_or(own.clone(), |selector| format!("{selector},{own}")));
            }
            verbs::list(&target, Kind::Revision, &list).await
        }
        Verb::Describe(show) => verbs::describe(&target, Kind::Revision, &show).await,
    }
}
