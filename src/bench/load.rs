//! The load generator: the same for every row, and cheap.
//!
//! One task a connection on one thread: stamp the prebuilt request, write it with one call, read until the head and
//! body of the answer are there. No HTTP library, no allocation a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::error::{BenchError, Doing};
use super::events::Template;
use super::pace::{Plan, Ticker};
use super::response::{ResponseHead, scan_response};
use super::sink::{Origin, latencies};

/// How long after its end a load may wait for the answers that are still out.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// How long a connection rests after a refusal, so that a server at its bound is not hammered.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(5);

/// What to send, where, and over how many connections.
#[derive(Debug, Clone)]
pub struct Load {
    /// The servers under load. Connections are dealt out to them in turn.
    pub servers: Vec<SocketAddr>,
    /// The request.
    pub template: Template,
    /// Keep-alive connections, each with one request at a time.
    pub connections: usize,
    /// Where fresh event ids come from; shared by all loads of a run.
    pub ids: Arc<AtomicU64>,
    /// From when planned times count.
    pub origin: Origin,
}

/// What came of a load.
#[derive(Debug)]
pub struct Tally {
    /// When the first request could go.
    pub started: Instant,
    /// From the start to the end of the window; for a load of a given size, to its last answer.
    pub window: Duration,
    /// Events acknowledged within the window.
    pub accepted_in_window: u64,
    /// Events acknowledged at all.
    pub accepted: u64,
    /// Requests answered with anything but 2xx.
    pub refused: u64,
    /// The first such status.
    pub first_refusal: Option<u16>,
    /// From sending to the acknowledgement, nanoseconds; in an open loop, from the planned time.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// Acknowledged events a second, within the window.
    pub fn rate(&self) -> f64 {
        self.accepted_in_window as f64 / self.window.as_secs_f64()
    }

    /// The latency that `quantile` (0 to 1) of the requests did not exceed.
    pub fn latency_at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }

    /// An error when the server refused anything, for figures that a refusal would make untrue.
    ///
    /// # Errors
    /// [`BenchError::Load`].
    pub fn demand_no_refusal(self) -> Result<Self, BenchError> {
        match self.first_refusal {
            None => Ok(self),
            Some(status) => {
                Err(BenchError::Load { reason: format!("{} requests were refused, first with {status}", self.refused) })
            }
        }
    }
}

/// Each connection sends its next request when the last is answered, for `window`.
///
/// # Errors
/// [`BenchError`] when a connection breaks or an answer stays out.
pub async fn closed(load: &Load, window: Duration) -> Result<Tally, BenchError> {
    run(load, window, |started| Feed::Until(started + window), window + LAST_ANSWERS).await
}

/// As [`closed`], until `events` are acknowledged, rounded up to whole requests, and at most for `limit`.
///
/// # Errors
/// As [`closed`], and [`BenchError::TooLate`].
pub async fn exactly(load: &Load, events: u64, limit: Duration) -> Result<Tally, BenchError> {
    let left = i64::try_from(events.div_ceil(load.template.events())).unwrap_or(i64::MAX);
    let mut tally = run(load, limit, |_| Feed::Requests(AtomicI64::new(left)), limit).await?;
    tally.window = tally.started.elapsed();
    Ok(tally)
}

/// Requests go at their planned times, `rate` a second for `window`, over whichever connection is free.
///
/// # Errors
/// As [`closed`].
pub async fn open(load: &Load, rate: f64, window: Duration) -> Result<Tally, BenchError> {
    let feed = |started| Feed::Planned {
        plan: Plan::new(started, rate, window),
        due: Semaphore::new(0),
        next: AtomicU64::new(0),
    };
    run(load, window, feed, window + LAST_ANSWERS).await
}

/// When a connection may send.
enum Feed {
    /// At once, until this moment.
    Until(Instant),
    /// At once, while requests are left.
    Requests(AtomicI64),
    /// At planned times; a permit for each that is due.
    Planned { plan: Plan, due: Semaphore, next: AtomicU64 },
}

impl Feed {
    /// Waits for the next turn and says from when its latency counts; `None` when the load is done.
    async fn next(&self) -> Option<Instant> {
        match self {
            Self::Until(end) => Some(Instant::now()).filter(|now| now < end),
            Self::Requests(left) => (left.fetch_sub(1, Ordering::Relaxed) > 0).then(Instant::now),
            Self::Planned { plan, due, next } => {
                due.acquire().await.ok()?.forget();
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < plan.events()).then(|| plan.planned(number))
            }
        }
    }

    /// A request was refused and its events are still to be sent.
    fn give_back(&self) {
        if let Self::Requests(left) = self {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the planned sends go in their time, then closes the feed.
    async fn drive(&self) -> Result<(), BenchError> {
        let Self::Planned { plan, due, .. } = self else { return Ok(()) };
        let mut ticker = Ticker::new(plan.tick())?;
        let mut released = 0;
        while released < plan.events() {
            let now_due = plan.due(Instant::now());
            due.add_permits((now_due - released) as usize);
            released = now_due;
            ticker.tick().await?;
        }
        // One turn more for each connection, which finds the plan at its end.
        due.add_permits(Semaphore::MAX_PERMITS / 2);
        Ok(())
    }
}

async fn run(
    load: &Load,
    window: Duration,
    feed: impl FnOnce(Instant) -> Feed,
    limit: Duration,
) -> Result<Tally, BenchError> {
    let mut streams = Vec::with_capacity(load.connections);
    for &server in load.servers.iter().cycle().take(load.connections) {
        let stream = TcpStream::connect(server).await.doing(|| format!("connecting to {server}"))?;
        stream.set_nodelay(true).doing(|| "setting TCP_NODELAY".to_owned())?;
        streams.push((server, stream));
    }
    let started = Instant::now();
    let feed = Arc::new(feed(started));
    let tally = Arc::new(Mutex::new(Tally {
        started,
        window,
        accepted_in_window: 0,
        accepted: 0,
        refused: 0,
        first_refusal: None,
        latency: latencies(),
    }));
    let mut connections = JoinSet::new();
    for (server, stream) in streams {
        connections.spawn(connection(server, stream, load.clone(), Arc::clone(&feed), Arc::clone(&tally)));
    }
    let finish = async {
        feed.drive().await?;
        while let Some(ended) = connections.join_next().await {
            ended.map_err(|error| BenchError::Load { reason: format!("a connection's task failed: {error}") })??;
        }
        Ok(())
    };
    match tokio::time::timeout(limit, finish).await {
        Ok(result) => result?,
        Err(_) => {
            let accepted = lock(&tally).accepted;
            let what = format!("all answers of {:?} ({accepted} events acknowledged)", load.servers);
            return Err(BenchError::TooLate { what, limit });
        }
    }
    // Every connection has ended, so this is the last holder.
    Arc::into_inner(tally)
        .map(|tally| tally.into_inner().unwrap_or_else(PoisonError::into_inner))
        .ok_or_else(|| BenchError::Load { reason: "a connection outlived the load".to_owned() })
}

async fn connection(
    server: SocketAddr,
    mut stream: TcpStream,
    load: Load,
    feed: Arc<Feed>,
    tally: Arc<Mutex<Tally>>,
) -> Result<(), BenchError> {
    let mut request = load.template.buffer();
    let mut answer = Vec::with_capacity(4096);
    let events = load.template.events();
    while let Some(from) = feed.next().await {
        let first_id = load.ids.fetch_add(events, Ordering::Relaxed);
        load.template.stamp(&mut request, first_id, load.origin.nanos(from));
        stream.write_all(&request).await.doing(|| format!("sending to {server}"))?;
        let status = read_answer(&mut stream, &mut answer, server).await?.status;
        let now = Instant::now();
        let accepted = (200..300).contains(&status);
        {
            let mut tally = lock(&tally);
            if accepted {
                tally.accepted += events;
                if now.duration_since(tally.started) <= tally.window {
                    tally.accepted_in_window += events;
                }
                tally.latency.saturating_record(now.duration_since(from).as_nanos() as u64);
            } else {
                tally.refused += 1;
                tally.first_refusal.get_or_insert(status);
            }
        }
        if !accepted {
            feed.give_back();
            tokio::time::sleep(REST_AFTER_REFUSAL).await;
        }
    }
    Ok(())
}

/// Reads one whole answer into `answer`, which is emptied first.
///
/// # Errors
/// [`BenchError`] when the connection breaks or what comes is no answer.
pub async fn read_answer(
    stream: &mut TcpStream,
    answer: &mut Vec<u8>,
    server: SocketAddr,
) -> Result<ResponseHead, BenchError> {
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.doing(|| format!("reading from {server}"))?;
        if read == 0 {
            return Err(BenchError::Load { reason: format!("{server} closed a connection in use") });
        }
        let head = scan_response(answer).map_err(|source| BenchError::Answer { peer: server.to_string(), source })?;
        if let Some(head) = head
            && answer.len() >= head.total_bytes
        {
            return Ok(head);
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::events::Target;
    use super::super::sink::Sink;
    use super::*;

    /// The sink answers 202 to anything, so it serves as a server here.
    fn load(sink: &Sink, connections: usize) -> Load {
        Load {
            servers: vec![sink.address()],
            template: Template::timed(sink.address(), Target::DefaultBroker, "t"),
            connections,
            ids: Arc::new(AtomicU64::new(0)),
            origin: Origin::now(),
        }
    }

    #[tokio::test]
    async fn a_load_of_a_size_sends_that_many() {
        let sink = Sink::start(Origin::now()).unwrap();
        let tally = exactly(&load(&sink, 7), 1_000, Duration::from_secs(60)).await.unwrap();
        assert_eq!((tally.accepted, tally.refused, sink.delivered()), (1_000, 0, 1_000));
        assert_eq!(tally.latency.len(), 1_000);
    }

    #[tokio::test]
    async fn a_closed_loop_counts_what_the_sink_counts() {
        let sink = Sink::start(Origin::now()).unwrap();
        let tally = closed(&load(&sink, 4), Duration::from_millis(50)).await.unwrap();
        assert_eq!(tally.accepted, sink.delivered());
        assert!(tally.accepted_in_window <= tally.accepted && tally.accepted > 0);
    }

    #[tokio::test]
    async fn an_open_loop_keeps_its_plan() {
        let sink = Sink::start(Origin::now()).unwrap();
        let tally = open(&load(&sink, 8), 2_000.0, Duration::from_millis(100)).await.unwrap();
        assert_eq!((tally.accepted, sink.delivered()), (200, 200));
        assert!(tally.started.elapsed() >= Duration::from_millis(99));
    }

    #[tokio::test]
    async fn a_server_that_refuses_is_reported() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = Vec::new();
            loop {
                buffer.clear();
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
                let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull";
                stream.write_all(answer).await.unwrap();
            }
        };
        let sink = Sink::start(Origin::now()).unwrap();
        let load = Load { servers: vec![server], ..load(&sink, 1) };
        let (tally, ()) = tokio::join!(closed(&load, Duration::from_millis(30)), serve);
        let tally = tally.unwrap();
        assert_eq!((tally.accepted, tally.first_refusal), (0, Some(503)));
        assert!(tally.demand_no_refusal().is_err());
    }
}
