//! What is known of one revision's Pods, and what follows from it; pure.
//!
//! Facts come in, in any order: what is asked for, what Pods, EndpointSlices and the Deployment say, what came of calls. Out
//! come [`Outcome`]s, each once and in their order, and a [`Plan`]: the calls that make the cluster what it should be, as of
//! now. A plan that was not carried out, or only in part, is simply made anew.
//!
//! Replicas there should be = Pods that run and are to go on + starts that were asked for + Pods that Kubernetes makes
//! by itself in the place of lost ones and that nobody has asked for yet.

mod pod;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use pelton_serving_gateway::runtime::{Exit, InstanceEvent, InstanceId};
use tokio::time::Instant;

use self::pod::{Pod, Stage};
use crate::facts::{DeploymentFact, Endpoint, PodFact};

/// Something that is to be told or begun, now and once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To be told to whoever has the revision.
    Tell(InstanceEvent),
    /// What the Pod prints is to be read from now on; of the container before, if it was started again.
    Listen {
        /// The Pod's name.
        pod: String,
        /// Whether its container was started again.
        is_restarted: bool,
    },
    /// The Pod prints no more. What it has printed is to be read to its end; then [`Book::was_read`].
    ReadToTheEnd(String),
}

/// Calls that make the cluster what it should be, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Pods to mark as the cheapest to delete.
    pub mark: Vec<String>,
    /// The number of replicas to ask for.
    pub scale: Option<u32>,
    /// Pods to delete.
    pub delete: Vec<String>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of one revision's Pods. It begins with a Deployment of no replicas.
#[derive(Debug)]
pub struct Book {
    /// The port, where no slice says one.
    port: u16,
    start_within: Duration,
    pods: BTreeMap<String, Pod>,
    /// Endpoints that are ready, by the name of their slice.
    slices: BTreeMap<String, Vec<Endpoint>>,
    /// Starts that were asked for and not answered: when each is late.
    starts: VecDeque<Instant>,
    /// Pods that Kubernetes makes in the place of lost ones, and that nobody has asked for. Less than none while one is there
    /// already, and it is not yet known which it came for.
    spare: i64,
    /// The replicas that the Deployment is known to have been asked for.
    scaled: Option<u32>,
    /// The version of the Deployment that has them.
    scaled_at: Option<u64>,
    /// Why the last call failed, while calls fail.
    trouble: Option<String>,
    is_dropped: bool,
    outcomes: Vec<Outcome>,
}

impl Book {
    /// Of a Deployment that was just made. A start that is not answered within `start_within` has failed.
    pub fn new(port: u16, start_within: Duration) -> Self {
        Self {
            port,
            start_within,
            pods: BTreeMap::new(),
            slices: BTreeMap::new(),
            starts: VecDeque::new(),
            spare: 0,
            scaled: Some(0),
            scaled_at: None,
            trouble: None,
            is_dropped: false,
            outcomes: Vec::new(),
        }
    }

    /// What is to be told and begun since this was asked last.
    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// Whether no Pod is left of which an end is to be told.
    pub fn is_over(&self) -> bool {
        self.pods.values().all(|pod| !pod.is_told())
    }

    /// When [`Self::tick`] is due.
    pub fn next_wake(&self) -> Option<Instant> {
        self.starts.front().copied()
    }

    // What is asked for.

    /// One instance more is wanted.
    pub fn start(&mut self, now: Instant) {
        if self.spare > 0 {
            self.spare -= 1;
        }
        self.starts.push_back(now + self.start_within);
    }

    /// That instance is to end.
    pub fn stop(&mut self, id: &str) {
        if let Some(pod) = self.pods.get_mut(id)
            && pod.stage == Stage::Running
        {
            pod.stage = Stage::Stopping;
            self.look(id);
        }
    }

    /// All are to end, and nobody waits for what was asked for.
    pub fn drop_all(&mut self) {
        self.is_dropped = true;
        self.starts.clear();
        self.spare = 0;
        let names: Vec<_> = self.pods.keys().cloned().collect();
        for name in names {
            self.stop(&name);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        while self.starts.front().is_some_and(|at| *at <= now) {
            let waits = self.pods.values().filter(|pod| pod.is_coming()).find_map(|pod| pod.fact.waits_for.clone());
            let why = self.trouble.clone().or(waits);
            let why = why.unwrap_or_else(|| "Kubernetes has made no Pod that runs".to_owned());
            self.fail_one(format!("it did not start within {} s: {why}", self.start_within.as_secs()));
        }
    }

    // What the cluster says.

    /// A Pod is so.
    pub fn pod(&mut self, fact: PodFact) {
        let name = fact.name.clone();
        match self.pods.get_mut(&name) {
            Some(pod) => pod.update(fact),
            None => drop(self.pods.insert(name.clone(), Pod::new(fact))),
        }
        self.look(&name);
    }

    /// A Pod is no more.
    pub fn pod_gone(&mut self, name: &str) {
        if let Some(pod) = self.pods.get_mut(name) {
            pod.is_gone = true;
            self.look(name);
        }
    }

    /// These are all the Pods that there are.
    pub fn pods_listed(&mut self, facts: Vec<PodFact>) {
        let gone: Vec<_> =
            self.pods.keys().filter(|name| facts.iter().all(|fact| fact.name != **name)).cloned().collect();
        for fact in facts {
            self.pod(fact);
        }
        for name in gone {
            self.pod_gone(&name);
        }
    }

    /// A slice has these endpoints that are ready; without any it may as well not be there.
    pub fn slice(&mut self, name: String, endpoints: Vec<Endpoint>) {
        let pods: Vec<_> = endpoints.iter().map(|endpoint| endpoint.pod.clone()).collect();
        if endpoints.is_empty() {
            self.slices.remove(&name);
        } else {
            self.slices.insert(name, endpoints);
        }
        for pod in pods {
            self.look(&pod);
        }
    }

    /// These are all the slices that there are.
    pub fn slices_listed(&mut self, slices: Vec<(String, Vec<Endpoint>)>) {
        self.slices.clear();
        for (name, endpoints) in slices {
            self.slice(name, endpoints);
        }
    }

    /// The Deployment is so.
    pub fn deployment(&mut self, fact: DeploymentFact) {
        if fact.version.is_some() && fact.version < self.scaled_at {
            return;
        }
        let desired = self.desired();
        if fact.replicas != desired {
            // Somebody else has scaled it, or it is what we asked for before.
            self.scaled = Some(fact.replicas);
            return;
        }
        if let Some(why) = fact.shortage {
            let coming = self.pods.values().filter(|pod| pod.is_coming()).count();
            for _ in coming..self.starts.len() + self.spare.max(0) as usize {
                self.fail_one(why.clone());
            }
        }
    }

    /// There is no Deployment any more, though there should be.
    pub fn deployment_gone(&mut self) {
        self.scaled = None;
    }

    // What came of calls.

    /// The Deployment was made again, with no replicas.
    pub fn made_again(&mut self) {
        (self.scaled, self.scaled_at) = (Some(0), None);
        self.trouble = None;
    }

    /// So many replicas were asked for, which the Deployment has in that version.
    pub fn was_scaled(&mut self, replicas: u32, version: Option<u64>) {
        (self.scaled, self.scaled_at) = (Some(replicas), version);
        self.trouble = None;
    }

    /// A Pod was marked.
    pub fn was_marked(&mut self, name: &str) {
        if let Some(pod) = self.pods.get_mut(name) {
            pod.is_marked = true;
        }
    }

    /// It was asked that a Pod be deleted.
    pub fn was_deleted(&mut self, name: &str) {
        if let Some(pod) = self.pods.get_mut(name) {
            pod.is_deleted = true;
        }
    }

    /// What a Pod has printed was read to its end.
    pub fn was_read(&mut self, name: &str) {
        let Some(pod) = self.pods.get_mut(name) else { return };
        let Stage::Ending(exit) = pod.stage.clone() else { return };
        pod.stage = Stage::Over;
        self.outcomes.push(Outcome::Tell(InstanceEvent::Exited { id: InstanceId(name.into()), exit }));
        self.look(name);
    }

    /// A call failed, and may go well later.
    pub fn call_failed(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// The cluster does not let us have more: no start will be.
    pub fn refused(&mut self, why: &str) {
        for _ in 0..self.starts.len() {
            self.fail_one(why.to_owned());
        }
        self.spare = self.spare.min(0);
    }

    // What follows.

    /// The calls that make the cluster what it should be.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let desired = self.desired();
        let present = self.pods.values().filter(|pod| pod.is_present()).count();
        let is_scaled = self.scaled == Some(desired);
        // Kubernetes is satisfied with what is there: if that is one of those that are to go, it ended another.
        let is_satisfied = is_scaled && present <= desired as usize;
        for (name, pod) in self.pods.iter().filter(|(_, pod)| pod.is_to_go() && !pod.is_deleted) {
            if pod.fact.is_over || is_satisfied {
                plan.delete.push(name.clone());
            } else if !pod.is_marked {
                plan.mark.push(name.clone());
            }
        }
        plan.scale = (!is_scaled).then_some(desired);
        plan
    }

    fn desired(&self) -> u32 {
        if self.is_dropped {
            return 0;
        }
        let kept = self.pods.values().filter(|pod| pod.is_kept()).count();
        let all = (kept + self.starts.len()) as i64 + self.spare;
        u32::try_from(all).unwrap_or(0)
    }

    /// Draws the consequences of what is known of a Pod.
    fn look(&mut self, name: &str) {
        let Some(address) = self.pods.get(name).map(|pod| self.address_of(name, pod)) else { return };
        let Some(pod) = self.pods.get_mut(name) else { return };
        if pod.is_replaced_now() {
            self.spare += 1;
        }
        match pod.stage.clone() {
            Stage::Coming => self.look_at_one_that_comes(name, address),
            Stage::Running => {
                if let Some(exit) = pod.lost().or_else(|| pod.fact.end.clone()) {
                    self.end(name, exit);
                }
            }
            Stage::Stopping => {
                if pod.is_gone || pod.fact.is_over || pod.fact.end.is_some() {
                    self.end(name, Exit::Stopped);
                }
            }
            Stage::Ending(_) | Stage::Over => {}
        }
        if self.pods.get(name).is_some_and(|pod| pod.is_gone && !pod.is_told()) {
            self.pods.remove(name);
        }
    }

    fn look_at_one_that_comes(&mut self, name: &str, (ready, likely): (Option<SocketAddr>, Option<SocketAddr>)) {
        let pod = self.pods.get_mut(name).expect("whoever looks has found it");
        if pod.is_gone || pod.fact.is_leaving || pod.fact.is_over {
            // Nobody has heard of it; Kubernetes makes another in its place.
            pod.stage = Stage::Over;
            return;
        }
        if self.is_dropped {
            return;
        }
        if let Some(exit) = pod.fact.end.clone() {
            match ready.or(likely) {
                Some(address) => {
                    self.began(name, address);
                    self.end(name, exit);
                }
                None => self.does_not_come(name, format!("its container ended before it had an address: {exit:?}")),
            }
        } else if let Some(why) = pod.trouble() {
            self.does_not_come(name, why);
        } else if let Some(address) = ready {
            self.began(name, address);
        }
    }

    fn began(&mut self, name: &str, address: SocketAddr) {
        let pod = self.pods.get_mut(name).expect("whoever looks has found it");
        pod.stage = Stage::Running;
        let is_restarted = pod.fact.is_restarted;
        if self.starts.pop_front().is_none() {
            self.spare -= 1;
        }
        let id = InstanceId(name.into());
        self.outcomes.push(Outcome::Tell(InstanceEvent::Started { id, address }));
        self.outcomes.push(Outcome::Listen { pod: name.to_owned(), is_restarted });
    }

    fn end(&mut self, name: &str, exit: Exit) {
        let pod = self.pods.get_mut(name).expect("whoever looks has found it");
        pod.stage = Stage::Ending(exit);
        self.outcomes.push(Outcome::ReadToTheEnd(name.to_owned()));
    }

    fn does_not_come(&mut self, name: &str, why: String) {
        self.pods.get_mut(name).expect("whoever looks has found it").stage = Stage::Over;
        self.fail_one(why);
    }

    fn fail_one(&mut self, why: String) {
        if self.starts.pop_front().is_some() {
            self.outcomes.push(Outcome::Tell(InstanceEvent::NotStarted { why }));
        } else if self.spare > 0 {
            self.spare -= 1;
        }
    }

    /// Where a Pod is: if it is ready, and in any case.
    fn address_of(&self, name: &str, pod: &Pod) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let ready = self.slices.values().flatten().find(|endpoint| endpoint.pod == name).map(|e| e.address);
        (ready, pod.fact.ip.map(|ip| SocketAddr::new(ip, self.port)))
    }
}

#[cfg(test)]
mod tests;
