//! Producers that try again: each sends one event after another with a key of its own and notes when it was
//! acknowledged, while nodes of a cluster go and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::error::BenchError;
use super::events::{MATCHING_TYPE, Template};
use super::response::scan_response;

/// Writers, each with a key: enough that every group of a small cluster has some.
const WRITERS: usize = 12;

/// How long an answer is waited for before another node is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long a writer rests after it was not acknowledged.
const REST: Duration = Duration::from_millis(5);

/// Running writers; end when dropped.
#[derive(Debug)]
pub struct Writers {
    servers: watch::Sender<Vec<SocketAddr>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Vec<Instant>>,
}

impl Writers {
    /// Starts them on these servers.
    pub fn start(servers: Vec<SocketAddr>, ids: &Arc<AtomicU64>) -> Self {
        let servers = watch::Sender::new(servers);
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            tasks.spawn(write(number, servers.subscribe(), stop.subscribe(), Arc::clone(ids)));
        }
        Self { servers, stop, tasks }
    }

    /// The servers are these now.
    pub fn set_servers(&self, servers: Vec<SocketAddr>) {
        self.servers.send_replace(servers);
    }

    /// Ends them, each after its next acknowledgement, and returns when each had acknowledgements.
    ///
    /// # Errors
    /// [`BenchError::TooLate`] when a writer gets none any more.
    pub async fn stop(mut self, limit: Duration) -> Result<Vec<Vec<Instant>>, BenchError> {
        self.stop.send_replace(true);
        let all = async {
            let mut acknowledged = Vec::new();
            while let Some(ended) = self.tasks.join_next().await {
                acknowledged.extend(ended.ok());
            }
            acknowledged
        };
        let too_late = |_| BenchError::TooLate { what: "an acknowledgement for every writer".to_owned(), limit };
        tokio::time::timeout(limit, all).await.map_err(too_late)
    }
}

/// The longest time between two acknowledgements of one writer.
pub fn longest_gap(acknowledged: &[Vec<Instant>]) -> Duration {
    let gaps = acknowledged.iter().flat_map(|times| times.windows(2)).map(|two| two[1] - two[0]);
    gaps.max().unwrap_or_default()
}

async fn write(
    number: usize,
    servers: watch::Receiver<Vec<SocketAddr>>,
    stop: watch::Receiver<bool>,
    ids: Arc<AtomicU64>,
) -> Vec<Instant> {
    let mut acknowledged = Vec::new();
    let mut turn = number;
    loop {
        let known = servers.borrow().clone();
        let server = known[turn % known.len()];
        turn += 1;
        let template = Template::keyed(server, MATCHING_TYPE, &format!("writer-{number}"));
        let Ok(Ok(mut stream)) = tokio::time::timeout(ANSWER_LIMIT, TcpStream::connect(server)).await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let mut request = template.buffer();
        loop {
            template.stamp(&mut request, ids.fetch_add(1, Ordering::Relaxed), 0);
            match tokio::time::timeout(ANSWER_LIMIT, exchange(&mut stream, &request)).await {
                Ok(Some(200..=299)) => {
                    acknowledged.push(Instant::now());
                    if *stop.borrow() {
                        return acknowledged;
                    }
                }
                // The node is there and cannot say yes now: it may soon.
                Ok(Some(_)) => tokio::time::sleep(REST).await,
                Ok(None) | Err(_) => break,
            }
        }
        tokio::time::sleep(REST).await;
    }
}

/// The status of the answer; `None` when the connection broke.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<u16> {
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
        let head = scan_response(&answer).ok()?;
        if let Some(head) = head.filter(|head| answer.len() >= head.total_bytes) {
            return Some(head.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sink::{Origin, Sink};
    use super::*;

    #[tokio::test]
    async fn writers_go_on_at_another_server_and_their_gaps_are_seen() {
        let sink = Sink::start(Origin::now()).unwrap();
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let writers = Writers::start(vec![gone, sink.address()], &Arc::default());
        sink.wait_for(100, Duration::from_secs(30)).await.unwrap();
        writers.set_servers(vec![sink.address()]);
        let acknowledged = writers.stop(Duration::from_secs(30)).await.unwrap();
        assert_eq!(acknowledged.len(), WRITERS);
        assert!(acknowledged.iter().all(|times| !times.is_empty()));
    }

    #[test]
    fn the_longest_gap_is_of_one_writer() {
        let start = Instant::now();
        let at = |millis: &[u64]| millis.iter().map(|ms| start + Duration::from_millis(*ms)).collect::<Vec<_>>();
        assert_eq!(longest_gap(&[at(&[0, 5, 20]), at(&[0, 90, 100]), at(&[500])]), Duration::from_millis(90));
        assert_eq!(longest_gap(&[]), Duration::ZERO);
    }
}
