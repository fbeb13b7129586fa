//! A subscriber in the test's own process, that does with a request whatever the test likes.

use std::io::{self, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::http::{Connection, Message};
use super::wait::wait_until;

/// What to do with a request; `false` closes the connection.
pub type Handler = dyn Fn(Message, &mut TcpStream) -> io::Result<bool> + Send + Sync;

/// Asked for by the test itself, to know that everything before it was accepted.
const MARKER: &str = "/marker-of-the-test";

/// A listener with a thread a connection.
pub struct Sink {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    pub fn start(handler: impl Fn(Message, &mut TcpStream) -> io::Result<bool> + Send + Sync + 'static) -> Self {
        Self::start_at(IpAddr::from([127, 0, 0, 1]), handler)
    }

    /// On a free port of another address than loopback's.
    pub fn start_at(
        host: IpAddr,
        handler: impl Fn(Message, &mut TcpStream) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (open, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (handler, count, stopped): (Arc<Handler>, _, _) = (Arc::new(handler), Arc::clone(&open), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (handler, count) = (Arc::clone(&handler), Arc::clone(&count));
                count.fetch_add(1, Ordering::AcqRel);
                std::thread::spawn(move || {
                    let _ = serve(stream, &*handler);
                    count.fetch_sub(1, Ordering::AcqRel);
                });
            }
        });
        Self { address, open, stop }
    }

    /// A subscriber that takes everything.
    pub fn accepting() -> Self {
        Self::start(|_, stream| answer(stream, 200, "", b""))
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Waits until everything that a process which is gone has sent was taken in.
    pub fn wait_until_quiet(&self) {
        let mut marker = Connection::open(self.address).unwrap();
        assert_eq!(marker.call("GET", MARKER, "", b"").unwrap().status(), 200);
        drop(marker);
        wait_until("the connections of a dead process to end", || self.open.load(Ordering::Acquire) == 0);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, handler: &Handler) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut write = stream.try_clone()?;
    let mut read = BufReader::new(stream);
    while let Some(request) = Message::read(&mut read, false)? {
        if request.first.contains(MARKER) {
            answer(&mut write, 200, "", b"")?;
            continue;
        }
        if !handler(request, &mut write)? {
            break;
        }
    }
    Ok(())
}

/// Answers, and keeps the connection. `headers` are whole lines.
pub fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> io::Result<bool> {
    let mut answer = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    stream.write_all(&answer)?;
    Ok(true)
}
