//! A consumer started by nobody but the system, and asked as soon as it listens: what a cold start costs at least.
//!
//! Between two looks at its port pass as long pauses as the gateway's probe makes: 0.1 ms at first, each a fifth longer
//! than the one before, 5 ms at most (`serving-gateway/src/probe/pace.rs`). Its port was chosen before.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::error::{BenchError, Doing};
use super::response::scan_response;

/// Ports for consumers. They are outside of the range of outgoing connections, one of which might take one, and below those
/// that gateways give away.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// How long a consumer may take.
const LIMIT: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_micros(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Starts consumers.
#[derive(Debug)]
pub struct Bare {
    executable: PathBuf,
    next_port: AtomicU16,
}

impl Bare {
    /// Starts none yet.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn new() -> Result<Self, BenchError> {
        let executable = std::env::current_exe().doing(|| "finding this executable".to_owned())?;
        // Another bench on this machine looks elsewhere first.
        let offset = std::process::id() % u32::from(PORTS.end - PORTS.start);
        Ok(Self { executable, next_port: AtomicU16::new(PORTS.start + offset as u16) })
    }

    /// From the call that spawns a consumer to the first byte of its answer, for each of `count`, one after the other.
    ///
    /// # Errors
    /// [`BenchError`] when one does not answer.
    pub fn in_turn(&self, count: usize) -> Result<Vec<Duration>, BenchError> {
        (0..count).map(|_| first_byte(&self.executable, self.free_port()?, Instant::now())).collect()
    }

    /// The same for `count` at the same time, a thread each, from the moment at which all of them may begin.
    ///
    /// # Errors
    /// [`BenchError`] when one does not answer.
    pub fn at_once(&self, count: usize) -> Result<Vec<Duration>, BenchError> {
        let ports = (0..count).map(|_| self.free_port()).collect::<Result<Vec<_>, _>>()?;
        // Written once all threads are there; they wait for the lock.
        let began = RwLock::new(None::<Instant>);
        std::thread::scope(|scope| {
            let mut gate = began.write().unwrap_or_else(PoisonError::into_inner);
            let mut threads = Vec::with_capacity(count);
            for port in ports {
                let (began, executable) = (&began, &self.executable);
                let run = move || {
                    let began = *began.read().unwrap_or_else(PoisonError::into_inner);
                    began.map(|began| first_byte(executable, port, began))
                };
                let thread = std::thread::Builder::new().spawn_scoped(scope, run);
                threads.push(thread.doing(|| "starting a thread".to_owned())?);
            }
            *gate = Some(Instant::now());
            drop(gate);
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(Some(took)) => took,
                Ok(None) | Err(_) => Err(BenchError::Load { reason: "a thread failed".to_owned() }),
            });
            // All are joined, also when one failed.
            let all: Vec<_> = joined.collect();
            all.into_iter().collect()
        })
    }

    /// A port of 127.0.0.1 that nobody has.
    ///
    /// # Errors
    /// [`BenchError::Load`] when there is none.
    pub fn free_port(&self) -> Result<u16, BenchError> {
        for _ in PORTS {
            let next = |port: u16| Some(if port + 1 < PORTS.end { port + 1 } else { PORTS.start });
            let port = self.next_port.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(PORTS.start);
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        Err(BenchError::Load { reason: format!("no port of {PORTS:?} is free") })
    }
}

/// A consumer; killed when dropped.
struct Consumer(std::process::Child);

impl Drop for Consumer {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn first_byte(executable: &Path, port: u16, began: Instant) -> Result<Duration, BenchError> {
    exact_pauses();
    let process = Command::new(executable)
        .args(["bench", "consumer"])
        .env_clear()
        .env("PORT", port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .doing(|| "starting a consumer".to_owned())?;
    let mut consumer = Consumer(process);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = connect(&mut consumer, address, began)?;
    let doing = || format!("asking a consumer at {address}");
    stream.set_nodelay(true).doing(doing)?;
    stream.set_read_timeout(Some(LIMIT)).doing(doing)?;
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).doing(doing)?;
    let mut answer = Vec::new();
    let mut took = None;
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).doing(doing)?;
        let first = *took.get_or_insert_with(|| began.elapsed());
        if read == 0 {
            return Err(BenchError::Load { reason: format!("the consumer at {address} broke off") });
        }
        answer.extend_from_slice(&piece[..read]);
        let head = scan_response(&answer).map_err(|source| BenchError::Answer { peer: address.to_string(), source })?;
        match head {
            Some(head) if head.status != 200 => {
                return Err(BenchError::Load { reason: format!("the consumer answered {}", head.status) });
            }
            Some(head) if answer.len() >= head.total_bytes => return Ok(first),
            Some(_) | None => {}
        }
    }
}

fn connect(consumer: &mut Consumer, address: SocketAddr, began: Instant) -> Result<TcpStream, BenchError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(source) => {
                return Err(BenchError::Io { what: format!("connecting to a consumer at {address}"), source });
            }
        }
        if let Ok(Some(status)) = consumer.0.try_wait() {
            return Err(BenchError::Died { name: "a consumer", status, last_words: String::new() });
        }
        if began.elapsed() > LIMIT {
            return Err(BenchError::TooLate { what: "a consumer that listens".to_owned(), limit: LIMIT });
        }
        std::thread::park_timeout(pause);
        pause = (pause * 6 / 5).min(LONGEST_PAUSE);
    }
}

/// Has the pauses of this thread end when they should. The system adds 50 us to each otherwise, and none to the gateway's
/// timer.
fn exact_pauses() {
    #[cfg(target_os = "linux")]
    // Refused only by kernels that know nothing of it.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_free() {
        let bare = Bare::new().unwrap();
        let (a, b) = (bare.free_port().unwrap(), bare.free_port().unwrap());
        assert!(a != b && PORTS.contains(&a) && PORTS.contains(&b));
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, bare.free_port().unwrap())).unwrap();
        let port = held.local_addr().unwrap().port();
        bare.next_port.store(port, Ordering::Relaxed);
        assert_ne!(bare.free_port().unwrap(), port);
    }
}
