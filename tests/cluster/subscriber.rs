//! The subscriber of the one Trigger: it takes everything and notes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::ledger::event;
use crate::support::http::Message;
use crate::support::sink::answer;
use crate::support::{Sink, TestEvent, wait_for};

pub struct Subscriber {
    sink: Sink,
    deliveries: Arc<Mutex<Deliveries>>,
}

/// What came.
#[derive(Debug, Default, Clone)]
pub struct Deliveries {
    /// When each event did, in order.
    pub of: BTreeMap<u64, Vec<Instant>>,
    /// What was not as it was sent.
    pub wrong: Vec<String>,
}

impl Deliveries {
    fn note(&mut self, request: &Message) {
        let Some(number) = request.header("ce-id").and_then(TestEvent::number_of) else {
            return self.wrong.push(format!("not one of our events: {} {:?}", request.first, request.headers));
        };
        self.of.entry(number).or_default().push(Instant::now());
        let header = |name: &str| request.header(name).map(str::to_owned);
        self.wrong.extend(event(number).difference(header, &request.body));
    }
}

impl Subscriber {
    /// Where the machines of a network can reach it.
    pub fn start(host: IpAddr) -> Self {
        let deliveries = Arc::<Mutex<Deliveries>>::default();
        let noting = Arc::clone(&deliveries);
        let sink = Sink::start_at(host, move |request, stream| {
            noting.lock().note(&request);
            answer(stream, 200, "", b"")
        });
        Self { sink, deliveries }
    }

    pub fn url(&self) -> String {
        self.sink.url()
    }

    pub fn deliveries(&self) -> Deliveries {
        self.deliveries.lock().clone()
    }

    /// Waits until all of these events have come.
    #[track_caller]
    pub fn wait_for(&self, what: &str, numbers: &BTreeSet<u64>) {
        wait_for(what, || {
            let deliveries = self.deliveries.lock();
            let missing: Vec<_> = numbers.iter().filter(|number| !deliveries.of.contains_key(number)).collect();
            if missing.is_empty() {
                return Ok(());
            }
            let which = &missing[..missing.len().min(8)];
            Err(format!("{} of {} are missing, such as {which:?}", missing.len(), numbers.len()))
        });
    }
}
