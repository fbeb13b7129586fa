//! A subscriber that records what it gets and answers as a test says.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// The longest that a test waits for something that will come. Nothing is asserted about how long it took.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How many requests for the same path and event came before.
    pub earlier: usize,
    /// When, for lower bounds only.
    pub at: std::time::Instant,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn id(&self) -> &str {
        self.header("ce-id").unwrap_or("")
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    gate: Option<watch::Receiver<bool>>,
}

pub fn status(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Bytes::new(), gate: None }
}

impl Answer {
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Answers when the gate is open.
    pub fn when(mut self, gate: &watch::Sender<bool>) -> Self {
        self.gate = Some(gate.subscribe());
        self
    }

    /// A reply event in binary mode.
    pub fn reply(self, ty: &str, id: &str) -> Self {
        self.header("ce-specversion", "1.0").header("ce-type", ty).header("ce-source", "/reply").header("ce-id", id)
    }
}

type Rule = dyn Fn(&Received) -> Answer + Send + Sync;

#[derive(Default)]
struct Log {
    received: Vec<Received>,
    per_event: HashMap<(String, String), usize>,
    per_path: HashMap<String, usize>,
}

/// A subscriber.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    count: watch::Sender<usize>,
    rule: Arc<Mutex<Arc<Rule>>>,
    /// Connections that are open.
    pub connections: watch::Sender<usize>,
}

impl Sink {
    /// Starts one that answers by `rule`.
    pub async fn start(rule: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            log: Arc::default(),
            count: watch::Sender::new(0),
            rule: Arc::new(Mutex::new(Arc::new(rule))),
            connections: watch::Sender::new(0),
        };
        let server = sink.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                stream.set_nodelay(true).unwrap();
                tokio::spawn(server.clone().serve(stream));
            }
        });
        sink
    }

    /// Starts one that takes everything.
    pub async fn accepting() -> Self {
        Self::start(|_| status(202)).await
    }

    /// Answers by another rule from now on.
    pub fn answer(&self, rule: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *self.rule.lock() = Arc::new(rule);
    }

    async fn serve(self, stream: TcpStream) {
        self.connections.send_modify(|count| *count += 1);
        let service = service_fn(|request| self.handle(request));
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        self.connections.send_modify(|count| *count -= 1);
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let (path, at) = (head.uri.path().to_owned(), std::time::Instant::now());
        let mut received = Received { path, headers: head.headers, body, earlier: 0, at };
        {
            let mut log = self.log.lock();
            let earlier = log.per_event.entry((received.path.clone(), received.id().to_owned())).or_default();
            received.earlier = *earlier;
            *earlier += 1;
            *log.per_path.entry(received.path.clone()).or_default() += 1;
            log.received.push(received.clone());
        }
        self.count.send_modify(|count| *count += 1);
        let rule = self.rule.lock().clone();
        let answer = rule(&received);
        if let Some(mut gate) = answer.gate {
            let _ = gate.wait_for(|open| *open).await;
        }
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap();
        for (name, value) in answer.headers {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        Ok(response)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.log.lock().received.clone()
    }

    /// What came at one path.
    pub fn at(&self, path: &str) -> Vec<Received> {
        self.received().into_iter().filter(|received| received.path == path).collect()
    }

    /// The ids that came at one path, in the order in which they came.
    pub fn ids(&self, path: &str) -> Vec<String> {
        self.at(path).iter().map(|received| received.id().to_owned()).collect()
    }

    /// Waits until so many requests came at a path. More may have come.
    pub async fn wait(&self, path: &str, count: usize) {
        let mut changed = self.count.subscribe();
        let waited =
            timeout(PATIENCE, changed.wait_for(|_| self.log.lock().per_path.get(path).copied().unwrap_or(0) >= count))
                .await;
        assert!(waited.is_ok(), "{} of {count} requests came at {path}", self.at(path).len());
    }
}

/// What a server does that does not speak HTTP as it should.
#[derive(Debug, Clone, Copy)]
pub enum Misbehaviour {
    /// Reads the request and closes.
    Close,
    /// Reads the request and resets the connection.
    Reset,
    /// Reads the request and never answers.
    Silence,
    /// Answers something that is no HTTP.
    Garbage,
    /// Answers 200, declares more than it sends, and closes.
    Half,
    /// Answers this status with a body that never ends.
    Endless(u16, &'static str),
    /// Answers 100 and then 200.
    Continue,
    /// Sends so many bytes of a reply event, fewer than it declares, and then nothing.
    Stalled(usize),
}

/// A server that misbehaves, and how many requests it got and bytes it sent.
pub struct Brute {
    pub url: String,
    pub requests: watch::Receiver<usize>,
    pub sent_bytes: watch::Receiver<usize>,
    pub connections: watch::Receiver<usize>,
}

impl Brute {
    pub async fn start(misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (requests, requested) = watch::channel(0);
        let (sent, sent_bytes) = watch::channel(0);
        let (open, connections) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(brute(stream, misbehaviour, requests.clone(), sent.clone(), open.clone()));
            }
        });
        Self { url, requests: requested, sent_bytes, connections }
    }

    pub async fn wait(&mut self, count: usize) {
        let waited = timeout(PATIENCE, self.requests.wait_for(|requests| *requests >= count)).await.is_ok();
        assert!(waited, "{} of {count} requests came", *self.requests.borrow());
    }
}

async fn brute(
    mut stream: TcpStream,
    misbehaviour: Misbehaviour,
    requests: watch::Sender<usize>,
    sent: watch::Sender<usize>,
    open: watch::Sender<usize>,
) -> Option<Infallible> {
    open.send_modify(|count| *count += 1);
    let mut seen = Vec::new();
    // Events here have no data, so a request ends with its head.
    while !seen.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
    requests.send_modify(|count| *count += 1);
    match misbehaviour {
        Misbehaviour::Close => {}
        Misbehaviour::Reset => stream.set_zero_linger().ok()?,
        Misbehaviour::Silence => {
            let _ = stream.read_buf(&mut seen).await;
        }
        Misbehaviour::Garbage => stream.write_all(b"220 mail.example.com ESMTP\r\n\r\n").await.ok()?,
        Misbehaviour::Half => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.ok()?;
        }
        Misbehaviour::Continue => {
            stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .ok()?;
        }
        Misbehaviour::Stalled(bytes) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\ncontent-length: \
                 {}\r\n\r\n",
                bytes + 1
            );
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&vec![b'x'; bytes]).await.ok()?;
            sent.send_modify(|all| *all += bytes);
            let _ = stream.read_buf(&mut seen).await;
        }
        Misbehaviour::Endless(status, headers) => {
            let head = format!("HTTP/1.1 {status} X\r\n{headers}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()?;
            let piece = [b'x'; 16 * 1024];
            while stream.write_all(&piece).await.is_ok() {
                sent.send_modify(|bytes| *bytes += piece.len());
            }
        }
    }
    None
}
