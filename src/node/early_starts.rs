//! Services that are started when an event for them comes in, while it is still on its way into the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use pelton_client::{BrokerName, Client, Resources};
use pelton_dispatcher::matching::MatchIndex;
use pelton_event::Event;
use pelton_ingress::OnAppend;
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
    brokers: RwLock<Arc<HashMap<BrokerName, ForServices>>>,
    hosts: ServiceHosts,
}

/// The Triggers of one Broker that lead to services.
#[derive(Default)]
struct ForServices {
    index: MatchIndex<usize>,
    services: Vec<Service>,
}

struct Service {
    host: Box<str>,
    /// When it was told last, in milliseconds.
    told_at: AtomicU64,
}

impl EarlyStarts {
    /// Follows the Triggers of `client` for as long as its runtime lives, and tells `deliveries` of events for them. Must be
    /// called within a runtime.
    pub fn begin<C: Client>(client: &C, hosts: ServiceHosts, deliveries: Deliveries) -> OnAppend {
        let starts = Arc::new(Self::new(hosts));
        let mut resources = client.resources();
        starts.follow(&resources.borrow_and_update());
        let following = Arc::clone(&starts);
        tokio::spawn(async move {
            while resources.changed().await.is_ok() {
                let now = Arc::clone(&resources.borrow_and_update());
                following.follow(&now);
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

    fn follow(&self, resources: &Resources) {
        let mut brokers: HashMap<BrokerName, ForServices> = HashMap::new();
        for trigger in resources.triggers.values() {
            let Some(host) = trigger.status.subscriber_uri.as_deref().and_then(|url| self.host_of(url)) else {
                continue;
            };
            let Some(broker) = resources.broker_of(trigger) else { continue };
            if pelton_resource::effective_settings(trigger, broker).paused {
                continue;
            }
            let name = BrokerName::new(&trigger.metadata.namespace, trigger.broker_name());
            let of = brokers.entry(name).or_default();
            of.index.insert(of.services.len(), &trigger.filter_expr());
            of.services.push(Service { host, told_at: AtomicU64::new(0) });
        }
        let are_any = !brokers.is_empty();
        *self.brokers.write() = Arc::new(brokers);
        self.are_any.store(are_any, Ordering::Release);
    }

    /// The host of a URL that leads to a service.
    fn host_of(&self, url: &str) -> Option<Box<str>> {
        let url: http::Uri = url.parse().ok()?;
        let host = url.host()?;
        self.hosts.have(host, url.port_u16().unwrap_or(80)).then(|| host.into())
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
        let brokers = Arc::clone(&self.brokers.read());
        let Some(of) = brokers.get(broker) else { return };
        // The first moment is not 0, which says that a service was never told.
        let now = (now() + TOLD_EVERY).as_millis() as u64;
        for event in events {
            of.index.matches(event, |at| {
                let service = &of.services[at];
                let told_at = service.told_at.load(Ordering::Relaxed);
                if now >= told_at + TOLD_EVERY.as_millis() as u64 {
                    service.told_at.store(now, Ordering::Relaxed);
                    tell(&service.host);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use pelton_resource::{Resource, Time, Trigger, parse_documents};

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
        starts.follow(&resources(&[
            ("a", "http://one.default.localhost:8081", false),
            ("a", "http://two.default.svc.cluster.local/path", false),
            ("a", "http://elsewhere.example:8081", false),
            ("b", "http://three.default.localhost:8081", true),
            ("c", "http://four.default.localhost:8081", false),
        ]));
        let mut first = told(0, "b", &["a", "a", "b"]);
        first.sort();
        assert_eq!(first, ["one.default.localhost", "two.default.svc.cluster.local"]);
        assert!(told(19, "b", &["a"]).is_empty(), "just told");
        assert_eq!(told(19, "b", &["c"]), ["four.default.localhost"]);
        assert!(told(20, "other", &["a"]).is_empty());
        assert_eq!(told(20, "b", &["a"]).len(), 2);
        starts.follow(&resources(&[("a", "http://elsewhere.example", false)]));
        assert!(told(60, "b", &["a"]).is_empty());
    }
}
