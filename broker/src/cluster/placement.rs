//! Where replicas and leaders belong: what the registry's leader has to propose now.
//!
//! A pure function of the state and of who is silent. It gives nothing when nothing is wrong, so a state that was put in
//! order stays as it is:
//! - a new group for each node that keeps replicas and has none of its own (its *home* group, which it leads), or the
//!   one that a removed node left behind;
//! - a replica elsewhere for each one on a node that is lost or draining, where there is a node to take it;
//! - as many replicas as are wanted, once there are nodes enough;
//! - a group back on its home node, when that may hold it again;
//! - another leader for a group whose own is unfit to lead, until it is fit again.
//!
//! Groups are not moved for balance alone: each move copies everything that is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pelton_client::{GroupId, NodeId, NodePhase, Role};

use super::spread::{best, leads, loads, worst};
use super::state::{MAX_ADDED_TO_REGISTRY, registry_voters};
use super::{Answer, ClusterCommand, ClusterState, GroupRecord, REGISTRY};

/// Groups that copy a replica at a time, in the whole cluster: what copying may take from the load.
pub(crate) const MAX_MOVES: usize = 2;

/// A node that has not answered for so long gets nothing new, though nothing is taken from it.
pub(crate) const DOUBTFUL_AFTER: Duration = Duration::from_secs(10);

/// What placement knows besides the state.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// For how long each node has not answered. A node that is not in it has only just been asked.
    pub(crate) silent: BTreeMap<NodeId, Duration>,
    /// A node that has been silent for so long is lost: its replicas are made again elsewhere.
    pub(crate) lost_after: Duration,
    /// Nodes that say that they should lead nothing: their disks are full, slow or hung.
    pub(crate) unfit: BTreeSet<NodeId>,
}

impl Observed {
    pub(crate) fn silent_for(&self, node: NodeId) -> Duration {
        self.silent.get(&node).copied().unwrap_or_default()
    }
}

/// Commands to propose one after the other. Each fits the state that those before it leave.
pub(crate) fn plan(state: &ClusterState, observed: &Observed) -> Vec<ClusterCommand> {
    if !state.is_formed() {
        return Vec::new();
    }
    let mut plan = Plan { state: state.clone(), observed, commands: Vec::new() };
    plan.make_groups();
    plan.adopt_groups();
    plan.move_replicas();
    plan.move_leaders();
    plan.commands
}

/// Why a group's replicas have to change, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// A replica is lost.
    Lost,
    /// There are too few.
    TooFew,
    /// A replica's node is draining, or keeps none any more.
    Drain,
    /// There are too many.
    TooMany,
    /// Its home node is back.
    Home,
}

struct Plan<'a> {
    /// As it will be once `commands` are applied.
    state: ClusterState,
    observed: &'a Observed,
    commands: Vec<ClusterCommand>,
}

impl Plan<'_> {
    fn propose(&mut self, command: ClusterCommand) {
        let version = self.state.version;
        if let Ok(Answer::Created(_) | Answer::Changed) = self.state.apply(version, command.clone()) {
            self.commands.push(command);
        }
    }

    fn place(&mut self, group: GroupId, change: impl FnOnce(&mut GroupRecord)) {
        let Some(record) = self.state.group(group) else { return };
        let (version, mut record) = (record.version, record.clone());
        change(&mut record);
        let preferred = record.preferred.filter(|node| record.replicas.contains(node));
        let (replicas, home) = (record.replicas, record.home);
        self.propose(ClusterCommand::PlaceGroup { group, version, replicas, preferred, home });
    }

    fn is_lost(&self, node: NodeId) -> bool {
        self.observed.silent_for(node) >= self.observed.lost_after
    }

    /// Whether the node keeps what it has.
    fn may_hold(&self, node: NodeId) -> bool {
        let member = self.state.member(node);
        let active = member.is_some_and(|info| info.phase == NodePhase::Active && info.roles.contains(&Role::Broker));
        active && !self.is_lost(node)
    }

    /// Nodes that keep what they have.
    fn holding(&self) -> BTreeSet<NodeId> {
        self.state.brokers().filter(|node| self.may_hold(*node)).collect()
    }

    /// Nodes that get something new.
    fn taking(&self) -> BTreeSet<NodeId> {
        let mut nodes = self.holding();
        nodes.retain(|node| self.observed.silent_for(*node) < DOUBTFUL_AFTER);
        nodes
    }

    /// Whether the node may lead, as far as it says.
    fn is_fit(&self, node: NodeId) -> bool {
        !self.observed.unfit.contains(&node)
    }

    /// The first groups, once the cluster is complete; then one for each node that came later.
    fn make_groups(&mut self) {
        let first = self.state.next_group == 1;
        if first && self.state.members().count() < self.state.initial_nodes as usize {
            return;
        }
        let nodes = self.taking();
        let homeless: BTreeSet<NodeId> = nodes.iter().copied().filter(|node| !self.has_home(*node)).collect();
        let orphans = self.state.groups.values().filter(|group| self.is_orphan(group)).count();
        // What is to be led at home counts from the beginning, or the last groups would find their homes full.
        let mut loads = loads(&self.state);
        homeless.iter().for_each(|node| *loads.entry(*node).or_default() += 1);
        for home in homeless.into_iter().skip(orphans) {
            let mut replicas = BTreeSet::from([home]);
            let mut from = home;
            while replicas.len() < self.state.replication as usize {
                let Some(next) = best(&self.state, &nodes, &replicas, &loads, from) else { break };
                *loads.entry(next).or_default() += 1;
                replicas.insert(next);
                from = next;
            }
            let group = GroupId(self.state.next_group);
            self.propose(ClusterCommand::CreateGroup { group, replicas, home, keyed: first });
        }
    }

    /// Whether a group was ever made for the node, or given to it. It may be at home elsewhere by now.
    fn has_home(&self, node: NodeId) -> bool {
        self.state.nodes.get(&node).is_some_and(|record| record.has_group)
    }

    /// Whether the node that the group was made for is no member any more.
    fn is_orphan(&self, group: &GroupRecord) -> bool {
        group.home.is_none_or(|home| self.state.member(home).is_none())
    }

    /// A group that a removed node left behind is at home on the next new node.
    fn adopt_groups(&mut self) {
        let mut homeless =
            self.taking().into_iter().filter(|node| !self.has_home(*node)).collect::<Vec<_>>().into_iter();
        let orphans = self.state.groups.iter().filter(|(_, group)| self.is_orphan(group)).map(|(id, _)| *id);
        for group in orphans.collect::<Vec<_>>() {
            let Some(home) = homeless.next() else { return };
            self.place(group, |record| record.home = Some(home));
        }
    }

    fn move_replicas(&mut self) {
        let groups: Vec<GroupId> = [REGISTRY].into_iter().chain(self.state.groups.keys().copied()).collect();
        let mut needs: Vec<(Need, GroupId)> = Vec::new();
        for group in groups {
            needs.extend(self.next_replicas(group).map(|(need, _)| (need, group)));
        }
        needs.sort_unstable();
        for (_, group) in needs {
            // Looked at again: a move before it changed the loads.
            let Some((need, replicas)) = self.next_replicas(group) else { continue };
            if self.is_copy(group, &replicas) && self.copies(group) >= MAX_MOVES {
                continue;
            }
            if need == Need::Drain && self.drains_elsewhere(group) {
                continue;
            }
            self.place(group, |record| record.replicas = replicas);
        }
    }

    /// Whether `replicas` mean that a replica has to be copied.
    fn is_copy(&self, group: GroupId, replicas: &BTreeSet<NodeId>) -> bool {
        let settled = self.state.group(group).map(|record| &record.settled);
        settled.is_some_and(|settled| !settled.is_empty() && replicas.difference(settled).next().is_some())
    }

    /// Groups other than `but` that copy a replica. One whose quorum is gone copies nothing, however long it waits.
    fn copies(&self, but: GroupId) -> usize {
        let copying =
            |id: GroupId, group: &GroupRecord| id != but && self.is_copy(id, &group.replicas) && self.has_quorum(group);
        let data = self.state.groups.iter().filter(|(id, group)| copying(**id, group)).count();
        data + usize::from(copying(REGISTRY, &self.state.registry))
    }

    fn has_quorum(&self, group: &GroupRecord) -> bool {
        let there = |node: &&NodeId| self.state.member(**node).is_some() && !self.is_lost(**node);
        2 * group.settled.iter().filter(there).count() > group.settled.len()
    }

    /// Whether a draining node of the group is being taken off another one at the moment, or still has to hand over a
    /// leader: first leaders, then replicas, one group at a time.
    fn drains_elsewhere(&self, group: GroupId) -> bool {
        let Some(record) = self.state.group(group) else { return false };
        let draining = |node: &&NodeId| !self.may_hold(**node) && !self.is_lost(**node);
        record.replicas.iter().filter(draining).any(|node| {
            self.state.groups.iter().any(|(id, other)| {
                let moves = *id != group && other.settled.contains(node) && !other.replicas.contains(node);
                let leads = other.preferred == Some(*node) && self.leader_for(other) != Some(*node);
                leads || (moves && self.has_quorum(other))
            })
        })
    }

    /// The next change of a group's replicas, and why: of groups of events one node in and one out at most.
    fn next_replicas(&self, group: GroupId) -> Option<(Need, BTreeSet<NodeId>)> {
        let record = self.state.group(group)?;
        if record.settled.is_empty() && !record.replicas.is_empty() {
            return None;
        }
        let loads = if group == REGISTRY { BTreeMap::new() } else { loads(&self.state) };
        if record.is_moving() && !record.replicas.is_empty() {
            return self.redirect(record, &loads).map(|replicas| (Need::Lost, replicas));
        }
        let (holding, taking) = (self.holding(), self.taking());
        let (replicas, wanted) = (&record.replicas, self.wanted(group, record, &taking));
        let swap = |out: NodeId| {
            // `out` is lost or leaving, so it is not a candidate.
            let rest = without(replicas, out);
            best(&self.state, &taking, &rest, &loads, ring_start(record)).map(|next| with(&rest, next))
        };
        let lost = replicas.iter().copied().find(|node| self.is_lost(*node));
        let leaving = replicas.iter().copied().find(|node| !holding.contains(node) && !self.is_lost(*node));
        if let Some(replicas) = lost.and_then(swap) {
            return Some((Need::Lost, replicas));
        }
        // Before there is one more: else that one would take the place that the leaving one needs.
        if let Some(replicas) = leaving.and_then(swap) {
            return Some((Need::Drain, replicas));
        }
        if replicas.len() < wanted {
            let missing = if group == REGISTRY && replicas.len() % 2 == 1 { MAX_ADDED_TO_REGISTRY } else { 1 };
            let mut more = replicas.clone();
            for _ in 0..missing.min(wanted - replicas.len()) {
                let Some(next) = best(&self.state, &taking, &more, &loads, ring_start(record)) else { break };
                more.insert(next);
            }
            if more != *replicas {
                return Some((Need::TooFew, more));
            }
        }
        if replicas.len() > wanted {
            let spare: BTreeSet<_> = replicas.iter().copied().filter(|node| record.home != Some(*node)).collect();
            let out = lost.or(leaving).or_else(|| worst(&self.state, &spare, replicas, &loads))?;
            return Some((Need::TooMany, without(replicas, out)));
        }
        let home = record.home.filter(|home| taking.contains(home) && !replicas.contains(home))?;
        let out = worst(&self.state, replicas, &with(replicas, home), &loads)?;
        Some((Need::Home, with(&without(replicas, out), home)))
    }

    /// Another target for a group that is on its way to one that is lost or draining now; without any, the way back.
    fn redirect(&self, record: &GroupRecord, loads: &BTreeMap<NodeId, usize>) -> Option<BTreeSet<NodeId>> {
        let holding = self.holding();
        let target = record.replicas.difference(&record.settled).copied().find(|node| !holding.contains(node))?;
        let rest = without(&record.replicas, target);
        let others: BTreeSet<_> = self.taking().difference(&record.settled).copied().collect();
        if let Some(other) = best(&self.state, &others, &rest, loads, ring_start(record)) {
            return Some(with(&rest, other));
        }
        let member = |node: &NodeId| self.state.member(*node).is_some();
        let back: BTreeSet<_> = record.settled.iter().copied().filter(member).collect();
        (!back.is_empty()).then_some(back)
    }

    /// How many replicas a group should have now.
    fn wanted(&self, group: GroupId, record: &GroupRecord, taking: &BTreeSet<NodeId>) -> usize {
        // A node that is lost or draining counts as long as nobody takes its place.
        let possible = record.replicas.union(taking).count();
        if group != REGISTRY {
            // Replicas are taken away only where there are more than were ever asked for.
            let most = self.state.replication as usize;
            return if record.replicas.len() > most { most } else { possible.min(most) };
        }
        registry_voters(possible)
    }

    fn move_leaders(&mut self) {
        let groups: Vec<GroupId> = self.state.groups.keys().copied().collect();
        for group in groups {
            let Some(record) = self.state.group(group) else { continue };
            let leader = self.leader_for(record);
            self.place(group, |record| record.preferred = leader);
        }
        // Whoever leads the registry may go on, unless a voter is to hand over.
        let voters = &self.state.registry.replicas;
        let good = |node: &NodeId| self.may_hold(*node);
        let best = |node: &NodeId| good(node) && self.is_fit(*node);
        let any = || voters.iter().copied().find(best).or_else(|| voters.iter().copied().find(good));
        let preferred =
            if voters.iter().all(good) { None } else { self.state.registry.preferred.filter(best).or_else(any) };
        self.place(REGISTRY, |record| record.preferred = preferred);
    }

    /// Who should lead: the home node if it can, else whoever does, else the one that leads least.
    fn leader_for(&self, group: &GroupRecord) -> Option<NodeId> {
        let has_it = |node: &NodeId| group.settled.is_empty() || group.settled.contains(node);
        let holds = |node: &NodeId| group.replicas.contains(node) && self.may_hold(*node) && has_it(node);
        // When all are unfit, the disks of none of them say who should lead.
        let has_fit = group.replicas.iter().any(|node| holds(node) && self.is_fit(*node));
        let can = |node: &NodeId| holds(node) && (self.is_fit(*node) || !has_fit);
        let leads = leads(&self.state);
        let least = || {
            let able = group.replicas.iter().copied().filter(can);
            able.min_by_key(|node| (leads.get(node).copied().unwrap_or_default(), *node))
        };
        group.home.filter(can).or(group.preferred.filter(can)).or_else(least).or(group.preferred)
    }
}

fn with(nodes: &BTreeSet<NodeId>, node: NodeId) -> BTreeSet<NodeId> {
    nodes.iter().copied().chain([node]).collect()
}

fn without(nodes: &BTreeSet<NodeId>, node: NodeId) -> BTreeSet<NodeId> {
    nodes.iter().copied().filter(|other| *other != node).collect()
}

/// Where the ring of candidates begins for a group.
fn ring_start(record: &GroupRecord) -> NodeId {
    record.home.or(record.replicas.last().copied()).unwrap_or(NodeId(0))
}

#[cfg(test)]
mod tests;
