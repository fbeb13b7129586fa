//! The Brokers and Triggers of a workload, as YAML documents.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::error::BenchError;
use super::events::broker_name;
use super::http;
use super::service::Service;

/// Objects that are stored at the same time: each waits for its sync, and those that wait share one.
const AT_ONCE: usize = 16;

/// Whose fields these are.
const QUERY: &str = "fieldManager=pelton-bench&force=true";

/// YAML documents in the order of their making.
#[derive(Debug, Clone, Default)]
pub struct Manifest(Vec<Document>);

/// An object in YAML, and where the API has it.
#[derive(Debug, Clone)]
struct Document {
    path: String,
    text: String,
}

/// Where a trigger begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At what comes after it is made.
    Latest,
    /// At the oldest retained event.
    Earliest,
}

impl Manifest {
    /// One trigger `name` on the default broker, for events of exactly `event_type`.
    pub fn one_trigger(name: &str, event_type: &str, subscriber: SocketAddr, start: Start) -> Self {
        let mut manifest = Self::default();
        manifest.trigger(name, "default", event_type, subscriber, start);
        manifest
    }

    /// `count` brokers, each with one trigger for `event_type`.
    pub fn brokers(count: u32, event_type: &str, subscriber: SocketAddr) -> Self {
        let mut manifest = Self::default();
        for number in 0..count {
            let name = broker_name(number);
            let text = format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}, namespace: default}}\n"
            );
            manifest.0.push(document("eventing.knative.dev/v1", "brokers", &name, text));
            manifest.trigger(&format!("t-{name}"), &name, event_type, subscriber, Start::Latest);
        }
        manifest
    }

    /// `count` triggers on the default broker, each for another exact type; the one in the middle for `event_type`.
    pub fn triggers(count: u32, event_type: &str, subscriber: SocketAddr) -> Self {
        let mut manifest = Self::default();
        for number in 0..count {
            let other = format!("pelton.bench.other.{number:05}");
            let wanted = if number == count / 2 { event_type } else { &other };
            manifest.trigger(&format!("t{number:05}"), "default", wanted, subscriber, Start::Latest);
        }
        manifest
    }

    /// These Services.
    pub fn services(services: &[Service]) -> Self {
        let of = |service: &Service| document("serving.knative.dev/v1", "services", service.name(), service.document());
        Self(services.iter().map(of).collect())
    }

    /// One trigger on the default broker that delivers events of exactly `event_type` to a Service.
    pub fn trigger_to(service: &Service, event_type: &str) -> Self {
        let name = service.name();
        let text = format!(
            "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: to-{name}, namespace: default}}\n\
             spec:\n  broker: default\n  filter: {{attributes: {{type: {event_type}}}}}\n  \
             subscriber: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: {name}}}}}\n"
        );
        Self(vec![document("eventing.knative.dev/v1", "triggers", &format!("to-{name}"), text)])
    }

    /// Stores every object; Triggers come last, so that their Brokers are there.
    ///
    /// # Errors
    /// [`BenchError`] when one is refused.
    pub async fn apply(&self, api: SocketAddr) -> Result<(), BenchError> {
        let is_trigger = |document: &&Document| document.path.contains("/triggers/");
        let (triggers, others): (Vec<_>, Vec<_>) = self.0.iter().partition(is_trigger);
        for stage in [others, triggers] {
            let store = |document: &'_ Document| {
                let (path, text) = (document.path.clone(), document.text.clone());
                async move { http::apply_yaml(api, &path, &text).await }
            };
            stream::iter(stage).map(store).buffer_unordered(AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
        }
        Ok(())
    }

    fn trigger(&mut self, name: &str, broker: &str, event_type: &str, subscriber: SocketAddr, start: Start) {
        let annotations = match start {
            Start::Latest => "",
            Start::Earliest => ", annotations: {pelton.dev/start: earliest}",
        };
        let text = format!(
            "apiVersion: eventing.knative.dev/v1\nkind: Trigger\n\
             metadata: {{name: {name}, namespace: default{annotations}}}\n\
             spec:\n  broker: {broker}\n  filter: {{attributes: {{type: {event_type}}}}}\n  \
             subscriber: {{uri: \"http://{subscriber}/\"}}\n"
        );
        self.0.push(document("eventing.knative.dev/v1", "triggers", name, text));
    }
}

fn document(api_version: &str, plural: &str, name: &str, text: String) -> Document {
    Document { path: format!("/apis/{api_version}/namespaces/default/{plural}/{name}?{QUERY}"), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    /// The objects, each of which is where it is stored.
    fn documents(manifest: &Manifest) -> Vec<serde_json::Value> {
        let read = |document: &Document| {
            let value: serde_json::Value = serde_saphyr::from_str(&document.text).unwrap();
            let version = format!("/apis/{}/", value["apiVersion"].as_str().unwrap());
            let name = format!("/{}?", value["metadata"]["name"].as_str().unwrap());
            assert!(document.path.starts_with(&version) && document.path.contains(&name), "{document:?}");
            value
        };
        manifest.0.iter().map(read).collect()
    }

    #[test]
    fn a_trigger_is_yaml_with_all_that_it_needs() {
        let manifest = Manifest::one_trigger("again", "a.b", sink(), Start::Earliest);
        let [trigger] = documents(&manifest).try_into().unwrap();
        assert_eq!(trigger["metadata"]["annotations"]["pelton.dev/start"], "earliest");
        assert_eq!(trigger["spec"]["filter"]["attributes"]["type"], "a.b");
        assert_eq!(trigger["spec"]["subscriber"]["uri"], "http://127.0.0.1:9/");
    }

    #[test]
    fn a_trigger_leads_to_a_service() {
        let service = Service::of_consumer("hello").unwrap();
        let [trigger] = documents(&Manifest::trigger_to(&service, "a.b")).try_into().unwrap();
        assert_eq!(trigger["spec"]["subscriber"]["ref"]["name"], "hello");
        let [document] = documents(&Manifest::services(&[service])).try_into().unwrap();
        assert_eq!(document["metadata"]["name"], "hello");
    }

    #[test]
    fn one_trigger_of_many_matches() {
        let manifest = Manifest::triggers(1_000, "a.b", sink());
        let documents = documents(&manifest);
        let matching = documents.iter().filter(|trigger| trigger["spec"]["filter"]["attributes"]["type"] == "a.b");
        assert_eq!((documents.len(), matching.count()), (1_000, 1));
    }

    #[test]
    fn each_broker_has_a_trigger() {
        let documents = documents(&Manifest::brokers(3, "a.b", sink()));
        let kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["Broker", "Trigger", "Broker", "Trigger", "Broker", "Trigger"]);
        assert_eq!(documents[5]["spec"]["broker"], documents[4]["metadata"]["name"]);
    }
}
