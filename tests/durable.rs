//! Acknowledged is durable, and acknowledged is delivered: the real process, killed again and again.
//!
//! Fault catalogue: kill in the middle of a batch, at the start, and between a sink's 200 and the record of it; failed
//! writes and syncs. `PELTON_DURABLE_ROUNDS` sets how many lives the first test has (20 unless given), and
//! `PELTON_TEST_SEED` repeats one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use support::event::{TYPE_A, TYPE_B};
use support::node::Killer;
use support::producers::{Ledger, Producers};
use support::sink::answer;
use support::{
    Connection, Dice, Node, Recorder, Sink, Start, TestEvent, Unable, skipped, trigger, wait_for, wait_until,
};

/// Connections that post at once.
const CONNECTIONS: usize = 4;

/// A Trigger's name, what it was given, and whether it wants an event of a type.
type Subscription<'a> = (&'static str, &'a Recorder, fn(&str) -> bool);

/// Two Triggers with different filters, each with a sink that records.
struct Subscribers {
    a: (Sink, Recorder),
    b: (Sink, Recorder),
    /// Kills the process right after the sink of `a` has answered so many deliveries.
    fuse: Arc<Fuse>,
}

#[derive(Default)]
struct Fuse {
    left: AtomicI64,
    killer: Mutex<Option<Killer>>,
}

impl Fuse {
    /// One more delivery was answered.
    fn burn(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(killer) = &*self.killer.lock()
        {
            killer.kill();
        }
    }

    fn light(&self, deliveries: u64, killer: Killer) {
        *self.killer.lock() = Some(killer);
        self.left.store(deliveries as i64, Ordering::Release);
    }
}

impl Subscribers {
    fn start() -> Self {
        let fuse = Arc::<Fuse>::default();
        let (a, b) = (Recorder::default(), Recorder::default());
        let (recorder, burning) = (a.clone(), Arc::clone(&fuse));
        let a_sink = Sink::start(move |request, stream| {
            recorder.checked(&request);
            answer(stream, 200, "", b"")?;
            burning.burn();
            Ok(true)
        });
        let recorder = b.clone();
        let b_sink = Sink::start(move |request, stream| {
            recorder.checked(&request);
            answer(stream, 202, "", b"")
        });
        Self { a: (a_sink, a), b: (b_sink, b), fuse }
    }

    fn manifest(&self) -> String {
        let exact = format!("  filter: {{attributes: {{type: {TYPE_A}}}}}\n");
        let any = "  filters:\n  - any:\n    - prefix: {type: com.example.}\n    - exact: {id: no-such-event}\n";
        trigger("exact", &self.a.0.url(), &exact) + &trigger("prefix", &self.b.0.url(), any)
    }

    /// Waits until everything that the dead process has sent is recorded, and begins the next life.
    fn next_life(&self) {
        for (sink, recorder) in [&self.a, &self.b] {
            sink.wait_until_quiet();
            recorder.next_life();
        }
    }

    fn each(&self) -> [Subscription<'_>; 2] {
        [("exact", &self.a.1, |ty| ty == TYPE_A), ("prefix", &self.b.1, |ty| ty == TYPE_A || ty == TYPE_B)]
    }

    /// Waits until every acknowledged event was delivered to every Trigger that wants it.
    fn wait_for_all(&self, acknowledged: &BTreeSet<u64>) {
        for (name, recorder, wants) in self.each() {
            wait_for(&format!("everything acknowledged to reach {name}"), || {
                let delivered = recorder.deliveries();
                let is_missing =
                    |number: &&u64| wants(TestEvent::numbered_type(**number)) && !delivered.contains_key(number);
                let missing: Vec<_> = acknowledged.iter().filter(is_missing).take(5).collect();
                if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} and maybe more are missing")) }
            });
        }
    }

    /// What must hold whatever happened: nothing is corrupted, nothing is made up, filters hold, and one life of the
    /// process delivers an event once. Gives the number of deliveries that came again.
    fn check(&self, ledger: &Ledger) -> usize {
        let mut again = 0;
        for (name, recorder, wants) in self.each() {
            assert_eq!(recorder.wrong(), Vec::<String>::new(), "{name}: as they were sent");
            for (number, lives) in recorder.deliveries() {
                assert!(ledger.was_sent(number), "{name}: {number} was never sent");
                assert!(wants(TestEvent::numbered_type(number)), "{name}: {number} does not pass the filter");
                let different: BTreeSet<_> = lives.iter().collect();
                assert_eq!(different.len(), lives.len(), "{name}: {number} came twice in one life: {lives:?}");
                again += lives.len() - 1;
            }
        }
        assert_eq!(ledger.wrong(), Vec::<String>::new(), "answers");
        again
    }
}

/// How a life of the process ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// After so many acknowledgements, and then so many microseconds.
    WhileTaking(u64, u64),
    /// So many microseconds after the process was started, ready or not.
    WhileStarting(u64),
    /// Right after a sink has said 200 so many times, before the process can know.
    AfterTheSinks200(u64),
    /// SIGTERM in the middle of traffic.
    Politely(u64),
}

fn roll(dice: &mut Dice) -> End {
    match dice.below(20) {
        0..11 => End::WhileTaking(dice.below(600), dice.below(3_000)),
        11..14 => End::WhileStarting(dice.below(400_000)),
        14..18 => End::AfterTheSinks200(1 + dice.below(60)),
        _ => End::Politely(dice.below(300)),
    }
}

/// Lets so much time pass: a random moment, not a wait for anything.
fn linger(micros: u64) {
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn live(start: &Start, end: End, ledger: &Ledger, subscribers: &Subscribers) {
    if let End::WhileStarting(micros) = end {
        let process = start.spawn();
        linger(micros);
        process.kill();
        return;
    }
    let node = start.node();
    if let End::AfterTheSinks200(deliveries) = end {
        subscribers.fuse.light(deliveries, node.process.killer());
    }
    let before = ledger.count();
    let producers = Producers::start(node.ingress, CONNECTIONS, ledger);
    let taken = |count: u64| wait_until("events to be taken", || ledger.count() >= before + count as usize);
    match end {
        End::WhileTaking(count, micros) => {
            taken(count);
            linger(micros);
            node.process.kill();
            producers.ended();
        }
        End::AfterTheSinks200(_) => {
            node.process.wait();
            producers.ended();
        }
        End::Politely(count) => {
            taken(count);
            node.process.stop();
            producers.ended();
        }
        End::WhileStarting(_) => unreachable!("it has returned"),
    }
}

/// F1, F2 on one node, F31.
#[test]
fn nothing_acknowledged_is_lost_however_often_it_is_killed() {
    let rounds = std::env::var("PELTON_DURABLE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_usize);
    let mut dice = Dice::from_env("durable");
    let folder = tempfile::tempdir().unwrap();
    let (ledger, subscribers) = (Ledger::default(), Subscribers::start());
    let start = Start::new(folder.path()).manifest(&subscribers.manifest());
    let mut ends = BTreeMap::<&str, usize>::new();
    for round in 0..rounds {
        let end = roll(&mut dice);
        // The first life is what makes the directory; the kinds that the dice may leave out come early on.
        let end = match round {
            1 => End::AfterTheSinks200(3),
            2 => End::Politely(20),
            _ => end,
        };
        let name = match end {
            End::WhileTaking(..) => "killed while taking",
            End::WhileStarting(_) => "killed while starting",
            End::AfterTheSinks200(_) => "killed after a sink's 200",
            End::Politely(_) => "stopped",
        };
        *ends.entry(name).or_default() += 1;
        live(&start, end, &ledger, &subscribers);
        subscribers.next_life();
        subscribers.check(&ledger);
    }
    let node = start.node();
    let acknowledged = ledger.acknowledged();
    subscribers.wait_for_all(&acknowledged);
    // That may have been true before this life began, in which what a crash repeats is still to come. Events start in
    // their order: once this one has come, all before it are done or on their way.
    post_new(&node, &ledger, &subscribers, 1);
    node.process.stop();
    let again = subscribers.check(&ledger);
    subscribers.next_life();
    nothing_comes_again(&start, &subscribers, &ledger);
    let unsure = subscribers.a.1.deliveries().keys().filter(|number| !acknowledged.contains(number)).count();
    eprintln!(
        "durable: {rounds} lives {ends:?}; {} acknowledged, 0 lost, {unsure} delivered without an acknowledgement, \
         {again} deliveries came again, {} refused",
        acknowledged.len(),
        ledger.refused()
    );
}

/// Sends so many events of the type that all Triggers want, and as many others, and waits until they were delivered.
fn post_new(node: &Node, ledger: &Ledger, subscribers: &Subscribers, count: usize) -> BTreeSet<u64> {
    let mut connection = Connection::open(node.ingress).unwrap();
    let mut new = BTreeSet::new();
    let mut wanted_by_all = 0;
    while wanted_by_all < count {
        let event = TestEvent::numbered(ledger.next());
        assert_eq!(connection.post(&event).unwrap().status(), 202);
        ledger.note(event.number);
        new.insert(event.number);
        let ty = TestEvent::numbered_type(event.number);
        wanted_by_all += usize::from(subscribers.each().iter().all(|(_, _, wants)| wants(ty)));
    }
    subscribers.wait_for_all(&new);
    new
}

/// After a stop in good order the next life delivers what is new and nothing else.
fn nothing_comes_again(start: &Start, subscribers: &Subscribers, ledger: &Ledger) {
    let node = start.node();
    let new = post_new(&node, ledger, subscribers, 20);
    node.process.stop();
    subscribers.check(ledger);
    for (name, recorder, wants) in subscribers.each() {
        let wanted: Vec<_> = new.iter().copied().filter(|number| wants(TestEvent::numbered_type(*number))).collect();
        assert_eq!(recorder.in_this_life(), wanted, "{name}: only what is new");
    }
}

/// Progress is stored in order, so once a later dead letter is stored, earlier deliveries are: a kill repeats none.
#[test]
fn what_was_stored_as_delivered_is_not_sent_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let sink = Sink::start(move |request, stream| {
        let refused = request.header("ce-type") == Some(TYPE_B);
        let answered = answer(stream, if refused { 400 } else { 200 }, "", b"");
        // Noted before, a delivery could be waited for whose answer is not out yet.
        recording.noted(&request);
        answered
    });
    let start = Start::new(folder.path()).manifest(&trigger("all", &sink.url(), ""));
    let node = start.node();
    let mut connection = Connection::open(node.ingress).unwrap();
    let post = |connection: &mut Connection, number, ty| {
        assert_eq!(connection.post(&TestEvent::sized(number, ty, 100)).unwrap().status(), 202, "event {number}");
        wait_until("the delivery", || recorder.has(number));
    };
    (0..200).for_each(|number| post(&mut connection, number, TYPE_A));
    post(&mut connection, 200, TYPE_B);
    wait_until("the dead letter to be stored", || node.dead_letters("all").len() == 1);
    node.process.kill();
    sink.wait_until_quiet();
    recorder.next_life();

    let node = start.node();
    let mut connection = Connection::open(node.ingress).unwrap();
    post(&mut connection, 201, TYPE_A);
    node.process.stop();
    assert_eq!(recorder.in_this_life(), [201]);
    assert_eq!(recorder.events(), 202);
}

/// One way in which the system fails the log.
struct Failure {
    what: &'static str,
    /// For `strace -e inject=`.
    inject: &'static str,
    direct_io: &'static str,
}

/// F9: the n-th call fails and all after it. Counted for each thread: the first calls of the thread that prepares
/// segments are fewer than these numbers, so it is the flusher that fails.
const FAILURES: [Failure; 4] = [
    Failure { what: "sync", inject: "fdatasync:error=EIO:when=30+", direct_io: "off" },
    Failure { what: "a sync that is refused once", inject: "fdatasync:error=EIO:when=30", direct_io: "off" },
    Failure { what: "write", inject: "pwrite64:error=EIO:when=150+", direct_io: "off" },
    Failure { what: "write past the page cache", inject: "pwrite64:error=EIO:when=150+", direct_io: "auto" },
];

#[test]
fn a_failed_write_or_sync_ends_the_process_and_loses_nothing_acknowledged() {
    if let Err(why) = can_inject() {
        return skipped("faults of system calls", &why);
    }
    for failure in FAILURES {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, subscribers) = (Ledger::default(), Subscribers::start());
        let start = Start::new(folder.path()).manifest(&subscribers.manifest());
        let start = start.args(&["--direct-io", failure.direct_io]);
        let trace = folder.path().join("trace");
        ends_by(&failure, &start, &trace, &ledger);
        one_refusal_is_the_last_word(&failure, &trace);
        assert!(ledger.count() > 0, "{}: it failed before anything was acknowledged", failure.what);
        subscribers.next_life();
        let node = start.node();
        subscribers.wait_for_all(&ledger.acknowledged());
        subscribers.check(&ledger);
        node.process.stop();
    }
}

/// What it has to say may be meant for a file on the very disk that fails.
#[test]
fn a_failed_sync_ends_the_process_also_when_nothing_can_be_said() {
    if let Err(why) = can_inject() {
        return skipped("faults of system calls", &why);
    }
    let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let strace = ["strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "signal=none"];
    let fails = ["-e", "inject=fdatasync:error=EIO:when=30+", "sh", "-c", "exec \"$@\" 2>/dev/full", "sh"];
    let start = Start::new(folder.path()).args(&["--direct-io", "off"]).wrapped(&[&strace[..], &fails[..]].concat());
    let node = start.node();
    let producers = Producers::start(node.ingress, 1, &ledger);
    assert_eq!(node.process.wait().code(), Some(70));
    producers.ended();
    assert!(ledger.count() > 0, "it failed before anything was acknowledged");
}

/// Runs the process under `strace` until it ends by itself.
fn ends_by(failure: &Failure, start: &Start, trace: &Path, ledger: &Ledger) {
    let inject = format!("inject={}", failure.inject);
    let trace = trace.display().to_string();
    let words = ["strace", "-D", "-f", "-q", "-s", "32", "-o", &trace];
    let calls = ["-e", "trace=fdatasync,pwrite64,write,writev,sendto", "-e", "signal=none", "-e", &inject];
    let node: Node = start.clone().wrapped(&[&words[..], &calls[..]].concat()).node();
    // One at a time, so that at most one event is on its way when it happens.
    let producers = Producers::start(node.ingress, 1, ledger);
    let status = node.process.wait();
    producers.ended();
    let said = node.process.said();
    assert_eq!(status.code(), Some(70), "{}: {said}", failure.what);
    assert!(said.contains("could not be written or synced"), "{}: {said}", failure.what);
    assert!(said.contains("Nothing more is acknowledged"), "{}: {said}", failure.what);
}

/// After the first failure no 202 leaves, and neither a write nor a sync of the log is tried again.
fn one_refusal_is_the_last_word(failure: &Failure, trace: &Path) {
    let call = failure.inject.split(':').next().unwrap();
    let trace = wait_for("the end of the trace", || {
        let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
        if text.contains("+++ exited with") { Ok(text) } else { Err(text.lines().last().unwrap_or("").to_owned()) }
    });
    let (before, after) =
        trace.split_once("(INJECTED)").unwrap_or_else(|| panic!("{}: nothing was injected", failure.what));
    let is_answer = |line: &&str| line.contains("HTTP/1.1 202");
    // What failed may be an entry of progress right behind the event: its answer, on its way by then, is true.
    let since_last = before.lines().rev().skip(1).take_while(|line| !is_answer(line));
    let was_durable = since_last.into_iter().any(|line| line.contains(call) && !line.contains("= -1"));
    let more: Vec<_> = after.lines().filter(is_answer).skip(usize::from(was_durable)).collect();
    assert_eq!(more, Vec::<&str>::new(), "{}: acknowledged after the failure", failure.what);
    let thread = trace.split("(INJECTED)").next().and_then(|text| text.lines().last()?.split(' ').next());
    let again: Vec<_> = after
        .lines()
        .skip(1)
        .filter(|line| line.split(' ').next() == thread && line.contains(&format!("{call}(")))
        .collect();
    assert_eq!(again, Vec::<&str>::new(), "{}: tried again", failure.what);
}

/// Whether this machine has `strace` and lets it trace.
fn can_inject() -> Result<(), Unable> {
    let run = Command::new("strace")
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1000", "true"])
        .output();
    match run {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Unable::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(Unable::start("strace", &error)),
    }
}
