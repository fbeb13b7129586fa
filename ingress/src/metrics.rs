//! Counters, all registered before the first request, and none with a label that a producer controls.

use std::collections::HashMap;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use pelton_client::BrokerName;

/// Most Brokers that get a series of their own. The others share one whose labels are both `other`.
pub(crate) const MAX_BROKER_SERIES: usize = 300;

const ACCEPTED: &str = "pelton_ingress_events_accepted_total";
const REFUSED: &str = "pelton_ingress_events_refused_total";

macro_rules! reasons {
    ($($name:ident $word:literal)*) => {
        /// Why a request was refused, as the label `reason` and the last part of the problem's type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Reason { $($name,)* }

        impl Reason {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    Method "method-not-allowed"
    Root "no-broker-named"
    Path "bad-path"
    BrokerName "bad-broker-name"
    UnknownBroker "unknown-broker"
    HeadersTooLarge "headers-too-large"
    NotHttp "not-http"
    ContentEncoding "content-encoding"
    UnsupportedFormat "unsupported-format"
    TooLarge "too-large"
    TooManyEvents "too-many-events"
    BodyTooSlow "body-too-slow"
    BodyBroken "body-broken"
    NotAnEvent "not-an-event"
    MalformedJson "malformed-json"
    InvalidAttribute "invalid-attribute"
    HopCount "hop-count"
    BrokerBusy "broker-busy"
    NodeBusy "node-busy"
    TooManyConnections "too-many-connections"
    Overloaded "overloaded"
    StorageFull "storage-full"
    Damaged "damaged"
    Unavailable "unavailable"
    NoQuorum "no-quorum"
    OutcomeUnknown "outcome-unknown"
}

/// The handles of this ingress. They belong to the recorder that was installed when it was made.
pub(crate) struct Metrics {
    received: Counter,
    refused: Vec<Counter>,
    pub(crate) request_seconds: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) bytes_in_flight: Gauge,
    pub(crate) accept_errors: Counter,
    pub(crate) connection_timeouts: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!(
            "pelton_ingress_events_received_total",
            "Events offered to the ingress; a request that could not be read as events counts as one."
        );
        describe_counter!(ACCEPTED, "Events stored durably and acknowledged, by Broker.");
        describe_counter!(REFUSED, "Events not acknowledged, by reason; of a batch all count.");
        describe_histogram!("pelton_ingress_request_seconds", "From the head of a request to its answer.");
        describe_gauge!("pelton_ingress_connections", "Open connections.");
        describe_gauge!("pelton_ingress_bytes_in_flight", "Bytes of requests held, as admission counts them.");
        describe_counter!("pelton_ingress_accept_errors_total", "Connections that the system would not give us.");
        describe_counter!("pelton_ingress_connection_timeouts_total", "Connections cut for being slow or stuck.");
        Self {
            received: counter!("pelton_ingress_events_received_total"),
            refused: Reason::ALL.iter().map(|reason| counter!(REFUSED, "reason" => reason.as_str())).collect(),
            request_seconds: histogram!("pelton_ingress_request_seconds"),
            connections: gauge!("pelton_ingress_connections"),
            bytes_in_flight: gauge!("pelton_ingress_bytes_in_flight"),
            accept_errors: counter!("pelton_ingress_accept_errors_total"),
            connection_timeouts: counter!("pelton_ingress_connection_timeouts_total"),
        }
    }

    /// `events` were stored.
    pub(crate) fn accepted(&self, broker: &Counter, events: u64) {
        self.received.increment(events);
        broker.increment(events);
    }

    /// `events` were not.
    pub(crate) fn refused(&self, reason: Reason, events: u64) {
        self.received.increment(events);
        self.refused[reason as usize].increment(events);
    }
}

/// The counters of accepted events, one a Broker up to a bound.
///
/// A series once made stays: a Broker that is deleted and made again goes on with its own, and Brokers made and
/// deleted without end do not make series without end.
#[derive(Default)]
pub(crate) struct BrokerSeries {
    own: HashMap<BrokerName, Counter>,
    other: Option<Counter>,
}

impl BrokerSeries {
    pub(crate) fn of(&mut self, broker: &BrokerName) -> Counter {
        if let Some(counter) = self.own.get(broker) {
            return counter.clone();
        }
        if self.own.len() >= MAX_BROKER_SERIES {
            let other =
                self.other.get_or_insert_with(|| counter!(ACCEPTED, "namespace" => "other", "broker" => "other"));
            return other.clone();
        }
        let (namespace, name) = (broker.namespace().to_owned(), broker.name().to_owned());
        let counter = counter!(ACCEPTED, "namespace" => namespace, "broker" => name);
        self.own.insert(broker.clone(), counter.clone());
        counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_whatever_brokers_come_and_go() {
        let mut series = BrokerSeries::default();
        for number in 0..3 * MAX_BROKER_SERIES {
            let _ = series.of(&BrokerName::new("default", &format!("b{number}")));
        }
        assert_eq!(series.own.len(), MAX_BROKER_SERIES);
        assert!(series.other.is_some());
    }

    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
