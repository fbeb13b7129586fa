//! A context over TLS, against a server of this test's own: who the server is, and who the caller is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::command::{pelton, run};

const LIST: &str = r#"{"kind":"BrokerList","apiVersion":"eventing.knative.dev/v1","metadata":{"resourceVersion":"1"},"items":[
    {"metadata":{"name":"safe","namespace":"default"}}]}"#;

fn authority(name: &str) -> (Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap(), Issuer::new(params, key))
}

/// Answers connections as long as there is a test, and says how each began.
fn serve(config: ServerConfig) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, heads) = std::sync::mpsc::channel();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            let mut head = [0; 4096];
            let said = match stream.read(&mut head) {
                Ok(read) => String::from_utf8_lossy(&head[..read]).into_owned(),
                Err(error) => format!("refused: {error}"),
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{LIST}", LIST.len());
            let _ = stream.flush();
            if sender.send(said).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

#[test]
fn the_server_is_checked_and_the_caller_shows_who_he_is() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, issuer) = authority("ours");
    let (other, _) = authority("others");
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate, key)
    };
    let (certificate, key) = signed("127.0.0.1");
    let (own, own_key) = signed("caller");
    let write = |file: &str, text: String| std::fs::write(folder.path().join(file), text).unwrap();
    write("ca.pem", ca.pem());
    write("other.pem", other.pem());
    write("own.pem", own.pem());
    write("own.key", own_key.serialize_pem());
    write("token", "s3cret\n".to_owned());

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let (address, heads) = serve(config.with_single_cert(vec![certificate.der().clone()], key).unwrap());

    let ask = |cluster: &str, user: &str| {
        let text = format!(
            "current-context: it\nclusters: [{{name: c, cluster: {{server: 'https://{address}'{cluster}}}}}]\n\
             contexts: [{{name: it, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        );
        write("config", text);
        let config = folder.path().join("config").display().to_string();
        run(pelton().args(["get", "brokers", "-o", "name", "--kubeconfig", &config]))
    };
    let trusted = ", certificate-authority: ca.pem";
    for (cluster, user, code, want, head) in [
        (trusted, "tokenFile: token", 0, "broker.eventing.knative.dev/safe\n", "authorization: Bearer s3cret"),
        (trusted, "client-certificate: own.pem, client-key: own.key", 0, "safe", "GET /apis/"),
        (", certificate-authority: other.pem", "token: x", 3, "certificate", "refused"),
        (&format!("{trusted}, tls-server-name: other.example"), "token: x", 3, "certificate", "refused"),
        (", certificate-authority: missing.pem", "token: x", 2, "missing.pem", ""),
    ] {
        let (got, stdout, stderr) = ask(cluster, user);
        assert_eq!(got, code, "{cluster} {user}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(want), "{want:?} is not in {stdout}{stderr}");
        assert!(!stderr.contains("is `pelton up` running"), "{stderr}");
        if !head.is_empty() {
            let said = heads.recv().unwrap();
            assert!(said.contains(head), "{head:?} is not in {said}");
        }
    }
}
