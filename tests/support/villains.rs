//! Subscribers that misbehave, each in its own way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::http::Message;
use super::sink::answer;
use super::{Sink, trigger};

/// Short retries, so that the end of a policy comes soon.
const DELIVERY: &str = "  delivery: {retry: 1, backoffPolicy: linear, backoffDelay: PT0.05S}\n";

/// An attempt that is not answered lasts longer than any test: who waits for its end, waits for ever.
const HOLDING: &str = "  delivery: {retry: 1, backoffPolicy: linear, backoffDelay: PT0.05S, timeout: PT1H}\n";

/// For an event that must be given up quickly by its policy alone.
const RARE: &str = "  filter: {attributes: {type: com.example.b}}\n";

/// A subscriber that misbehaves, and what the dead letters of it must say.
pub struct Villain {
    pub name: &'static str,
    pub url: String,
    pub want: Want,
    asked: Arc<AtomicUsize>,
    /// Kept for as long as it is to be reached, or not to be.
    _place: Place,
}

enum Place {
    Sink { _sink: Sink },
    Deaf { _deaf: Deaf },
}

pub enum Want {
    /// Each event becomes a dead letter at once.
    All { cause: &'static str, code: u64 },
    /// The few events of [`RARE`] become dead letters, each after so many attempts.
    Rare { cause: &'static str, code: Option<u64>, attempts: u64 },
    /// Each event counts as delivered.
    Delivered,
    /// It holds the attempts that it was given and never ends one.
    Holding,
    /// It fails for ever.
    Failing,
    /// It cannot even be connected to.
    Deaf,
}

impl Villain {
    fn new(
        name: &'static str,
        want: Want,
        handler: impl Fn(Message, &mut TcpStream) -> std::io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::<AtomicUsize>::default();
        let asking = Arc::clone(&asked);
        let sink = Sink::start(move |request, stream| {
            asking.fetch_add(1, Ordering::AcqRel);
            handler(request, stream)
        });
        Self { name, url: sink.url(), asked, want, _place: Place::Sink { _sink: sink } }
    }

    fn deaf(name: &'static str) -> Self {
        let deaf = Deaf::new();
        let url = format!("http://{}/", deaf.address);
        Self { name, url, asked: Arc::default(), want: Want::Deaf, _place: Place::Deaf { _deaf: deaf } }
    }

    /// Its Trigger.
    pub fn manifest(&self) -> String {
        let delivery = if matches!(self.want, Want::Holding) { HOLDING } else { DELIVERY };
        let filter = if matches!(self.want, Want::Rare { .. }) { RARE } else { "" };
        trigger(self.name, &self.url, &format!("{delivery}{filter}"))
    }

    /// How often it was sent an event.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }
}

/// A listener whose queue is full and stays so: the system drops every further SYN.
struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    _crowd: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // A connection to a queue with room is made at once; one that is not has met a full queue. The bound is far
        // beyond what the standard library asks for.
        let knock = |_| TcpStream::connect_timeout(&address, Duration::from_millis(250)).ok();
        let crowd: Vec<_> = (0..10_000).map_while(knock).collect();
        assert!(crowd.len() < 10_000, "the queue of a listener has no end");
        Self { address, _listener: listener, _crowd: crowd }
    }
}

/// Writes for ever; ends when the other side has had enough.
fn endless(stream: &mut TcpStream, head: &str) -> std::io::Result<bool> {
    stream.write_all(format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())?;
    let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
    loop {
        stream.write_all(&chunk)?;
    }
}

/// Keeps the connection until the other side gives up.
fn hold(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    Ok(false)
}

/// One of each kind. `lure` is where the redirecting one points.
pub fn villains(lure: &Sink) -> Vec<Villain> {
    let elsewhere = format!("location: {}\r\n", lure.url());
    let page = vec![b'<'; 10 * 1024 * 1024];
    let rare = |cause, code, attempts| Want::Rare { cause, code, attempts };
    vec![
        Villain::new("silent", Want::Holding, |_, stream| hold(stream)),
        Villain::new("half-answer", Want::Holding, |_, stream| {
            stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\nhalf")?;
            hold(stream)
        }),
        Villain::deaf("deaf"),
        Villain::new("failing", Want::Failing, |_, stream| answer(stream, 500, "", b"no")),
        Villain::new("closing", Want::Failing, |_, _| Ok(false)),
        Villain::new("half-closing", Want::Failing, |_, stream| {
            stream.shutdown(Shutdown::Write)?;
            hold(stream)
        }),
        Villain::new("drowning", Want::Failing, |_, stream| endless(stream, "500 x")),
        Villain::new("rare-failing", rare("retries-exhausted", Some(500), 2), |_, stream| {
            answer(stream, 500, "", b"no")
        }),
        Villain::new("rare-closing", rare("retries-exhausted", None, 2), |_, _| Ok(false)),
        Villain::new("rare-babble", rare("retries-exhausted", None, 2), |_, stream| {
            stream.write_all(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")?;
            Ok(false)
        }),
        Villain::new("rare-endless-reply", rare("reply", Some(200), 2), |_, stream| {
            endless(stream, "200 x\r\ncontent-type: application/cloudevents+json")
        }),
        Villain::new("page", Want::All { cause: "rejected", code: 400 }, move |_, stream| {
            answer(stream, 400, "content-type: text/html\r\n", &page)
        }),
        Villain::new("redirecting", Want::All { cause: "rejected", code: 302 }, move |_, stream| {
            answer(stream, 302, &elsewhere, b"")
        }),
        Villain::new("endless", Want::Delivered, |_, stream| endless(stream, "200 x\r\ncontent-type: text/plain")),
    ]
}
