//! Producers as they should be: an event is sent again, with the same `id`, until somebody acknowledges it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ledger::{Ledger, key};
use crate::support::http::Message;
use crate::support::wait::DEADLINE;
use crate::support::{Connection, TestEvent, wait_for};

/// Connections to each node at a time.
const CONNECTIONS_PER_NODE: usize = 2;

/// How long a producer waits for an answer before it asks the next node.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Between an acknowledgement and the next event: the nodes share few processors with the test.
const PACE: Duration = Duration::from_millis(4);

/// After all nodes have failed it.
const PAUSE: Duration = Duration::from_millis(100);

/// Of a producer that forgets (F20), one event in so many is sent again although it was acknowledged, and one is sent
/// again before anybody can have answered.
const FORGETFULNESS: u64 = 5;

/// What came of sending an event once.
#[derive(Debug)]
pub enum Answer {
    Taken,
    /// 429 or 503, with the time after which to, and why; nothing was stored.
    ComeAgain(String),
    /// It may have been taken: nobody answered, or the answer says that this is not known.
    Unknown,
    /// Nobody could be connected to.
    NotSent,
    Wrong(String),
}

/// A node as a producer sees it.
#[derive(Debug)]
pub struct Target {
    pub node: usize,
    address: SocketAddr,
    patience: Duration,
    connection: Option<Connection>,
    /// One whose answer nobody waits for.
    left: Option<Connection>,
}

impl Target {
    fn new(node: usize, address: SocketAddr) -> Self {
        Self { node, address, patience: PATIENCE, connection: None, left: None }
    }

    /// As one that waits for an answer however long it takes.
    pub fn patient(node: usize, address: SocketAddr) -> Self {
        Self { patience: DEADLINE, ..Self::new(node, address) }
    }

    /// Sends an event once.
    pub fn post(&mut self, event: &TestEvent) -> Answer {
        let Some(mut connection) = self.connected() else { return Answer::NotSent };
        let Ok(answer) = connection.call("POST", "/default/default", &headers(event), &event.data) else {
            return Answer::Unknown;
        };
        let ends = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.connection = (!ends).then_some(connection);
        read(&answer)
    }

    /// Sends an event once, and asks no more: every other time the connection ends, else it stays for a while.
    pub fn post_and_leave(&mut self, event: &TestEvent) -> Answer {
        let Some(mut connection) = self.connected() else { return Answer::NotSent };
        // What was written in part may have been read in whole.
        let _ = connection.send("POST", "/default/default", &headers(event), &event.data);
        self.left = event.number.is_multiple_of(2).then_some(connection);
        Answer::Unknown
    }

    fn connected(&mut self) -> Option<Connection> {
        self.connection.take().or_else(|| Connection::open_within(self.address, self.patience).ok())
    }
}

fn headers(event: &TestEvent) -> String {
    let key = key(event.number).map(|key| format!("ce-partitionkey: {key}\r\n"));
    event.headers() + &key.unwrap_or_default()
}

fn read(answer: &Message) -> Answer {
    match answer.status() {
        202 => Answer::Taken,
        429 | 503 if answer.header("retry-after").is_some() => {
            let why = answer.text();
            if why.contains("urn:pelton:problem:outcome-unknown") { Answer::Unknown } else { Answer::ComeAgain(why) }
        }
        _ => Answer::Wrong(format!("{} {}", answer.first, answer.text())),
    }
}

/// A producer: where it sends events, beginning with the first.
struct Producer {
    ledger: Arc<Ledger>,
    order: Vec<Target>,
    forgets: bool,
}

impl Producer {
    /// Sends a new event until one of the nodes acknowledges it.
    fn post(&mut self) {
        let number = self.ledger.next();
        let habit = self.forgets.then_some(number % FORGETFULNESS);
        let second = 1 % self.order.len();
        if habit == Some(1) {
            self.ledger.send_and_leave(number, &mut self.order[second]);
        }
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            for target in &mut self.order {
                if matches!(self.ledger.send(number, target), Answer::Taken) {
                    if habit == Some(0) {
                        self.ledger.send(number, &mut self.order[second]);
                    }
                    return;
                }
            }
            std::thread::park_timeout(PAUSE);
        }
        self.ledger.complain(format!("event {number}: nobody took it in {DEADLINE:?}"));
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
    /// `forgetful` ones send some events again although they were acknowledged, and some before they can have been.
    pub fn start(nodes: &[SocketAddr], ledger: &Arc<Ledger>, forgetful: bool) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let producer = |place: usize| {
            let stop = Arc::clone(&stop);
            let mut order: Vec<_> = nodes.iter().enumerate().map(|(node, at)| Target::new(node, *at)).collect();
            // At home first, and to the others in turn.
            order.rotate_left(place % nodes.len());
            let mut producer = Producer { ledger: Arc::clone(ledger), order, forgets: forgetful };
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    producer.post();
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
            let said = || {
                let (failures, wrong) = (self.ledger.failures(), self.ledger.wrong());
                format!("nodes {nodes:?}: {before:?}, now {now:?}; {failures:?}; {wrong:?}")
            };
            if all { Ok(()) } else { Err(said()) }
        });
    }

    /// Waits until so many more were acknowledged, by whichever nodes.
    #[track_caller]
    pub fn wait_for_some(&self, what: &str, more: usize) {
        let before = self.ledger.count_all();
        wait_for(what, || {
            let now = self.ledger.count_all();
            if now >= before + more { Ok(()) } else { Err(format!("{before}, now {now}")) }
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
