//! Groups that it is in vain to ask on: none of their replicas reaches enough of the others. Pure.

use std::collections::BTreeMap;

use crate::{AppendError, GroupId, GroupInfo, NodeId};

/// What one call has heard of groups without a quorum.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Replicas that cannot do it, each with why if it said so: one that is not reached says nothing.
    cannot: BTreeMap<(GroupId, NodeId), Option<AppendError>>,
    /// Groups that are asked no more, each with why.
    lost: BTreeMap<GroupId, AppendError>,
}

impl Lost {
    /// A try at `node` failed. `this` is the node in this process: if it is a replica and reaches too few, so does whoever
    /// asks from here. Else every replica has its say, for whom one of them does not reach another may.
    pub(super) fn failed(
        &mut self,
        group: GroupId,
        info: &GroupInfo,
        this: Option<NodeId>,
        node: NodeId,
        error: &AppendError,
    ) {
        match error {
            AppendError::NoQuorum { .. } => self.cannot.insert((group, node), Some(error.clone())),
            AppendError::Unavailable => self.cannot.insert((group, node), None),
            // It is there, and knows of a leader or waits for one.
            _ => self.cannot.remove(&(group, node)),
        };
        let of = |replica: &NodeId| self.cannot.get(&(group, *replica));
        let says_so = |replica: &NodeId| of(replica).cloned().flatten();
        let why = match this.as_ref().and_then(says_so) {
            Some(why) => Some(why),
            None if info.replicas.iter().all(|replica| of(replica).is_some()) => info.replicas.iter().find_map(says_so),
            None => None,
        };
        if let Some(why) = why {
            self.lost.insert(group, why);
        }
    }

    /// Who is to be asked next, at once, when a replica says that it reaches too few and others have not been asked.
    pub(super) fn unasked(&self, group: GroupId, info: &GroupInfo) -> Option<NodeId> {
        let of = |replica: &NodeId| self.cannot.get(&(group, *replica));
        let says_so = info.replicas.iter().any(|replica| of(replica).is_some_and(Option::is_some));
        info.replicas.iter().copied().find(|replica| says_so && of(replica).is_none())
    }

    pub(super) fn is_lost(&self, group: GroupId) -> bool {
        self.lost.contains_key(&group)
    }

    /// Why there is nobody left to ask.
    pub(super) fn why(&self) -> Option<&AppendError> {
        self.lost.values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(3);

    fn too_few() -> AppendError {
        AppendError::NoQuorum { group: GROUP, reached: 1, voters: 3 }
    }

    /// Replicas 1, 2 and 3.
    #[test]
    fn a_group_is_lost_when_nobody_is_left_who_may_lead_it() {
        let (gone, follows) = (AppendError::Unavailable, AppendError::NotLeader { leader: None });
        let info = GroupInfo { replicas: [1, 2, 3].map(NodeId).into(), ..GroupInfo::default() };
        for (this, said, want) in [
            (None, vec![(1, too_few())], false),
            (None, vec![(1, too_few()), (2, gone.clone()), (3, gone.clone())], true),
            (None, vec![(1, gone.clone()), (2, too_few()), (3, too_few())], true),
            (None, vec![(3, too_few()), (1, gone.clone()), (2, gone.clone())], true),
            // Nobody is reached at all: that may be the fault of who asks.
            (None, vec![(1, gone.clone()), (2, gone.clone()), (3, gone.clone())], false),
            // One of them answers, so an election may be on its way.
            (None, vec![(1, too_few()), (2, gone.clone()), (3, follows.clone())], false),
            (None, vec![(1, too_few()), (2, gone.clone()), (1, follows.clone()), (3, gone.clone())], false),
            (None, vec![(1, too_few()), (2, AppendError::OutcomeUnknown), (3, gone.clone())], false),
            // A replica in this process sees what whoever asks from here would see.
            (Some(1), vec![(1, too_few())], true),
            (Some(1), vec![(2, too_few())], false),
            (Some(9), vec![(1, too_few()), (2, gone.clone()), (3, gone.clone())], true),
        ] {
            let mut lost = Lost::default();
            for (node, error) in &said {
                lost.failed(GROUP, &info, this.map(NodeId), NodeId(*node), error);
            }
            assert_eq!(lost.is_lost(GROUP), want, "{this:?} {said:?}");
            assert_eq!(lost.why(), want.then(too_few).as_ref());
            assert!(!lost.is_lost(GroupId(1)), "of another group nothing was said");
        }
    }

    #[test]
    fn every_replica_is_asked_once_one_says_that_it_reaches_too_few() {
        let info = GroupInfo { replicas: [1, 2, 3].map(NodeId).into(), ..GroupInfo::default() };
        let mut lost = Lost::default();
        let mut asked = Vec::new();
        lost.failed(GROUP, &info, None, NodeId(1), &AppendError::Unavailable);
        assert_eq!(lost.unasked(GROUP, &info), None, "one that is not reached says nothing of the others");
        lost.failed(GROUP, &info, None, NodeId(2), &too_few());
        while let Some(node) = lost.unasked(GROUP, &info) {
            asked.push(node);
            lost.failed(GROUP, &info, None, node, &AppendError::Unavailable);
        }
        assert_eq!((asked, lost.is_lost(GROUP)), (vec![NodeId(3)], true));
    }
}
