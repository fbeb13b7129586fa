//! The null sink: reads what is delivered, answers 202, counts, and on request notes how long each event travelled.
//!
//! It is a thread of the generator's process, because a latency needs one clock at both ends. It is written like the
//! generator, on bare sockets, to leave the processors to the product.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::error::{BenchError, Doing};
use super::response::{HeadError, scan_request};

/// Connections served at once; one more waits for a free place.
const MAX_CONNECTIONS: usize = 4_096;

/// The longest request that is read, bytes.
const MAX_REQUEST_BYTES: usize = 4 << 20;

const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

/// The moment from which both ends of a latency count.
#[derive(Debug, Clone, Copy)]
pub struct Origin(Instant);

impl Origin {
    /// Counts from now on.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds from the origin to `moment`.
    pub fn nanos(self, moment: Instant) -> u64 {
        moment.saturating_duration_since(self.0).as_nanos() as u64
    }
}

/// Latencies in nanoseconds, two significant digits, up to a minute.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 2).expect("a minute with two digits is within the histogram's range")
}

/// A running sink; ends when dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

#[derive(Debug)]
struct Shared {
    origin: Origin,
    delivered: AtomicU64,
    last_nanos: AtomicU64,
    travelled: Mutex<Option<Histogram<u64>>>,
}

impl Sink {
    /// Starts a sink on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn start(origin: Origin) -> Result<Self, BenchError> {
        let doing = || "starting the sink".to_owned();
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
        listener.set_nonblocking(true).doing(doing)?;
        let address = listener.local_addr().doing(doing)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(doing)?;
        let shared = Arc::new(Shared {
            origin,
            delivered: AtomicU64::new(0),
            last_nanos: AtomicU64::new(0),
            travelled: Mutex::new(None),
        });
        let (end, ended) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("bench-sink".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(listener, served) => if let Err(error) = result { eprintln!("sink: {error}") },
                    _ = ended => {}
                }
            });
        });
        Ok(Self { address, shared, thread: Some((end, thread.doing(doing)?)) })
    }

    /// Where to deliver to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Events received since the start.
    pub fn delivered(&self) -> u64 {
        self.shared.delivered.load(Ordering::Acquire)
    }

    /// When the last event came, nanoseconds since the origin.
    pub fn last_nanos(&self) -> u64 {
        self.shared.last_nanos.load(Ordering::Acquire)
    }

    /// Notes travel times from now on.
    pub fn note_travel(&self) {
        *self.travelled() = Some(latencies());
    }

    /// The travel times noted since [`note_travel`](Self::note_travel); notes no more.
    pub fn take_travel(&self) -> Histogram<u64> {
        self.travelled().take().unwrap_or_else(latencies)
    }

    /// Waits until `total` events have come since the start.
    ///
    /// # Errors
    /// [`BenchError::TooLate`].
    pub async fn wait_for(&self, total: u64, limit: Duration) -> Result<(), BenchError> {
        let began = Instant::now();
        while self.delivered() < total {
            if began.elapsed() > limit {
                let what = format!("{total} events delivered (have {})", self.delivered());
                return Err(BenchError::TooLate { what, limit });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits until nothing has come for `quiet`.
    ///
    /// # Errors
    /// [`BenchError::TooLate`].
    pub async fn wait_until_quiet(&self, quiet: Duration, limit: Duration) -> Result<(), BenchError> {
        let began = Instant::now();
        let mut seen = (self.delivered(), Instant::now());
        while seen.1.elapsed() < quiet {
            if began.elapsed() > limit {
                return Err(BenchError::TooLate { what: "the sink at rest".to_owned(), limit });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.delivered() != seen.0 {
                seen = (self.delivered(), Instant::now());
            }
        }
        Ok(())
    }

    fn travelled(&self) -> std::sync::MutexGuard<'_, Option<Histogram<u64>>> {
        self.shared.travelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            // Both fail only when the thread has ended already.
            let _ = end.send(());
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn received(&self, planned_nanos: Option<u64>) {
        let now = self.origin.nanos(Instant::now());
        if let Some(planned) = planned_nanos {
            let mut travelled = self.travelled.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(travelled) = travelled.as_mut() {
                travelled.saturating_record(now.saturating_sub(planned));
            }
        }
        self.last_nanos.store(now, Ordering::Release);
        self.delivered.fetch_add(1, Ordering::AcqRel);
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let (stream, _) = listener.accept().await?;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, &shared).await {
                eprintln!("sink: {error}");
            }
            drop(place);
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> Result<(), HeadError> {
    // A connection that breaks is the product's to repeat; the sink has nothing to add.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let mut answers = Vec::new();
        let mut used = 0;
        while let Some(head) = scan_request(&buffer[used..])? {
            if head.total_bytes > MAX_REQUEST_BYTES {
                return Err(HeadError::Length);
            }
            if buffer.len() - used < head.total_bytes {
                break;
            }
            used += head.total_bytes;
            shared.received(head.planned_nanos);
            answers.extend_from_slice(ANSWER);
        }
        buffer.drain(..used);
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() {
            return Ok(());
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_counted_also_when_they_come_in_pieces() {
        let sink = Sink::start(Origin::now()).unwrap();
        sink.note_travel();
        let mut stream = TcpStream::connect(sink.address()).await.unwrap();
        let request = b"POST / HTTP/1.1\r\nce-benchplanned: 0000000000000001\r\ncontent-length: 3\r\n\r\nabc";
        let two: Vec<u8> = [&request[..], &request[..]].concat();
        for piece in two.chunks(7) {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
        }
        let mut answers = vec![0; ANSWER.len() * 2];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, [ANSWER, ANSWER].concat());
        sink.wait_for(2, Duration::from_secs(10)).await.unwrap();
        assert_eq!(sink.take_travel().len(), 2);
        assert!(sink.take_travel().is_empty());
        assert!(sink.wait_for(3, Duration::from_millis(1)).await.is_err());
    }
}
