//! What a sink was given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::TestEvent;
use super::http::Message;

/// The deliveries of one sink: for each event, in which life of the process it came.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    life: AtomicU32,
    deliveries: Mutex<BTreeMap<u64, Vec<u32>>>,
    wrong: Mutex<Vec<String>>,
}

impl Recorder {
    /// Takes a delivery in and compares every byte with what the event of its number has.
    pub fn checked(&self, request: &Message) {
        let Some(number) = self.noted(request) else { return };
        let header = |name: &str| request.header(name).map(str::to_owned);
        if let Some(difference) = TestEvent::numbered(number).difference(header, &request.body) {
            self.0.wrong.lock().push(difference);
        }
    }

    /// Takes a delivery in by its `id` alone.
    pub fn noted(&self, request: &Message) -> Option<u64> {
        let number = request.header("ce-id").and_then(TestEvent::number_of);
        match number {
            Some(number) => {
                let life = self.0.life.load(Ordering::Acquire);
                self.0.deliveries.lock().entry(number).or_default().push(life);
            }
            None => self.0.wrong.lock().push(format!("not one of our events: {} {:?}", request.first, request.headers)),
        }
        number
    }

    /// From now on deliveries belong to another life of the process.
    pub fn next_life(&self) {
        self.0.life.fetch_add(1, Ordering::AcqRel);
    }

    pub fn life(&self) -> u32 {
        self.0.life.load(Ordering::Acquire)
    }

    pub fn has(&self, number: u64) -> bool {
        self.0.deliveries.lock().contains_key(&number)
    }

    /// Different events.
    pub fn events(&self) -> usize {
        self.0.deliveries.lock().len()
    }

    pub fn deliveries(&self) -> BTreeMap<u64, Vec<u32>> {
        self.0.deliveries.lock().clone()
    }

    /// Deliveries in the life that goes on.
    pub fn in_this_life(&self) -> Vec<u64> {
        let life = self.life();
        let deliveries = self.0.deliveries.lock();
        deliveries.iter().filter(|(_, lives)| lives.contains(&life)).map(|(number, _)| *number).collect()
    }

    /// What was not as it was sent.
    pub fn wrong(&self) -> Vec<String> {
        self.0.wrong.lock().clone()
    }
}
