//! `pelton node`

use std::time::Duration;

use clap::{Args, Subcommand};
use pelton_client::{NodePhase, Role};
use tokio::time::{Instant, sleep};

use super::output::{Output, json};
use super::status::render;
use super::target::ApiArgs;
use super::{print, print_line};
use crate::admin::Admin;
use crate::api::cluster_view::{ChangeBody, ClusterStatus, GroupStatus, REGISTRY_NAME};
use crate::config::parse_duration;
use crate::exit::Failure;

/// How often `drain --wait` looks.
const POLL: Duration = Duration::from_millis(500);

/// What `pelton node` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "To take a machine out of service: drain it, wait until it holds nothing, stop it, remove it. One \
                        that will never come back is removed with --lost.\n\n\
                        Examples:\n  pelton node list -o wide\n  pelton node drain b --wait 10m\n  pelton node undrain b\n  \
                        pelton node remove b\n  pelton node remove c --lost"
)]
pub struct NodeArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the nodes of the cluster
    List {
        /// How to print
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Have a node hand over its leaders, then its replicas, while it goes on serving
    Drain {
        /// The node's name
        node: String,
        /// Wait until it holds nothing any more, so long at most
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        wait: Option<Duration>,
    },
    /// Let a drained node hold replicas again
    Undrain {
        /// The node's name
        node: String,
    },
    /// Take a node out of the cluster for good; its identity is never given again
    Remove {
        /// The node's name
        node: String,
        /// It never comes back: its replicas are made anew from the others, and what only it had is given up
        #[arg(long)]
        lost: bool,
    },
}

/// Lists or changes nodes.
pub async fn run(args: NodeArgs) -> Result<(), Failure> {
    let mut admin = args.api.admin()?;
    match args.verb {
        Verb::List { output } => {
            let status = admin.cluster().await?;
            print(&match output {
                Output::Json => json(&status.nodes)?,
                Output::Table => render::nodes(&status, false),
                Output::Wide => render::nodes(&status, true),
            })
        }
        Verb::Drain { node, wait } => {
            admin.change_cluster(&ChangeBody::Drain { node: node.clone() }).await?;
            match wait {
                None => print_line(&format!("node {node} hands over what it has; pelton status shows how far it is")),
                Some(wait) => {
                    until_drained(&mut admin, &node, wait).await?;
                    print_line(&format!("node {node} holds nothing any more"))
                }
            }
        }
        Verb::Undrain { node } => {
            admin.change_cluster(&ChangeBody::Undrain { node: node.clone() }).await?;
            print_line(&format!("node {node} may hold replicas again"))
        }
        Verb::Remove { node, lost } => {
            admin.change_cluster(&ChangeBody::Remove { node: node.clone(), lost }).await?;
            print_line(&format!("node {node} removed"))
        }
    }
}

async fn until_drained(admin: &mut Admin, node: &str, wait: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + wait;
    loop {
        let status = admin.cluster().await?;
        let left = left_on(&status, node);
        if left == Left::Nothing {
            return Ok(());
        }
        if matches!(left, Left::Replicas(_))
            && let Some(why) = stays(&status, node)
        {
            return Err(Failure::Failed(why));
        }
        if Instant::now() + POLL > deadline {
            return Err(Failure::Failed(match left {
                Left::Replicas(count) => {
                    format!(
                        "node {node} still holds {count} replicas after {wait:?}; they go to nodes that have none yet"
                    )
                }
                Left::Nothing | Left::NotDraining => format!("node {node} is not draining: somebody changed that"),
            }));
        }
        sleep(POLL).await;
    }
}

/// What a node that was told to drain still has.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// So many replicas.
    Replicas(usize),
    /// Nothing: it may be stopped.
    Nothing,
    /// The node that was asked has not heard of it yet, or it was undone.
    NotDraining,
}

fn left_on(status: &ClusterStatus, node: &str) -> Left {
    match status.nodes.iter().find(|status| status.name == node) {
        None => Left::Nothing,
        Some(found) if found.phase != NodePhase::Draining => Left::NotDraining,
        // Every member has the registry, as a voter or to read from, for as long as it is one.
        Some(_) => {
            let holds = |group: &&GroupStatus| group.replicas.iter().any(|replica| replica.node == node);
            match status.groups.iter().filter(|group| group.name != REGISTRY_NAME).filter(holds).count() {
                0 => Left::Nothing,
                count => Left::Replicas(count),
            }
        }
    }
}

/// Why a draining node keeps a replica however long one waits: nobody can take it.
fn stays(status: &ClusterStatus, node: &str) -> Option<String> {
    let holds = |group: &GroupStatus, node: &str| group.replicas.iter().any(|replica| replica.node == node);
    let takers = |group: &GroupStatus| {
        let keeps = status.nodes.iter().filter(|other| other.name != node && other.roles.contains(&Role::Broker));
        keeps.filter(|other| other.phase == NodePhase::Active && !holds(group, &other.name)).count()
    };
    // One that is on its way out is followed by one that comes in.
    let stuck = |group: &&GroupStatus| {
        group.name != REGISTRY_NAME
            && group.replicas.iter().any(|replica| replica.node == node && replica.wanted)
            && takers(group) == 0
    };
    let stuck: Vec<&str> = status.groups.iter().filter(stuck).map(|group| group.name.as_str()).collect();
    let (first, groups) = (stuck.first()?, stuck.len());
    let which = if groups == 1 { format!("group {first}") } else { format!("{groups} groups, {first} among them") };
    Some(format!(
        "node {node} hands over its leaders and keeps its replicas of {which}: every other node that may hold them has \
         them already. Add a node and they go there, or stop {node} and remove it as it is"
    ))
}

#[cfg(test)]
mod tests;
