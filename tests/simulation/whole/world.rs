//! What a run of whole nodes shares between its parts and the one who watches it.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use pelton_broker::Node;
use pelton_client::{ClusterChange, ClusterView, GroupId, NodeClient as _, NodeId, NodePhase};
use pelton_env::{Chance, SeededChance};
use tokio::sync::mpsc;

use super::node::Order;
use super::oracle::Oracle;
use super::sinks::Mood;
use super::triggers::{self, FIRST, MOST, SINKS};
use crate::journal::Journal;
use crate::nemesis::{Cluster, Fault};
use crate::world::Host;

/// A node that runs.
pub struct Alive {
    pub life: u64,
    pub node: Node,
    pub orders: mpsc::Sender<Order>,
}

impl Alive {
    pub fn view(&self) -> Arc<ClusterView> {
        self.node.client().cluster().borrow().clone()
    }
}

/// The Triggers that were asked for.
#[derive(Default)]
struct Made {
    there: BTreeSet<u64>,
    last: u64,
    is_wide: bool,
}

pub struct Whole {
    pub seed: u64,
    pub oracle: Oracle,
    pub hosts: BTreeMap<u64, Host>,
    pub alive: Mutex<BTreeMap<u64, Alive>>,
    pub moods: BTreeMap<u64, Mood>,
    /// The nodes' data directories, which hold who they are.
    pub data: tempfile::TempDir,
    /// The cluster begins with these.
    pub first_nodes: usize,
    made: Mutex<Made>,
    producing: AtomicBool,
}

impl Whole {
    pub fn new(seed: u64, nodes: u64, first_nodes: u64, direct: impl Fn(u64) -> bool, oracle: Oracle) -> Self {
        Self {
            seed,
            oracle,
            hosts: (1..=nodes).map(|node| (node, Host::new(direct(node)))).collect(),
            alive: Mutex::default(),
            moods: SINKS.iter().map(|sink| (*sink, Mood::default())).collect(),
            data: tempfile::tempdir().expect("there is room for a directory"),
            first_nodes: first_nodes as usize,
            made: Mutex::new(Made { last: FIRST, ..Made::default() }),
            producing: AtomicBool::new(false),
        }
    }

    pub fn is_producing(&self) -> bool {
        self.producing.load(Ordering::Relaxed)
    }

    /// From now on producers append, or do not.
    pub fn produce(&self, now: bool) {
        self.producing.store(now, Ordering::Relaxed);
    }

    /// Tells some node. One that has too many orders already is told nothing.
    pub fn tell(&self, chance: &dyn Chance, order: Order) {
        let alive = self.alive.lock();
        let nth = chance.below(alive.len().max(1) as u64) as usize;
        if let Some(node) = alive.values().nth(nth) {
            let _ = node.orders.try_send(order);
        }
    }

    /// The cluster as the node sees it that knows most.
    pub fn view(&self) -> Arc<ClusterView> {
        let views = self.alive.lock().values().map(Alive::view).collect::<Vec<_>>();
        views.into_iter().max_by_key(|view| view.version).unwrap_or_default()
    }

    /// The group's leader, as it thinks itself: the place where its node runs.
    pub fn leader_of(&self, group: GroupId) -> Option<u64> {
        let alive = self.alive.lock();
        let leads = alive.iter().filter_map(|(place, node)| {
            let view = node.view();
            let info = view.groups.get(&group)?;
            (info.leader.is_some() && info.leader == view.this).then_some((info.term, *place))
        });
        leads.max().map(|(_, place)| place)
    }

    fn any_group(&self, chance: &dyn Chance) -> Option<GroupId> {
        let view = self.view();
        view.groups.keys().nth(chance.below(view.groups.len().max(1) as u64) as usize).copied()
    }

    fn change_members(&self, chance: &dyn Chance) -> Option<ClusterChange> {
        let view = self.view();
        let nodes: Vec<NodeId> = view.nodes.keys().copied().collect();
        let node = *nodes.get(chance.below(nodes.len().max(1) as u64) as usize)?;
        let draining = |(_, info): &(&NodeId, &pelton_client::NodeInfo)| info.phase == NodePhase::Draining;
        let drained = view.nodes.iter().find(draining).map(|(node, _)| *node);
        if chance.below(3) == 0 {
            return Some(drained.map_or(ClusterChange::Drain(node), ClusterChange::Undrain));
        }
        let group = self.any_group(chance)?;
        let replicas = &view.groups[&group].replicas;
        let from = *replicas.iter().nth(chance.below(replicas.len().max(1) as u64) as usize)?;
        (!replicas.contains(&node)).then_some(ClusterChange::Move { group, from, to: node })
    }

    fn change_triggers(&self, chance: &dyn Chance) -> Order {
        let mut made = self.made.lock();
        match chance.below(3) {
            0 if made.last < MOST => {
                made.last += 1;
                let number = made.last;
                made.there.insert(number);
                Order::Apply(vec![triggers::trigger(number, false)])
            }
            1 if !made.there.is_empty() => {
                let number = made.there.pop_first().expect("there is one");
                self.oracle.forget(number);
                Order::Delete(triggers::key(number))
            }
            _ => {
                made.is_wide = !made.is_wide;
                Order::Apply(vec![triggers::trigger(1, made.is_wide)])
            }
        }
    }
}

impl Cluster for Whole {
    fn journal(&self) -> &Journal {
        &self.oracle
    }

    fn hosts(&self) -> &BTreeMap<u64, Host> {
        &self.hosts
    }

    fn places(&self) -> Vec<u64> {
        self.hosts.keys().copied().chain(SINKS).collect()
    }

    fn twice_per_mille(&self) -> Option<&AtomicU64> {
        None
    }

    fn leader(&self, chance: &SeededChance) -> Option<u64> {
        self.leader_of(self.any_group(chance)?)
    }

    fn take_down(&self, node: u64) -> Option<Box<dyn Any>> {
        let alive = self.alive.lock().remove(&node)?;
        // What it knew to be committed, and may have told of, nobody else may know yet.
        self.oracle.look(node, &alive);
        Some(Box::new(alive))
    }

    fn order(&self, fault: Fault, to: u64, chance: &SeededChance) {
        match fault {
            Fault::SinkFails => self.moods[&to].fails_percent.store(20 + chance.below(80), Ordering::Relaxed),
            Fault::SinkHangs => self.moods[&to].slow_millis.store(200 + chance.below(6_000), Ordering::Relaxed),
            Fault::Triggers => self.tell(chance, self.change_triggers(chance)),
            Fault::Leader => {
                let node = self.alive.lock().get(&to).map(|alive| NodeId(alive.node.identity().node));
                if let Some((group, node)) = self.any_group(chance).zip(node) {
                    self.tell(chance, Order::Change(ClusterChange::Lead { group, node }));
                }
            }
            _ => {
                if let Some(change) = self.change_members(chance) {
                    self.tell(chance, Order::Change(change));
                }
            }
        }
    }

    fn mend(&self, sink: u64) {
        self.moods[&sink].mend();
    }
}
