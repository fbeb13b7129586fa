//! How a command changes the cluster. Rules are checked here, where every node sees the same state.

use std::collections::BTreeSet;

use pelton_client::{GroupId, NodeId, NodeInfo, NodePhase};

use super::state::{MAX_ADDED_TO_REGISTRY, MAX_NODES};
use super::{Answer, ClusterCommand, ClusterState, GroupRecord, NodeRecord, Nonce, Outcome, REGISTRY, Refusal, Speaks};

/// Longest name of a node: a DNS label.
const MAX_NAME_BYTES: usize = 63;

impl ClusterState {
    /// Applies the command of log index `index`. A refused one leaves everything as it is.
    pub(crate) fn apply(&mut self, index: u64, command: ClusterCommand) -> Outcome {
        let outcome = self.dispatch(command);
        if matches!(outcome, Ok(Answer::Joined(_) | Answer::Created(_) | Answer::Changed)) {
            self.version = index;
        }
        outcome
    }

    fn dispatch(&mut self, command: ClusterCommand) -> Outcome {
        if let ClusterCommand::Form { initial_nodes, replication, info, nonce, speaks } = command {
            return self.form(initial_nodes.max(1), replication.max(1), info, nonce, speaks);
        }
        if !self.is_formed() {
            return Err(Refusal::NotFormed);
        }
        match command {
            ClusterCommand::Form { .. } => Err(Refusal::AlreadyFormed),
            ClusterCommand::Join { info, nonce, speaks } => self.join(info, nonce, speaks),
            ClusterCommand::Update { node, info, nonce, speaks } => self.update(node, info, nonce, speaks),
            ClusterCommand::Drain(node) => self.set_phase(node, NodePhase::Draining),
            ClusterCommand::Undrain(node) => self.set_phase(node, NodePhase::Active),
            ClusterCommand::Remove { node, lost } => self.remove(node, lost),
            ClusterCommand::CreateGroup { group, replicas, home, keyed } => {
                self.create_group(group, replicas, home, keyed)
            }
            ClusterCommand::PlaceGroup { group, version, replicas, preferred, home } => {
                self.place_group(group, version, replicas, preferred, home)
            }
            ClusterCommand::Settle { group, term, voters } => self.settle(group, term, voters),
            ClusterCommand::RaiseProtocol { to } => self.raise_protocol(to),
            ClusterCommand::Survive { node, held } => self.survive(node, &held),
        }
    }

    fn form(&mut self, initial_nodes: u32, replication: u32, info: NodeInfo, nonce: Nonce, speaks: Speaks) -> Outcome {
        if self.is_formed() {
            return Err(Refusal::AlreadyFormed);
        }
        self.check_name(&info.name, None)?;
        (self.initial_nodes, self.replication) = (initial_nodes, replication);
        (self.next_node, self.next_group) = (1, 1);
        // Those that are to join may be older than the one that forms the cluster.
        self.protocol = speaks.versions().min;
        let first = self.add(info, nonce, speaks);
        let only = BTreeSet::from([first]);
        self.registry = GroupRecord { replicas: only.clone(), settled: only, ..GroupRecord::default() };
        Ok(Answer::Joined(first))
    }

    fn join(&mut self, info: NodeInfo, nonce: Nonce, speaks: Speaks) -> Outcome {
        if let Some(known) = self.nodes.iter().find(|(_, node)| node.nonce == nonce).map(|(id, _)| *id) {
            return self.update(known, info, nonce, speaks).map(|_| Answer::Joined(known));
        }
        self.check_name(&info.name, None)?;
        if self.members().count() >= MAX_NODES {
            return Err(Refusal::TooManyNodes { limit: MAX_NODES });
        }
        self.must_speak(speaks)?;
        Ok(Answer::Joined(self.add(info, nonce, speaks)))
    }

    fn update(&mut self, id: NodeId, info: NodeInfo, nonce: Nonce, speaks: Speaks) -> Outcome {
        let phase = self.present(id)?.phase;
        self.check_name(&info.name, Some(id))?;
        self.must_speak(speaks)?;
        let node = self.nodes.get_mut(&id).expect("it is present");
        if node.nonce != nonce {
            return Err(Refusal::OtherDirectory(id));
        }
        let info = NodeInfo { phase, ..info };
        if (&node.info, node.speaks) == (&info, speaks) {
            return Ok(Answer::Unchanged);
        }
        (node.info, node.speaks) = (info, speaks);
        Ok(Answer::Changed)
    }

    /// Refuses what is no name, and one that a node other than `own` has.
    fn check_name(&self, name: &str, own: Option<NodeId>) -> Result<(), Refusal> {
        if !is_label(name) {
            return Err(Refusal::BadName { name: name.to_owned() });
        }
        match self.named(name).filter(|node| Some(*node) != own) {
            Some(node) => Err(Refusal::NameTaken { name: name.to_owned(), node }),
            None => Ok(()),
        }
    }

    /// Refuses a node that cannot read what the others write.
    fn must_speak(&self, speaks: Speaks) -> Result<(), Refusal> {
        let (cluster, node) = (self.protocol(), speaks.versions());
        if node.contains(cluster) { Ok(()) } else { Err(Refusal::Protocol { cluster, node }) }
    }

    fn raise_protocol(&mut self, to: u32) -> Outcome {
        if to <= self.protocol() {
            return Ok(Answer::Unchanged);
        }
        let deaf = |(id, _): (NodeId, &NodeInfo)| (!self.nodes[&id].speaks.versions().contains(to)).then_some(id);
        if let Some(node) = self.members().find_map(deaf) {
            return Err(Refusal::NotSpoken { node, protocol: to });
        }
        self.protocol = to;
        Ok(Answer::Changed)
    }

    fn add(&mut self, info: NodeInfo, nonce: Nonce, speaks: Speaks) -> NodeId {
        let id = NodeId(self.next_node);
        self.next_node += 1;
        let info = NodeInfo { phase: NodePhase::Active, ..info };
        self.nodes.insert(id, NodeRecord { info, nonce, speaks, has_group: false });
        id
    }

    fn set_phase(&mut self, node: NodeId, phase: NodePhase) -> Outcome {
        self.present(node)?;
        let info = &mut self.nodes.get_mut(&node).expect("it is present").info;
        if info.phase == phase {
            return Ok(Answer::Unchanged);
        }
        info.phase = phase;
        Ok(Answer::Changed)
    }

    fn remove(&mut self, node: NodeId, lost: bool) -> Outcome {
        match self.nodes.get(&node) {
            None => return Err(Refusal::UnknownNode(node)),
            Some(record) if record.phase() == NodePhase::Removed => return Ok(Answer::Unchanged),
            Some(_) => {}
        }
        if !self.brokers().any(|other| other != node) {
            return Err(Refusal::LastBroker(node));
        }
        for (id, group) in [(REGISTRY, &self.registry)].into_iter().chain(self.groups.iter().map(|(id, g)| (*id, g))) {
            self.may_lose(id, group, node, lost)?;
        }
        let members: BTreeSet<_> = self.members().map(|(id, _)| id).collect();
        for group in self.groups.values_mut().chain([&mut self.registry]) {
            group.lose(node, &members);
        }
        self.nodes.get_mut(&node).expect("it is known").info.phase = NodePhase::Removed;
        Ok(Answer::Changed)
    }

    /// Whether the group can do without what the node has of it.
    fn may_lose(&self, id: GroupId, group: &GroupRecord, node: NodeId, lost: bool) -> Result<(), Refusal> {
        if !group.holders().contains(&node) {
            return Ok(());
        }
        if group.settled.is_empty() {
            // Those that begin it must all take the same first membership.
            return Err(Refusal::Moving(id));
        }
        let other = group.settled.iter().any(|other| *other != node && self.member(*other).is_some());
        match (other, id == REGISTRY) {
            (true, _) => Ok(()),
            // Nothing is left of a cluster without it.
            (false, true) => Err(Refusal::LastVoter(node)),
            (false, false) if lost => Ok(()),
            (false, false) => Err(Refusal::LastReplica { node, group: id }),
        }
    }

    fn create_group(&mut self, group: GroupId, replicas: BTreeSet<NodeId>, home: NodeId, keyed: bool) -> Outcome {
        if group.0 != self.next_group {
            return Err(Refusal::Outdated(group));
        }
        self.may_hold(group, &replicas, &BTreeSet::new(), Some(home))?;
        self.houses(home);
        let (preferred, home) = (Some(home), Some(home));
        self.next_group += 1;
        self.groups.insert(group, GroupRecord { replicas, preferred, home, keyed, ..GroupRecord::default() });
        Ok(Answer::Created(group))
    }

    fn place_group(
        &mut self,
        group: GroupId,
        version: u64,
        replicas: BTreeSet<NodeId>,
        preferred: Option<NodeId>,
        home: Option<NodeId>,
    ) -> Outcome {
        let record = self.group(group).ok_or(Refusal::UnknownGroup(group))?;
        if record.version != version {
            return Err(Refusal::Outdated(group));
        }
        self.may_hold(group, &replicas, &record.replicas, preferred)?;
        if replicas != record.replicas {
            let added = replicas.difference(&record.settled).count();
            let taken = record.settled.difference(&replicas).count();
            // Nodes that were removed leave in any case.
            let leaves = record.settled.difference(&replicas).any(|node| self.member(*node).is_some());
            let may_be_added = if group == REGISTRY && !leaves { MAX_ADDED_TO_REGISTRY } else { 1 };
            // A group that nobody has is begun anew wherever it may be; one that never had a leader stays until it has.
            match (record.settled.is_empty(), record.replicas.is_empty()) {
                (true, true) => {}
                (true, false) => return Err(Refusal::Moving(group)),
                (false, _) if added > may_be_added || taken > 1 => return Err(Refusal::TooMuchAtOnce(group)),
                (false, _) => {}
            }
        }
        if (&record.replicas, record.preferred, record.home) == (&replicas, preferred, home) {
            return Ok(Answer::Unchanged);
        }
        let record = self.group_mut(group).expect("it was found");
        (record.replicas, record.preferred, record.home) = (replicas, preferred, home);
        record.version += 1;
        if let Some(home) = home {
            self.houses(home);
        }
        Ok(Answer::Changed)
    }

    /// The node has a group of its own from now on.
    fn houses(&mut self, home: NodeId) {
        if let Some(node) = self.nodes.get_mut(&home) {
            node.has_group = true;
        }
    }

    fn settle(&mut self, group: GroupId, term: u64, voters: BTreeSet<NodeId>) -> Outcome {
        let record = self.group(group).ok_or(Refusal::UnknownGroup(group))?;
        // One that was removed votes until the change that takes it out is done, and comes back to nothing.
        let gone =
            voters.iter().filter(|node| !record.settled.contains(node)).find_map(|node| self.present(*node).err());
        if term < record.settled_term {
            return Err(Refusal::OldTerm(group));
        }
        if voters.is_empty() {
            return Err(Refusal::NoReplica(group));
        }
        if let Some(refusal) = gone {
            return Err(refusal);
        }
        if (record.settled_term, &record.settled) == (term, &voters) {
            return Ok(Answer::Unchanged);
        }
        let record = self.group_mut(group).expect("it was found");
        (record.settled_term, record.settled) = (term, voters);
        record.version += 1;
        Ok(Answer::Changed)
    }

    /// Whether `replicas` are nodes that may hold a group, of which some hold it already, and `leader` is one of them.
    fn may_hold(
        &self,
        group: GroupId,
        replicas: &BTreeSet<NodeId>,
        already: &BTreeSet<NodeId>,
        leader: Option<NodeId>,
    ) -> Result<(), Refusal> {
        if replicas.is_empty() {
            return Err(Refusal::NoReplica(group));
        }
        for node in replicas {
            self.present(*node)?;
            if !already.contains(node) && !self.brokers().any(|broker| broker == *node) {
                return Err(Refusal::NotABroker(*node));
            }
        }
        match leader.filter(|leader| !replicas.contains(leader)) {
            Some(node) => Err(Refusal::NotAReplica { node, group }),
            None => Ok(()),
        }
    }

    /// Refuses a node that is not a member.
    pub(super) fn present(&self, node: NodeId) -> Result<&NodeInfo, Refusal> {
        let record = self.nodes.get(&node).ok_or(Refusal::UnknownNode(node))?;
        if record.phase() == NodePhase::Removed {
            return Err(Refusal::Removed { node, name: record.info.name.clone() });
        }
        Ok(&record.info)
    }
}

impl GroupRecord {
    /// Takes a node that is removed off the group.
    fn lose(&mut self, node: NodeId, members: &BTreeSet<NodeId>) {
        if !self.holders().contains(&node) {
            return;
        }
        self.replicas.remove(&node);
        let left: BTreeSet<_> = self.settled.iter().copied().filter(|o| *o != node && members.contains(o)).collect();
        if left.is_empty() {
            // Given up: whoever gets it begins it anew. One that it was to move to has no more than a part of it.
            (self.replicas, self.settled, self.settled_term) = (BTreeSet::new(), BTreeSet::new(), 0);
        } else if self.replicas.is_empty() {
            // It was to move here, and the others still have it.
            self.replicas = left;
        }
        self.preferred = self.preferred.filter(|preferred| self.replicas.contains(preferred));
        self.version += 1;
    }
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME_BYTES && bytes.iter().copied().all(inner) && edge(bytes.first()) && edge(bytes.last())
}
