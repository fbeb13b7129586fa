//! Every route, and who is let in: by the head of his request, and by its body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, header};
use pelton_access::DryRun;
use pelton_access::limits::LEEWAY_SECONDS;
use pelton_client::memory::MemoryClient;
use pelton_client::{Client as _, Resources, Write};
use pelton_env::{Clock as _, SeededChance};
use pelton_resource::{CoreObject, ObjectMeta, Resource};

use super::authenticator::Unknown;
use super::*;
use crate::config::AccessSettings;
use crate::http::Admit;

const BINDINGS: &str = "
bindings:
- {role: viewer, users: [vera]}
- {role: editor, namespaces: [shop], users: [eve]}
- {role: admin, users: [root]}
";

/// A token of each is his name. `-` shows none, `fake` one that counts for nobody.
const EVERYBODY: [&str; 6] = ["-", "fake", "nora", "vera", "eve", "root"];

struct Setup {
    gate: Gate,
    admit: Admit,
    folder: tempfile::TempDir,
    audit: Arc<Audit>,
    client: MemoryClient,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.yaml");
        let tokens = ["nora", "vera", "eve", "root"].map(|user| {
            let digest = ring::digest::digest(&ring::digest::SHA256, user.as_bytes());
            let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("- {{user: {user}, sha256: {hex}}}\n")
        });
        std::fs::write(&path, format!("{BINDINGS}tokens:\n{}", tokens.concat())).unwrap();
        let settings = AccessSettings { file: Some(path), ..AccessSettings::default() };
        let client = MemoryClient::new();
        let clock = Arc::new(client.clock().clone());
        let loaded = Loaded::read(&settings).unwrap();
        let access = Access::new(settings, loaded, clock.clone(), client.resources(), Arc::default());
        let audit = Arc::new(Audit::open(&folder.path().join("audit.log")).unwrap());
        let chance = Arc::new(SeededChance::new(3));
        let gate = Gate::new(Some(access.authenticator()), Some(Arc::clone(&audit)), clock, chance);
        Self { admit: gate.admit::<MemoryClient>().unwrap(), gate, folder, audit, client }
    }

    /// Users and codes of the lines of a file.
    fn written(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(file)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| format!("{} {}", line["user"].as_str().unwrap(), line["code"])).collect()
    }

    /// What a request of somebody comes to: 200 where it reaches its route.
    async fn code(&self, who: &str, method: &Method, path: &str, body: &str) -> u16 {
        let (parts, ()) = head(who, method, path);
        let parts = match (self.admit)(parts).await {
            Ok(parts) => parts,
            Err(response) => return response.status().as_u16(),
        };
        let request = Request::from_parts(parts, Bytes::from(body.to_owned()));
        match self.gate.enter::<MemoryClient>(request).await {
            Ok((_, entered)) => {
                let mut response = http::Response::new(crate::http::Body::from(Bytes::new()));
                entered.leave::<MemoryClient>(&mut response);
                response.status().as_u16()
            }
            Err(response) => response.status().as_u16(),
        }
    }

    /// Those who are let in; everybody else must be refused as he is known or not.
    async fn admitted(&self, method: &Method, path: &str, body: &str) -> Vec<&'static str> {
        let mut admitted = Vec::new();
        for who in EVERYBODY {
            match (who, self.code(who, method, path, body).await) {
                (who, 200) => admitted.push(who),
                ("-" | "fake", 401) => {}
                (_, 403) => {}
                (who, code) => panic!("{who} {method} {path}: {code}"),
            }
        }
        admitted
    }
}

/// A registry with an authority in it, and nothing else.
fn with_authority() -> Resources {
    let pelton_resource::ResourceKey { kind, namespace, name } = authority::key();
    let metadata = ObjectMeta { namespace, name, uid: Some("u-1".to_owned()), ..ObjectMeta::default() };
    let mut resources = Resources::default();
    resources.put(Resource::Core(CoreObject { kind, metadata, content: serde_json::Map::new() }));
    resources
}

/// What of a request is held is the room of those who are known.
#[tokio::test]
async fn a_body_is_taken_of_nobody_who_is_not_known() {
    let setup = Setup::new();
    for (who, path, name, value, want) in [
        ("-", "/healthz", "content-length", "1", 413),
        ("-", "/version", "content-length", "16777216", 413),
        ("-", "/readyz", "transfer-encoding", "chunked", 413),
        ("-", "/healthz", "content-length", "0", 200),
        ("-", "/api/v1/namespaces", "content-length", "1", 401),
        ("fake", "/healthz", "content-length", "1", 401),
        ("nora", "/healthz", "content-length", "1", 200),
    ] {
        let (mut parts, ()) = head(who, &Method::GET, path);
        parts.headers.insert(name, value.parse().unwrap());
        let code = (setup.admit)(parts).await.map_or_else(|response| response.status().as_u16(), |_| 200);
        assert_eq!(code, want, "{who} {path} {name}: {value}");
    }
}

fn head(who: &str, method: &Method, path: &str) -> (Parts, ()) {
    let mut request = Request::builder().method(method).uri(path);
    if who != "-" {
        request = request.header(header::AUTHORIZATION, format!("Bearer {who}"));
    }
    request.body(()).unwrap().into_parts()
}

/// spec/reliability.md, S14. Each row is a request, and all those who are let in.
#[tokio::test]
async fn every_route_is_for_those_who_may() {
    let setup = Setup::new();
    let known: &[&str] = &["nora", "vera", "eve", "root"];
    let rows: &[(Method, &str, &[&str])] = &[
        // What counts for nobody is refused whatever is asked.
        (Method::GET, "/healthz", &["-", "nora", "vera", "eve", "root"]),
        (Method::GET, "/version", &["-", "nora", "vera", "eve", "root"]),
        (Method::GET, "/api", known),
        (Method::GET, "/openapi/v3", known),
        (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", known),
        (Method::GET, "/apis/eventing.knative.dev/v1/namespaces/shop/brokers", &["vera", "eve", "root"]),
        (Method::GET, "/apis/eventing.knative.dev/v1/brokers?watch=1", &["vera", "root"]),
        (Method::PUT, "/apis/eventing.knative.dev/v1/namespaces/shop/brokers/b", &["eve", "root"]),
        (Method::PUT, "/apis/eventing.knative.dev/v1/namespaces/shop/brokers/b/status", &["root"]),
        (Method::GET, "/api/v1/namespaces/shop/secrets", &["eve", "root"]),
        (Method::GET, "/api/v1/namespaces/pelton-system/secrets/api-authority", &["root"]),
        (Method::POST, "/api/v1/secrets", &["root"]),
        (Method::POST, "/api/v1/namespaces/shop/serviceaccounts/s/token", &["eve", "root"]),
        (Method::OPTIONS, "/api/v1/namespaces", &["root"]),
        (Method::GET, "//api/v1/namespaces/shop/secrets", &["root"]),
        (Method::GET, "/v1/brokers", &["root"]),
        (Method::GET, "/v1/events/shop/b?data=true", &["vera", "eve", "root"]),
        (Method::GET, "/v1/events/default/b/tail", &["vera", "root"]),
        (Method::GET, "/v1/event/0/1", &["vera", "root"]),
        (Method::GET, "/v1/trace?source=/s&id=1", &["vera", "root"]),
        (Method::GET, "/v1/trace?source=/s&id=1&broker=shop%2Fb", &["vera", "eve", "root"]),
        (Method::GET, "/v1/triggers/shop/t/matches", &["vera", "eve", "root"]),
        (Method::GET, "/v1/top", &["vera", "root"]),
        (Method::POST, "/v1/triggers/shop/t/rewind", &["eve", "root"]),
        (Method::PUT, "/v1/triggers/shop/t/warning", &["eve", "root"]),
        (Method::GET, "/v1/services/shop/s/logs?follow=true", &["vera", "eve", "root"]),
        (Method::GET, "/v1/revisions/shop/s/instances", &["vera", "eve", "root"]),
        (Method::GET, "/v1/dead-letters", &["vera", "root"]),
        (Method::GET, "/v1/dead-letters?trigger=shop/t", &["vera", "eve", "root"]),
        (Method::GET, "/v1/dead-letters/shop/t/0/1", &["vera", "eve", "root"]),
        (Method::GET, "/v1/dead-letters/0191-0/0/1", &["vera", "root"]),
        (Method::GET, "/v1/cluster", &["vera", "root"]),
        (Method::POST, "/v1/cluster/changes", &["root"]),
        (Method::GET, "/v1/unheard-of", &["root"]),
        (Method::GET, "//v1/events/shop/b", &["root"]),
        (Method::GET, "/", &["root"]),
    ];
    for (method, path, want) in rows {
        assert_eq!(setup.admitted(method, path, "").await, *want, "{method} {path}");
    }
}

/// Each row is a body of a route that says in it what is wanted.
#[tokio::test]
async fn bodies_are_for_those_who_may() {
    let setup = Setup::new();
    let rows = [
        ("/v1/dead-letters/redrive", r#"{"trigger": "shop/t", "all": true}"#, &["eve", "root"][..]),
        ("/v1/dead-letters/redrive", r#"{"all": true}"#, &["root"]),
        ("/v1/dead-letters/discard", r#"{"trigger": "0191-0", "position": "0/1"}"#, &["root"]),
    ];
    for (path, body, want) in rows {
        assert_eq!(setup.admitted(&Method::POST, path, body).await, want, "{path} {body}");
    }
}

#[tokio::test]
async fn a_change_is_written_down_with_its_answer_or_without() {
    let setup = Setup::new();
    let path = "/apis/eventing.knative.dev/v1/namespaces/shop/brokers/b";
    assert_eq!(setup.code("eve", &Method::DELETE, path, "").await, 200);
    assert_eq!(setup.code("vera", &Method::DELETE, path, "").await, 403);
    assert_eq!(setup.code("fake", &Method::DELETE, path, "").await, 401);
    assert_eq!(setup.code("vera", &Method::GET, path, "").await, 200);
    // A client that hangs up.
    let parts = (setup.admit)(head("eve", &Method::DELETE, path).0).await.unwrap();
    let entered = setup.gate.enter::<MemoryClient>(Request::from_parts(parts, Bytes::new())).await;
    drop(entered.ok().unwrap());
    setup.audit.flush().await;
    assert_eq!(setup.written("audit.log"), ["eve 200", "eve 0"]);
    // What was refused is elsewhere: it cannot push out what was done.
    assert_eq!(setup.written("audit.log.refused"), ["vera 403"]);
}

/// The body of a request may say that it is only tried, and its answer tells that.
#[tokio::test]
async fn what_was_only_tried_is_written_down_as_that() {
    let setup = Setup::new();
    let path = "/apis/eventing.knative.dev/v1/namespaces/shop/brokers/b";
    for said in [Some(true), Some(false), None] {
        let parts = (setup.admit)(head("eve", &Method::DELETE, path).0).await.unwrap();
        let entered = setup.gate.enter::<MemoryClient>(Request::from_parts(parts, Bytes::new())).await;
        let mut response = http::Response::new(crate::http::Body::from(Bytes::new()));
        if let Some(said) = said {
            response.extensions_mut().insert(DryRun(said));
        }
        entered.ok().unwrap().1.leave::<MemoryClient>(&mut response);
    }
    setup.audit.flush().await;
    let text = std::fs::read_to_string(setup.folder.path().join("audit.log")).unwrap();
    let tried: Vec<bool> = text.lines().map(|line| line.contains("\"dryRun\":true")).collect();
    assert_eq!(tried, [true, false, false]);
}

/// Whatever was let in before the authority went is not answered with what there is since.
#[tokio::test]
async fn an_answer_is_not_given_once_the_authority_is_another() {
    use http_body_util::BodyExt as _;
    let setup = Setup::new();
    let path = "/api/v1/namespaces/pelton-system/secrets";
    let let_in = || async {
        let parts = (setup.admit)(head("root", &Method::GET, path).0).await.unwrap();
        Request::from_parts(parts, Bytes::new())
    };
    let enter = |request| setup.gate.enter::<MemoryClient>(request);
    // While the body comes, while the answer is made, and while it goes on.
    let (early, whole, streamed) = (let_in().await, let_in().await, let_in().await);
    let (whole, streamed) = (enter(whole).await.ok().unwrap().1, enter(streamed).await.ok().unwrap().1);
    let piece = |text: &'static str| Ok::<_, std::io::Error>(Bytes::from_static(text.as_bytes()));
    let (pieces, more) = tokio::sync::mpsc::unbounded_channel();
    let stream = futures_util::stream::unfold(more, |mut more| async move { Some((more.recv().await?, more)) });
    let mut going_on = http::Response::new(crate::http::Body::pieces(stream));
    streamed.leave::<MemoryClient>(&mut going_on);
    pieces.send(piece("old")).unwrap();
    let first = going_on.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "old");

    setup.client.tell(Arc::new(with_authority()));
    assert_eq!(enter(early).await.err().unwrap().status().as_u16(), 503);
    let mut response = http::Response::new(crate::http::Body::from(Bytes::from_static(b"new")));
    whole.leave::<MemoryClient>(&mut response);
    assert_eq!(response.status().as_u16(), 503);
    pieces.send(piece("new")).unwrap();
    assert!(going_on.body_mut().frame().await.is_none());
}

/// That it could not be asked is not that he is nobody.
#[tokio::test]
async fn what_cannot_be_told_yet_is_503() {
    use base64::Engine as _;
    let part = |json: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let issuer = pelton_access::account::ISSUER;
    // The key that would have signed it is not known here.
    let token = format!("{}.{}.AA", part(r#"{"alg":"EdDSA"}"#), part(&format!(r#"{{"iss":"{issuer}"}}"#)));
    let setup = Setup::new();
    for path in ["/api/v1/namespaces", "/v1/top"] {
        assert_eq!(setup.code(&token, &Method::GET, path, "").await, 503, "{path}");
    }
}

/// Not even for a moment: what was made since is there to be read.
#[tokio::test]
async fn what_an_authority_gave_counts_no_more_once_it_is_gone() {
    let client = MemoryClient::new();
    let clock = Arc::new(client.clock().clone());
    let loaded = Loaded::read(&AccessSettings::default()).unwrap();
    let (settings, is_open) = (AccessSettings::default(), Arc::new(true.into()));
    let mut access = Access::new(settings, loaded, clock.clone(), client.resources(), Arc::clone(&is_open));
    access.keep(Start {
        client: client.clone(),
        clock: clock.clone(),
        chance: Arc::new(SeededChance::new(7)),
        names: vec!["localhost".to_owned()],
        is_open,
        kubeconfig: None,
    });
    access.ready().await;
    let (authenticator, mut keys) = (access.authenticator(), access.account_keys());
    let old = keys.borrow_and_update().clone().unwrap();
    let shows = |token: String| head(&token, &Method::GET, "/api").0.headers;
    let headers = shows(old.admin_token(clock.now().0 / 1000, 600));
    assert!(authenticator.caller(&headers, None).await.is_ok());

    let secret = client.resources().borrow().find(&authority::key()).unwrap();
    let version = secret.meta().resource_version.clone().unwrap();
    client.write(Write::Delete { key: authority::key(), version }).await.unwrap();
    assert!(matches!(authenticator.caller(&headers, None).await, Err(Unknown::NotNow(_))));
    let is_new = |key: &Option<Arc<_>>| key.as_ref().is_some_and(|key| !Arc::ptr_eq(key, &old));
    let new = keys.wait_for(is_new).await.unwrap().clone().unwrap();
    assert!(matches!(authenticator.caller(&headers, None).await, Err(Unknown::Nobody(_))));
    let headers = shows(new.admin_token(clock.now().0 / 1000, 600));
    assert!(authenticator.caller(&headers, None).await.is_ok());
    // A watch that it was shown for ends with it, though nobody may be there to tell.
    assert!(!authenticator.is_over(&headers) && !authenticator.is_over(&shows("no-jws".to_owned())));
    clock.advance(Duration::from_secs(600 + LEEWAY_SECONDS));
    assert!(authenticator.is_over(&headers));
}
