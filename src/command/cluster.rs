//! `pelton cluster`

mod dev;
mod plan;
mod process;

use clap::{Args, Subcommand};

use crate::exit::Failure;

/// What `pelton cluster` takes.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a cluster of several real processes on this machine, to play with
    Dev(dev::DevArgs),
}

/// Runs a cluster.
pub async fn run(args: ClusterArgs) -> Result<(), Failure> {
    let Verb::Dev(args) = args.verb;
    dev::run(args).await
}
