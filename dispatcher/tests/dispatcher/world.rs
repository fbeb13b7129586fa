//! A broker in memory, a dispatcher, and what a test says to them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pelton_client::memory::{GROUP, MemoryClient};
use pelton_client::{BrokerName, Client as _, DeadLetter, GroupState, Hops, TriggerId};
use pelton_dispatcher::{Dispatcher, DispatcherHandle, Options, Services};
use pelton_env::SeededChance;
use pelton_event::{Event, EventBuilder};
use pelton_peer::TcpNetwork;
use pelton_resource::{Kind, ResourceKey};
use tokio::time::Instant;

use crate::sink::PATIENCE;

/// Delivery that retries without making a test wait.
pub const QUICK: &str = "backoffPolicy: linear, backoffDelay: PT0.001S";

/// A broker and its dispatcher.
pub struct World {
    pub client: MemoryClient,
    pub options: Options,
    pub services: Option<Arc<dyn Services>>,
    dispatcher: Option<DispatcherHandle>,
}

impl World {
    /// A Broker `default/b` without a delivery of its own, and a running dispatcher.
    pub async fn new() -> Self {
        Self::with_broker("").await
    }

    /// A Broker `default/b` with this in its `delivery`, and a running dispatcher.
    pub async fn with_broker(delivery: &str) -> Self {
        let mut world = Self::asleep(delivery).await;
        world.start();
        world
    }

    /// A Broker whose dispatcher was not started.
    pub async fn asleep(delivery: &str) -> Self {
        let client = MemoryClient::new();
        client.apply_yaml(&broker(delivery)).await;
        // Progress often, so that a test which waits for it does not wait long.
        let options = Options { progress_every: Duration::from_millis(5), ..Options::default() };
        Self { client, options, services: None, dispatcher: None }
    }

    pub fn start(&mut self) {
        let clock = Arc::new(self.client.clock().clone());
        let chance = Arc::new(SeededChance::new(1));
        let (client, services, options) = (self.client.clone(), self.services.clone(), self.options.clone());
        let handle = Dispatcher::start(client, Arc::new(TcpNetwork), services, options, clock, chance);
        self.dispatcher = Some(handle);
    }

    /// Stops in good order.
    pub async fn stop(&mut self) {
        self.dispatcher.take().unwrap().shutdown(Instant::now() + PATIENCE).await;
    }

    /// Stops with attempts on their way.
    pub async fn stop_now(&mut self) {
        self.dispatcher.take().unwrap().shutdown(Instant::now()).await;
    }

    /// As `kill -9` would.
    pub fn crash(&mut self) {
        drop(self.dispatcher.take().unwrap());
    }

    pub fn handle(&self) -> &DispatcherHandle {
        self.dispatcher.as_ref().unwrap()
    }

    /// Creates or changes a Trigger of the Broker. `spec` is more of its spec in flow style, `annotations` likewise.
    pub async fn trigger_with(&self, name: &str, url: &str, spec: &str, annotations: &str) -> TriggerId {
        self.client
            .apply_yaml(&format!(
                "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}, annotations: \
                 {{{annotations}}}}}\nspec: {{broker: b, subscriber: {{uri: '{url}'}}, {spec}}}\n"
            ))
            .await;
        self.id(name)
    }

    pub async fn trigger(&self, name: &str, url: &str, spec: &str) -> TriggerId {
        self.trigger_with(name, url, spec, "").await
    }

    pub fn id(&self, name: &str) -> TriggerId {
        self.client.resources().borrow().trigger("default", name).unwrap().0
    }

    pub async fn delete_trigger(&self, name: &str) {
        self.client.delete(ResourceKey::new(Kind::Trigger, "default", name)).await.unwrap();
    }

    /// Appends events as one batch.
    pub async fn send_all(&self, events: &[Event]) {
        self.client.append(&BrokerName::new("default", "b"), events, Hops::FULL).await.unwrap();
    }

    pub async fn send(&self, event: Event) {
        self.send_all(&[event]).await;
    }

    /// Appends events with the ids of the range.
    pub async fn send_numbered(&self, ids: std::ops::Range<u64>) {
        let events: Vec<_> = ids.map(|id| event(&id.to_string(), "t")).collect();
        self.send_all(&events).await;
    }

    pub fn stored(&self) -> GroupState {
        self.client.group_state()
    }

    pub fn letters(&self) -> Vec<DeadLetter> {
        self.stored().letters.into_values().collect()
    }

    /// Waits until the stored state is as wanted.
    pub async fn until(&self, what: &str, holds: impl Fn(&GroupState) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !holds(&self.stored()) {
            assert!(std::time::Instant::now() < end, "it never came about that {what}: {:#?}", self.stored());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until every trigger is at the tail with nothing to do.
    pub async fn settled(&self) {
        let committed = self.client.committed(GROUP).unwrap();
        self.until("everything is delivered and stored", |state| {
            let committed = *committed.borrow();
            state.scanned == committed && state.cursors.values().all(|cursor| cursor.floor(state.scanned) == committed)
        })
        .await;
    }
}

/// The manifest of the Broker `default/b`.
pub fn broker(delivery: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: b}}\nspec: {{delivery: {{{delivery}}}}}\n"
    )
}

/// Waits until something holds that nobody tells us about.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = std::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(std::time::Instant::now() < end, "it never came about that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An event without data.
pub fn event(id: &str, ty: &str) -> Event {
    build(Event::builder().id(id).source("/test").ty(ty))
}

pub fn build(builder: EventBuilder<'_>) -> Event {
    builder.build().unwrap()
}
