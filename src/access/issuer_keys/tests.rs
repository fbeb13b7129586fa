//! An issuer that the test runs itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertifiedKey, KeyPair, PKCS_ED25519, PublicKeyData as _, generate_simple_self_signed};
use ring::signature::Ed25519KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::access::tls;

/// Seconds since 1970, and the end of every token.
const NOW: u64 = 1_800_000_000;
const END: u64 = NOW + 600;

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

    fn set(&self) -> KeySet {
        KeySet::parse(json!({"keys": [self.jwk]}).to_string().as_bytes()).unwrap()
    }

    fn token(&self, issuer: &str) -> Jws {
        let header = json!({"alg": "EdDSA", "kid": self.id}).to_string();
        let claims = json!({"iss": issuer, "aud": "pelton", "exp": END, "sub": "ada"}).to_string();
        let signed = format!("{}.{}", encode(header), encode(claims));
        Jws::parse(&format!("{signed}.{}", encode(self.pair.sign(signed.as_bytes())))).unwrap()
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn issuer(url: &str) -> Issuer {
    Issuer {
        url: url.to_owned(),
        client_id: "pelton".to_owned(),
        username_claim: "sub".to_owned(),
        username_prefix: String::new(),
        groups_claim: None,
        groups_prefix: String::new(),
        ca: String::new(),
    }
}

/// Knows the keys of an issuer at that address.
fn knows(address: &str, certificate: &CertificateDer<'static>, key: &Key) -> Arc<IssuerKeys> {
    let client = tls::client(std::slice::from_ref(certificate)).unwrap();
    let keys = IssuerKeys::new(issuer(&format!("https://{address}")), client);
    *keys.known.lock() = Some(Known { keys: Arc::new(key.set()), since: Instant::now() });
    Arc::new(keys)
}

/// A certificate, and a listener that has a free port.
async fn place() -> (CertificateDer<'static>, Arc<ServerConfig>, TcpListener, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (cert.der().clone(), Arc::new(config), listener, address)
}

/// Tells the key of the issuer to whoever asks.
async fn tell(config: Arc<ServerConfig>, listener: TcpListener, address: String, jwk: Value) {
    let acceptor = TlsAcceptor::from(config);
    loop {
        let mut stream = BufReader::new(acceptor.accept(listener.accept().await.unwrap().0).await.unwrap());
        let (mut first, mut line) = (String::new(), String::new());
        stream.read_line(&mut first).await.unwrap();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
        }
        let body = match first.contains("openid-configuration") {
            true => json!({"issuer": format!("https://{address}"), "jwks_uri": format!("https://{address}/keys")}),
            false => json!({"keys": [jwk]}),
        };
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }
}

/// Lets time go by, which a test must not wait for; and goes on with a clock that runs, as sockets are in it.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_key_that_was_withdrawn_counts_for_ten_minutes_and_not_once_more() {
    let (certificate, config, listener, address) = place().await;
    let (old, new) = (Key::new("old"), Key::new("new"));
    let keys = knows(&address, &certificate, &old);
    let url = format!("https://{address}");
    let telling = tokio::spawn(tell(config, listener, address, new.jwk.clone()));
    later(FRESH - Duration::from_secs(60)).await;
    assert!(keys.identity(&old.token(&url), NOW).await.is_ok());
    later(Duration::from_secs(60)).await;
    assert_eq!(keys.identity(&old.token(&url), NOW).await, Err(Some(TokenError::UnknownKey)));
    assert!(keys.identity(&new.token(&url), NOW).await.is_ok());
    telling.abort();
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_known_by_its_old_keys_for_a_day() {
    let (certificate, _, listener, address) = place().await;
    let key = Key::new("old");
    let keys = knows(&address, &certificate, &key);
    let token = key.token(&format!("https://{address}"));
    drop(listener);
    later(FRESH).await;
    assert!(keys.identity(&token, NOW).await.is_ok());
    later(KEPT).await;
    assert_eq!(keys.identity(&token, NOW).await, Err(None));
}

#[tokio::test]
async fn nobody_waits_behind_who_asks() {
    // It takes connections and says nothing.
    let (certificate, _, _listener, address) = place().await;
    let (key, other) = (Key::new("old"), Key::new("other"));
    let keys = knows(&address, &certificate, &key);
    let url = format!("https://{address}");
    later(FRESH).await;
    let asking = tokio::spawn({
        let (keys, token) = (Arc::clone(&keys), key.token(&url));
        async move { keys.identity(&token, NOW).await }
    });
    while keys.asking.try_lock().is_ok() {
        tokio::task::yield_now().await;
    }
    // What is known must do meanwhile; and of a key that is not known nobody can tell yet.
    assert!(keys.identity(&key.token(&url), NOW).await.is_ok());
    assert_eq!(keys.identity(&other.token(&url), NOW).await, Err(None));
    assert!(!asking.is_finished());
    asking.abort();
    // Who hangs up does not end it.
    assert!(asking.await.unwrap_err().is_cancelled());
    assert!(keys.asking.try_lock().is_err());
}

#[tokio::test]
async fn an_issuer_that_is_named_as_before_keeps_its_keys() {
    let (certificate, _, listener, address) = place().await;
    let key = Key::new("one");
    let old = knows(&address, &certificate, &key);
    drop(listener);
    let url = format!("https://{address}");
    let again = |issuer| Arc::new(IssuerKeys::new(issuer, tls::client(std::slice::from_ref(&certificate)).unwrap()));
    let same = again(issuer(&url));
    assert!(same.is_same(&old) && !again(Issuer { client_id: "x".to_owned(), ..issuer(&url) }).is_same(&old));
    same.go_on_with(&old);
    assert!(same.identity(&key.token(&url), NOW).await.is_ok());
}
