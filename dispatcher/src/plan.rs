//! How one trigger's events are delivered: its resources, read once.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pelton_client::BrokerName;
use pelton_event::http::HeaderEncoding;
use pelton_resource::{
    Broker, ContentMode, DeliveryOrder, Destination, HeaderEncoding as Encoding, Trigger, effective_delivery,
    effective_settings,
};

use crate::delivery::Retries;
use crate::endpoint::{Address, Endpoint, Route};
use crate::pool::{Share, Targets};
use crate::trigger::Asked;

/// Everything about a trigger that its deliveries need.
#[derive(Debug)]
pub struct Plan {
    /// The broker, which gets the replies.
    pub broker: BrokerName,
    /// Who is asked; `None` while the subscriber has no URL: events wait.
    pub subscriber: Option<Endpoint>,
    /// Who gets what the subscriber did not take; `None` keeps it here.
    pub sink: Option<Endpoint>,
    /// How often, and how fast.
    pub retries: Retries,
    /// The longest that one attempt may take.
    pub timeout: Duration,
    /// Whether events go as JSON. Unset means binary mode: the log does not keep the mode in which an event came.
    pub structured: bool,
    /// How attributes are written in headers and read in replies.
    pub encoding: HeaderEncoding,
    /// The namespace, for `Kn-Namespace`.
    pub namespace: HeaderValue,
    /// Whether the events of one key go one after the other.
    pub ordered: bool,
    /// How many attempts may be on their way at once.
    pub max_in_flight: usize,
    /// Whether deliveries rest.
    pub paused: bool,
    /// What it has on its way to its subscriber and to its sink.
    pub shares: [Arc<Share>; 2],
}

impl Plan {
    /// Reads the resources.
    #[must_use]
    pub fn of(trigger: &Trigger, broker: &Broker, targets: &Targets) -> Self {
        let policy = effective_delivery(trigger, broker);
        let settings = effective_settings(trigger, broker);
        let endpoint = |destination: &Destination, resolved: &Option<String>| {
            let url = url_of(destination, resolved.as_deref())?;
            let route = Address::parse(url).map(|address| Route {
                target: targets.target(&address.authority),
                host: address.host,
                path: address.path,
            });
            Some(Endpoint { url: url.into(), route })
        };
        Self {
            broker: BrokerName::new(&trigger.metadata.namespace, trigger.broker_name()),
            subscriber: endpoint(&trigger.spec.subscriber, &trigger.status.subscriber_uri),
            sink: policy
                .dead_letter_sink
                .as_ref()
                .and_then(|sink| endpoint(sink, &trigger.status.dead_letter_sink_uri)),
            retries: Retries { retry: policy.retry, backoff: policy.backoff, retry_after_max: policy.retry_after_max },
            timeout: policy.timeout,
            structured: policy.format == Some(ContentMode::Structured),
            encoding: match settings.header_encoding {
                Encoding::Percent => HeaderEncoding::Percent,
                Encoding::Raw => HeaderEncoding::Raw,
            },
            namespace: HeaderValue::from_str(&trigger.metadata.namespace)
                .unwrap_or_else(|_| HeaderValue::from_static("")),
            ordered: settings.order == DeliveryOrder::Ordered,
            max_in_flight: settings.max_in_flight as usize,
            paused: settings.paused,
            shares: Default::default(),
        }
    }

    /// Who is asked.
    #[must_use]
    pub fn endpoint(&self, asked: Asked) -> Option<&Endpoint> {
        match asked {
            Asked::Subscriber => self.subscriber.as_ref(),
            Asked::Sink => self.sink.as_ref(),
        }
    }

    /// What the trigger has on its way there.
    #[must_use]
    pub fn share(&self, asked: Asked) -> &Share {
        &self.shares[asked as usize]
    }

    /// Goes on counting where the plan before this one did, for attempts at the same host and port.
    pub fn take_over(&mut self, before: &Self) {
        for asked in [Asked::Subscriber, Asked::Sink] {
            let authority = |plan: &Self| Some(plan.endpoint(asked)?.route.as_ref().ok()?.target.authority().clone());
            if authority(self) == authority(before) {
                self.shares[asked as usize] = before.shares[asked as usize].clone();
            }
        }
    }
}

/// The URL of a destination. One that is written out needs no controller; a reference needs the controller's answer.
fn url_of<'a>(destination: &'a Destination, resolved: Option<&'a str>) -> Option<&'a str> {
    match (&destination.reference, &destination.uri) {
        (None, Some(uri)) => Some(uri),
        _ => resolved,
    }
}
