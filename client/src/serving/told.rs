//! What gateways tell of revisions, put together for controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{GatewayInfo, RevisionFact};

/// How long what a gateway told counts without being told again: one stable window. A gateway that falls silent keeps
/// its instances running, so they are not forgotten at once, and nor are they counted for ever.
pub const TOLD_FOR: Duration = Duration::from_secs(60);

/// What one gateway knows of the revisions that it runs or has run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevisionsTold {
    /// The gateway, by a name that no other has and that lasts as long as its process.
    pub gateway: String,
    /// How the others reach it, when it shares its work with them: then the registry's leader decides how many instances
    /// it has.
    pub reached: Option<GatewayInfo>,
    /// By the uid of the revision.
    pub revisions: BTreeMap<String, RevisionFact>,
    /// What is on its way there, by the uid of the revision.
    pub loads: BTreeMap<String, RevisionLoad>,
}

/// The requests of one revision at one gateway. Those that it passed on to another gateway are counted there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevisionLoad {
    /// Requests at instances.
    pub in_flight: u32,
    /// Requests that wait for one.
    pub queued: u32,
    /// Requests that instances were given since the gateway began.
    pub arrivals: u64,
    /// Instances that are starting.
    pub starting: u32,
    /// Thousandths of the deliveries at once that events which wait ask for.
    pub events_milli: u64,
    /// Deliveries on their way from there, wherever their instance is.
    pub delivering: u32,
}

/// What one gateway told last.
#[derive(Debug)]
struct LastTold {
    at: Duration,
    told: RevisionsTold,
}

/// What all gateways have told. A moment is a duration since an origin that whoever calls has chosen.
#[derive(Debug, Default)]
pub struct AllTold {
    by_gateway: BTreeMap<String, LastTold>,
}

impl AllTold {
    /// Takes what a gateway tells in the place of what it told before. `true` when it says something else of its instances;
    /// loads change all the time.
    pub fn take(&mut self, told: RevisionsTold, now: Duration) -> bool {
        // A node has one gateway: the one before is gone.
        if let Some(reached) = &told.reached {
            let is_there = |other: &RevisionsTold| other.reached.as_ref().is_some_and(|r| r.node == reached.node);
            self.by_gateway.retain(|name, last| *name == told.gateway || !is_there(&last.told));
        }
        let before = self.by_gateway.get(&told.gateway).map(|last| &last.told.revisions);
        let is_news = before.is_none_or(|before| *before != told.revisions);
        self.by_gateway.insert(told.gateway.clone(), LastTold { at: now, told });
        is_news
    }

    /// Forgets gateways that have been silent for [`TOLD_FOR`]. Gives when the next one is to be forgotten.
    pub fn forget(&mut self, now: Duration) -> Option<Duration> {
        self.by_gateway.retain(|_, last| last.at + TOLD_FOR > now);
        self.by_gateway.values().map(|last| last.at + TOLD_FOR).min()
    }

    /// What each gateway told last.
    pub fn each(&self) -> impl Iterator<Item = &RevisionsTold> {
        self.by_gateway.values().map(|last| &last.told)
    }

    /// Those that were heard of within `time`, by their names.
    #[must_use]
    pub fn heard_within(&self, time: Duration, now: Duration) -> BTreeSet<&str> {
        let heard = self.by_gateway.iter().filter(|(_, last)| last.at + time > now);
        heard.map(|(name, _)| name.as_str()).collect()
    }

    /// The nodes of those that were heard of at `since` or later.
    #[must_use]
    pub fn heard_since(&self, since: Duration) -> BTreeSet<&str> {
        let heard = self.by_gateway.values().filter(|last| last.at >= since);
        heard.filter_map(|last| Some(last.told.reached.as_ref()?.node.as_str())).collect()
    }

    /// What they say together. Instances add up; what is wrong anywhere is wrong.
    #[must_use]
    pub fn together(&self) -> BTreeMap<String, RevisionFact> {
        let mut all: BTreeMap<String, RevisionFact> = BTreeMap::new();
        for (uid, fact) in self.each().flat_map(|told| &told.revisions) {
            match all.get_mut(uid) {
                Some(known) => known.add(fact),
                None => drop(all.insert(uid.clone(), fact.clone())),
            }
        }
        all
    }
}

impl RevisionFact {
    fn add(&mut self, other: &Self) {
        self.deployed = match (self.deployed.take(), &other.deployed) {
            (Some(Err(why)), _) => Some(Err(why)),
            (_, Some(Err(why))) => Some(Err(why.clone())),
            (Some(Ok(())), _) | (_, Some(Ok(()))) => Some(Ok(())),
            (None, None) => None,
        };
        self.ready_replicas += other.ready_replicas;
        self.desired_replicas += other.desired_replicas;
        self.reached_initial_scale |= other.reached_initial_scale;
        self.crash_loop = self.crash_loop.take().or_else(|| other.crash_loop.clone());
        self.last_active = self.last_active.max(other.last_active);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(gateway: &str, ready: u32) -> RevisionsTold {
        let fact = RevisionFact { deployed: Some(Ok(())), ready_replicas: ready, ..RevisionFact::default() };
        RevisionsTold {
            gateway: gateway.to_owned(),
            revisions: [("r".to_owned(), fact)].into(),
            ..RevisionsTold::default()
        }
    }

    #[test]
    fn instances_of_all_gateways_add_up_and_a_newer_word_replaces_an_older() {
        let mut all = AllTold::default();
        assert!(all.take(told("a", 1), Duration::ZERO));
        assert!(all.take(told("b", 2), Duration::ZERO));
        assert_eq!(all.together()["r"].ready_replicas, 3);
        assert!(!all.take(told("a", 1), Duration::ZERO), "nothing new");
        assert!(all.take(told("a", 5), Duration::ZERO));
        assert_eq!(all.together()["r"].ready_replicas, 7);
    }

    #[test]
    fn a_silent_gateway_counts_for_a_stable_window() {
        let mut all = AllTold::default();
        all.take(told("a", 1), Duration::ZERO);
        all.take(told("b", 2), Duration::from_secs(10));
        let just_before = Duration::from_millis(59_999);
        assert_eq!(all.forget(just_before), Some(TOLD_FOR));
        assert_eq!(all.together()["r"].ready_replicas, 3);
        assert_eq!(all.forget(TOLD_FOR), Some(Duration::from_secs(70)));
        assert_eq!(all.together()["r"].ready_replicas, 2);
        assert_eq!(all.forget(Duration::from_secs(70)), None);
        assert!(all.together().is_empty());
    }

    #[test]
    fn a_gateway_takes_the_place_of_the_one_that_its_node_had_before() {
        let at = |gateway: &str, node: &str| RevisionsTold {
            reached: Some(GatewayInfo {
                node: node.to_owned(),
                address: "127.0.0.1:8081".to_owned(),
                pass: gateway.to_owned(),
            }),
            ..told(gateway, 1)
        };
        let mut all = AllTold::default();
        all.take(at("a", "a"), Duration::ZERO);
        all.take(at("b", "b"), Duration::ZERO);
        all.take(at("a-again", "a"), Duration::from_secs(1));
        assert_eq!(all.each().map(|told| told.gateway.as_str()).collect::<Vec<_>>(), ["a-again", "b"]);
        let now = Duration::from_secs(10);
        assert_eq!(all.heard_within(Duration::from_secs(10), now), ["a-again"].into());
    }

    #[test]
    fn what_is_wrong_at_one_gateway_is_wrong() {
        let wrong = RevisionFact {
            deployed: Some(Err("no such image".to_owned())),
            crash_loop: Some("code 1".to_owned()),
            ..RevisionFact::default()
        };
        for order in [["a", "b"], ["b", "a"]] {
            let mut all = AllTold::default();
            all.take(told(order[0], 1), Duration::ZERO);
            let revisions = [("r".to_owned(), wrong.clone())].into();
            all.take(
                RevisionsTold { gateway: order[1].to_owned(), revisions, ..RevisionsTold::default() },
                Duration::ZERO,
            );
            let together = &all.together()["r"];
            assert_eq!(together.deployed, wrong.deployed);
            assert_eq!(together.crash_loop, wrong.crash_loop);
        }
    }
}
