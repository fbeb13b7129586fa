//! The files that say who may use the API, as they were read last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_access::limits::MAX_FILE_BYTES;
use pelton_access::{Policy, file};
use rustls::pki_types::CertificateDer;

use super::certificates::Certified;
use super::issuer_keys::IssuerKeys;
use super::tls::{self, Member};
use crate::config::AccessSettings;

/// Why the API cannot be protected as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("{file} cannot be read", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{file}: {why}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate, its key or an authority cannot be used.
    #[error("the certificates of the API cannot be used: {0}")]
    Certificate(String),
    /// The data folder cannot be closed to others.
    #[error("the data folder {folder} cannot be closed to others", folder = folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The audit log cannot be opened.
    #[error("the audit log {file} cannot be written", file = file.display())]
    Audit {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// What the files say.
pub struct Loaded {
    /// Roles and tokens.
    pub policy: Arc<Policy>,
    /// The keys of the issuers.
    pub issuers: Vec<Arc<IssuerKeys>>,
    /// The certificate that is shown, when the operator has one.
    pub certificate: Option<Certified>,
    /// Further authorities whose certificates callers may show.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

impl Loaded {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn read(settings: &AccessSettings) -> Result<Self, AccessError> {
        let policy = match &settings.file {
            None => Policy::default(),
            Some(path) => {
                let text = text(path, MAX_FILE_BYTES as u64)?;
                file::parse(&text).map_err(|error| AccessError::File { file: path.clone(), why: error.to_string() })?
            }
        };
        let issuers = policy.issuers.iter().map(|issuer| {
            let ca = Path::new(&issuer.ca);
            let client = tls::client(&tls::read_certificates(ca)?);
            Ok(Arc::new(IssuerKeys::new(issuer.clone(), client.map_err(|error| AccessError::of(ca, &error))?)))
        });
        let issuers = issuers.collect::<Result<_, AccessError>>()?;
        let certificate = settings.certificate.as_ref().map(|(certificate, key)| own(certificate, key)).transpose()?;
        let client_authorities = settings.client_ca.as_deref().map(client_authorities).transpose()?;
        Ok(Self {
            policy: Arc::new(policy),
            issuers,
            certificate,
            client_authorities: client_authorities.unwrap_or_default(),
        })
    }

    /// Goes on with the keys of issuers that are named as they were before: an issuer that is out of reach now would lock
    /// out all whom it knows.
    pub fn keep_keys_of(&self, before: &Self) {
        for issuer in &self.issuers {
            if let Some(same) = before.issuers.iter().find(|old| old.is_same(issuer)) {
                issuer.go_on_with(same);
            }
        }
    }
}

/// The operator's certificate, tried before it is relied on: later there would be nobody to tell.
fn own(certificate: &Path, key: &Path) -> Result<Certified, AccessError> {
    let read = |path| text(path, u64::MAX);
    let own = Certified { certificate: read(certificate)?, key: read(key)? };
    tls::check(&own).map_err(|(member, why)| {
        let (name, file) = match member {
            Member::Certificate => ("api-cert", certificate),
            Member::Key => ("api-key", key),
        };
        AccessError::of(file, &format!("it cannot be used as {name}: {why}"))
    })?;
    Ok(own)
}

fn client_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let authorities = tls::read_certificates(path)?;
    let checked = tls::verifier(&authorities);
    checked.map_err(|error| AccessError::of(path, &format!("it cannot be used as api-client-ca: {error}")))?;
    Ok(authorities)
}

impl AccessError {
    /// What is wrong with a file.
    fn of(file: &Path, why: &dyn std::fmt::Display) -> Self {
        Self::File { file: file.to_owned(), why: why.to_string() }
    }
}

fn text(path: &Path, max_bytes: u64) -> Result<String, AccessError> {
    let read = || {
        if std::fs::metadata(path)?.len() > max_bytes {
            return Err(std::io::Error::other(format!("it has more than {max_bytes} bytes")));
        }
        std::fs::read_to_string(path)
    };
    read().map_err(|source| AccessError::Read { file: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate and its key, PEM.
    fn pair() -> [String; 2] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        [made.cert.pem(), made.signing_key.serialize_pem()]
    }

    #[test]
    fn a_certificate_that_cannot_be_shown_is_refused_by_its_key_and_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let ([certificate, key], [other, other_key]) = (pair(), pair());
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
        let none = || String::new();
        for (certificate, key, want) in [
            (certificate.clone(), key.clone(), None),
            (certificate.clone() + &other, key.clone(), None),
            (none(), key.clone(), Some("cert.pem: it cannot be used as api-cert: ")),
            (key.clone(), key.clone(), Some("cert.pem: it cannot be used as api-cert: ")),
            (garbage, key, Some("cert.pem: it cannot be used as api-cert: ")),
            (certificate.clone(), none(), Some("key.pem: it cannot be used as api-key: ")),
            (certificate.clone(), certificate.clone(), Some("key.pem: it cannot be used as api-key: ")),
            (certificate, other_key, Some("key.pem: it cannot be used as api-key: ")),
        ] {
            let put = |name: &str, text: &str| {
                let path = folder.path().join(name);
                std::fs::write(&path, text).unwrap();
                path
            };
            let settings = AccessSettings {
                certificate: Some((put("cert.pem", &certificate), put("key.pem", &key))),
                ..AccessSettings::default()
            };
            match (Loaded::read(&settings), want) {
                (Ok(_), None) => {}
                (Err(error), Some(want)) => assert!(error.to_string().contains(want), "{error}: {want}"),
                (read, want) => panic!("{want:?}: {:?}", read.err().map(|error| error.to_string())),
            }
        }
    }

    #[test]
    fn an_authority_of_callers_that_cannot_be_used_is_refused_by_its_key_and_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let settings = AccessSettings { client_ca: Some(path), ..AccessSettings::default() };
        let error = Loaded::read(&settings).err().unwrap().to_string();
        assert!(error.contains("clients.pem: it cannot be used as api-client-ca: "), "{error}");
    }
}
