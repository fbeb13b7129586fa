//! The files that say who may use the API, as they were read last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pelton_access::limits::MAX_FILE_BYTES;
use pelton_access::{Policy, file};
use rustls::pki_types::CertificateDer;

use super::certificates::Certified;
use super::issuer_keys::IssuerKeys;
use super::tls;
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
            let client = tls::client(&tls::read_certificates(Path::new(&issuer.ca))?)?;
            Ok(Arc::new(IssuerKeys::new(issuer.clone(), client)))
        });
        let issuers = issuers.collect::<Result<_, AccessError>>()?;
        let certificate = settings.certificate.as_ref().map(|(certificate, key)| {
            let read = |path| text(path, u64::MAX);
            Ok(Certified { certificate: read(certificate)?, key: read(key)? })
        });
        let client_authorities = settings.client_ca.as_deref().map(tls::read_certificates).transpose()?;
        Ok(Self {
            policy: Arc::new(policy),
            issuers,
            certificate: certificate.transpose()?,
            client_authorities: client_authorities.unwrap_or_default(),
        })
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
