//! `pelton recover`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use pelton_broker::{GroupFate, Recovery, RecoveryPlan};
use pelton_client::{GroupId, NodeId};
use pelton_env::{OsChance, SystemClock};

use super::print;
use crate::exit::Failure;
use crate::node::spoken;
use crate::table::Table;
use crate::terminal::escape_block;

/// The registry's group.
const REGISTRY: GroupId = GroupId(0);

/// What `pelton recover` takes.
#[derive(Debug, Args)]
#[command(
    long_about = "Make a cluster of one out of the only node that is left.\n\n\
                  For a cluster that has lost the majority of its nodes for ever. Run it on the machine of the node that is \
                  left, while the node is stopped. It goes on as a new cluster with everything that it holds; what only \
                  the others had is lost. First it says what becomes of each log group, and changes nothing.",
    after_help = "Make sure that the other nodes never start again on their old data: they would still be the old \
                  cluster.\n\n\
                  Example:\n  pelton recover --data /var/lib/pelton"
)]
pub struct RecoverArgs {
    /// The data folder of the node that is left
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Do it. Events that only the lost nodes had are given up, and events that were never acknowledged may be delivered
    #[arg(long)]
    yes_i_may_lose_events: bool,
}

/// Says what a recovery would do and, when told so, does it.
pub async fn run(args: RecoverArgs) -> Result<(), Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::failed(&args.data.display().to_string(), error);
    let spinner = spinner(&args);
    let recovery = Recovery::open(&args.data, Arc::new(SystemClock), Arc::new(OsChance), spoken());
    spinner.finish_and_clear();
    let recovery = recovery.map_err(|error| failed(&error))?;
    print(&escape_block(&describe(recovery.plan())))?;
    if !args.yes_i_may_lose_events {
        let why = "nothing was changed; run it again with --yes-i-may-lose-events to do this";
        return Err(Failure::Failed(why.to_owned()));
    }
    let node = recovery.plan().node.1.clone();
    let cluster = recovery.perform(&OsChance).await.map_err(|error| failed(&error))?;
    print(&escape_block(&format!(
        "\ndone: {node} is cluster {cluster:032x} by itself\n\
         start it as before, but with --join naming no node of the old cluster; then let new nodes join it\n"
    )))
}

fn spinner(args: &RecoverArgs) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(format!("reading {}", args.data.display()));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

fn describe(plan: &RecoveryPlan) -> String {
    let (id, name) = &plan.node;
    let mut out = format!("node {id} ({name}) of cluster {:032x} is to go on alone, as a new cluster\n", plan.cluster);
    if plan.goes_on {
        out.push_str("a recovery was begun here before and cut off; this one finishes it\n");
    }
    match &plan.lost_nodes[..] {
        [] => {}
        lost => {
            let lost: Vec<_> = lost.iter().map(|(id, name)| format!("{name} (node {id})")).collect();
            let _ = writeln!(out, "taken out for ever: {}", lost.join(", "));
        }
    }
    let mut table =
        Table::new(&["GROUP", "LAST ENTRY", "KNOWN COMMITTED", "BECOMES COMMITTED", "VOTERS", "WHAT BECOMES OF IT"]);
    for (group, fate) in &plan.groups {
        table.row(row(*group, fate));
    }
    let _ = write!(out, "\n{table}\n");
    out.push_str(WHAT_MAY_BE_LOST);
    let lost: Vec<_> = plan.groups.iter().filter(|(_, fate)| matches!(fate, GroupFate::Lost { .. })).collect();
    if !lost.is_empty() {
        let lost: Vec<_> = lost.iter().map(|(group, _)| group.0.to_string()).collect();
        let _ = writeln!(out, "All events and dead letters of group {} are lost.", lost.join(", "));
    }
    out
}

/// What this node cannot know.
const WHAT_MAY_BE_LOST: &str = "\
An event is acknowledged once a majority of its group's voters has it. Where this node was not one of them, the event is \
lost, and so are a Broker, a Trigger or progress of a delivery that were stored that way: events may be delivered again. \
Nothing here can tell how many those are. What is to become committed was sent here, and most of it was acknowledged; the \
rest was not, and will be delivered all the same.\n";

fn row(group: GroupId, fate: &GroupFate) -> [String; 6] {
    let name = if group == REGISTRY { "0 (registry)".to_owned() } else { group.0.to_string() };
    let none = || "-".to_owned();
    match fate {
        GroupFate::GoesOn { last: (term, index), committed, uncertain_entries, uncertain_events, voters, follows } => {
            let becomes = match (uncertain_entries, uncertain_events) {
                (0, _) => "nothing".to_owned(),
                (1, events) => format!("1 entry, {events} events"),
                (entries, events) => format!("{entries} entries, {events} events"),
            };
            let what = if *follows { "goes on; the replica was only being made" } else { "goes on" };
            let last = format!("{index} (term {term})");
            [name, last, committed.to_string(), becomes, list(voters), what.to_owned()]
        }
        GroupFate::NotBegun => [name, none(), none(), none(), none(), "held nothing yet; is begun here".to_owned()],
        GroupFate::Lost { holders } => {
            [name, none(), none(), none(), list(holders), "LOST: no replica here; begins anew, empty".to_owned()]
        }
    }
}

fn list(nodes: &BTreeSet<NodeId>) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_names_every_group_and_what_may_be_lost() {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let goes_on = |uncertain_entries, follows| GroupFate::GoesOn {
            last: (3, 90),
            committed: 90 - uncertain_entries,
            uncertain_entries,
            uncertain_events: 7 * uncertain_entries,
            voters: nodes(&[1, 2, 3]),
            follows,
        };
        let plan = RecoveryPlan {
            cluster: 0xfeed,
            node: (NodeId(3), "c".to_owned()),
            lost_nodes: vec![(NodeId(1), "a".to_owned()), (NodeId(2), "b".to_owned())],
            groups: vec![
                (GroupId(0), goes_on(0, false)),
                (GroupId(1), goes_on(40, false)),
                (GroupId(2), GroupFate::Lost { holders: nodes(&[1, 2]) }),
                (GroupId(3), GroupFate::NotBegun),
                (GroupId(4), goes_on(1, true)),
            ],
            goes_on: false,
        };
        let text = describe(&plan);
        for says in [
            "node 3 (c) of cluster 0000000000000000000000000000feed",
            "taken out for ever: a (node 1), b (node 2)",
            "0 (registry)",
            "90 (term 3)",
            "40 entries, 280 events",
            "1 entry, 7 events",
            "LOST: no replica here",
            "only being made",
            "All events and dead letters of group 2 are lost",
            "acknowledged once a majority",
            "held nothing yet",
        ] {
            assert!(text.contains(says), "{says:?} is not in:\n{text}");
        }
        assert!(!text.contains("cut off"));
        assert!(describe(&RecoveryPlan { goes_on: true, ..plan }).contains("cut off"));
    }
}
