use std::sync::Arc;
use std::time::Duration;

use pelton_client::Client as _;
use pelton_client::memory::MemoryClient;
use pelton_env::SeededChance;
use pelton_resource::{Kind, ResourceKey};
use pelton_serving_gateway::logs::{Followed, LogOptions, Logs, Stream};
use pelton_serving_gateway::runtime::InstanceId;

use super::READERS;
use crate::admin::{Admin, AdminError, LogStream, LogsQuery, NOT_HERE};
use crate::api::serving_view::LogRecord;
use crate::api::{Api, OwnGateway};
use crate::http::{Server, Url, bind};

const SERVICE: &str = "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello}
spec: {template: {spec: {containers: [{command: [/bin/hello]}]}}}
";

struct Setup {
    client: MemoryClient,
    logs: Logs,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self::on_a_node_with_gateway(true)
    }

    fn on_a_node_with_gateway(has_gateway: bool) -> Self {
        let (client, folder) = (MemoryClient::new(), tempfile::tempdir().unwrap());
        let clock = Arc::new(client.clock().clone());
        let logs = Logs::open(folder.path(), LogOptions::default(), clock.clone()).unwrap();
        let gateway = has_gateway.then(|| OwnGateway::new(logs.clone()));
        let api = Api::new(client.clone(), clock, Arc::new(SeededChance::new(1)), Vec::new()).with_gateway(gateway);
        let server = api.start_open(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        Self { client, logs, server, _folder: folder }
    }

    fn admin(&self) -> Admin {
        Admin::new(Url::parse(&format!("http://{}/", self.server.address())).unwrap())
    }

    /// A Service with Revisions of these numbers.
    async fn service(&self, revisions: &[u32]) {
        self.client.apply_yaml(SERVICE).await;
        for number in revisions {
            self.revision(*number).await;
        }
    }

    async fn revision(&self, number: u32) {
        let text = format!(
            "apiVersion: serving.knative.dev/v1\nkind: Revision\nmetadata:\n  name: hello-0000{number}\n  \
             labels: {{serving.knative.dev/service: hello, serving.knative.dev/configuration: hello}}\n\
             spec: {{containers: [{{command: [/bin/hello]}}]}}\n"
        );
        self.client.apply_yaml(&text).await;
    }

    /// An instance of a Revision prints a line a second after whatever was printed before. It is stored.
    async fn print(&self, revision: u32, text: &str) {
        self.client.clock().advance(Duration::from_secs(1));
        let name = format!("hello-0000{revision}");
        let log = self.logs.revision("default", &name);
        let mut stored = log.follow(0).await.unwrap();
        let mut writer = log.writer(&InstanceId(format!("{name}-1").into()), Stream::Stdout);
        writer.write(text.as_bytes()).await;
        writer.finish().await;
        assert!(matches!(stored.next().await.unwrap(), Some(Followed::Line(line)) if line.text == text.as_bytes()));
    }

    async fn stream(&self, query: LogsQuery) -> Result<LogStream, AdminError> {
        self.admin().logs(&ResourceKey::new(Kind::Service, "default", "hello"), &query).await
    }

    /// The texts of an answer that ends.
    async fn texts(&self, query: LogsQuery) -> Vec<String> {
        texts(&mut self.stream(query).await.unwrap(), usize::MAX).await
    }
}

/// The texts of the next records, at most so many.
async fn texts(stream: &mut LogStream, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count
        && let Some(record) = stream.next().await.unwrap()
    {
        texts.push(match record {
            LogRecord::Line { text, .. } => text,
            LogRecord::Missing { lines, .. } => format!("[{lines} missing]"),
            LogRecord::Deleted => "[deleted]".to_owned(),
        });
    }
    texts
}

fn refused(answer: Result<LogStream, AdminError>) -> (u16, String) {
    match answer {
        Err(AdminError::Refused(problem)) => (problem.status, problem.detail),
        other => panic!("{other:?}"),
    }
}

fn last(tail: u64) -> LogsQuery {
    LogsQuery { tail: Some(tail), ..LogsQuery::default() }
}

#[tokio::test]
async fn the_lines_of_all_revisions_come_in_the_order_of_time() {
    let setup = Setup::new();
    setup.service(&[1, 2]).await;
    for (revision, text) in [(1, "a"), (2, "b"), (1, "c"), (1, "d"), (2, "e")] {
        setup.print(revision, text).await;
    }
    let all = ["a", "b", "c", "d", "e"];
    assert_eq!(setup.texts(LogsQuery::default()).await, all);
    for tail in 0..=6_usize {
        assert_eq!(setup.texts(last(tail as u64)).await, all[5_usize.saturating_sub(tail)..], "the last {tail}");
    }
    // "e" was printed now, and each of the others a second before the next.
    for (seconds, want) in [(0, &all[4..]), (1, &all[3..]), (3, &all[1..]), (60, &all)] {
        let since = Some(Duration::from_secs(seconds));
        assert_eq!(setup.texts(LogsQuery { since, ..LogsQuery::default() }).await, want, "the last {seconds} s");
        let both = LogsQuery { since, ..last(2) };
        assert_eq!(setup.texts(both).await, want[want.len().saturating_sub(2)..], "two of the last {seconds} s");
    }
    let one = ResourceKey::new(Kind::Revision, "default", "hello-00002");
    let mut one = setup.admin().logs(&one, &last(1)).await.unwrap();
    let record = one.next().await.unwrap().unwrap();
    let LogRecord::Line { at, revision, instance, stream, goes_on, text } = record else { panic!("{record:?}") };
    assert_eq!((revision.as_str(), instance.as_str(), stream.as_str()), ("hello-00002", "hello-00002-1", "stdout"));
    assert_eq!((text.as_str(), goes_on, at.len()), ("e", false, "2026-11-30T17:00:00.000Z".len()));
    assert_eq!(one.next().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_followed_goes_on_with_new_revisions_and_ends_with_the_service() {
    let setup = Setup::new();
    setup.service(&[1]).await;
    setup.print(1, "old").await;
    setup.print(1, "a").await;
    let mut stream = setup.stream(LogsQuery { follow: true, ..last(1) }).await.unwrap();
    assert_eq!(texts(&mut stream, 1).await, ["a"]);
    setup.print(1, "b").await;
    assert_eq!(texts(&mut stream, 1).await, ["b"]);
    setup.revision(2).await;
    setup.print(2, "c").await;
    assert_eq!(texts(&mut stream, 1).await, ["c"]);
    setup.print(1, "d").await;
    assert_eq!(texts(&mut stream, 1).await, ["d"]);
    setup.client.delete(ResourceKey::new(Kind::Service, "default", "hello")).await.unwrap();
    assert_eq!(texts(&mut stream, usize::MAX).await, ["[deleted]"]);
}

#[tokio::test]
async fn more_than_a_piece_comes_whole() {
    let setup = Setup::new();
    setup.service(&[1]).await;
    let long = "\u{1}".repeat(16 * 1024);
    for _ in 0..10 {
        setup.print(1, &long).await;
    }
    assert!(setup.texts(LogsQuery::default()).await.iter().all(|text| *text == long));
    assert_eq!(setup.texts(LogsQuery::default()).await.len(), 10);
}

#[tokio::test]
async fn why_there_is_nothing_to_read_is_said() {
    let setup = Setup::new();
    let (status, detail) = refused(setup.stream(LogsQuery::default()).await);
    assert!(status == 404 && detail.contains("Service default/hello does not exist"), "{detail}");
    setup.service(&[]).await;
    let (status, detail) = refused(setup.stream(LogsQuery::default()).await);
    assert!(status == 404 && detail.contains("has not run yet") && detail.contains("no Revision yet"), "{detail}");
    setup.revision(1).await;
    let (status, detail) = refused(setup.stream(LogsQuery::default()).await);
    assert!(status == 404 && detail.contains("has not run yet") && detail.contains("hello-00001"), "{detail}");
    let revision = ResourceKey::new(Kind::Revision, "default", "hello-00007");
    let (status, detail) = refused(setup.admin().logs(&revision, &LogsQuery::default()).await);
    assert!(status == 404 && detail.contains("Revision default/hello-00007 does not exist"), "{detail}");
    let (status, detail) = refused(setup.stream(last(100_001)).await);
    assert!(status == 400 && detail.contains("tail"), "{detail}");
    // Whoever follows waits for the first line.
    let mut stream = setup.stream(LogsQuery { follow: true, ..LogsQuery::default() }).await.unwrap();
    setup.print(1, "a").await;
    assert_eq!(texts(&mut stream, 1).await, ["a"]);
    assert!(matches!(
        setup.admin().instances(&revision).await.unwrap_err(),
        AdminError::Refused(problem) if problem.status == 404
    ));
    let hello = ResourceKey::new(Kind::Service, "default", "hello");
    let starting = setup.admin().instances(&hello).await.unwrap_err();
    assert!(matches!(&starting, AdminError::Refused(problem) if problem.status == 503), "{starting}");
}

#[tokio::test]
async fn a_node_without_a_gateway_says_so() {
    let setup = Setup::on_a_node_with_gateway(false);
    let (status, _) = refused(setup.stream(LogsQuery::default()).await);
    assert_eq!(status, 404, "what is nowhere is not here either");
    setup.service(&[1]).await;
    let (status, detail) = refused(setup.stream(LogsQuery::default()).await);
    assert!(status == NOT_HERE && detail.contains("this node has no gateway"), "{status} {detail}");
    let hello = ResourceKey::new(Kind::Service, "default", "hello");
    let error = setup.admin().instances(&hello).await.unwrap_err();
    assert!(matches!(&error, AdminError::Refused(problem) if problem.status == NOT_HERE), "{error}");
}

#[tokio::test]
async fn readers_are_bounded_and_give_their_place_back() {
    let setup = Setup::new();
    setup.service(&[1]).await;
    setup.print(1, "a").await;
    let follow = LogsQuery { follow: true, ..LogsQuery::default() };
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(setup.stream(follow).await.unwrap());
    }
    let (status, detail) = refused(setup.stream(follow).await);
    assert!(status == 503 && detail.contains(&READERS.to_string()), "{detail}");
    readers.clear();
    // A connection that is closed is seen to be soon, not at once.
    while setup.stream(LogsQuery::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.texts(LogsQuery::default()).await, ["a"]);
}
