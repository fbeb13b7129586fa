//! `pelton revision`

use clap::{Args, Subcommand};
use pelton_resource::{Kind, Resource};

use super::get;
use super::service::ListArgs;
use super::target::ApiArgs;
use crate::exit::Failure;

/// What `pelton revision` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton revision list\n  pelton revision list --service hello -o wide")]
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
}

/// Lists Revisions.
pub async fn run(args: RevisionArgs) -> Result<(), Failure> {
    let Verb::List { service, list } = args.verb;
    let mut items = args.api.admin()?.list(Kind::Revision, list.namespace.as_deref()).await?;
    items.retain(|item| match (&service, item) {
        (Some(service), Resource::Revision(revision)) => revision.service_name() == Some(service.as_str()),
        _ => true,
    });
    get::show(items, Kind::Revision, list.output)
}
