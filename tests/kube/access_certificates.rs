//! TLS: whom a client trusts, and whom the server does.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::command::{pelton, run};
use crate::guarded::{put, token, with_kubectl, with_kubectl_and};
use crate::scene::Scene;
use crate::support::skipped;
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
    assert!(!folder.path().join("data").join("serving").exists(), "nothing was begun");
}
