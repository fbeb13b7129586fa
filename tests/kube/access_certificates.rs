//! TLS: whom a client trusts, and whom the server does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::command::{pelton, run};
use crate::guarded::{put, token, with_kubectl, with_kubectl_and};
use crate::scene::Scene;
use crate::support::{skipped, wait_until};
use crate::tools;

/// An authority of the test's own.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// A certificate and its key, PEM: of a client with that name and those groups, or of a server that is called so.
    pub fn sign(&self, name: &str, groups: &[&str], hosts: &[&str]) -> (String, KeyPair) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key)
    }

    /// Writes both into a folder, and gives their paths.
    pub fn put(&self, folder: &Path, name: &str, groups: &[&str], hosts: &[&str]) -> [String; 2] {
        let (certificate, key) = self.sign(name, groups, hosts);
        [
            put(folder, &format!("{name}.pem"), &certificate),
            put(folder, &format!("{name}-key.pem"), &key.serialize_pem()),
        ]
    }
}

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to the API that stays open as long as a test wants, as no kubectl's does.
pub struct Raw {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Raw {
    /// One of somebody who shows nothing, or a certificate.
    pub fn open(scene: &Scene, shown: Option<(String, KeyPair)>) -> Self {
        let pem = scene.ok("config view --raw -o jsonpath={.clusters[0].cluster.certificate-authority-data}");
        let pem = STANDARD.decode(pem.trim()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(scene.up.address("api")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        Self { stream: BufReader::new(StreamOwned::new(connection, stream)) }
    }

    /// Sends the head of a request, with further fields, and a body.
    pub fn send(&mut self, line: &str, fields: &[&str], body: &str) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request = format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\n{fields}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        self.stream.get_mut().flush().unwrap();
    }

    /// The code and the body of an answer that comes at once.
    pub fn answer(&mut self) -> (u16, String) {
        let (code, length) = self.head();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (code, String::from_utf8(body).unwrap())
    }

    pub fn ask(&mut self, line: &str, fields: &[&str]) -> (u16, String) {
        self.send(line, fields, "");
        self.answer()
    }

    fn head(&mut self) -> (u16, usize) {
        let (mut line, mut length) = (String::new(), 0);
        self.stream.read_line(&mut line).unwrap();
        let code = line.split(' ').nth(1).unwrap().parse().unwrap();
        while line != "\r\n" {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        (code, length)
    }

    /// What comes of an answer piece by piece, until the text holds something or the answer ends.
    pub fn pieces(&mut self, until: &str) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            // Each piece has its length before it, in a line of its own, and the last one has none.
            let has_ended = self.stream.read_line(&mut line).unwrap() == 0 || line == "0\r\n";
            text.push_str(&line);
            if has_ended || text.contains(until) {
                return text;
            }
        }
    }
}

/// Lets `--user NAME` show a certificate.
fn show(scene: &Scene, name: &str, [certificate, key]: &[String; 2]) {
    scene.ok(&format!("config set-credentials {name} --client-certificate={certificate} --client-key={key}"));
}

#[test]
fn a_certificate_says_who_somebody_is() {
    let authority = Authority::new();
    let more = |folder: &Path| vec!["--api-client-ca".to_owned(), put(folder, "clients.pem", &authority.pem)];
    with_kubectl_and("client certificates", more, |scene| {
        let of = |name: &str, groups: &[&str]| show(scene, name, &authority.put(&scene.files(), name, groups, &[]));
        of("grace", &["shop-team"]);
        of("mole", &["system:nodes"]);
        of("boss", &["system:masters"]);
        of("system:nobody", &[]);
        show(scene, "stranger", &Authority::new().put(&scene.files(), "stranger", &["system:masters"], &[]));
        let who = scene.ok("auth whoami --user=grace");
        assert!(who.contains("Username    grace\n") && who.contains("shop-team"), "{who}");
        let who = scene.ok("auth whoami --user=mole");
        assert!(who.contains("Username    mole\n") && !who.contains("system:nodes"), "{who}");
        scene.rows(&[
            ("create cm by-grace -n shop --user=grace", 0, &["created"], &[]),
            ("create cm by-grace -n default --user=grace", 1, &[], &["User \"grace\" cannot create resource"]),
            ("get secrets -A --user=boss -o name", 0, &["secret/api-authority"], &[]),
            ("get ns --user=system:nobody", 1, &[], &["You must be logged in to the server"]),
            ("get ns --user=stranger", 1, &[], &["tls: "]),
        ]);
        // A token is given with the request, and counts first.
        let who = scene.ok(&format!("auth whoami --user=boss --token={}", token("vera")));
        assert!(who.contains("Username    vera\n"), "{who}");
    });
}

#[test]
fn a_connection_that_is_open_is_nobodys_once_its_authority_is_taken_no_more() {
    let (authority, other) = (Authority::new(), Authority::new());
    let more = |folder: &Path| vec!["--api-client-ca".to_owned(), put(folder, "clients.pem", &authority.pem)];
    with_kubectl_and("an authority that is taken no more", more, |scene| {
        let mut grace = Raw::open(scene, Some(authority.sign("grace", &["shop-team"], &[])));
        let mut ask = || grace.ask("GET /apis/eventing.knative.dev/v1/namespaces/shop/brokers", &[]).0;
        assert_eq!(ask(), 200);
        put(scene.folder(), "clients.pem", &other.pem);
        let pid = Pid::from_raw(scene.up.ready["pid"].as_i64().unwrap() as i32).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        wait_until("the certificate to count no more", || ask() == 401);
    });
}

#[test]
fn who_has_not_shown_who_he_is_is_taken_no_body_of() {
    with_kubectl("bodies of nobody", |scene| {
        let mut raw = Raw::open(scene, None);
        assert_eq!(raw.ask("GET /healthz", &[]).0, 200);
        let (code, why) = raw.ask("GET /healthz", &["content-length: 16777216"]);
        assert!(code == 413 && why.contains("a body is only taken of who has shown who he is"), "{code} {why}");
    });
}

/// The new keys are in the same Secret, under the same name.
#[test]
fn whoever_is_shut_out_does_not_see_the_keys_of_the_next_authority() {
    with_kubectl("another authority", |scene| {
        let token = scene.ok("config view --raw -o jsonpath={.users[0].user.token}");
        let field = format!("authorization: Bearer {}", token.trim());
        let mut watching = Raw::open(scene, None);
        watching.send("GET /api/v1/namespaces/pelton-system/secrets?watch=1", &[&field], "");
        let mut seen = watching.pieces("ca-key.pem");
        // Who deletes it is shut out as well, and cannot look whether it is gone.
        scene.ok("delete secret api-authority -n pelton-system --wait=false");
        seen += &watching.pieces("nothing of that");
        assert_eq!(seen.matches("\"ADDED\"").count(), 1, "{seen}");
        let line = format!("get ns --token={}", token.trim());
        wait_until("the token to be nobody's", || scene.say(&line).stderr.contains("must be logged in"));
    });
}

#[test]
fn a_client_trusts_the_authority_and_no_other() {
    with_kubectl("authority", |scene| {
        let other = put(&scene.files(), "other.pem", &Authority::new().pem);
        let address = scene.up.address("api");
        let port = address.rsplit(':').next().unwrap();
        for (line, code, want) in [
            (format!("get ns -s https://localhost:{port} -o name"), 0, "namespace/shop"),
            (format!("get ns -s https://[::1]:{port} -o name"), 1, "refused"),
            (format!("get ns --certificate-authority={other}"), 1, "x509"),
            // The certificate names where the server is.
            ("get ns --tls-server-name=evil.example".to_owned(), 1, "x509"),
            (format!("get ns -s http://{address}"), 1, ""),
        ] {
            let said = scene.say(&line);
            assert_eq!(said.code, code, "{line}: {said:?}");
            assert!(said.stdout.contains(want) || said.stderr.contains(want), "{line}: {said:?}");
        }
    });
}

#[test]
fn an_operator_brings_his_own_certificate() {
    let program = match tools::installed_kubectl() {
        Ok(program) => program,
        Err(why) => return skipped("a certificate of an operator", &why),
    };
    let authority = Authority::new();
    let scene = Scene::start_with(&program, |folder| {
        let [certificate, key] = authority.put(folder, "server", &[], &["127.0.0.1"]);
        ["--api-auth", "--api-cert", &certificate, "--api-key", &key].map(str::to_owned).to_vec()
    });
    let ca = put(&scene.files(), "ca.pem", &authority.pem);
    let said = scene.say("get ns");
    assert!(said.code == 1 && said.stderr.contains("x509"), "{said:?}");
    scene.ok(&format!("get ns --certificate-authority={ca}"));
}

#[test]
fn nobody_listens_for_other_machines_without_asking_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let up = |more: &[&str]| {
        let mut command = pelton();
        command.arg("up").arg("--data").arg(folder.path().join("data")).args(["--api-listen", "0.0.0.0:0"]).args(more);
        run(&mut command)
    };
    let (code, _, stderr) = up(&[]);
    assert_eq!(code, 2, "{stderr}");
    for want in ["api-listen (flag): 0.0.0.0:0 is no loopback address", "api-auth", "api-insecure"] {
        assert!(stderr.contains(want), "{want} is not in {stderr}");
    }
    let bad = put(folder.path(), "access.yaml", "bindings:\n- {role: owner}\ntoken: []\n");
    let (code, _, stderr) = up(&["--api-auth", "--api-access", &bad]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("bindings[0].role") && stderr.contains("token: nobody knows it"), "{stderr}");
    let [certificate, _] = Authority::new().put(folder.path(), "own", &[], &["127.0.0.1"]);
    let [_, key] = Authority::new().put(folder.path(), "other", &[], &[]);
    let (code, _, stderr) = up(&["--api-auth", "--api-cert", &certificate, "--api-key", &key]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("other-key.pem: it cannot be used as api-key: "), "{stderr}");
    assert!(!folder.path().join("data").join("serving").exists(), "nothing was begun");
}
