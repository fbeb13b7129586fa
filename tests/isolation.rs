//! Nothing stops the others: subscribers that misbehave in every way beside subscribers that do not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use support::event::{TYPE_A, TYPE_B};
use support::http::Message;
use support::sink::answer;
use support::{Connection, Node, Recorder, Sink, Start, TestEvent, trigger, wait_for, wait_until};

/// Events that every subscriber is to get.
const EVENTS: u64 = 600;

/// Data of each.
const EVENT_BYTES: usize = 2 * 1024;

/// Most memory that the process may ever have used. The caches of the log and of the dispatcher are 80 MiB of it.
const MEMORY_CAP_KIB: u64 = 256 * 1024;

/// Short retries, so that the end of a policy comes soon.
const DELIVERY: &str = "  delivery: {retry: 1, backoffPolicy: linear, backoffDelay: PT0.05S}\n";

/// For an event that must be given up quickly by its policy alone.
const RARE: &str = "  filter: {attributes: {type: com.example.b}}\n";

/// A subscriber that misbehaves, and what the dead letters of it must say.
struct Villain {
    name: &'static str,
    sink: Sink,
    asked: Arc<AtomicUsize>,
    want: Want,
}

enum Want {
    /// Each event becomes a dead letter at once.
    All { cause: &'static str, code: u64 },
    /// The few events of [`RARE`] become dead letters, each after so many attempts.
    Rare { cause: &'static str, code: Option<u64>, attempts: u64 },
    /// Each event counts as delivered.
    Delivered,
    /// It holds what it was given and never answers.
    Silent,
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
        Self { name, sink, asked, want }
    }

    fn manifest(&self) -> String {
        let filter = if matches!(self.want, Want::Rare { .. }) { RARE } else { "" };
        trigger(self.name, &self.sink.url(), &format!("{DELIVERY}{filter}"))
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

fn villains(lured: &Sink) -> Vec<Villain> {
    let elsewhere = format!("location: {}\r\n", lured.url());
    let page = vec![b'<'; 10 * 1024 * 1024];
    let rare = |cause, code, attempts| Want::Rare { cause, code, attempts };
    vec![
        Villain::new("silent", Want::Silent, |_, stream| {
            // Until the other side gives up.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            Ok(false)
        }),
        Villain::new("failing", Want::Silent, |_, stream| answer(stream, 500, "", b"no")),
        Villain::new("closing", Want::Silent, |_, _| Ok(false)),
        Villain::new("drowning", Want::Silent, |_, stream| endless(stream, "500 x")),
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

/// F21, F23, S17.
#[test]
fn subscribers_that_misbehave_stop_nobody_else() {
    let lured = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&lured);
    let elsewhere = Sink::start(move |_, stream| {
        counting.fetch_add(1, Ordering::AcqRel);
        answer(stream, 200, "", b"")
    });
    let (villains, good) = (villains(&elsewhere), [Recorder::default(), Recorder::default()]);
    let sinks: Vec<_> = good
        .iter()
        .map(|recorder| {
            let recorder = recorder.clone();
            Sink::start(move |request, stream| {
                recorder.noted(&request);
                answer(stream, 202, "", b"")
            })
        })
        .collect();
    let mut manifest: String = villains.iter().map(Villain::manifest).collect();
    for (place, sink) in sinks.iter().enumerate() {
        manifest += &trigger(&format!("good-{place}"), &sink.url(), "");
    }
    let folder = tempfile::tempdir().unwrap();
    let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "warn"]).node();

    let mut connection = Connection::open(node.ingress).unwrap();
    for number in 0..EVENTS {
        let ty = if number < 3 { TYPE_B } else { TYPE_A };
        let answer = connection.post(&TestEvent::sized(number, ty, EVENT_BYTES)).unwrap();
        assert_eq!(answer.status(), 202, "event {number} is refused: {}", answer.text());
    }
    for (place, recorder) in good.iter().enumerate() {
        wait_for(&format!("all events at good-{place}"), || match recorder.events() {
            count if count == EVENTS as usize => Ok(()),
            count => Err(format!("{count} of {EVENTS}")),
        });
        assert_eq!(recorder.wrong(), Vec::<String>::new());
        assert!(recorder.deliveries().values().all(|lives| lives.len() == 1), "good-{place}: each event once");
    }
    for villain in &villains {
        check(&node, villain);
    }
    assert_eq!(lured.load(Ordering::Acquire), 0, "a redirect is never followed");
    let peak = node.memory_kib("VmHWM");
    eprintln!("isolation: the process used at most {} MiB", peak / 1024);
    assert!(peak < MEMORY_CAP_KIB, "{} MiB", peak / 1024);
    node.process.killer().kill();
}

fn check(node: &Node, villain: &Villain) {
    let name = villain.name;
    let letters = |want: u64| {
        wait_for(&format!("{want} dead letters of {name}"), || {
            let letters = node.dead_letters(name);
            let asked = villain.asked.load(Ordering::Acquire);
            let found = format!("{} letters, it was asked {asked} times", letters.len());
            if letters.len() as u64 == want { Ok(letters) } else { Err(found) }
        })
    };
    let is = |letter: &Value, cause: &str, code: Option<u64>| {
        assert_eq!(letter["cause"], cause, "{name}: {letter}");
        assert_eq!(letter["code"].as_u64(), code, "{name}: {letter}");
        assert_eq!(letter["destination"], villain.sink.url(), "{name}");
        let detail = letter["detail"].as_str().unwrap_or("");
        assert!(detail.len() <= 768, "{name}: {} bytes of an answer are kept", detail.len());
    };
    match villain.want {
        Want::All { cause, code } => letters(EVENTS).iter().for_each(|letter| {
            is(letter, cause, Some(code));
            assert_eq!(letter["attempts"], 1, "{name}: what is refused is not tried again");
        }),
        Want::Rare { cause, code, attempts } => letters(3).iter().for_each(|letter| {
            is(letter, cause, code);
            assert_eq!(letter["attempts"], attempts, "{name}: exactly the policy: {letter}");
        }),
        Want::Delivered => wait_until(&format!("{name} to be asked for all events"), || {
            villain.asked.load(Ordering::Acquire) as u64 == EVENTS
        }),
        Want::Silent => assert!(villain.asked.load(Ordering::Acquire) > 0, "{name} was asked"),
    }
}

/// F24: where the dead-letter sink fails as well, the event is kept; where it works, it gets the reason with the event.
#[test]
fn with_subscriber_and_dead_letter_sink_down_the_event_is_kept() {
    let (broken, works) = (Arc::<AtomicUsize>::default(), Recorder::default());
    let counting = Arc::clone(&broken);
    let subscriber = Sink::start(|_, stream| answer(stream, 422, "", b"cannot"));
    let broken_sink = Sink::start(move |_, stream| {
        counting.fetch_add(1, Ordering::AcqRel);
        answer(stream, 503, "", b"down too")
    });
    let (recording, reasons) = (works.clone(), Arc::<parking_lot::Mutex<Vec<Message>>>::default());
    let keeping = Arc::clone(&reasons);
    let working_sink = Sink::start(move |request, stream| {
        recording.noted(&request);
        keeping.lock().push(request);
        answer(stream, 200, "", b"")
    });
    let with_sink = |sink: &Sink| {
        format!(
            "  delivery: {{retry: 2, backoffPolicy: linear, backoffDelay: PT0.02S, deadLetterSink: {{uri: '{}'}}}}\n",
            sink.url()
        )
    };
    let manifest = trigger("both-down", &subscriber.url(), &with_sink(&broken_sink))
        + &trigger("one-down", &subscriber.url(), &with_sink(&working_sink));
    let folder = tempfile::tempdir().unwrap();
    let start = Start::new(folder.path()).manifest(&manifest);
    let node = start.node();
    let event = TestEvent::sized(7, TYPE_A, 1000);
    assert_eq!(Connection::open(node.ingress).unwrap().post(&event).unwrap().status(), 202);

    wait_until("the event at the sink that works", || works.has(7));
    let kept = wait_for("the event to be kept", || node.dead_letters("both-down").pop().ok_or_else(String::new));
    assert_eq!(kept["destination"], broken_sink.url(), "asked last");
    assert_eq!((&kept["cause"], kept["code"].as_u64()), (&Value::from("rejected"), Some(503)));
    assert_eq!(broken.load(Ordering::Acquire), 3, "the sink is tried as often as the policy says");
    assert_eq!(node.dead_letters("one-down").len(), 0, "what a sink has taken is not kept here");
    let sent = reasons.lock().pop().unwrap();
    assert_eq!(sent.header("ce-knativeerrorcode"), Some("422"));
    assert_eq!(sent.header("ce-knativeerrordest"), Some(subscriber.url().as_str()));
    assert_eq!(sent.header("ce-knativeerrordata"), Some("Y2Fubm90"), "base64 of what it said");
    assert_eq!(sent.body, event.data);

    // Kept means kept: over a kill, with every byte, until someone decides.
    node.process.kill();
    let node = start.node();
    let kept = node.dead_letters("both-down").pop().unwrap();
    let one = node.get(&format!("/v1/dead-letters/default/both-down/{}", kept["position"].as_str().unwrap()));
    assert_eq!(one["event"]["id"], "event-7", "{one}");
    assert!(one["event"]["data_base64"].is_string(), "{one}");
}
