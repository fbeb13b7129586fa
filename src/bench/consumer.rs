//! The consumer of the gateway's workloads: a native program that does as little as one can.
//!
//! It listens at `PORT`, as the runtime contract has it, so a gateway and a bare spawn run the very same program. It is
//! written like the generator, on bare sockets and one thread, to leave the processors to what is measured.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST` | 202; when [`TELL`] names an address, a datagram goes there that says which event came, and when ([`Told`]) |
//! | `GET /hold/MILLISECONDS` | 200 after so long |
//! | any other | 200 at once, with `{"port": PORT}` |

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::response::{HeadError, header, request_line, scan_request};

/// The environment variable with the address to which arrivals are told.
pub const TELL: &str = "BENCH_TELL";

/// Where a request is held. What follows is for how long, in milliseconds.
pub const HOLD: &str = "/hold/";

/// The longest request that is read, bytes.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Time of the clock that all processes of this machine share, since an origin that they share, too.
pub fn machine_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// What a datagram of the consumer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The `id` of the event.
    pub id: String,
    /// When the whole of it was there, by [`machine_time`].
    pub at: Duration,
}

impl Told {
    /// `ID NANOSECONDS`.
    pub fn to_datagram(&self) -> String {
        format!("{} {}", self.id, self.at.as_nanos())
    }

    /// Reads a datagram; `None` when it is none of a consumer.
    pub fn of_datagram(bytes: &[u8]) -> Option<Self> {
        let (id, nanos) = std::str::from_utf8(bytes).ok()?.rsplit_once(' ')?;
        Some(Self { id: id.to_owned(), at: Duration::from_nanos(nanos.parse().ok()?) })
    }
}

/// Serves until it is killed.
pub fn run() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> std::io::Result<()> {
    // Whoever started it bare may be killed before it can end it.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let variable = |name| std::env::var(name).ok();
    let port = variable("PORT").and_then(|text| text.parse().ok());
    let port: u16 = port.ok_or_else(|| std::io::Error::other("PORT is no port"))?;
    let tell = variable(TELL).and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                if let Err(error) = connection(stream, port, tell).await {
                    eprintln!("consumer: {error}");
                }
            });
        }
    })
}

async fn connection(mut stream: TcpStream, port: u16, tell: Option<SocketAddr>) -> Result<(), HeadError> {
    // Refused only on a connection that has gone.
    let _ = stream.set_nodelay(true);
    let greeting = answer("200 OK", &serde_json::json!({ "port": port }).to_string());
    let taken = answer("202 Accepted", "");
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let whole = scan_request(&buffer)?.map(|head| head.total_bytes);
        if whole.is_some_and(|bytes| bytes > MAX_REQUEST_BYTES) {
            return Err(HeadError::Length);
        }
        let Some(whole) = whole.filter(|bytes| *bytes <= buffer.len()) else {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => continue,
            }
        };
        let asked = Asked::of(&buffer[..whole]);
        buffer.drain(..whole);
        let answer = match asked {
            Asked::Event(told) => {
                if let (Some(told), Some(to)) = (told, tell) {
                    tell_of(&told, to);
                }
                &taken
            }
            Asked::Hold(long) => {
                tokio::time::sleep(long).await;
                &greeting
            }
            Asked::Plain => &greeting,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return Ok(());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Event(Option<Told>),
    Hold(Duration),
    Plain,
}

impl Asked {
    fn of(request: &[u8]) -> Self {
        let (method, path) = request_line(request).unwrap_or_default();
        if method == b"POST" {
            let at = machine_time();
            let id = header(request, "ce-id").map(|id| String::from_utf8_lossy(id).into_owned());
            return Self::Event(id.map(|id| Told { id, at }));
        }
        let held = std::str::from_utf8(path).ok().and_then(|path| path.strip_prefix(HOLD)?.parse().ok());
        held.map_or(Self::Plain, |millis| Self::Hold(Duration::from_millis(millis)))
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn tell_of(told: &Told, to: SocketAddr) {
    let sent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.send_to(told.to_datagram().as_bytes(), to));
    if let Err(error) = sent {
        eprintln!("consumer: cannot tell of an event: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(Asked::of(b"GET / HTTP/1.1\r\n\r\n"), Asked::Plain);
        assert_eq!(Asked::of(b"GET /hold/250 HTTP/1.1\r\n\r\n"), Asked::Hold(Duration::from_millis(250)));
        assert_eq!(Asked::of(b"GET /hold/long HTTP/1.1\r\n\r\n"), Asked::Plain);
        assert_eq!(Asked::of(b"POST / HTTP/1.1\r\n\r\n"), Asked::Event(None));
        let before = machine_time();
        match Asked::of(b"POST / HTTP/1.1\r\nce-id: a 7\r\n\r\n") {
            Asked::Event(Some(told)) => assert!(told.id == "a 7" && told.at >= before),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_told_is_read() {
        let told = Told { id: "a 7".to_owned(), at: Duration::from_nanos(1_234_567_890_123) };
        assert_eq!(Told::of_datagram(told.to_datagram().as_bytes()), Some(told));
        for bad in [&b""[..], b"a", b"a b", b"a -1", b"\xff 1"] {
            assert_eq!(Told::of_datagram(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }

    #[tokio::test]
    async fn a_connection_is_served_request_by_request() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let arrivals = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tell = arrivals.local_addr().unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let served = tokio::spawn(connection(stream, 4321, Some(tell)));
        let requests = b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nce-id: x\r\ncontent-length: 2\r\n\r\nhi";
        for piece in requests.chunks(5) {
            client.write_all(piece).await.unwrap();
        }
        let want = format!("{}{}", answer("200 OK", r#"{"port":4321}"#), answer("202 Accepted", ""));
        let mut got = vec![0; want.len()];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&got), want);
        let mut datagram = [0; 100];
        let bytes = arrivals.recv(&mut datagram).await.unwrap();
        assert_eq!(Told::of_datagram(&datagram[..bytes]).unwrap().id, "x");
        drop(client);
        served.await.unwrap().unwrap();
    }
}
