//! How many instances each gateway has of each revision, decided where the registry is led, from what all gateways tell.
//!
//! A gateway that falls silent counts with what it told last for one stable window ([`AllTold::forget`]): its requests go
//! elsewhere, and what is told of there comes on top. Gateways start an instance by themselves when somebody waits and
//! nobody has any, so nothing here is on the way of a first request.

mod revision;
mod spread;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_autoscaler::Spec;
use pelton_client::serving::{AllTold, GatewayInfo, RevisionsTold, Scales, Share};
use pelton_client::{ClusterView, NodePhase, Resources};
use pelton_log::Term;
use pelton_resource::ConditionStatus;
use pelton_resource::conditions::READY;
use pelton_resource::serving::{AutoscalingDefaults, revision_settings};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use self::revision::{SharedRevision, Told};
use crate::node::Shared;

/// A gateway says something every 5 s at least. One that has not for so long gets nothing to do: what it had on its way still
/// counts, its instances do not.
const HEARD_WITHIN: Duration = Duration::from_secs(12);

/// Between two looks: gateways tell something ten times a second each while there is traffic.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// What gateways are to do, and how that came about.
#[derive(Default)]
pub(crate) struct Scaling {
    /// What each gateway is to do, by its name.
    pub(crate) scales: watch::Sender<BTreeMap<String, Arc<Scales>>>,
    /// Something was told.
    pub(crate) told: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The term that the rest is of.
    term: Term,
    /// When it began.
    since: Duration,
    /// Whether all gateways were heard of since, or waited for.
    is_complete: bool,
    revisions: BTreeMap<String, SharedRevision>,
    words: u64,
}

/// Decides for as long as this node leads the registry, whenever something was told or is due.
pub(crate) async fn run(shared: Shared) {
    let mut leadership = shared.registry.raft.leadership();
    let mut resources = shared.registry.state.watch();
    loop {
        let leader = *leadership.borrow_and_update();
        let wake = if leader.serves {
            let resources = resources.borrow_and_update().clone();
            let now = shared.controller.age();
            let expected = gateways(&shared.view.borrow());
            let mut told = shared.controller.told.lock();
            let before = told.each().count();
            let forgets = told.forget(now);
            if told.each().count() < before {
                // What they had is shown no more.
                shared.controller.nudge();
            }
            let due = shared.controller.scaling.decide(leader.term, now, &resources, &told, &expected);
            due.into_iter().chain(forgets).min().map(|at| at.saturating_sub(now))
        } else {
            // Nobody is to take an old word for a new one, should this node lead again.
            shared.controller.scaling.scales.send_replace(BTreeMap::new());
            None
        };
        let looked_at = Instant::now();
        let at = wake.map(|after| looked_at + after.max(LOOK_GAP));
        tokio::select! {
            () = shared.controller.scaling.told.notified() => sleep_until(looked_at + LOOK_GAP).await,
            changed = leadership.changed() => if changed.is_err() { return },
            changed = resources.changed() => if changed.is_err() { return },
            () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => {}
        }
    }
}

/// The nodes that have gateways.
fn gateways(view: &ClusterView) -> Vec<String> {
    let active = view.nodes.values().filter(|node| node.phase == NodePhase::Active && node.gateway.is_some());
    active.map(|node| node.name.clone()).collect()
}

impl Scaling {
    /// Decides as the leader in `term`, and says what has become different. Gives when it is to be asked again.
    fn decide(
        &self,
        term: Term,
        now: Duration,
        resources: &Resources,
        told: &AllTold,
        expected: &[String],
    ) -> Option<Duration> {
        let mut state = self.state.lock();
        if state.term != term {
            *state = State { term, since: now, ..State::default() };
            self.scales.send_replace(BTreeMap::new());
        }
        if !state.is_complete {
            // Who decides on the word of one gives it what the others have.
            let since = told.heard_since(state.since);
            if expected.iter().any(|node| !since.contains(node.as_str())) && now < state.since + HEARD_WITHIN {
                return Some(state.since + HEARD_WITHIN);
            }
            state.is_complete = true;
        }
        let sharing: Vec<&RevisionsTold> = told.each().filter(|told| told.reached.is_some()).collect();
        let heard = told.heard_within(HEARD_WITHIN, now);
        let wake = state.follow(now, resources, &sharing, &heard);
        let here: Vec<_> = sharing.into_iter().filter(|told| heard.contains(told.gateway.as_str())).collect();
        state.say(&self.scales, &here);
        // Somebody may fall silent.
        let look_again = (!here.is_empty()).then_some(now + HEARD_WITHIN / 4);
        wake.into_iter().chain(look_again).min()
    }
}

impl State {
    fn follow(
        &mut self,
        now: Duration,
        resources: &Resources,
        sharing: &[&RevisionsTold],
        heard: &BTreeSet<&str>,
    ) -> Option<Duration> {
        let mut totals: BTreeMap<String, u32> = BTreeMap::new();
        for (gateway, share) in self.revisions.values().flat_map(|revision| &revision.shares) {
            *totals.entry(gateway.clone()).or_default() += share;
        }
        let is_told = |uid: &str| sharing.iter().any(|told| told.revisions.contains_key(uid));
        let said: BTreeMap<&str, _> = resources
            .revisions
            .values()
            .filter_map(|revision| Some((revision.metadata.uid.as_deref()?, revision)))
            .filter(|(uid, _)| is_told(uid))
            .collect();
        self.revisions.retain(|uid, _| said.contains_key(uid.as_str()));
        let mut wake: Option<Duration> = None;
        for (uid, revision) in said {
            let spec = Spec::of(revision, &AutoscalingDefaults::default());
            let told: BTreeMap<&str, Told> = sharing
                .iter()
                .map(|told| {
                    let fact = told.revisions.get(uid);
                    let of_it = Told {
                        ready: fact.map_or(0, |fact| fact.ready_replicas),
                        load: told.loads.get(uid).copied().unwrap_or_default(),
                        is_heard: heard.contains(told.gateway.as_str()),
                        total: totals.get(&told.gateway).copied().unwrap_or(0),
                    };
                    (told.gateway.as_str(), of_it)
                })
                .collect();
            let known = self.revisions.entry(uid.to_owned()).or_insert_with(|| {
                let is_proved = revision.status.conditions.status(READY) == ConditionStatus::True
                    || sharing.iter().filter_map(|told| told.revisions.get(uid)).any(|fact| fact.reached_initial_scale);
                SharedRevision::new(now, is_proved, told.values().map(|told| told.ready).sum(), spec.clone())
            });
            let before = known.shares.clone();
            let stops_idle = revision_settings(revision).idle_stop.is_some();
            known.follow(now, &spec, stops_idle, &told);
            for gateway in told.keys().map(|gateway| (*gateway).to_owned()) {
                let of = |shares: &BTreeMap<String, u32>| shares.get(&gateway).copied().unwrap_or(0);
                let (less, more) = (of(&before), of(&known.shares));
                let total = totals.entry(gateway).or_default();
                *total = (*total + more).saturating_sub(less);
            }
            wake = wake.into_iter().chain(known.next_wake()).min();
        }
        wake
    }

    /// Says to each gateway what it is to do, if that is something else than before.
    fn say(&mut self, scales: &watch::Sender<BTreeMap<String, Arc<Scales>>>, sharing: &[&RevisionsTold]) {
        let infos: BTreeMap<String, GatewayInfo> =
            sharing.iter().filter_map(|told| Some((told.gateway.clone(), told.reached.clone()?))).collect();
        let ready_at = |uid: &str, revision: &SharedRevision, but: &str| {
            let others = sharing.iter().filter(|told| told.gateway != but);
            let ready = others.filter_map(|told| {
                let ready = told.revisions.get(uid)?.ready_replicas;
                // What is more than it should have is about to end, unless idle ones have a time of their own.
                let share = revision.shares.get(&told.gateway).copied().unwrap_or(0);
                let ready = if revision.stops_idle { ready } else { ready.min(share) };
                (ready > 0).then(|| (told.gateway.clone(), ready))
            });
            ready.collect::<BTreeMap<_, _>>()
        };
        let mut next = BTreeMap::new();
        let before = scales.borrow().clone();
        for gateway in infos.keys() {
            let mut shares = BTreeMap::new();
            for (uid, revision) in &self.revisions {
                let share = Share {
                    desired: revision.shares.get(gateway).copied().unwrap_or(0),
                    is_proved: revision.is_proved(),
                    others: ready_at(uid, revision, gateway),
                };
                shares.insert(uid.clone(), share);
            }
            let others = infos.iter().filter(|(name, _)| *name != gateway);
            let gateways = others.map(|(name, info)| (name.clone(), info.clone())).collect();
            let said = match before.get(gateway) {
                Some(said) if said.shares == shares && said.gateways == gateways => Arc::clone(said),
                _ => {
                    self.words += 1;
                    // Another leader's words have other numbers.
                    let version = (self.term.0 << 32) | self.words;
                    Arc::new(Scales { version, shares, gateways })
                }
            };
            next.insert(gateway.clone(), said);
        }
        scales.send_if_modified(|now| {
            let is_new = *now != next;
            *now = next;
            is_new
        });
    }
}

#[cfg(test)]
mod tests;
