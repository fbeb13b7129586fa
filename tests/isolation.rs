//! Nothing stops the others: subscribers that misbehave in every way beside subscribers that do not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use support::event::{TYPE_A, TYPE_B};
use support::http::Message;
use support::sink::answer;
use support::villains::{Villain, Want, villains};
use support::{Connection, Node, Recorder, Sink, Start, TestEvent, trigger, wait_for, wait_until};

/// Events that every subscriber is to get.
const EVENTS: u64 = 600;

/// Those of them that are sent one by one, each when the one before has arrived.
const ONE_BY_ONE: u64 = 300;

/// `pelton.dev/max-in-flight` when it is missing.
const MAX_IN_FLIGHT: usize = 100;

/// How much slower a node with villains may be than one without: each event of it is some fourteen deliveries more,
/// of which many are of megabytes.
const SLOWER: u32 = 10;

/// For a single pause of a machine that is busy with something else: the shortest wait for a villain, one backoff.
const LEEWAY: Duration = Duration::from_millis(50);

/// Data of each.
const EVENT_BYTES: usize = 2 * 1024;

/// Most memory that the process may ever have used. The caches of the log and of the dispatcher are 80 MiB of it.
const MEMORY_CAP_KIB: u64 = 256 * 1024;

/// A node with two subscribers that behave.
struct House {
    good: [Recorder; 2],
    /// When each event came to the last of them.
    arrived: Arc<Mutex<BTreeMap<u64, Instant>>>,
    _sinks: Vec<Sink>,
    _folder: tempfile::TempDir,
    node: Node,
}

impl House {
    /// Beside `villains`.
    fn start(villains: &[Villain]) -> Self {
        let good = [Recorder::default(), Recorder::default()];
        let arrived = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let sink = |recorder: &Recorder| {
            let (recorder, arrived) = (recorder.clone(), Arc::clone(&arrived));
            Sink::start(move |request, stream| {
                // First, because who has seen the recorder looks here.
                if let Some(number) = request.header("ce-id").and_then(TestEvent::number_of) {
                    arrived.lock().insert(number, Instant::now());
                }
                recorder.noted(&request);
                answer(stream, 202, "", b"")
            })
        };
        let sinks: Vec<_> = good.iter().map(sink).collect();
        let mut manifest: String = villains.iter().map(Villain::manifest).collect();
        for (place, sink) in sinks.iter().enumerate() {
            manifest += &trigger(&format!("good-{place}"), &sink.url(), "");
        }
        let folder = tempfile::tempdir().unwrap();
        let node = Start::new(folder.path()).manifest(&manifest).args(&["--log", "warn"]).node();
        Self { good, arrived, _sinks: sinks, _folder: folder, node }
    }

    /// Posts events, and waits until both subscribers that behave have all of them. The time until the last came.
    fn take(&self, connection: &mut Connection, numbers: Range<u64>) -> Duration {
        let began = Instant::now();
        for number in numbers.clone() {
            let ty = if number < 3 { TYPE_B } else { TYPE_A };
            let answer = connection.post(&TestEvent::sized(number, ty, EVENT_BYTES)).unwrap();
            assert_eq!(answer.status(), 202, "event {number} is refused: {}", answer.text());
        }
        for recorder in &self.good {
            wait_for(&format!("events {numbers:?}"), || {
                let missing = numbers.clone().filter(|number| !recorder.has(*number)).count();
                if missing == 0 { Ok(()) } else { Err(format!("{missing} are missing")) }
            });
        }
        let arrived = self.arrived.lock();
        let last = arrived.range(numbers).map(|(_, at)| *at).max().unwrap();
        last - began
    }

    fn connect(&self) -> Connection {
        Connection::open(self.node.ingress).unwrap()
    }

    /// Each event came to each of them once.
    fn check(&self) {
        for recorder in &self.good {
            assert_eq!(recorder.events() as u64, EVENTS);
            assert_eq!(recorder.wrong(), Vec::<String>::new());
            assert!(recorder.deliveries().values().all(|lives| lives.len() == 1), "each event once");
        }
    }
}

/// F21, F23, S17. Two nodes have the same load, and one of them the villains. They take turns, so whatever else the
/// machine does, and what the villains themselves cost it, slows both: what is left is what one Trigger does to another.
#[test]
fn subscribers_that_misbehave_stop_nobody_else() {
    let lured = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&lured);
    let elsewhere = Sink::start(move |_, stream| {
        counting.fetch_add(1, Ordering::AcqRel);
        answer(stream, 200, "", b"")
    });
    let villains = villains(&elsewhere);
    let (calm, beset) = (House::start(&[]), House::start(&villains));

    let (mut of_calm, mut of_beset) = (calm.connect(), beset.connect());
    let turns: Vec<_> = (0..ONE_BY_ONE)
        .map(|number| {
            let alone = calm.take(&mut of_calm, number..number + 1);
            (alone, beset.take(&mut of_beset, number..number + 1))
        })
        .collect();
    let (alone, beside): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
    for per_mille in [500, 900] {
        at_a_like_pace(&format!("{per_mille} of 1000 events"), of(&alone, per_mille), of(&beside, per_mille));
    }
    // The rest at once: more than the villains are given at a time.
    let (alone, beside) = std::thread::scope(|scope| {
        let alone = scope.spawn(|| calm.take(&mut of_calm, ONE_BY_ONE..EVENTS));
        let beside = beset.take(&mut of_beset, ONE_BY_ONE..EVENTS);
        (alone.join().unwrap(), beside)
    });
    at_a_like_pace("many events at once", alone, beside);
    calm.check();
    beset.check();
    for villain in &villains {
        check(&beset.node, villain);
    }
    assert_eq!(lured.load(Ordering::Acquire), 0, "a redirect is never followed");
    let peak = beset.node.memory_kib("VmHWM");
    let sockets = fs::read_dir(format!("/proc/{}/fd", beset.node.process.pid())).unwrap().count();
    eprintln!("isolation: the process used at most {} MiB, and {sockets} descriptors at the end", peak / 1024);
    assert!(peak < MEMORY_CAP_KIB, "{} MiB", peak / 1024);
    assert!(sockets < (villains.len() + 2) * MAX_IN_FLIGHT + 100, "{sockets} descriptors");
    beset.node.process.killer().kill();
}

/// The time that so many of a thousand stayed within.
fn of(times: &[Duration], per_mille: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[times.len() * per_mille / 1000]
}

/// Far from what a Trigger that waits for another one costs: an attempt, a backoff, a timeout.
#[track_caller]
fn at_a_like_pace(what: &str, alone: Duration, beside: Duration) {
    eprintln!("isolation: {what}: {alone:?} alone, {beside:?} beside the villains");
    assert!(beside < alone * SLOWER + LEEWAY, "{what}: {alone:?} alone, {beside:?} beside the villains");
}

fn check(node: &Node, villain: &Villain) {
    let name = villain.name;
    let letters = |want: u64| {
        wait_for(&format!("{want} dead letters of {name}"), || {
            let letters = node.dead_letters(name);
            let found = format!("{} letters, it was asked {} times", letters.len(), villain.asked());
            if letters.len() as u64 == want { Ok(letters) } else { Err(found) }
        })
    };
    let is = |letter: &Value, cause: &str, code: Option<u64>| {
        assert_eq!(letter["cause"], cause, "{name}: {letter}");
        assert_eq!(letter["code"].as_u64(), code, "{name}: {letter}");
        assert_eq!(letter["destination"], villain.url, "{name}");
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
        Want::Delivered => {
            wait_until(&format!("{name} to be asked for all events"), || villain.asked() as u64 == EVENTS);
        }
        // Not one of its attempts has ended, and every event has reached those who behave all the same.
        Want::Holding => {
            wait_until(&format!("{name} to hold what it may"), || villain.asked() >= MAX_IN_FLIGHT);
            assert_eq!(villain.asked(), MAX_IN_FLIGHT, "{name} was given what it may have at a time, and no more");
            assert_eq!(node.dead_letters(name).len(), 0, "{name}");
        }
        Want::Failing => assert!(villain.asked() > 0, "{name} was asked"),
        Want::Deaf => {
            let series = format!("pelton_trigger_matched_total{{namespace=\"default\",trigger=\"{name}\"");
            let text = node.metrics_text();
            assert!(text.lines().any(|line| line.starts_with(&series)), "{name} has its events: {text}");
            assert_eq!(villain.asked(), 0, "{name} cannot be reached");
        }
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
    let (recording, reasons) = (works.clone(), Arc::<Mutex<Vec<Message>>>::default());
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
