//! `pelton group`

use clap::{Args, Subcommand};

use super::output::{Output, json};
use super::status::render;
use super::target::ApiArgs;
use super::{print, print_line};
use crate::api::cluster_view::ChangeBody;
use crate::exit::Failure;

/// What `pelton group` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton group list -o wide\n  pelton group move 2 --from a --to d\n  \
                        pelton group lead 2 b")]
pub struct GroupArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the log groups: who leads them, who has replicas, how far behind they are
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Move a replica to another node; the group goes on serving
    Move {
        /// The group's number
        group: u32,
        /// The node that has the replica
        #[arg(long, value_name = "NODE")]
        from: String,
        /// The node that is to have it
        #[arg(long, value_name = "NODE")]
        to: String,
    },
    /// Have a group led by another of its nodes
    Lead {
        /// The group's number
        group: u32,
        /// The node that is to lead
        node: String,
    },
}

/// Lists or changes groups.
pub async fn run(args: GroupArgs) -> Result<(), Failure> {
    let mut admin = args.api.admin()?;
    match args.verb {
        Verb::List { output } => {
            let status = admin.cluster().await?;
            print(&match output {
                Output::Json => json(&status.groups)?,
                Output::Table => render::groups(&status, false),
                Output::Wide => render::groups(&status, true),
            })
        }
        Verb::Move { group, from, to } => {
            let change = ChangeBody::Move { group, from: from.clone(), to: to.clone() };
            admin.change_cluster(&change).await?;
            print_line(&format!("group {group} moves a replica from {from} to {to}; pelton status shows how far it is"))
        }
        Verb::Lead { group, node } => {
            admin.change_cluster(&ChangeBody::Lead { group, node: node.clone() }).await?;
            print_line(&format!("group {group} is to be led by {node}"))
        }
    }
}
