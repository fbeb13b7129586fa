//! For how long each node has not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pelton_client::NodeId;

/// Kept by the registry's leader. Times are monotonic, counted from any one moment.
///
/// A node is taken to have answered when it is first looked at, so a new leader takes nobody for lost before it has
/// asked for long enough itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silence {
    answered: BTreeMap<NodeId, Duration>,
}

impl Silence {
    /// Looks at these nodes from `now` on, and at no others.
    pub(crate) fn look_at(&mut self, nodes: &BTreeSet<NodeId>, now: Duration) {
        self.answered.retain(|node, _| nodes.contains(node));
        nodes.iter().for_each(|node| {
            self.answered.entry(*node).or_insert(now);
        });
    }

    /// The node answered.
    pub(crate) fn answered(&mut self, node: NodeId, now: Duration) {
        if let Some(last) = self.answered.get_mut(&node) {
            *last = now.max(*last);
        }
    }

    /// For how long each has been silent.
    pub(crate) fn at(&self, now: Duration) -> BTreeMap<NodeId, Duration> {
        self.answered.iter().map(|(node, last)| (*node, now.saturating_sub(*last))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_last_answer_or_from_the_first_look() {
        let (a, b) = (NodeId(1), NodeId(2));
        let seconds = Duration::from_secs;
        let mut silence = Silence::default();
        silence.look_at(&BTreeSet::from([a]), seconds(100));
        assert_eq!(silence.at(seconds(103)), BTreeMap::from([(a, seconds(3))]));
        silence.look_at(&BTreeSet::from([a, b]), seconds(110));
        silence.answered(a, seconds(111));
        silence.answered(a, seconds(109));
        silence.answered(NodeId(9), seconds(111));
        assert_eq!(silence.at(seconds(115)), BTreeMap::from([(a, seconds(4)), (b, seconds(5))]));
        silence.look_at(&BTreeSet::from([b]), seconds(116));
        assert_eq!(silence.at(seconds(116)), BTreeMap::from([(b, seconds(6))]));
    }
}
