//! How TLS is spoken with callers of the API.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::certificates::Certified;
use super::loaded::AccessError;

/// HTTP/1.1, as ALPN names it.
const ALPN: &[u8] = b"http/1.1";

/// What finds out whether one of the authorities vouches for a certificate.
pub fn verifier(authorities: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, AccessError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| AccessError::Certificate(error.to_string()))
}

/// Whether a certificate and a key can be shown: which of the two cannot, and why.
pub fn check(shown: &Certified) -> Result<(), (Member, String)> {
    let chain = certificates(shown.certificate.as_bytes()).map_err(|why| (Member::Certificate, why.to_owned()))?;
    let bad_key = |error: &dyn std::error::Error| (Member::Key, error.to_string());
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).map_err(|error| bad_key(&error))?;
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(error)) => Err((Member::Certificate, error.to_string())),
        Err(error) => Err(bad_key(&error)),
    }
}

/// One of the two files that make a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `api-cert`.
    Certificate,
    /// `api-key`.
    Key,
}

/// What is shown, and what says whose certificates are taken.
pub fn server(shown: &Certified, verifier: Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, AccessError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: &dyn std::error::Error| AccessError::Certificate(error.to_string());
    let chain = certificates(shown.certificate.as_bytes()).map_err(|why| AccessError::Certificate(why.to_owned()))?;
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).map_err(|error| unusable(&error))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A session that is taken up again would pass over the certificates.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// For asking a server that one of the authorities vouches for.
pub fn client(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, AccessError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AccessError::Certificate(error.to_string()))?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, AccessError> {
    let mut roots = RootCertStore::empty();
    // A bundle of a system may hold some that are of no use here.
    let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if added == 0 {
        return Err(AccessError::Certificate("there is no authority that can be used".to_owned()));
    }
    Ok(roots)
}

/// The certificates of a PEM text: at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| "it is no PEM")?;
    if certificates.is_empty() { Err("it holds no certificate") } else { Ok(certificates) }
}

/// A file of certificates.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let bytes = std::fs::read(path).map_err(|source| AccessError::Read { file: path.to_owned(), source })?;
    certificates(&bytes).map_err(|why| AccessError::File { file: path.to_owned(), why: why.to_owned() })
}
