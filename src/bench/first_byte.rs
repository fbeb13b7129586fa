//! One request of a client that has no connection yet, and when the first byte of its answer came.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::{BenchError, Doing};
use super::http;
use super::response::header;

/// How long an answer may take, a start of a program included.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The longest answer that is read, bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Says whether an instance had to be started or resumed for a request.
const COLD_START: &str = "pelton-cold-start";

/// An event that the examples answer with another (`examples/README.md`), and any consumer takes.
const EVENT: &str = "ce-specversion: 1.0\r\nce-type: com.example.order.placed\r\nce-source: /pelton/bench\r\nce-id: 1\r\n\
                     content-type: application/json\r\n";
const EVENT_DATA: &str = r#"{"item":"wheel"}"#;

/// What came of a request that was answered 2xx.
#[derive(Debug, Clone)]
pub struct FirstByte {
    /// From `began` to the first byte.
    pub after: Duration,
    /// Whether an instance had to be started or resumed for it, as the gateway says; `None` when it does not.
    pub was_cold: Option<bool>,
    /// The body.
    pub body: String,
}

impl FirstByte {
    /// An error when no instance had to be started or resumed, so that the figure is of something else.
    ///
    /// # Errors
    /// [`BenchError::Load`].
    pub fn demand_cold(self) -> Result<Self, BenchError> {
        match self.was_cold {
            Some(true) => Ok(self),
            Some(false) => Err(BenchError::Load { reason: "an instance ran that should not have".to_owned() }),
            None => Err(BenchError::Missing { place: "an answer".to_owned(), field: COLD_START.to_owned() }),
        }
    }
}

/// Connects to `server` and asks for `/` of `host`. The time counts from `began`.
///
/// # Errors
/// [`BenchError`] for any answer but 2xx.
pub async fn get(server: SocketAddr, host: &str, began: Instant) -> Result<FirstByte, BenchError> {
    ask(server, host, format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"), began).await
}

/// The same with an event for `host`.
///
/// # Errors
/// As [`get`].
pub async fn post(server: SocketAddr, host: &str, began: Instant) -> Result<FirstByte, BenchError> {
    let length = EVENT_DATA.len();
    let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    ask(server, host, format!("{head}{EVENT}\r\n{EVENT_DATA}"), began).await
}

async fn ask(server: SocketAddr, host: &str, request: String, began: Instant) -> Result<FirstByte, BenchError> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(4096);
        stream.read_buf(&mut answer).await?;
        let after = began.elapsed();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok((after, answer))
    };
    let what = || format!("a request for {host} at {server}");
    let (after, answer) = match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(answered) => answered.doing(what)?,
        Err(_) => return Err(BenchError::TooLate { what: what(), limit: ANSWER_LIMIT }),
    };
    let (status, body) = http::read(&answer).map_err(|source| BenchError::Answer { peer: what(), source })?;
    if !(200..300).contains(&status) {
        return Err(BenchError::Refused { request: what(), status, text: body.chars().take(200).collect() });
    }
    Ok(FirstByte { after, was_cold: header(&answer, COLD_START).map(|value| value == b"true"), body })
}

#[cfg(test)]
mod tests {
    use super::super::response::scan_request;
    use super::*;

    /// Both kinds of request to a server that gives this answer, which must be the same for both.
    async fn asked(answer: &'static [u8]) -> Result<FirstByte, BenchError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let serve = async || {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while scan_request(&request).unwrap().is_none_or(|head| head.total_bytes > request.len()) {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer).await.unwrap();
        };
        let (got, ()) = tokio::join!(get(server, "a.localhost", Instant::now()), serve());
        let (posted, ()) = tokio::join!(post(server, "a.localhost", Instant::now()), serve());
        assert_eq!(got.is_ok(), posted.is_ok());
        got
    }

    #[tokio::test]
    async fn an_answer_says_whether_it_was_cold() {
        let cold = asked(b"HTTP/1.1 200 OK\r\npelton-cold-start: true\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        assert_eq!((cold.was_cold, cold.body.as_str()), (Some(true), "hi"));
        assert!(cold.demand_cold().is_ok());
        let warm = asked(b"HTTP/1.1 200 OK\r\npelton-cold-start: false\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(warm.demand_cold().is_err());
        let silent = asked(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert!(silent.demand_cold().is_err());
    }

    #[tokio::test]
    async fn any_other_answer_is_an_error() {
        let refused = asked(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nfull").await.unwrap_err();
        assert!(matches!(refused, BenchError::Refused { status: 503, .. }), "{refused}");
        assert!(asked(b"").await.is_err());
    }
}
