//! What every [`Runtime`] must do, for the tests of those who implement it.
//!
//! [`runtime`] runs every check, each on a fixture of its own. A check that fails panics.
//!
//! The checks run the test consumer (`tests/runtime/consumer.rs`), which a fixture knows how to start, by these arguments:
//!
//! - `serve`: answers HTTP at `PORT`. Asked to end, it prints `asked to end` and does so.
//! - `serve --ignore-sigterm`: prints it and goes on.
//! - `exit CODE`: prints `out of here` to its output and `last words`, with no end of the line, to its messages; then exits.
//!
//! What it answers: `/` nothing, `/env/NAME` the value of a variable or 404, `/count` how many times it was asked that.
//! `/exit/CODE` it does not answer but exits, `/abort` it does not answer but aborts.

#![allow(clippy::unwrap_used, reason = "a check fails where something is not as it says")]

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use pelton_resource::serving::RuntimeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Exit, InstanceEvent, InstanceId, PullPolicy, Runtime, RuntimeError, Workload, WorkloadSpec};
use crate::logs::{Followed, Logs, Stream};
use crate::probe::{Check as What, Probe};

/// The longest that a check waits for something that will come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A grace that does end.
const SHORT_GRACE: Duration = Duration::from_millis(200);

/// Something to check, new and empty.
pub struct Fixture {
    /// The one that is checked.
    pub runtime: Arc<dyn Runtime>,
    /// How the test consumer is started; its arguments are added. The names may be any.
    pub spec: WorkloadSpec,
    /// Where the runtime puts what instances print.
    pub logs: Logs,
    /// What must live as long.
    pub keep: Box<dyn Any + Send>,
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("runtime", &self.runtime).field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// A specification in which nothing is said but the names.
#[must_use]
pub fn plain_spec() -> WorkloadSpec {
    WorkloadSpec {
        namespace: "default".to_owned(),
        revision: "consumer-00001".to_owned(),
        configuration: "consumer".to_owned(),
        service: "consumer".to_owned(),
        image: String::new(),
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        port: None,
        memory_bytes: None,
        cpu_millis: None,
        grace: PATIENCE,
        socket_activation: false,
        image_pull_policy: PullPolicy::default(),
    }
}

/// Runs every check.
pub async fn runtime<F: Future<Output = Fixture>>(new: impl Fn() -> F) {
    let checks: [(&str, Check); 12] = [
        ("it is started once, with its environment", |fixture| Box::pin(it_is_started_once(fixture))),
        ("two at a time do not meet", |fixture| Box::pin(two_at_a_time_do_not_meet(fixture))),
        ("a pause keeps its memory", |fixture| Box::pin(a_pause_keeps_its_memory(fixture))),
        ("it is asked to end", |fixture| Box::pin(it_is_asked_to_end(fixture))),
        ("it is asked to end while paused", |fixture| Box::pin(it_is_asked_to_end_while_paused(fixture))),
        ("it is killed after its grace", |fixture| Box::pin(it_is_killed_after_its_grace(fixture))),
        ("its exit code is told", |fixture| Box::pin(its_exit_code_is_told(fixture))),
        ("its crash is told", |fixture| Box::pin(its_crash_is_told(fixture))),
        ("it ends at once", |fixture| Box::pin(it_ends_at_once(fixture))),
        ("what it prints is kept", |fixture| Box::pin(what_it_prints_is_kept(fixture))),
        ("nothing is done with what is gone", |fixture| Box::pin(nothing_is_done_with_what_is_gone(fixture))),
        ("a revision that is dropped runs no more", |fixture| Box::pin(a_dropped_revision_runs_no_more(fixture))),
    ];
    for (name, check) in checks {
        let ended = timeout(2 * PATIENCE, check(new().await)).await;
        assert!(ended.is_ok(), "it took too long: {name}");
    }
}

type Check = fn(Fixture) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A revision of the test consumer that is deployed.
pub struct Deployed {
    /// The revision.
    pub workload: Box<dyn Workload>,
    /// What becomes of its instances.
    pub events: mpsc::UnboundedReceiver<InstanceEvent>,
    /// What it was deployed by.
    pub fixture: Fixture,
}

impl fmt::Debug for Deployed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployed").field("workload", &self.workload).finish_non_exhaustive()
    }
}

impl Deployed {
    /// Deploys the consumer with these arguments and whatever `change` changes.
    pub async fn new(mut fixture: Fixture, arguments: &[&str], change: impl FnOnce(&mut WorkloadSpec)) -> Self {
        fixture.spec.args.extend(arguments.iter().map(|&word| word.to_owned()));
        change(&mut fixture.spec);
        let (sender, events) = mpsc::unbounded_channel();
        let workload = fixture.runtime.deploy(Arc::new(fixture.spec.clone()), sender).await.unwrap();
        Self { workload, events, fixture }
    }

    /// The next thing that becomes of an instance.
    pub async fn event(&mut self) -> InstanceEvent {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("something becomes of an instance").expect("the runtime keeps on telling")
    }

    /// Starts an instance, which does start.
    pub async fn start(&mut self) -> (InstanceId, SocketAddr) {
        self.workload.start();
        match self.event().await {
            InstanceEvent::Started { id, address } => (id, address),
            other => panic!("it does not start: {other:?}"),
        }
    }

    /// Starts an instance and waits until it answers.
    pub async fn serve(&mut self) -> (InstanceId, SocketAddr) {
        let (id, address) = self.start().await;
        let check = What::Http { path: "/".to_owned(), headers: HeaderMap::new() };
        let probe = Probe { check, ..Probe::default() };
        probe.until_ready(address, Instant::now() + PATIENCE).await.unwrap();
        (id, address)
    }

    /// How the instance ends, which is the next thing that becomes of any.
    pub async fn exit(&mut self, id: &InstanceId) -> Exit {
        match self.event().await {
            InstanceEvent::Exited { id: gone, exit } if gone == *id => exit,
            other => panic!("not the end of {id}: {other:?}"),
        }
    }

    /// Nothing becomes of any instance any more, and the revision is taken down.
    pub async fn is_over(self) {
        let Self { workload, mut events, fixture } = self;
        drop(workload);
        let next = timeout(PATIENCE, events.recv()).await.expect("nobody is left to tell anything");
        assert_eq!(next, None, "each is told of once");
        drop(fixture);
    }

    /// What the last lines of an instance are, by stream.
    pub fn last_lines(&self, id: &InstanceId, stream: Stream) -> Vec<String> {
        let WorkloadSpec { namespace, revision, .. } = &self.fixture.spec;
        let lines = self.fixture.logs.revision(namespace, revision).last_lines(Some(id), 100);
        let lines = lines.into_iter().filter(|line| line.stream == stream);
        lines.map(|line| String::from_utf8(line.text).unwrap()).collect()
    }
}

/// Asks an instance and gives the body of its answer: `None` when it answers with an error.
///
/// # Errors
/// It gives no answer.
pub async fn ask(address: SocketAddr, path: &str) -> io::Result<Option<String>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(head.split(' ').nth(1).is_some_and(|status| status == "200").then(|| body.to_owned()))
}

async fn answer(address: SocketAddr, path: &str) -> String {
    ask(address, path).await.unwrap().unwrap_or_else(|| panic!("{path} is not answered"))
}

/// Each start is told of once (and so is each end: see [`Deployed::is_over`]). serving.md, 1.1: the environment.
async fn it_is_started_once(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve"], |spec| {
        spec.env = vec![("GREETING".to_owned(), "hello, world".to_owned()), ("EMPTY".to_owned(), String::new())];
        spec.service = String::new();
    })
    .await;
    let (id, address) = deployed.serve().await;
    let spec = deployed.fixture.spec.clone();
    for (name, want) in [
        ("GREETING", "hello, world"),
        ("EMPTY", ""),
        ("K_SERVICE", ""),
        ("K_CONFIGURATION", &spec.configuration),
        ("K_REVISION", &spec.revision),
    ] {
        assert_eq!(answer(address, &format!("/env/{name}")).await, want, "{name}");
    }
    assert!(answer(address, "/env/PORT").await.parse::<u16>().is_ok(), "PORT");
    assert_eq!(ask(address, "/env/NONE_SUCH").await.unwrap(), None);
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    deployed.is_over().await;
}

async fn two_at_a_time_do_not_meet(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    for _ in 0..2 {
        deployed.workload.start();
    }
    let (mut ids, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..2 {
        let InstanceEvent::Started { id, address } = deployed.event().await else { panic!("both start") };
        ids.insert(id);
        addresses.insert(address);
    }
    assert_eq!((ids.len(), addresses.len()), (2, 2), "{ids:?} {addresses:?}");
    let probe = Probe { check: What::Http { path: "/".to_owned(), headers: HeaderMap::new() }, ..Probe::default() };
    for &address in &addresses {
        probe.until_ready(address, Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(answer(address, "/count").await, "1", "it counts for itself");
    }
    // The other one does not notice.
    let first = ids.pop_first().unwrap();
    deployed.workload.stop(&first);
    assert_eq!(deployed.exit(&first).await, Exit::Stopped);
    let mut answers = 0;
    for &address in &addresses {
        answers += usize::from(ask(address, "/count").await.is_ok());
    }
    assert_eq!(answers, 1);
}

async fn a_pause_keeps_its_memory(fixture: Fixture) {
    if !fixture.runtime.can_pause() {
        return;
    }
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    let (id, address) = deployed.serve().await;
    deployed.workload.resume(&id).await.expect("it is not paused, and stays so");
    for asked in 1..=3 {
        assert_eq!(answer(address, "/count").await, asked.to_string());
        deployed.workload.pause(&id).await.unwrap();
        deployed.workload.pause(&id).await.expect("it is paused, and stays so");
        // It takes the connection, or the system does so for it; its answer comes once it is resumed.
        let waiting = tokio::spawn(async move { ask(address, "/").await });
        deployed.workload.resume(&id).await.unwrap();
        waiting.await.unwrap().unwrap();
    }
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
}

/// serving.md, 1.1: "SIGTERM first".
async fn it_is_asked_to_end(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    let (id, address) = deployed.serve().await;
    deployed.workload.stop(&id);
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert_eq!(deployed.last_lines(&id, Stream::Stdout).last().unwrap(), "asked to end");
    assert!(ask(address, "/").await.is_err(), "nobody is there");
    deployed.is_over().await;
}

async fn it_is_asked_to_end_while_paused(fixture: Fixture) {
    if !fixture.runtime.can_pause() {
        return;
    }
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    let (id, _) = deployed.serve().await;
    deployed.workload.pause(&id).await.unwrap();
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert_eq!(deployed.last_lines(&id, Stream::Stdout).last().unwrap(), "asked to end");
}

/// serving.md, 1.1: "SIGKILL after the grace period".
async fn it_is_killed_after_its_grace(fixture: Fixture) {
    let change = |spec: &mut WorkloadSpec| spec.grace = SHORT_GRACE;
    let mut deployed = Deployed::new(fixture, &["serve", "--ignore-sigterm"], change).await;
    let (id, _) = deployed.serve().await;
    deployed.workload.stop(&id);
    assert_eq!(deployed.exit(&id).await, Exit::Stopped);
    assert_eq!(deployed.last_lines(&id, Stream::Stdout).last().unwrap(), "asked to end");
    deployed.is_over().await;
}

async fn its_exit_code_is_told(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    for code in [0, 3, 255] {
        let (id, address) = deployed.serve().await;
        assert!(ask(address, &format!("/exit/{code}")).await.is_err(), "it has no time to answer");
        assert_eq!(deployed.exit(&id).await, Exit::Code(code));
    }
    deployed.is_over().await;
}

async fn its_crash_is_told(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve"], |_| {}).await;
    let (id, address) = deployed.serve().await;
    assert!(ask(address, "/abort").await.is_err(), "it has no time to answer");
    // SIGABRT, as every system numbers it. The first process of a container of its own does not get it, and goes on to make
    // a mistake that ends it: SIGSEGV.
    let exit = deployed.exit(&id).await;
    assert!(matches!(exit, Exit::Signal(6 | 11)), "{exit:?}");
    deployed.is_over().await;
}

/// What `exit` prints, and the stream that it is kept as: a cluster keeps both outputs as one.
fn last_words(fixture: &Fixture) -> [(String, String); 2] {
    let is_one = fixture.runtime.kind() == RuntimeKind::Kubernetes;
    let messages = if is_one { Stream::Stdout } else { Stream::Stderr };
    [(Stream::Stdout, "out of here"), (messages, "last words")]
        .map(|(stream, text)| (stream.to_string(), text.to_owned()))
}

/// What it said is known when its end is told.
async fn it_ends_at_once(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["exit", "7"], |_| {}).await;
    let (id, _) = deployed.start().await;
    assert_eq!(deployed.exit(&id).await, Exit::Code(7));
    let mut printed = BTreeSet::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        printed.extend(deployed.last_lines(&id, stream).into_iter().map(|line| (stream.to_string(), line)));
    }
    assert_eq!(printed, last_words(&deployed.fixture).into());
    deployed.is_over().await;
}

async fn what_it_prints_is_kept(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["exit", "0"], |_| {}).await;
    let WorkloadSpec { namespace, revision, .. } = deployed.fixture.spec.clone();
    let mut want = BTreeSet::new();
    for _ in 0..2 {
        let (id, _) = deployed.start().await;
        deployed.exit(&id).await;
        want.extend(last_words(&deployed.fixture).map(|(stream, text)| (id.clone(), stream, text)));
    }
    let mut follower = deployed.fixture.logs.revision(&namespace, &revision).follow(u64::MAX).await.unwrap();
    let mut kept = BTreeSet::new();
    while kept.len() < want.len() {
        let next = timeout(PATIENCE, follower.next()).await.expect("there are more lines").unwrap().unwrap();
        let Followed::Line(line) = next else { panic!("lines are missing") };
        kept.insert((line.instance, line.stream.to_string(), String::from_utf8(line.text).unwrap()));
    }
    assert_eq!(kept, want);
}

async fn nothing_is_done_with_what_is_gone(fixture: Fixture) {
    let can_pause = fixture.runtime.can_pause();
    let mut deployed = Deployed::new(fixture, &["exit", "0"], |_| {}).await;
    let (id, _) = deployed.start().await;
    deployed.exit(&id).await;
    let never = InstanceId(Arc::from("never"));
    for id in [&id, &never] {
        deployed.workload.stop(id);
        if can_pause {
            for refused in [deployed.workload.pause(id).await, deployed.workload.resume(id).await] {
                assert!(matches!(&refused, Err(RuntimeError::Gone(gone)) if gone == id), "{refused:?}");
            }
        }
    }
    deployed.is_over().await;
}

async fn a_dropped_revision_runs_no_more(fixture: Fixture) {
    let mut deployed = Deployed::new(fixture, &["serve", "--ignore-sigterm"], |_| {}).await;
    let (id, address) = deployed.serve().await;
    let Deployed { workload, mut events, fixture } = deployed;
    drop(workload);
    let end = timeout(PATIENCE, events.recv()).await.expect("it ends");
    assert_eq!(end, Some(InstanceEvent::Exited { id, exit: Exit::Stopped }));
    assert!(ask(address, "/").await.is_err(), "nobody is there");
    drop(fixture);
}
