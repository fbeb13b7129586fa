//! What an operator asks for, as the command that does it.

use pelton_client::{ClusterChange, GroupId, NodeId, NodeInfo, NodePhase, Role};

use super::placement::DOUBTFUL_AFTER;
use super::{ClusterCommand, ClusterState, Observed, REGISTRY, Refusal};

/// The command that brings about `change`, or `None` when it is so already.
///
/// What would lose something is refused here or, where another change may come between, when the command is applied.
pub(crate) fn command_for(
    state: &ClusterState,
    observed: &Observed,
    change: ClusterChange,
) -> Result<Option<ClusterCommand>, Refusal> {
    let doubtful = DOUBTFUL_AFTER.as_secs();
    match change {
        ClusterChange::Drain(node) => {
            let info = state.present(node)?;
            let other = |other: NodeId| other != node && active_broker(state, other).is_ok();
            if info.roles.contains(&Role::Broker) && !state.brokers().any(other) {
                return Err(Refusal::LastBroker(node));
            }
            Ok((info.phase != NodePhase::Draining).then_some(ClusterCommand::Drain(node)))
        }
        ClusterChange::Undrain(node) => {
            let draining = state.present(node)?.phase == NodePhase::Draining;
            Ok(draining.then_some(ClusterCommand::Undrain(node)))
        }
        ClusterChange::Remove { node, lost } => {
            state.present(node)?;
            if lost && observed.silent_for(node) < DOUBTFUL_AFTER {
                return Err(Refusal::NotLost(node, doubtful));
            }
            Ok(Some(ClusterCommand::Remove { node, lost }))
        }
        ClusterChange::Move { group, from, to } => move_replica(state, observed, group, from, to).map(Some),
        ClusterChange::Lead { group, node } => lead(state, observed, group, node),
    }
}

fn move_replica(
    state: &ClusterState,
    observed: &Observed,
    group: GroupId,
    from: NodeId,
    to: NodeId,
) -> Result<ClusterCommand, Refusal> {
    if group == REGISTRY {
        return Err(Refusal::RegistryIsNotMoved);
    }
    let record = state.group(group).ok_or(Refusal::UnknownGroup(group))?;
    if record.is_moving() {
        return Err(Refusal::Moving(group));
    }
    if !record.replicas.contains(&from) {
        return Err(Refusal::NotAReplica { node: from, group });
    }
    if record.replicas.contains(&to) {
        return Err(Refusal::AlreadyAReplica { node: to, group });
    }
    active_broker(state, to)?;
    answers(observed, to)?;
    let mut replicas = record.replicas.clone();
    replicas.remove(&from);
    replicas.insert(to);
    // Who leads instead is placement's business, as whenever the one who should does not hold it.
    let preferred = record.preferred.filter(|node| *node != from);
    let home = record.home.map(|home| if home == from { to } else { home });
    Ok(ClusterCommand::PlaceGroup { group, version: record.version, replicas, preferred, home })
}

fn lead(
    state: &ClusterState,
    observed: &Observed,
    group: GroupId,
    node: NodeId,
) -> Result<Option<ClusterCommand>, Refusal> {
    if group == REGISTRY {
        return Err(Refusal::RegistryIsNotMoved);
    }
    let record = state.group(group).ok_or(Refusal::UnknownGroup(group))?;
    if !record.replicas.contains(&node) {
        return Err(Refusal::NotAReplica { node, group });
    }
    active_broker(state, node)?;
    answers(observed, node)?;
    if observed.unfit.contains(&node) {
        return Err(Refusal::Unfit(node));
    }
    let (version, replicas, leader) = (record.version, record.replicas.clone(), Some(node));
    let changes = (record.preferred, record.home) != (leader, leader);
    let command = ClusterCommand::PlaceGroup { group, version, replicas, preferred: leader, home: leader };
    Ok(changes.then_some(command))
}

fn active_broker(state: &ClusterState, node: NodeId) -> Result<&NodeInfo, Refusal> {
    let info = state.present(node)?;
    if !info.roles.contains(&Role::Broker) {
        return Err(Refusal::NotABroker(node));
    }
    if info.phase == NodePhase::Draining {
        return Err(Refusal::Draining(node));
    }
    Ok(info)
}

fn answers(observed: &Observed, node: NodeId) -> Result<(), Refusal> {
    let silent = observed.silent_for(node);
    if silent < DOUBTFUL_AFTER { Ok(()) } else { Err(Refusal::Silent(node, silent.as_secs())) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::super::{Answer, broker_info, nonce, three_nodes};
    use super::*;

    fn four_nodes() -> ClusterState {
        let mut state = three_nodes();
        state
            .apply(
                12,
                ClusterCommand::Join {
                    info: broker_info(4, "d"),
                    nonce: nonce(4),
                    speaks: crate::cluster::Speaks::default(),
                },
            )
            .unwrap();
        let info = NodeInfo { roles: BTreeSet::from([Role::Ingress]), ..broker_info(5, "d") };
        state
            .apply(13, ClusterCommand::Join { info, nonce: nonce(5), speaks: crate::cluster::Speaks::default() })
            .unwrap();
        state
            .apply(
                14,
                ClusterCommand::Join {
                    info: broker_info(6, "d"),
                    nonce: nonce(6),
                    speaks: crate::cluster::Speaks::default(),
                },
            )
            .unwrap();
        state.apply(15, ClusterCommand::Remove { node: NodeId(6), lost: false }).unwrap();
        state
    }

    fn all_answer() -> Observed {
        Observed { silent: BTreeMap::new(), lost_after: Duration::from_secs(600), unfit: BTreeSet::new() }
    }

    fn silent(node: u64) -> Observed {
        Observed { silent: BTreeMap::from([(NodeId(node), Duration::from_secs(12))]), ..all_answer() }
    }

    fn shift(group: u32, from: u64, to: u64) -> ClusterChange {
        ClusterChange::Move { group: GroupId(group), from: NodeId(from), to: NodeId(to) }
    }

    fn lead_by(group: u32, node: u64) -> ClusterChange {
        ClusterChange::Lead { group: GroupId(group), node: NodeId(node) }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_says_why() {
        let state = four_nodes();
        let removed = Refusal::Removed { node: NodeId(6), name: "n6".into() };
        let lost = |node| ClusterChange::Remove { node: NodeId(node), lost: true };
        for (observed, change, want) in [
            (all_answer(), ClusterChange::Drain(NodeId(9)), Refusal::UnknownNode(NodeId(9))),
            (all_answer(), ClusterChange::Drain(NodeId(6)), removed.clone()),
            (all_answer(), ClusterChange::Undrain(NodeId(6)), removed.clone()),
            (all_answer(), lost(6), removed),
            (all_answer(), lost(3), Refusal::NotLost(NodeId(3), 10)),
            (all_answer(), shift(0, 1, 4), Refusal::RegistryIsNotMoved),
            (all_answer(), shift(7, 1, 4), Refusal::UnknownGroup(GroupId(7))),
            (all_answer(), shift(1, 4, 1), Refusal::NotAReplica { node: NodeId(4), group: GroupId(1) }),
            (all_answer(), shift(1, 1, 2), Refusal::AlreadyAReplica { node: NodeId(2), group: GroupId(1) }),
            (all_answer(), shift(1, 1, 5), Refusal::NotABroker(NodeId(5))),
            (silent(4), shift(1, 1, 4), Refusal::Silent(NodeId(4), 12)),
            (all_answer(), lead_by(0, 1), Refusal::RegistryIsNotMoved),
            (all_answer(), lead_by(1, 4), Refusal::NotAReplica { node: NodeId(4), group: GroupId(1) }),
            (silent(2), lead_by(1, 2), Refusal::Silent(NodeId(2), 12)),
            (Observed { unfit: [NodeId(2)].into(), ..all_answer() }, lead_by(1, 2), Refusal::Unfit(NodeId(2))),
        ] {
            assert_eq!(command_for(&state, &observed, change), Err(want), "{change:?}");
        }
        let mut moving = state.clone();
        let command = command_for(&moving, &all_answer(), shift(1, 3, 4)).unwrap().unwrap();
        moving.apply(20, command).unwrap();
        assert_eq!(command_for(&moving, &all_answer(), shift(1, 4, 3)), Err(Refusal::Moving(GroupId(1))));
        let mut draining = state;
        draining.apply(20, ClusterCommand::Drain(NodeId(4))).unwrap();
        assert_eq!(command_for(&draining, &all_answer(), shift(1, 1, 4)), Err(Refusal::Draining(NodeId(4))));
        for node in [1, 2] {
            draining.apply(20 + node, ClusterCommand::Drain(NodeId(node))).unwrap();
        }
        let last = ClusterChange::Drain(NodeId(3));
        assert_eq!(command_for(&draining, &all_answer(), last), Err(Refusal::LastBroker(NodeId(3))));
    }

    #[test]
    fn what_makes_sense_becomes_one_command_that_fits() {
        for (observed, change) in [
            (all_answer(), ClusterChange::Drain(NodeId(1))),
            (all_answer(), ClusterChange::Drain(NodeId(5))),
            (silent(3), ClusterChange::Remove { node: NodeId(3), lost: true }),
            (all_answer(), ClusterChange::Remove { node: NodeId(4), lost: false }),
            (all_answer(), shift(1, 1, 4)),
            (all_answer(), lead_by(1, 2)),
        ] {
            let mut state = four_nodes();
            let command = command_for(&state, &observed, change).unwrap().unwrap();
            assert_eq!(state.apply(20, command), Ok(Answer::Changed), "{change:?}");
        }
        let mut state = four_nodes();
        for (change, draining) in [(ClusterChange::Undrain(NodeId(1)), false), (ClusterChange::Drain(NodeId(1)), true)]
        {
            assert_eq!(command_for(&state, &all_answer(), change), Ok(None), "it is so already");
            let phase = state.member(NodeId(1)).unwrap().phase;
            assert_eq!(phase == NodePhase::Draining, draining);
            state.apply(20, ClusterCommand::Drain(NodeId(1))).unwrap();
        }
        assert_eq!(command_for(&four_nodes(), &all_answer(), lead_by(1, 1)), Ok(None));
    }
}
