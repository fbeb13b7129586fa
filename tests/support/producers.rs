//! Producers that post at once over kept connections, and note what was acknowledged.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::event::IN_BATCHES;
use super::{Connection, TestEvent};

/// What was sent and what was acknowledged, over all lives of a process.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    refused: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    /// A number nobody had.
    pub fn next(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn count(&self) -> usize {
        self.0.acknowledged.lock().len()
    }

    pub fn acknowledged(&self) -> BTreeSet<u64> {
        self.0.acknowledged.lock().clone()
    }

    pub fn note(&self, number: u64) {
        self.0.acknowledged.lock().insert(number);
    }

    /// Whether an event of that number was ever sent.
    pub fn was_sent(&self, number: u64) -> bool {
        number % IN_BATCHES < self.0.next.load(Ordering::Relaxed)
    }

    /// Answers that neither acknowledge nor ask to come again.
    pub fn wrong(&self) -> Vec<String> {
        self.0.wrong.lock().clone()
    }

    /// Answers of 429 and 503.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// Threads that post until their connection breaks or they are told to stop.
#[derive(Debug)]
pub struct Producers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Producers {
    /// `connections` of them; the last one sends batches.
    pub fn start(ingress: SocketAddr, connections: usize, ledger: &Ledger) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let start = |place: usize| {
            let (stop, ledger) = (Arc::clone(&stop), ledger.clone());
            let batches = place + 1 == connections && connections > 1;
            std::thread::spawn(move || {
                let Ok(mut connection) = Connection::open(ingress) else { return };
                while !stop.load(Ordering::Acquire) {
                    let sent =
                        if batches { post_batch(&mut connection, &ledger) } else { post(&mut connection, &ledger) };
                    if sent.is_err() {
                        return;
                    }
                }
            })
        };
        let threads = (0..connections).map(start).collect();
        Self { stop, threads }
    }

    /// Waits until all have stopped: told to, or by their connection.
    pub fn join(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }

    /// Waits until all connections broke.
    pub fn ended(self) {
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn post(connection: &mut Connection, ledger: &Ledger) -> std::io::Result<()> {
    let event = TestEvent::numbered(ledger.next());
    let answer = connection.post(&event)?;
    take(ledger, &answer, &[event.number]);
    Ok(())
}

fn post_batch(connection: &mut Connection, ledger: &Ledger) -> std::io::Result<()> {
    let first = ledger.next();
    let mut events = vec![TestEvent::numbered(IN_BATCHES + first)];
    for _ in 0..first % 5 {
        events.push(TestEvent::numbered(IN_BATCHES + ledger.next()));
    }
    let body = format!("[{}]", events.iter().map(TestEvent::json).collect::<Vec<_>>().join(","));
    let headers = "content-type: application/cloudevents-batch+json\r\n";
    let answer = connection.call("POST", "/default/default", headers, body.as_bytes())?;
    take(ledger, &answer, &events.iter().map(|event| event.number).collect::<Vec<_>>());
    Ok(())
}

fn take(ledger: &Ledger, answer: &super::http::Message, numbers: &[u64]) {
    match answer.status() {
        202 => ledger.0.acknowledged.lock().extend(numbers),
        429 | 503 => {
            ledger.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        _ => ledger.0.wrong.lock().push(format!("{numbers:?}: {} {}", answer.first, answer.text())),
    }
}
