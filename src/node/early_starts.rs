//! Services that are started when an event for them comes in, while it is still on its way into the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use pelton_client::{BrokerName, Client, Difference, Resources, TriggerId};
use pelton_dispatcher::matching::MatchIndex;
use pelton_event::Event;
use pelton_ingress::OnAppend;
use pelton_resource::{Broker, Trigger};
use pelton_serving_gateway::Deliveries;
use tokio::time::{Instant, sleep};

use super::services::ServiceHosts;

/// How often a service is told of events: one starts it, and whoever comes just after it finds it starting.
const TOLD_EVERY: Duration = Duration::from_millis(20);

/// How often the Triggers are looked at while they change. Until then an event starts its service when it is delivered.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(100);

/// Which events are for services.
pub struct EarlyStarts {
    /// Whether any is: nothing else is looked at for an event where none is.
    are_any: AtomicBool,
    brokers: RwLock<HashMap<BrokerName, ForServices>>,
    hosts: ServiceHosts,
}

/// The Triggers of one Broker that lead to services.
#[derive(Default)]
struct ForServices {
    index: MatchIndex<TriggerId>,
    services: HashMap<TriggerId, Service>,
}

struct Service {
    host: Box<str>,
    port: u16,
    /// When it was told last, in milliseconds.
    told_at: AtomicU64,
}

impl ForServices {
    fn remove(&mut self, id: TriggerId) {
        self.index.remove(id);
        self.services.remove(&id);
    }
}

fn broker_name(trigger: &Trigger) -> BrokerName {
    BrokerName::new(&trigger.metadata.namespace, trigger.broker_name())
}

impl EarlyStarts {
    /// Follows the Triggers of `client` for as long as its runtime lives, and tells `deliveries` of events for them. Must be
    /// called within a runtime.
    pub fn begin<C: Client>(client: &C, hosts: ServiceHosts, deliveries: Deliveries) -> OnAppend {
        let starts = Arc::new(Self::new(hosts));
        let mut resources = client.resources();
        let mut before = Arc::clone(&resources.borrow_and_update());
        starts.follow(&Resources::default(), &before);
        let following = Arc::clone(&starts);
        tokio::spawn(async move {
            while resources.changed().await.is_ok() {
                let now = Arc::clone(&resources.borrow_and_update());
                following.follow(&before, &now);
                before = now;
                sleep(LOOKED_AT_EVERY).await;
            }
        });
        let origin = Instant::now();
        Arc::new(move |broker, events| {
            starts.on_append(broker, events, || origin.elapsed(), |host| deliveries.expects(host));
        })
    }

    fn new(hosts: ServiceHosts) -> Self {
        Self { are_any: AtomicBool::new(false), brokers: RwLock::default(), hosts }
    }

    /// Takes in how the resources changed.
    fn follow(&self, before: &Resources, now: &Resources) {
        let mut brokers = self.brokers.write();
        let mut changed: BTreeSet<TriggerId> = BTreeSet::new();
        for it in now.triggers.diff(&before.triggers) {
            changed.insert(*it.key);
            if let Some(of) = it.before.and_then(|was| brokers.get_mut(&broker_name(was))) {
                of.remove(*it.key);
            }
        }
        let is_other = |it: &Difference<'_, BrokerName, Broker>| match (it.before, it.now) {
            (Some(was), Some(is)) => was.metadata.annotations != is.metadata.annotations || was.spec != is.spec,
            _ => true,
        };
        let others: BTreeSet<_> =
            now.brokers.diff(&before.brokers).into_iter().filter(is_other).map(|it| it.key).collect();
        if !others.is_empty() {
            let theirs = now.triggers.iter().filter(|(_, trigger)| others.contains(&broker_name(trigger)));
            changed.extend(theirs.map(|(id, _)| *id));
        }
        for id in changed {
            let Some(trigger) = now.triggers.get(&id) else { continue };
            let name = broker_name(trigger);
            if let Some(service) = self.service_of(trigger, now.brokers.get(&name)) {
                let of = brokers.entry(name).or_default();
                of.index.insert(id, &trigger.filter_expr());
                of.services.insert(id, service);
            } else if let Some(of) = brokers.get_mut(&name) {
                of.remove(id);
            }
        }
        brokers.retain(|_, of| !of.services.is_empty());
        self.are_any.store(!brokers.is_empty(), Ordering::Release);
    }

    /// The service that a Trigger leads to, if it does to one and is not paused.
    fn service_of(&self, trigger: &Trigger, broker: Option<&Arc<Broker>>) -> Option<Service> {
        let url: http::Uri = trigger.status.subscriber_uri.as_deref()?.parse().ok()?;
        let host = url.host().filter(|host| self.hosts.may_have(host))?;
        let is_on = !pelton_resource::effective_settings(trigger, broker?).paused;
        let port = url.port_u16().unwrap_or(80);
        is_on.then(|| Service { host: host.into(), port, told_at: AtomicU64::new(0) })
    }

    fn on_append(
        &self,
        broker: &BrokerName,
        events: &[Event],
        now: impl FnOnce() -> Duration,
        mut tell: impl FnMut(&str),
    ) {
        if !self.are_any.load(Ordering::Acquire) {
            return;
        }
        let brokers = self.brokers.read();
        let Some(of) = brokers.get(broker) else { return };
        // The first moment is not 0, which says that a service was never told.
        let now = (now() + TOLD_EVERY).as_millis() as u64;
        for event in events {
            of.index.matches(event, |id| {
                let service = &of.services[&id];
                let told_at = service.told_at.load(Ordering::Relaxed);
                let is_due = now >= told_at + TOLD_EVERY.as_millis() as u64;
                if is_due && self.hosts.have(&service.host, service.port) {
                    service.told_at.store(now, Ordering::Relaxed);
                    tell(&service.host);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use pelton_resource::{Resource, Time, parse_documents};

    use super::*;

    /// Resources with a Broker `default/b` and one Trigger for each row: its filter, where it leads, whether it is paused.
    fn resources(triggers: &[(&str, &str, bool)]) -> Resources {
        let mut text = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n---\n".to_owned();
        for (at, (ty, _, paused)) in triggers.iter().enumerate() {
            text += &format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: t{at}, annotations: \
                 {{pelton.dev/paused: '{paused}'}}}}\nspec: {{broker: b, subscriber: {{uri: 'http://example.com'}}, \
                 filters: [{{exact: {{type: {ty}}}}}]}}\n---\n"
            );
        }
        let mut next = 0;
        let admitted = pelton_client::admission::admit(
            &Resources::default(),
            parse_documents(&text, "test").unwrap(),
            Time::from_unix_millis(0),
            &mut || {
                next += 1;
                pelton_client::admission::uid_from_bits(0, next)
            },
        );
        let resolved = admitted.unwrap().into_iter().map(|resource| match resource {
            Resource::Trigger(trigger) => {
                let at: usize = trigger.metadata.name[1..].parse().unwrap();
                let mut trigger: Trigger = trigger;
                trigger.status.subscriber_uri = Some(triggers[at].1.to_owned());
                Resource::Trigger(trigger)
            }
            other => other,
        });
        Resources::default().with(resolved, 1)
    }

    fn event(ty: &str) -> Event {
        Event::builder().id("1").source("/s").ty(ty).build().unwrap()
    }

    #[test]
    fn events_that_match_tell_their_services_now_and_then_and_no_others_do() {
        let starts = EarlyStarts::new(ServiceHosts::alone("localhost", 8081));
        let told = |millis: u64, broker: &str, types: &[&str]| {
            let mut told = Vec::new();
            let events: Vec<_> = types.iter().map(|ty| event(ty)).collect();
            let (broker, now) = (BrokerName::new("default", broker), || Duration::from_millis(millis));
            starts.on_append(&broker, &events, now, |host| told.push(host.to_owned()));
            told
        };
        assert!(told(0, "b", &["a"]).is_empty(), "no Trigger leads to a service");
        let first = resources(&[
            ("a", "http://one.default.localhost:8081", false),
            ("a", "http://two.default.svc.cluster.local/path", false),
            ("a", "http://elsewhere.example:8081", false),
            ("b", "http://three.default.localhost:8081", true),
            ("c", "http://four.default.localhost:8081", false),
        ]);
        starts.follow(&Resources::default(), &first);
        let mut told_first = told(0, "b", &["a", "a", "b"]);
        told_first.sort();
        assert_eq!(told_first, ["one.default.localhost", "two.default.svc.cluster.local"]);
        assert!(told(19, "b", &["a"]).is_empty(), "just told");
        assert_eq!(told(19, "b", &["c"]), ["four.default.localhost"]);
        assert!(told(20, "other", &["a"]).is_empty());
        assert_eq!(told(20, "b", &["a"]).len(), 2);
        let broker = pelton_resource::ResourceKey::new(pelton_resource::Kind::Broker, "default", "b");
        let without = first.without(&broker, 2);
        starts.follow(&first, &without);
        assert!(told(60, "b", &["a"]).is_empty(), "without its Broker");
        starts.follow(&without, &first);
        assert_eq!(told(60, "b", &["a"]).len(), 2);
        starts.follow(&first, &resources(&[("a", "http://elsewhere.example", false)]));
        assert!(told(90, "b", &["a"]).is_empty());
        assert!(starts.brokers.read().is_empty(), "nothing is kept of what leads nowhere");
    }
}
