//! `pelton status`

pub mod render;

use clap::Args;

use super::output::{Output, json};
use super::print;
use super::target::ApiArgs;
use crate::exit::Failure;

/// What `pelton status` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Any node can be asked; those that are down are shown as such. Exits with 0 when all is well and \
                        1 when there is a problem.\n\n\
                        Examples:\n  pelton status\n  pelton status --api http://10.0.0.2:8001 -o json\n  \
                        watch -n1 pelton status"
)]
pub struct StatusArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    api: ApiArgs,
}

/// Shows the cluster on one screen.
pub async fn run(args: StatusArgs) -> Result<(), Failure> {
    let status = args.api.admin()?.cluster().await?;
    print(&match args.output {
        Output::Json => json(&status)?,
        Output::Table => render::screen(&status, false),
        Output::Wide => render::screen(&status, true),
    })?;
    match status.problems.len() {
        0 => Ok(()),
        1 => Err(Failure::Failed("the cluster has a problem".into())),
        count => Err(Failure::Failed(format!("the cluster has {count} problems"))),
    }
}
