//! Every route, and who is let in: by the head of his request, and by its body.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, header};
use pelton_client::Client as _;
use pelton_client::memory::MemoryClient;
use pelton_env::SeededChance;

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
        Self { admit: gate.admit::<MemoryClient>().unwrap(), gate, folder, audit }
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
    let text = std::fs::read_to_string(setup.folder.path().join("audit.log")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let brief = lines.iter().map(|line| format!("{} {}", line["user"], line["code"])).collect::<Vec<_>>();
    assert_eq!(brief, ["\"eve\" 200", "\"vera\" 403", "\"eve\" 0"]);
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
