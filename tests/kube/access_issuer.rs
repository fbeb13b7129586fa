//! Tokens of an issuer of OpenID Connect, which the test runs itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::access_certificates::Authority;
use crate::guarded::put;
use crate::scene::Scene;
use crate::support::skipped;
use crate::tools;

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A key of the issuer.
struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
    jwk: Value,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "use": "sig", "x": encode(key.der_bytes())});
        Self { id, pair: Ed25519KeyPair::from_pkcs8(&key.serialize_der()).unwrap(), jwk }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.id});
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        format!("{signed}.{}", encode(self.pair.sign(signed.as_bytes())))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A server that tells what there is to know about the issuer.
struct Server {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn start(authority: &Authority) -> Self {
        let (certificate, key) = authority.sign("issuer", &[], &["127.0.0.1"]);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (keys, asked) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<AtomicUsize>::default());
        let (told, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                let mut lines = stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let Some(first) = lines.next() else { continue };
                lines.for_each(drop);
                let issuer = format!("https://{address}");
                let body = match first.split(' ').nth(1).unwrap_or_default() {
                    "/.well-known/openid-configuration" => {
                        json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "more": true})
                    }
                    "/keys" => {
                        counted.fetch_add(1, Ordering::AcqRel);
                        json!({"keys": *told.lock()})
                    }
                    other => panic!("{other} is asked for"),
                };
                let body = body.to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        });
        Self { address, keys, asked }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

#[test]
fn tokens_of_an_issuer_are_believed() {
    let program = match tools::installed_kubectl() {
        Ok(program) => program,
        Err(why) => return skipped("an issuer", &why),
    };
    let authority = Authority::new();
    let server = Server::start(&authority);
    let (key, stolen) = (Key::new("one"), Key::new("one"));
    server.keys.lock().push(key.jwk.clone());
    let scene = Scene::start_with(&program, |folder| words(folder, &server.url(), &authority.pem));
    // The year 2100: whatever the clock of this machine says, it is before that.
    let end = 4_102_444_800_u64;
    let claims = |audience: &str| {
        json!({"iss": server.url(), "aud": audience, "exp": end, "sub": "1", "email": "ada@example.com",
               "email_verified": true, "groups": ["ops", "system:masters"]})
    };
    let ada = key.sign(&claims("pelton"));
    let who = scene.ok(&format!("auth whoami --token={ada}"));
    assert!(who.contains("Username    ada@example.com\n") && who.contains("corp:ops"), "{who}");
    assert!(!who.contains("system:masters]") && !who.contains(" system:masters "), "{who}");
    scene.ok(&format!("get brokers -A --token={ada}"));
    scene.ok(&format!("get brokers -A --token={ada}"));
    assert_eq!(server.asked.load(Ordering::Acquire), 1, "its keys are kept");

    let mut over = claims("pelton");
    over["exp"] = json!(1_000_000_000);
    let mut unchecked = claims("pelton");
    unchecked["email_verified"] = json!(false);
    let mut elsewhere = claims("pelton");
    elsewhere["iss"] = json!("https://127.0.0.1:1");
    for (what, token) in [
        ("another audience", key.sign(&claims("other"))),
        ("one that is over", key.sign(&over)),
        ("an address that nobody has checked", key.sign(&unchecked)),
        ("an issuer that is not named", key.sign(&elsewhere)),
        ("a key that is none of the issuer's", stolen.sign(&claims("pelton"))),
    ] {
        let said = scene.say(&format!("auth whoami --token={token}"));
        assert!(said.code == 1 && said.stderr.contains("must be logged in"), "{what}: {said:?}");
    }
}

fn words(folder: &Path, issuer: &str, ca: &str) -> Vec<String> {
    let ca = put(folder, "issuer.pem", ca);
    let text = format!(
        "bindings:\n- {{role: viewer, groups: ['corp:ops']}}\nissuers:\n- url: {issuer}\n  clientId: pelton\n  \
         usernameClaim: email\n  groupsClaim: groups\n  groupsPrefix: 'corp:'\n  ca: {ca}\n"
    );
    vec!["--api-auth".to_owned(), "--api-access".to_owned(), put(folder, "access.yaml", &text)]
}
