//! From what each node says to one picture of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{
    ClusterView, GroupId, GroupInfo, NodeId, NodeInfo, NodePhase, NodeReport, ReplicaReport, ReplicaRole, Role,
};
use pelton_resource::Time;

use crate::api::cluster_view::{ClusterStatus, GroupStatus, NodeStatus, ProblemStatus, REGISTRY_NAME, ReplicaStatus};

/// The registry's group, as reports number it.
const REGISTRY: GroupId = GroupId(0);

/// The picture. A node that has no report did not answer.
///
/// What a node says of itself counts before what the view says of it: the view is one node's knowledge.
pub fn summarise(view: &ClusterView, reports: &BTreeMap<NodeId, NodeReport>, now: Time) -> ClusterStatus {
    let cluster = Cluster { view, reports };
    let all = std::iter::once((REGISTRY, &view.registry)).chain(view.groups.iter().map(|(id, info)| (*id, info)));
    // A role on a machine of its own may not have heard of the registry's replicas.
    let all: Vec<_> =
        all.filter(|(id, info)| *id != REGISTRY || !info.replicas.is_empty() || info.leader.is_some()).collect();
    let groups: Vec<GroupStatus> = all.iter().map(|(id, info)| cluster.group(*id, info)).collect();
    let mut nodes: Vec<NodeStatus> = cluster.members().map(|(id, info)| cluster.node(id, info, &groups)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut problems = cluster.problems_of_nodes(&nodes);
    if nodes.is_empty() {
        let what = "nothing is known of it yet".to_owned();
        problems.push(ProblemStatus { subject: "cluster".to_owned(), what, since: None });
    }
    if let Some(gone) = view.this.filter(|id| view.nodes.get(id).is_some_and(|n| n.phase == NodePhase::Removed)) {
        let what = "was removed: what it knows of the cluster is no longer brought up to date".to_owned();
        problems.push(ProblemStatus { subject: format!("node {}", cluster.name(gone)), what, since: None });
    }
    let ids = all.iter().map(|(id, _)| *id);
    problems.extend(ids.zip(&groups).flat_map(|(id, group)| cluster.problems_of_group(id, group, &nodes)));
    problems.extend(cluster.problems_of_replicas());
    let node = view.this.map(|id| cluster.name(id));
    let protocol = (view.protocol > 0).then_some(view.protocol);
    ClusterStatus { now, node, protocol, nodes, groups, problems }
}

/// What `group` is called in front of people.
fn group_name(group: GroupId) -> String {
    if group == REGISTRY { REGISTRY_NAME.to_owned() } else { group.to_string() }
}

struct Cluster<'a> {
    view: &'a ClusterView,
    reports: &'a BTreeMap<NodeId, NodeReport>,
}

impl Cluster<'_> {
    fn members(&self) -> impl Iterator<Item = (NodeId, &NodeInfo)> {
        self.view.nodes.iter().filter(|(_, info)| info.phase != NodePhase::Removed).map(|(id, info)| (*id, info))
    }

    /// A node's name; its number when the view does not know it yet, or it was removed and the name may be another's.
    fn name(&self, id: NodeId) -> String {
        match self.view.nodes.get(&id) {
            Some(info) if info.phase != NodePhase::Removed => info.name.clone(),
            Some(info) => format!("{} (removed, id {id})", info.name),
            None => format!("id {id}"),
        }
    }

    fn replica(&self, node: NodeId, group: GroupId) -> Option<&ReplicaReport> {
        self.reports.get(&node)?.replicas.get(&group)
    }

    /// Who says that it leads, in the highest term: an older one has not heard yet that it was replaced. Else whom the
    /// view names, unless that node answered and knows nothing of it.
    fn leader(&self, group: GroupId, info: &GroupInfo) -> (u64, Option<NodeId>) {
        let leads = |(id, report): (&NodeId, &NodeReport)| {
            let replica = report.replicas.get(&group)?;
            (replica.role == ReplicaRole::Leader).then_some((replica.term, *id))
        };
        let newest = self.reports.iter().filter_map(leads).max();
        let known = self.reports.values().filter_map(|report| Some(report.replicas.get(&group)?.term)).max();
        let term = known.unwrap_or(0).max(info.term);
        match newest {
            Some((term, leader)) => (term, Some(leader)),
            None => (term, info.leader.filter(|leader| !self.reports.contains_key(leader))),
        }
    }

    fn group(&self, id: GroupId, info: &GroupInfo) -> GroupStatus {
        let (term, leader) = self.leader(id, info);
        let leading = leader.and_then(|leader| self.replica(leader, id)).filter(|r| r.role == ReplicaRole::Leader);
        let reported =
            self.reports.iter().filter(|(_, report)| report.replicas.contains_key(&id)).map(|(node, _)| *node);
        let nodes: BTreeSet<NodeId> = info.replicas.iter().copied().chain(reported).collect();
        let mut replicas: Vec<ReplicaStatus> = nodes
            .into_iter()
            .map(|node| {
                let own = self.replica(node, id);
                let lag = leading.and_then(|leading| match leader == Some(node) {
                    true => Some(0),
                    false => leading.followers.get(&node).map(|follower| follower.lag_entries),
                });
                ReplicaStatus {
                    node: self.name(node),
                    role: own.map(|replica| replica.role),
                    wanted: info.replicas.contains(&node),
                    lag_entries: lag,
                    commit_index: own.map(|replica| replica.commit_index),
                    applied_index: own.map(|replica| replica.applied_index),
                }
            })
            .collect();
        replicas.sort_by(|a, b| a.node.cmp(&b.node));
        let events = leading.filter(|_| id != REGISTRY);
        GroupStatus {
            name: group_name(id),
            leader: leader.map(|leader| self.name(leader)),
            term,
            preferred: info.preferred.map(|node| self.name(node)),
            keyed: info.keyed,
            end: events.map(|leading| leading.end),
            backlog: events.map(|leading| leading.backlog),
            replicas,
        }
    }

    fn node(&self, id: NodeId, info: &NodeInfo, groups: &[GroupStatus]) -> NodeStatus {
        let report = self.reports.get(&id);
        let since = self.reports.values().filter_map(|report| report.unreachable.get(&id)).min().copied();
        let here = |group: &&GroupStatus| group.replicas.iter().any(|replica| replica.node == info.name);
        NodeStatus {
            id: id.0,
            name: info.name.clone(),
            phase: info.phase,
            answers: report.is_some(),
            unreachable_since: since,
            roles: info.roles.iter().copied().chain(info.gateway.as_ref().map(|_| Role::Gateway)).collect(),
            zone: info.zone.clone(),
            version: info.version.clone(),
            speaks: self.view.speaks.get(&id).copied(),
            peer: info.peer_address.clone(),
            ingress: info.ingress.clone(),
            api: info.api.clone(),
            leads: groups.iter().filter(|group| group.leader.as_deref() == Some(&info.name)).count(),
            replicas: groups.iter().filter(here).count(),
            log_bytes: report.map(|report| report.log_bytes),
        }
    }

    fn problems_of_nodes(&self, nodes: &[NodeStatus]) -> Vec<ProblemStatus> {
        let mut problems = Vec::new();
        for node in nodes {
            let subject = format!("node {}", node.name);
            if !node.answers {
                let what = "does not answer".to_owned();
                problems.push(ProblemStatus { subject: subject.clone(), what, since: node.unreachable_since });
            }
            let Some(report) = self.reports.get(&NodeId(node.id)) else { continue };
            problems.extend(report.problems.iter().map(|problem| ProblemStatus {
                subject: subject.clone(),
                what: problem.what.clone(),
                since: Some(problem.since),
            }));
            // What one node alone cannot reach is a cut between the two, and not the other's death.
            for (other, since) in report.unreachable.iter().filter(|(other, _)| self.reports.contains_key(other)) {
                let what = format!("does not reach node {}", self.name(*other));
                problems.push(ProblemStatus { subject: subject.clone(), what, since: Some(*since) });
            }
        }
        problems
    }

    fn problems_of_replicas(&self) -> Vec<ProblemStatus> {
        let mut problems = Vec::new();
        for (node, report) in self.reports {
            for (group, replica) in &report.replicas {
                let subject = format!("group {} on {}", group_name(*group), self.name(*node));
                problems.extend(replica.problems.iter().map(|problem| ProblemStatus {
                    subject: subject.clone(),
                    what: problem.what.clone(),
                    since: Some(problem.since),
                }));
                if replica.role == ReplicaRole::Failed && replica.problems.is_empty() {
                    problems.push(ProblemStatus { subject, what: "has failed".to_owned(), since: None });
                }
            }
        }
        problems
    }

    fn problems_of_group(&self, id: GroupId, group: &GroupStatus, nodes: &[NodeStatus]) -> Vec<ProblemStatus> {
        let problem = |what: String, since| ProblemStatus { subject: format!("group {}", group.name), what, since };
        let node = |name: &str| nodes.iter().find(|node| node.name == name);
        let answers = |name: &str| node(name).is_some_and(|node| node.answers);
        let reports = || self.reports.values().filter_map(|report| report.replicas.get(&id));
        // Whichever replica missed the leader first.
        let unled_since = reports().filter_map(|replica| replica.unled_since).min();
        let wanted: Vec<&ReplicaStatus> = group.replicas.iter().filter(|replica| replica.wanted).collect();
        let there = wanted.iter().filter(|replica| answers(&replica.node)).count();
        let mut problems = Vec::new();
        match &group.leader {
            Some(leader) if answers(leader) => {}
            Some(leader) => {
                let since = unled_since.or_else(|| node(leader)?.unreachable_since);
                problems.push(problem(format!("its leader {leader} does not answer"), since));
            }
            None => problems.push(problem("has no leader".to_owned(), unled_since)),
        }
        if !wanted.is_empty() && there * 2 <= wanted.len() {
            let of = wanted.len();
            let what = format!("has no majority: {there} of {of} replicas answer, and nothing is acknowledged");
            problems.push(problem(what, unled_since));
        }
        let few = || reports().filter_map(|replica| replica.too_few);
        // Its leader knows, while there is one; another may not have heard yet that it is over.
        let leading =
            reports().filter(|replica| replica.role == ReplicaRole::Leader).max_by_key(|replica| replica.term);
        if let Some(now) = leading.map_or_else(|| few().next(), |leading| leading.too_few) {
            let what = format!("has {} of {} replicas", now.has, now.wanted);
            problems.push(problem(what, few().map(|few| few.since).min()));
        }
        problems
    }
}
