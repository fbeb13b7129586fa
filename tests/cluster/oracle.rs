//! What must hold whatever happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::load::{Ledger, event};
use crate::support::http::Message;
use crate::support::sink::answer;
use crate::support::{Sink, TestEvent, wait_for};

/// The subscriber of the one Trigger: it takes everything and notes it.
pub struct Subscriber {
    sink: Sink,
    deliveries: Arc<Mutex<Deliveries>>,
}

#[derive(Debug, Default)]
struct Deliveries {
    of: BTreeMap<u64, u32>,
    wrong: Vec<String>,
}

impl Deliveries {
    fn note(&mut self, request: &Message) {
        let Some(number) = request.header("ce-id").and_then(TestEvent::number_of) else {
            return self.wrong.push(format!("not one of our events: {} {:?}", request.first, request.headers));
        };
        *self.of.entry(number).or_default() += 1;
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

    /// Waits until everything that was acknowledged has come.
    #[track_caller]
    pub fn wait_for_all(&self, ledger: &Ledger) {
        self.wait_for("everything acknowledged to be delivered", &ledger.acks().into_keys().collect());
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

/// What a scenario came to.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    acknowledged: usize,
    /// Deliveries of an event beyond its first that the producer may have asked for by sending it again.
    sent_again: u32,
    /// Those that only the cluster can have repeated: the result of an attempt was not stored when its node was lost, or
    /// when another leader gave the right to deliver to another dispatcher.
    repeated: u32,
    /// Events that came although nobody acknowledged them: an answer was lost.
    unacknowledged: usize,
    longest_gap: Duration,
    longest_wait: Duration,
}

/// Checks what was delivered against what was acknowledged, once all of it has come. Everything is said on standard
/// error under `name`.
#[track_caller]
pub fn check(name: &str, ledger: &Ledger, subscriber: &Subscriber) -> Outcome {
    subscriber.wait_for_all(ledger);
    let acks = ledger.acks();
    assert_eq!(ledger.wrong(), Vec::<String>::new(), "{name}: answers");
    let deliveries = subscriber.deliveries.lock();
    assert_eq!(deliveries.wrong, Vec::<String>::new(), "{name}: as they were sent");
    let (mut sent_again, mut repeated, mut unacknowledged) = (0, 0, 0);
    for (number, times) in &deliveries.of {
        assert!(ledger.was_sent(*number), "{name}: {number} was never sent");
        let by_producer = acks.get(number).map_or(0, |ack| ack.tries - 1).min(times - 1);
        sent_again += by_producer;
        repeated += times - 1 - by_producer;
        unacknowledged += usize::from(!acks.contains_key(number));
    }
    let mut moments: Vec<Instant> = acks.values().map(|ack| ack.at).collect();
    moments.sort_unstable();
    let longest_gap = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    let longest_wait = acks.values().map(|ack| ack.at - ack.sent).max().unwrap_or_default();
    let outcome = Outcome { acknowledged: acks.len(), sent_again, repeated, unacknowledged, longest_gap, longest_wait };
    outcome.say(name, ledger);
    outcome
}

impl Outcome {
    /// Different events that have come.
    pub fn events(&self) -> usize {
        self.acknowledged + self.unacknowledged
    }

    fn say(&self, name: &str, ledger: &Ledger) {
        let Self { acknowledged, sent_again, repeated, unacknowledged, longest_gap, longest_wait } = self;
        let (refused, unanswered) = ledger.failures();
        eprintln!(
            "{name}: {acknowledged} acknowledged, 0 lost; delivered more than once: {sent_again} because their producer \
             sent them again, {repeated} because the right to deliver moved or was lost; {unacknowledged} delivered \
             without an acknowledgement; {refused} refused, {unanswered} unanswered; nobody was acknowledged for \
             {longest_gap:.0?}, one event waited for {longest_wait:.0?}"
        );
    }
}
