//! Certificates for the nodes of a test.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// An authority that signs certificates of nodes, and the folder with all of them.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, with its files in a folder of `folder`.
    pub fn new(folder: &Path) -> Self {
        let folder = folder.join("certificates");
        std::fs::create_dir(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Makes the files of a node that is reached at `host`: authority, certificate, key.
    pub fn files(&self, name: &str, host: IpAddr) -> [PathBuf; 3] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |what: &str| self.folder.join(format!("{name}-{what}.pem"));
        std::fs::write(path("certificate"), certificate.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        [self.folder.join("ca.pem"), path("certificate"), path("key")]
    }

    /// The same, as flags.
    pub fn flags(&self, name: &str, host: IpAddr) -> Vec<String> {
        let files = self.files(name, host);
        let flags = ["--peer-ca", "--peer-cert", "--peer-key"];
        flags.into_iter().zip(files).flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()]).collect()
    }
}
