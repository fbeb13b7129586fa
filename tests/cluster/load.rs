//! Producers as they should be: an event is sent again, with the same `id`, until somebody acknowledges it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::event::TYPE_A;
use crate::support::wait::DEADLINE;
use crate::support::{Connection, TestEvent, wait_for};

/// Connections to each node at a time.
const CONNECTIONS_PER_NODE: usize = 2;

/// How long a producer waits for an answer before it asks the next node.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between an acknowledgement and the next event: the nodes share few processors with the test.
const PACE: Duration = Duration::from_millis(4);

/// After all nodes have failed it.
const PAUSE: Duration = Duration::from_millis(100);

/// One event in so many is sent again by a producer that forgets (F20).
const FORGETFULNESS: u64 = 5;

/// Keys of events: enough for every group to have some of them.
const KEYS: u64 = 64;

/// The largest data of an event, in bytes.
const MAX_DATA: u64 = 2_000;

/// The event of a number: always the same, so that the subscriber knows every byte of it.
pub fn event(number: u64) -> TestEvent {
    TestEvent::sized(number, TYPE_A, (number.wrapping_mul(977) % MAX_DATA) as usize)
}

/// An acknowledged event.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// When it was sent for the first time.
    pub sent: Instant,
    /// When it was acknowledged.
    pub at: Instant,
    /// The node that did.
    pub node: usize,
    /// How often it was sent: each time it may have been taken, although nobody said so.
    pub tries: u32,
}

/// What was sent and what was acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    next: AtomicU64,
    acks: Mutex<BTreeMap<u64, Ack>>,
    by_node: Mutex<BTreeMap<usize, usize>>,
    refused: AtomicU64,
    unanswered: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    pub fn acks(&self) -> BTreeMap<u64, Ack> {
        self.acks.lock().clone()
    }

    /// These events may be lost from now on, although they were acknowledged.
    pub fn give_up(&self, numbers: &BTreeSet<u64>) {
        self.acks.lock().retain(|number, _| !numbers.contains(number));
    }

    /// How many events have been acknowledged by a node.
    pub fn count(&self, node: usize) -> usize {
        self.by_node.lock().get(&node).copied().unwrap_or_default()
    }

    /// Events that a node acknowledged although they were sent, and acknowledged, while it cannot have reached a quorum.
    pub fn stale(&self, node: usize, since: Instant, until: Instant) -> Vec<u64> {
        let is_stale = |ack: &Ack| ack.node == node && ack.sent >= since && ack.at <= until;
        self.acks.lock().iter().filter(|(_, ack)| is_stale(ack)).map(|(number, _)| *number).collect()
    }

    /// Whether an event of that number was ever sent.
    pub fn was_sent(&self, number: u64) -> bool {
        number < self.next.load(Ordering::Acquire)
    }

    /// Answers that neither acknowledge nor ask to come again, and events that nobody ever acknowledged.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().clone()
    }

    /// How often a node asked to come again, and how often it did not answer.
    pub fn failures(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.unanswered.load(Ordering::Relaxed))
    }

    /// Sends an event once more although it was acknowledged, as a producer does that has not seen the answer.
    fn post_again(&self, number: u64, target: &mut Target) {
        if let Some(ack) = self.acks.lock().get_mut(&number) {
            ack.tries += 1;
        }
        if let Answer::Wrong(said) = target.post(&event(number)) {
            self.wrong.lock().push(format!("event {number}, sent again: {said}"));
        }
    }

    /// Sends a new event once, and gives it up unless it is taken.
    pub fn try_once(&self, target: &mut Target) -> Answer {
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        target.post(&event(number))
    }

    /// Sends a new event until one of the nodes, beginning with the first, acknowledges it; gives its number.
    fn post(&self, order: &mut [Target]) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::AcqRel);
        let (event, sent, mut tries) = (event(number), Instant::now(), 0);
        while sent.elapsed() < DEADLINE {
            for target in &mut *order {
                tries += 1;
                match target.post(&event) {
                    Answer::Taken => {
                        let ack = Ack { sent, at: Instant::now(), node: target.node, tries };
                        self.acks.lock().insert(number, ack);
                        *self.by_node.lock().entry(target.node).or_default() += 1;
                        return Some(number);
                    }
                    Answer::ComeAgain(_) => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
                    Answer::None => drop(self.unanswered.fetch_add(1, Ordering::Relaxed)),
                    Answer::NotSent => tries -= 1,
                    Answer::Wrong(said) => self.wrong.lock().push(format!("event {number}: {said}")),
                }
            }
            std::thread::park_timeout(PAUSE);
        }
        self.wrong.lock().push(format!("event {number}: nobody took it in {DEADLINE:?}"));
        None
    }
}

/// What came of sending an event once.
#[derive(Debug)]
pub enum Answer {
    Taken,
    /// 429 or 503, with the time after which to, and why.
    ComeAgain(String),
    /// It may have been taken.
    None,
    /// Nobody could be connected to.
    NotSent,
    Wrong(String),
}

/// A node as a producer sees it.
#[derive(Debug)]
pub struct Target {
    node: usize,
    address: SocketAddr,
    patience: Duration,
    connection: Option<Connection>,
}

impl Target {
    fn new(node: usize, address: SocketAddr) -> Self {
        Self { node, address, patience: PATIENCE, connection: None }
    }

    /// As one that waits for an answer however long it takes.
    pub fn patient(node: usize, address: SocketAddr) -> Self {
        Self { patience: DEADLINE, ..Self::new(node, address) }
    }

    /// Sends an event once.
    fn post(&mut self, event: &TestEvent) -> Answer {
        let connection = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Connection::open_within(self.address, self.patience),
        };
        let Ok(mut connection) = connection else { return Answer::NotSent };
        // Without a key a node takes an event for a group that it leads. Every other event has one, so that no group can
        // be without a leader unnoticed.
        let key = match event.number.is_multiple_of(2) {
            true => format!("ce-partitionkey: {}\r\n", event.number % KEYS),
            false => String::new(),
        };
        let headers = event.headers() + &key;
        let Ok(answer) = connection.call("POST", "/default/default", &headers, &event.data) else {
            return Answer::None;
        };
        let ends = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.connection = (!ends).then_some(connection);
        match answer.status() {
            202 => Answer::Taken,
            429 | 503 if answer.header("retry-after").is_some() => Answer::ComeAgain(answer.text()),
            _ => Answer::Wrong(format!("{} {}", answer.first, answer.text())),
        }
    }
}

/// Producers at all nodes, until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    ledger: Arc<Ledger>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// `forgetful` ones send some events again although they were acknowledged, to another node.
    pub fn start(nodes: &[SocketAddr], ledger: &Arc<Ledger>, forgetful: bool) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let producer = |place: usize| {
            let (stop, ledger) = (Arc::clone(&stop), Arc::clone(ledger));
            let mut order: Vec<_> = nodes.iter().enumerate().map(|(node, at)| Target::new(node, *at)).collect();
            // At home first, and to the others in turn.
            order.rotate_left(place % nodes.len());
            let nodes = nodes.len();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let posted = ledger.post(&mut order);
                    if let Some(number) = posted.filter(|number| forgetful && number % FORGETFULNESS == 0) {
                        ledger.post_again(number, &mut order[1 % nodes]);
                    }
                    std::thread::park_timeout(PACE);
                }
            })
        };
        let threads = (0..nodes.len() * CONNECTIONS_PER_NODE).map(producer).collect();
        Self { stop, ledger: Arc::clone(ledger), threads }
    }

    /// Waits until each of these nodes has acknowledged so many more.
    #[track_caller]
    pub fn wait_for(&self, what: &str, nodes: &[usize], more: usize) {
        let before: Vec<_> = nodes.iter().map(|node| self.ledger.count(*node)).collect();
        wait_for(what, || {
            let now: Vec<_> = nodes.iter().map(|node| self.ledger.count(*node)).collect();
            let all = before.iter().zip(&now).all(|(before, now)| *now >= before + more);
            let failures = self.ledger.failures();
            let wrong = self.ledger.wrong();
            if all { Ok(()) } else { Err(format!("nodes {nodes:?}: {before:?}, now {now:?}; {failures:?}; {wrong:?}")) }
        });
    }

    /// Waits until every producer has had its last event acknowledged.
    #[track_caller]
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
