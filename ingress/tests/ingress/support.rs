//! A log in memory whose answers a test decides, and a producer that sends raw bytes.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton_client::{
    AppendError, Appended, ApplyError, BrokerName, Client, ClusterChange, ClusterError, ClusterView, DeadLetter,
    DispatchQuery, DispatchReport, EventBatch, Grant, GroupCursors, GroupId, Hops, NodeId, NodeReport, Offset,
    OperationError, Position, Progress, ReadError, Resources, Selection, Session, Start, TriggerId, Warning,
};
use pelton_env::{ManualClock, UnixMillis};
use pelton_event::Event;
use pelton_ingress::{Ingress, IngressHandle, Options};
use pelton_resource::{Broker, Resource, ResourceKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Long enough for anything that is going to happen; a test that waits this long has failed.
pub const GUARD: Duration = Duration::from_secs(30);

/// What the clock of every test shows: 2024-02-29T12:34:56.789Z.
pub const NOW: UnixMillis = UnixMillis(1_709_210_096_789);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// The `id` of an event at which this log has a bug.
pub const PANIC: &str = "panic";

/// One call of `append`.
#[derive(Debug, Clone)]
pub struct Call {
    pub broker: String,
    pub events: Vec<Event>,
    pub hops: Hops,
}

#[derive(Clone)]
pub struct FakeLog(Arc<Inner>);

struct Inner {
    resources: watch::Sender<Arc<Resources>>,
    calls: watch::Sender<Vec<Call>>,
    outcome: Mutex<Option<AppendError>>,
    open: watch::Sender<bool>,
}

impl FakeLog {
    pub fn new(brokers: &[&str]) -> Self {
        let log = Self(Arc::new(Inner {
            resources: watch::Sender::default(),
            calls: watch::Sender::default(),
            outcome: Mutex::default(),
            open: watch::Sender::new(true),
        }));
        for broker in brokers {
            log.create(broker, None);
        }
        log
    }

    pub fn create(&self, name: &str, header_encoding: Option<&str>) {
        let mut broker = Broker::default();
        if let Some(encoding) = header_encoding {
            broker.metadata.annotations.insert("pelton.dev/header-encoding".into(), encoding.into());
        }
        self.0.resources.send_modify(|resources| {
            let mut next = Resources::clone(resources);
            next.version += 1;
            next.brokers.insert(BrokerName::parse(name).unwrap(), Arc::new(broker));
            *resources = Arc::new(next);
        });
    }

    pub fn delete(&self, name: &str) {
        self.0.resources.send_modify(|resources| {
            let mut next = Resources::clone(resources);
            next.brokers.remove(&BrokerName::parse(name).unwrap());
            *resources = Arc::new(next);
        });
    }

    /// Every append from now on has this outcome.
    pub fn answer(&self, outcome: Option<AppendError>) {
        *self.0.outcome.lock().unwrap() = outcome;
    }

    /// Appends are answered, or wait.
    pub fn open(&self, open: bool) {
        self.0.open.send_replace(open);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.0.calls.borrow().clone()
    }

    /// Waits until there were so many calls.
    pub async fn called(&self, times: usize) {
        let mut calls = self.0.calls.subscribe();
        let wait = calls.wait_for(|calls| calls.len() >= times);
        soon("an append", wait).await.unwrap();
    }
}

impl Client for FakeLog {
    async fn tell_revisions(&self, _: pelton_client::serving::RevisionsTold) -> Result<(), ApplyError> {
        unreachable!("ingress runs no revisions")
    }

    async fn scales(&self, _: &str, _: u64) -> Result<pelton_client::serving::Scales, ApplyError> {
        unreachable!("ingress runs no revisions")
    }

    type Append = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send>>;

    fn append(&self, broker: &BrokerName, events: &[Event], hops: Hops) -> Self::Append {
        assert!(events.iter().all(|event| event.id() != PANIC), "a bug that a test asked for");
        let call = Call { broker: broker.to_string(), events: events.to_vec(), hops };
        self.0.calls.send_modify(|calls| calls.push(call));
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let mut open = inner.open.subscribe();
            let _ = open.wait_for(|open| *open).await;
            match inner.outcome.lock().unwrap().clone() {
                Some(error) => Err(error),
                None => Ok(Appended { position: Position { group: GroupId(0), offset: Offset(0) }, duplicates: 0 }),
            }
        })
    }

    fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.0.resources.subscribe()
    }

    // What an ingress never asks.

    fn groups(&self) -> Vec<GroupId> {
        Vec::new()
    }

    fn committed(&self, group: GroupId) -> Result<watch::Receiver<Offset>, ReadError> {
        Err(ReadError::UnknownGroup(group))
    }

    async fn read(&self, group: GroupId, _: Offset, _: usize) -> Result<Vec<EventBatch>, ReadError> {
        Err(ReadError::UnknownGroup(group))
    }

    async fn first(&self, group: GroupId) -> Result<Offset, ReadError> {
        Err(ReadError::UnknownGroup(group))
    }

    async fn cursors(&self, group: GroupId) -> Result<GroupCursors, ReadError> {
        Err(ReadError::UnknownGroup(group))
    }

    fn cursor_changes(&self, group: GroupId) -> Result<watch::Receiver<u64>, ReadError> {
        Err(ReadError::UnknownGroup(group))
    }

    fn served(&self) -> watch::Receiver<Arc<BTreeMap<GroupId, Grant>>> {
        watch::Sender::default().subscribe()
    }

    fn release(&self, _: GroupId, _: Session) {}

    fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        watch::Sender::default().subscribe()
    }

    async fn report(&self, _: NodeId) -> Option<NodeReport> {
        None
    }

    async fn dispatch_report(&self, _: NodeId, _: DispatchQuery) -> Option<DispatchReport> {
        None
    }

    async fn change_cluster(&self, _: ClusterChange) -> Result<(), ClusterError> {
        Err(ClusterError::Unavailable)
    }

    async fn progress(&self, group: GroupId, _: Session, _: Progress) -> Result<(), OperationError> {
        Err(OperationError::UnknownGroup(group))
    }

    async fn rewind(&self, _: TriggerId, _: Start) -> Result<(), OperationError> {
        Err(OperationError::UnknownTrigger)
    }

    async fn dead_letters(
        &self,
        _: Option<TriggerId>,
        _: Option<(TriggerId, Position)>,
        _: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        Err(ReadError::Unavailable)
    }

    async fn dead_letter(&self, _: TriggerId, _: Position) -> Result<Option<DeadLetter>, ReadError> {
        Err(ReadError::Unavailable)
    }

    async fn redrive(&self, _: Selection) -> Result<u64, OperationError> {
        Err(OperationError::UnknownDeadLetter)
    }

    async fn discard(&self, _: Selection) -> Result<u64, OperationError> {
        Err(OperationError::UnknownDeadLetter)
    }

    async fn apply(&self, _: Vec<Resource>) -> Result<Vec<Resource>, ApplyError> {
        Err(ApplyError::Unavailable)
    }

    async fn delete(&self, _: ResourceKey) -> Result<(), ApplyError> {
        Err(ApplyError::Unavailable)
    }

    async fn write(&self, _: pelton_client::Write) -> Result<u64, ApplyError> {
        Err(ApplyError::Unavailable)
    }

    async fn warn(&self, _: TriggerId, _: Option<Warning>) -> Result<(), ApplyError> {
        Err(ApplyError::Unavailable)
    }
}

pub fn serve(log: &FakeLog, options: Options) -> IngressHandle {
    let listener = Ingress::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Ingress::serve(vec![listener], log.clone(), None, options, Arc::new(ManualClock::new(NOW))).unwrap()
}

/// A log with the Broker `default/default`, and an ingress before it.
pub fn start() -> (FakeLog, IngressHandle) {
    let log = FakeLog::new(&["default/default"]);
    let ingress = serve(&log, Options::default());
    (log, ingress)
}

/// Head of a good event in binary mode, without the empty line, to `/default/default`.
pub const HEAD: &str = "POST /default/default HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\n\
ce-source: /s\r\nce-type: t\r\n";

/// A whole request with a good event and this data.
pub fn event(data: &str) -> String {
    request(HEAD, data)
}

/// `head`, a `Content-Length`, and `data`.
pub fn request(head: &str, data: &str) -> String {
    format!("{head}content-length: {}\r\n\r\n{data}", data.len())
}

/// A request with this `Content-Type` and body.
pub fn typed(content_type: &str, body: &str) -> String {
    request(&format!("POST /default/default HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n"), body)
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The last part of the problem's type; `-` for an answer without a body.
    pub fn problem(&self) -> String {
        if self.body.is_empty() {
            return "-".into();
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["type"].as_str().unwrap().strip_prefix("urn:pelton:problem:").unwrap().to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A producer on one connection.
pub struct Producer {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Producer {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }

    pub fn on(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes).await;
        self.answer().await
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the connection was closed before an answer")
    }

    /// The next answer, or `None` when the connection ends before.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.parse() {
                return Some(answer);
            }
            let mut buffer = [0; 8192];
            match soon("an answer", self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Waits until the connection ends, whatever else comes before.
    pub async fn closed(mut self) {
        while self.try_answer().await.is_some() {}
    }

    fn parse(&mut self) -> Option<Answer> {
        let end = self.read.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(self.read[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: String::new() };
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if status == 100 {
            self.read.drain(..end + 4);
            return Some(answer);
        }
        let whole = end + 4 + length;
        if self.read.len() < whole {
            return None;
        }
        answer.body = String::from_utf8(self.read[end + 4..whole].to_vec()).unwrap();
        self.read.drain(..whole);
        Some(answer)
    }
}

/// One request on a connection of its own.
pub async fn ask(ingress: &IngressHandle, bytes: impl AsRef<[u8]>) -> Answer {
    Producer::connect(ingress.local_addr()).await.ask(bytes).await
}
