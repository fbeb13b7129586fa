//! What stands beside each node: a producer, and somebody who reads the cursors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pelton_broker::LocalNode;
use pelton_client::grpc::Connector;
use pelton_client::{BrokerName, Client as _, ClusterClient, Hops, NodeClient as _};
use pelton_env::{Chance, SeededChance};
use pelton_event::{AttributeValue, DataKind, Event};

use super::triggers::{BROKER, NAMESPACE, number_of, type_of};
use super::world::Whole;

pub type Client = ClusterClient<LocalNode, Connector>;

/// Calls of one producer that wait for an answer.
const IN_FLIGHT: usize = 6;

/// More dead letters than a run has.
const ALL_LETTERS: usize = 100_000;

/// What an event carries.
pub fn data(event: u64) -> Bytes {
    let len = if event % 40 == 7 { 20_000 } else { event as usize * 37 % 700 };
    vec![event as u8; len].into()
}

pub fn number_in(id: &str) -> Option<u64> {
    id.strip_prefix('e')?.parse().ok()
}

fn event(number: u64, key: Option<&str>) -> Event {
    let (id, data) = (format!("e{number}"), data(number));
    let event = Event::builder().id(&id).source("/sim").ty(type_of(number)).data(DataKind::Bytes, &data);
    let event = match key {
        Some(key) => event.extension("partitionkey", AttributeValue::String(key)),
        None => event,
    };
    event.build().expect("it is valid")
}

pub async fn produce(me: u64, chance: SeededChance, client: Client, world: Arc<Whole>) {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let broker = BrokerName::new(NAMESPACE, BROKER);
    loop {
        tokio::time::sleep(Duration::from_millis(10 + chance.below(140))).await;
        if !world.is_producing() || in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
            continue;
        }
        let key = (chance.below(3) == 0).then(|| format!("k{}", chance.below(20)));
        let many = 1 + if chance.below(6) == 0 { chance.below(4) } else { 0 };
        let numbers = world.oracle.issue(many);
        let events: Vec<_> = numbers.clone().map(|number| event(number, key.as_deref())).collect();
        let append = client.append(&broker, &events, Hops::FULL);
        in_flight.fetch_add(1, Ordering::Relaxed);
        let (world, in_flight) = (world.clone(), in_flight.clone());
        tokio::spawn(async move {
            world.oracle.answered(me, numbers, &append.await);
            in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Reads the cursors of what the node leads, again and again.
pub async fn audit(chance: SeededChance, node: LocalNode, world: Arc<Whole>) {
    loop {
        tokio::time::sleep(Duration::from_millis(100 + chance.below(300))).await;
        let resources = node.resources().borrow().clone();
        let groups: Vec<_> = node.cluster().borrow().groups.keys().copied().collect();
        for group in groups {
            // Letters after cursors: whatever was given up as of the cursors is among them.
            let Ok(cursors) = node.cursors(group).await else { continue };
            let Ok(letters) = node.dead_letters(group, None, None, ALL_LETTERS).await else { continue };
            let named = |id| Some((id, number_of(&resources.triggers.get(&id)?.metadata.name)?));
            let names = cursors.cursors.keys().filter_map(|id| named(*id)).collect();
            world.oracle.audited(group, &names, &cursors, &letters);
        }
    }
}

/// Tells which groups the dispatcher here serves.
pub async fn watch_sessions(me: u64, client: Client, world: Arc<Whole>) {
    let mut served = client.served();
    let mut before = BTreeMap::new();
    loop {
        let now = BTreeMap::clone(&served.borrow_and_update());
        for (group, grant) in &now {
            if before.get(group) != Some(grant) {
                world.oracle.serves(me, *group, Some(grant.session));
            }
        }
        before.keys().filter(|group| !now.contains_key(group)).for_each(|group| world.oracle.serves(me, *group, None));
        before = now;
        if served.changed().await.is_err() {
            return;
        }
    }
}
