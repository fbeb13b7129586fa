//! Groups that it is in vain to ask on: none of their replicas reaches enough of the others. Pure.

use std::collections::BTreeMap;

use crate::{AppendError, GroupId, GroupInfo, NodeId};

/// What came of asking a replica, last.
#[derive(Debug)]
enum Said {
    /// It reaches too few of the others.
    TooFew(AppendError),
    /// It is not reached itself.
    Nothing,
    /// It is there, and knows of a leader or waits for one.
    Other,
}

/// What one call has heard of groups without a quorum.
#[derive(Debug, Default)]
pub(super) struct Lost {
    said: BTreeMap<(GroupId, NodeId), Said>,
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
        let said = match error {
            AppendError::NoQuorum { .. } => Said::TooFew(error.clone()),
            AppendError::Unavailable => Said::Nothing,
            _ => Said::Other,
        };
        self.said.insert((group, node), said);
        let says_so = |replica: &NodeId| self.too_few(group, *replica).cloned();
        let cannot = |replica: &NodeId| matches!(self.of(group, *replica), Some(Said::TooFew(_) | Said::Nothing));
        let why = match this.as_ref().and_then(says_so) {
            Some(why) => Some(why),
            None if info.replicas.iter().all(cannot) => info.replicas.iter().find_map(says_so),
            None => None,
        };
        if let Some(why) = why {
            self.lost.insert(group, why);
        }
    }

    fn of(&self, group: GroupId, replica: NodeId) -> Option<&Said> {
        self.said.get(&(group, replica))
    }

    fn too_few(&self, group: GroupId, replica: NodeId) -> Option<&AppendError> {
        match self.of(group, replica) {
            Some(Said::TooFew(why)) => Some(why),
            _ => None,
        }
    }

    /// Who is to be asked next, at once, when a replica says that it reaches too few and others have not been asked. Each
    /// is asked so once: one that names a leader which is not reached from here would else be asked again and again.
    pub(super) fn unasked(&self, group: GroupId, info: &GroupInfo) -> Option<NodeId> {
        let says_so = info.replicas.iter().any(|replica| self.too_few(group, *replica).is_some());
        info.replicas.iter().copied().find(|replica| says_so && self.of(group, *replica).is_none())
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

    /// A partition of one pair: a replica that answers names a leader that is not reached from here.
    #[test]
    fn a_replica_that_answers_is_not_asked_again_at_once() {
        let info = GroupInfo { replicas: [1, 2, 3].map(NodeId).into(), ..GroupInfo::default() };
        let mut lost = Lost::default();
        lost.failed(GROUP, &info, None, NodeId(1), &too_few());
        assert_eq!(lost.unasked(GROUP, &info), Some(NodeId(2)));
        lost.failed(GROUP, &info, None, NodeId(2), &AppendError::NotLeader { leader: Some(NodeId(3)) });
        lost.failed(GROUP, &info, None, NodeId(3), &AppendError::Unavailable);
        assert_eq!(lost.unasked(GROUP, &info), None);
        assert!(!lost.is_lost(GROUP));
    }
}
