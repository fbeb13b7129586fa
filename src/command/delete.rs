//! `pelton delete`

use clap::Args;
use pelton_resource::Kind;

use super::print_line;
use super::target::{ApiArgs, Name};
use crate::exit::Failure;

/// What `pelton delete` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton delete trigger orders\n  pelton delete broker shop/default")]
pub struct DeleteArgs {
    /// broker, trigger, service, configuration, revision, route or domainmapping
    kind: Kind,
    /// NAME or NAMESPACE/NAME
    name: Name,
    /// The namespace of a name that has none
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Deletes one resource.
pub async fn run(args: DeleteArgs) -> Result<(), Failure> {
    let key = args.name.key(args.kind, args.namespace.as_deref());
    args.api.admin()?.delete(&key).await?;
    print_line(&format!("{key} deleted"))
}
