//! Who is let in.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use pelton_peer::{Security, ServeOptions, Tls, TlsFiles};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Authority, Node, client, named, tcp_channel, tls};

/// How a call from `theirs` to a node with `ours` fails, with everything that its error says; none if it does not.
async fn failure(ours: Security, theirs: Security) -> Option<String> {
    let node = Node::over_tcp(ours, ServeOptions::default()).await;
    let status = client(tcp_channel(theirs, &node.address)).hello(named("a")).await.err()?;
    let mut text = status.to_string();
    let mut cause = status.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Some(text)
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_talk() {
    let authority = Authority::new();
    let node = Node::over_tcp(authority.security(&["127.0.0.1"]), ServeOptions::default()).await;
    // A client's certificate may bear any name.
    let mut client = client(tcp_channel(authority.security(&["node-2.internal"]), &node.address));
    let answer = client.hello(named("a")).await.unwrap().into_inner();
    assert_eq!(answer.identity.unwrap().name, "a");
}

#[tokio::test]
async fn a_node_is_dialled_by_its_dns_name() {
    let authority = Authority::new();
    let node = Node::over_tcp(authority.security(&["localhost"]), ServeOptions::default()).await;
    let address = format!("localhost:{}", node.address.port()).parse().unwrap();
    client(tcp_channel(authority.security(&["b"]), &address)).hello(named("a")).await.unwrap();
}

#[tokio::test]
async fn whoever_is_not_of_the_cluster_is_turned_away() {
    let (authority, other) = (Authority::new(), Authority::new());
    let of_both = |ca: &Authority, signer: &Authority| tls(TlsFiles { ca: ca.ca(), ..signer.files(&["127.0.0.1"]) });
    let node = || authority.security(&["127.0.0.1"]);
    let expired = || {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        tls(authority.files_with(params))
    };
    let for_servers_only = || {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        tls(authority.files_with(params))
    };
    // What the dialling node is told. Plaintext has no words for it.
    for (what, ours, theirs, want) in [
        ("the server's certificate is of another authority", of_both(&authority, &other), node(), "UnknownIssuer"),
        ("the client's certificate is of another authority", node(), of_both(&authority, &other), "UnknownCA"),
        ("the server's certificate is for another host", authority.security(&["10.0.0.1"]), node(), "10.0.0.1"),
        ("the server's certificate is for a name", authority.security(&["localhost"]), node(), "not valid for"),
        ("the server's certificate has expired", expired(), node(), "expired"),
        ("the client's certificate has expired", node(), expired(), "CertificateExpired"),
        ("the client's certificate is for servers", node(), for_servers_only(), "UnsupportedCertificate"),
        ("the client speaks without TLS", node(), Security::Plaintext, ""),
        ("the server speaks without TLS", Security::Plaintext, node(), ""),
    ] {
        let text = failure(ours, theirs).await.unwrap_or_else(|| panic!("{what}: it was let in"));
        assert!(text.contains(want), "{what}: {text}");
    }
}

/// A client that trusts the authority and shows no certificate, or speaks another protocol.
async fn connect_bare(authority: &Authority, node: &Node, alpn: &[&[u8]]) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect((node.address.host(), node.address.port())).await.unwrap();
    let name = ServerName::try_from(node.address.host().to_owned()).unwrap();
    // The client's side is done before the server has looked at its certificate; the answer comes on the first read.
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    stream.read_u8().await.map(drop)
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away() {
    let authority = Authority::new();
    let node = Node::over_tcp(authority.security(&["127.0.0.1"]), ServeOptions::default()).await;
    let error = connect_bare(&authority, &node, &[b"h2"]).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn a_client_of_another_protocol_is_turned_away() {
    let authority = Authority::new();
    let node = Node::over_tcp(authority.security(&["127.0.0.1"]), ServeOptions::default()).await;
    let error = connect_bare(&authority, &node, &[b"http/1.1"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn files_read_again_hold_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.files(&["127.0.0.1"]);
    let ours = Arc::new(Tls::read(files.clone()).unwrap());
    let node = Node::over_tcp(Security::Tls(Arc::clone(&ours)), ServeOptions::default()).await;
    let mut before = client(tcp_channel(old.security(&["b"]), &node.address));
    before.hello(named("a")).await.unwrap();

    let replacement = new.files(&["127.0.0.1"]);
    std::fs::copy(&replacement.ca, &files.ca).unwrap();
    std::fs::copy(&replacement.certificate, &files.certificate).unwrap();
    // The key does not fit yet, so what was read before stays.
    let error = ours.reload().unwrap_err().to_string();
    assert!(error.contains(&files.key.display().to_string()), "{error}");
    std::fs::copy(&replacement.key, &files.key).unwrap();
    ours.reload().unwrap();

    client(tcp_channel(new.security(&["b"]), &node.address)).hello(named("a")).await.unwrap();
    before.hello(named("a")).await.unwrap();
}

#[test]
fn an_error_names_the_file_and_what_is_wrong() {
    let authority = Authority::new();
    let good = authority.files(&["127.0.0.1"]);
    let file = |name: &str, text: &str| {
        let path = authority.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let none = authority.dir.path().join("none.pem");
    let empty = file("empty.pem", "");
    let torn = file("torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    let nonsense = file("nonsense.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let other_key = authority.files(&["127.0.0.1"]).key;
    for (files, names, says) in [
        (TlsFiles { ca: none.clone(), ..good.clone() }, &none, "cannot be read"),
        (TlsFiles { certificate: none.clone(), ..good.clone() }, &none, "cannot be read"),
        (TlsFiles { key: none.clone(), ..good.clone() }, &none, "cannot be read"),
        (TlsFiles { ca: empty.clone(), ..good.clone() }, &empty, "holds no certificate"),
        (TlsFiles { certificate: empty.clone(), ..good.clone() }, &empty, "holds no certificate"),
        (TlsFiles { key: empty.clone(), ..good.clone() }, &empty, "holds no private key"),
        (TlsFiles { key: good.certificate.clone(), ..good.clone() }, &good.certificate, "holds no private key"),
        (TlsFiles { certificate: good.key.clone(), ..good.clone() }, &good.key, "holds no certificate"),
        (TlsFiles { ca: torn.clone(), ..good.clone() }, &torn, "is not a PEM file"),
        (TlsFiles { ca: nonsense.clone(), ..good.clone() }, &nonsense, "cannot be used"),
        (TlsFiles { certificate: nonsense.clone(), ..good.clone() }, &nonsense, "cannot be used"),
        (TlsFiles { key: other_key.clone(), ..good.clone() }, &other_key, "cannot be used"),
    ] {
        let error = Tls::read(files.clone()).unwrap_err().to_string();
        assert!(error.contains(&names.display().to_string()) && error.contains(says), "{files:?}: {error}");
    }
}
