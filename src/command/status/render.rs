//! The cluster as text: pure functions of what the API answered.

use std::time::Duration;

use pelton_client::{NodePhase, ReplicaRole, Role};
use pelton_resource::Time;

use crate::api::cluster_view::{ClusterStatus, GroupStatus, NodeStatus, ProblemStatus, REGISTRY_NAME, ReplicaStatus};
use crate::table::{Table, age, or_dash, size};
use crate::terminal::escape;

/// Everything on one screen: nodes, groups, problems.
#[must_use]
pub fn screen(status: &ClusterStatus, wide: bool) -> String {
    let upgrade = upgrade(status).map_or(String::new(), |line| format!("{line}\n"));
    let mut out = format!("{}\n{upgrade}\n{}\n{}", headline(status), nodes(status, wide), groups(status, wide));
    if !status.problems.is_empty() {
        out.push_str(&format!("\n{}", problems(status)));
    }
    out
}

/// How many of what, and whether all is well.
fn headline(status: &ClusterStatus) -> String {
    let answering = status.nodes.iter().filter(|node| node.answers).count();
    let of = match status.nodes.len() {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let asked = status.node.as_deref().map_or(String::new(), |node| format!("; node {} was asked", escape(node)));
    let health = match status.problems.len() {
        0 => "all is well".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let protocol = status.protocol.map_or(String::new(), |version| format!(", protocol {version}"));
    if answering == status.nodes.len() {
        format!("{of}, {health}{protocol}{asked}")
    } else {
        format!("{of}, {answering} of them answer, {health}{protocol}{asked}")
    }
}

/// What the cluster waits for before it goes on to a newer version of the protocol, when some node speaks one. It is no
/// problem: an upgrade may take its time, and between two nodes `pelton status` should say that all is well.
fn upgrade(status: &ClusterStatus) -> Option<String> {
    let known = status.protocol?;
    let newest = status.nodes.iter().filter_map(|node| Some(node.speaks?.max)).max()?;
    // What all speak comes first, though some speak what is newer still.
    let common = status.nodes.iter().map(|node| node.speaks.map_or(known, |speaks| speaks.max)).min()?;
    let newest = if common > known { common } else { newest };
    if newest <= known {
        return None;
    }
    let speaks = |node: &&NodeStatus| node.speaks.is_some_and(|speaks| speaks.versions().contains(newest));
    let behind: Vec<_> = status.nodes.iter().filter(|node| !speaks(node)).map(|node| escape(&node.name)).collect();
    Some(match behind.as_slice() {
        [] => format!(
            "upgrade: every node speaks protocol {newest}, and the cluster goes on to it after raise-version-after"
        ),
        behind => format!(
            "upgrade: the cluster goes on to protocol {newest} when these nodes speak it: {}",
            behind.join(", ")
        ),
    })
}

/// A line a node.
#[must_use]
pub fn nodes(status: &ClusterStatus, wide: bool) -> String {
    let mut head = vec!["NODE", "PHASE", "ANSWERS", "ROLES", "ZONE", "VERSION", "LEADS", "REPLICAS"];
    if wide {
        head.extend(["ID", "SPEAKS", "LOG", "PEER", "INGRESS", "API"]);
    }
    let mut table = Table::new(&head);
    for node in &status.nodes {
        let mut row = vec![
            node.name.clone(),
            phase(node.phase).to_owned(),
            answers(node, status.now),
            node.roles.iter().map(|role| role_name(*role)).collect::<Vec<_>>().join(","),
            node.zone.clone(),
            node.version.clone(),
            node.leads.to_string(),
            node.replicas.to_string(),
        ];
        if wide {
            row.extend([
                node.id.to_string(),
                or_dash(node.speaks.map(|speaks| speaks.versions().to_string())),
                or_dash(node.log_bytes.map(size)),
                node.peer.clone(),
                or_dash(node.ingress.clone()),
                or_dash(node.api.clone()),
            ]);
        }
        table.row(row);
    }
    table.to_string()
}

/// A line a group.
#[must_use]
pub fn groups(status: &ClusterStatus, wide: bool) -> String {
    let mut head = vec!["GROUP", "LEADER", "TERM", "BACKLOG", "REPLICAS"];
    if wide {
        head.extend(["PREFERRED", "KEYED", "EVENTS", "COMMITTED"]);
    }
    let mut table = Table::new(&head);
    for group in &status.groups {
        let mut row = vec![
            group.name.clone(),
            or_dash(group.leader.clone()),
            group.term.to_string(),
            or_dash(group.backlog.map(|events| events.to_string())),
            group.replicas.iter().map(|replica| replica_text(group, replica)).collect::<Vec<_>>().join(", "),
        ];
        if wide {
            let committed = group.replicas.iter().filter_map(|replica| replica.commit_index).max();
            row.extend([
                or_dash(group.preferred.clone()),
                if group.keyed { "yes" } else { "no" }.to_owned(),
                or_dash(group.end.map(|end| end.to_string())),
                or_dash(committed.map(|index| index.to_string())),
            ]);
        }
        table.row(row);
    }
    table.to_string()
}

/// A line a problem, with how long it has lasted.
fn problems(status: &ClusterStatus) -> String {
    let mut table = Table::new(&["PROBLEM", "FOR", "WHAT"]);
    for ProblemStatus { subject, what, since } in &status.problems {
        table.row([subject.clone(), or_dash(since.map(|since| lasted(since, status.now))), what.clone()]);
    }
    table.to_string()
}

fn answers(node: &NodeStatus, now: Time) -> String {
    match (node.answers, node.unreachable_since) {
        (true, _) => "yes".to_owned(),
        (false, None) => "no".to_owned(),
        (false, Some(since)) => format!("no, for {}", lasted(since, now)),
    }
}

/// `b`, and in parentheses what is special about the replica: how far it is behind, that it moves away.
fn replica_text(group: &GroupStatus, replica: &ReplicaStatus) -> String {
    let mut said = Vec::new();
    match replica.role {
        None => said.push("no answer".to_owned()),
        Some(ReplicaRole::Learner) => said.push("learner".to_owned()),
        Some(ReplicaRole::Candidate) => said.push("candidate".to_owned()),
        Some(ReplicaRole::Failed) => said.push("failed".to_owned()),
        Some(ReplicaRole::Leader | ReplicaRole::Follower) => {}
    }
    if let Some(lag) = replica.lag_entries.filter(|lag| *lag > 0) {
        said.push(format!("{lag} behind"));
    }
    // Every broker follows the registry, whether or not it votes there.
    let follows = group.name == REGISTRY_NAME && replica.role == Some(ReplicaRole::Learner);
    if !replica.wanted && !follows {
        said.push("leaving".to_owned());
    }
    match said.as_slice() {
        [] => replica.node.clone(),
        said => format!("{} ({})", replica.node, said.join(", ")),
    }
}

fn lasted(since: Time, now: Time) -> String {
    age(Duration::from_millis(now.unix_millis().saturating_sub(since.unix_millis())))
}

fn phase(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Active => "active",
        NodePhase::Draining => "draining",
        NodePhase::Removed => "removed",
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Broker => "broker",
        Role::Ingress => "ingress",
        Role::Dispatcher => "dispatcher",
        Role::Gateway => "gateway",
    }
}

#[cfg(test)]
mod tests;
