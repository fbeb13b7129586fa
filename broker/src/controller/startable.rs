//! Which triggers have a place in every group.

use std::collections::{BTreeMap, BTreeSet};

use pelton_client::{Resources, TriggerId};
use pelton_resource::{ConditionStatus, Trigger, conditions};

/// Triggers whose broker is there and that no group is known to have started, each with a version of the resources as of
/// which its broker was there. Writing a status gives a resource a version that no group has told of yet, so its own version
/// would not do.
///
/// Once a trigger has a place in every group it keeps it, so what its status says stays true.
#[derive(Debug, Default)]
pub(super) struct Startable {
    waiting: BTreeMap<TriggerId, u64>,
    by_version: BTreeSet<(u64, TriggerId)>,
}

impl Startable {
    /// Takes in what has become of these triggers.
    pub(super) fn follow(&mut self, triggers: impl Iterator<Item = TriggerId>, before: &Resources, now: &Resources) {
        for id in triggers {
            let has_broker = |of: &Resources| of.triggers.get(&id).is_some_and(|it| of.broker_of(it).is_some());
            match (has_broker(before), has_broker(now)) {
                (false, true) if !now.triggers.get(&id).is_some_and(|trigger| says_started(trigger)) => {
                    self.waiting.insert(id, now.version);
                    self.by_version.insert((now.version, id));
                }
                (_, false) => self.forget(id),
                _ => {}
            }
        }
        now.triggers.diff(&before.triggers).iter().filter(|it| it.now.is_none()).for_each(|it| self.forget(*it.key));
    }

    fn forget(&mut self, id: TriggerId) {
        if let Some(as_of) = self.waiting.remove(&id) {
            self.by_version.remove(&(as_of, id));
        }
    }

    /// Triggers of the resources up to version `started` are started in every group; gives those that were waited for.
    pub(super) fn start(&mut self, started: u64) -> Vec<TriggerId> {
        let mut all = Vec::new();
        while let Some((_, id)) = self.by_version.first().copied().filter(|(as_of, _)| *as_of <= started) {
            self.forget(id);
            all.push(id);
        }
        all
    }

    /// Whether a trigger of these resources is started in every group.
    pub(super) fn is_started(&self, id: TriggerId, resources: &Resources) -> bool {
        let has_broker = resources.triggers.get(&id).is_some_and(|trigger| resources.broker_of(trigger).is_some());
        has_broker && !self.waiting.contains_key(&id)
    }
}

fn says_started(trigger: &Trigger) -> bool {
    trigger.status.conditions.status(conditions::SUBSCRIPTION_READY) == ConditionStatus::True
}

#[cfg(test)]
mod tests {
    use pelton_client::admission::{admit, uid_from_bits};
    use pelton_resource::{Kind, Resource, ResourceKey, Time, parse_documents};

    use super::*;

    #[test]
    fn a_trigger_is_started_once_every_group_has_told_of_the_version_in_which_its_broker_came() {
        let text = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\nspec: {broker: b, \
                    subscriber: {uri: 'http://s.example/'}}\n---\napiVersion: eventing.knative.dev/v1\nkind: \
                    Broker\nmetadata: {name: b}\n";
        let parsed = parse_documents(text, "test").unwrap();
        let admitted =
            admit(&Resources::default(), parsed, Time::from_unix_millis(0), &mut || uid_from_bits(0, 1)).unwrap();
        let [trigger, broker]: [Resource; 2] = admitted.try_into().unwrap();
        let id = TriggerId::parse(&uid_from_bits(0, 1)).unwrap();
        let mut startable = Startable::default();
        let mut is = Resources::default();
        let mut go = |startable: &mut Startable, next: Resources| {
            startable.follow([id].into_iter(), &is, &next);
            is = next;
            startable.is_started(id, &is)
        };
        let alone = Resources::default().with([trigger], 3);
        assert!(!go(&mut startable, alone.clone()), "without a broker nothing is started");
        assert_eq!(startable.start(3), []);
        let both = alone.with([broker], 4);
        assert!(!go(&mut startable, both.clone()));
        assert_eq!((startable.start(3), startable.start(4)), (vec![], vec![id]));
        assert!(go(&mut startable, both.clone()), "and it stays so");
        assert!(!go(&mut startable, alone), "until its broker is gone");
        assert!(!go(&mut startable, both.without(&ResourceKey::new(Kind::Service, "", ""), 9)), "and it begins again");
        assert_eq!(startable.start(8), []);
        assert!(!go(&mut startable, Resources::default()));
        assert_eq!(startable.start(9), [], "what is gone is not waited for");
    }
}
