//! TLS towards a server: whom one trusts, and what one shows.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where systems keep the authorities that they trust, in PEM.
const SYSTEM_AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where else they are: the variable of OpenSSL, which others read as well.
const AUTHORITIES_VARIABLE: &str = "SSL_CERT_FILE";

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// The key is nobody's business.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What TLS is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsParts {
    /// Certificates of the authorities that are trusted, in PEM. Missing: those that the system trusts.
    pub authorities: Option<Vec<u8>>,
    /// What the client shows.
    pub identity: Option<Identity>,
    /// The name that the server's certificate is to have, if it is not the host that is called.
    pub server_name: Option<String>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A part is not PEM.
    #[error("the {what} cannot be read")]
    Pem {
        /// Which.
        what: &'static str,
        /// Where it goes wrong.
        source: pem::Error,
    },
    /// There are no certificates of authorities.
    #[error("there is no certificate of an authority: name one (certificate-authority)")]
    NoAuthority,
    /// The authorities of the system cannot be read.
    #[error("{} cannot be read", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate, a key or a name cannot be used.
    #[error("the {what} cannot be used")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// TLS towards one server. HTTP/1.1 is spoken within.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// TLS of these parts.
    ///
    /// # Errors
    /// [`BadTls`].
    pub fn new(parts: &TlsParts) -> Result<Self, BadTls> {
        let unusable = |what| move |error: rustls::Error| BadTls::Unusable { what, source: error.into() };
        let roots = match &parts.authorities {
            Some(pem) => roots(pem)?,
            None => roots(&system_authorities()?)?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable("version of TLS"))?
            .with_root_certificates(roots);
        let mut config = match &parts.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(&identity.key)
                    .map_err(|source| BadTls::Pem { what: "client key", source })?;
                let chain = certificates(&identity.certificates, "client certificate")?;
                builder.with_client_auth_cert(chain, key).map_err(unusable("client certificate"))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A command makes a connection or two.
        config.resumption = Resumption::disabled();
        let server_name = match &parts.server_name {
            None => None,
            Some(name) => Some(server_name(name)?),
        };
        Ok(Self { config: Arc::new(config), server_name })
    }

    /// Makes sure who is on the other side of a connection to `host`, which may be an address in brackets.
    ///
    /// # Errors
    /// The handshake fails: most of all when the certificate is not that of a trusted server of this name.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(io::Error::other)?,
        };
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, BadTls> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned())
        .map_err(|error| BadTls::Unusable { what: "name of the server", source: error.into() })
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|source| BadTls::Pem { what, source })
}

/// The certificates of authorities in a text. Of many that a system has, some may be of a kind that is not understood.
fn roots(pem: &[u8]) -> Result<RootCertStore, BadTls> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(pem, "certificate of the authority")?);
    if roots.is_empty() { Err(BadTls::NoAuthority) } else { Ok(roots) }
}

fn system_authorities() -> Result<Vec<u8>, BadTls> {
    let named = std::env::var_os(AUTHORITIES_VARIABLE).map(PathBuf::from);
    let known = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|file| file.exists());
    let file = named.or_else(known).ok_or(BadTls::NoAuthority)?;
    std::fs::read(&file).map_err(|source| BadTls::Unreadable { file, source })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn parts_are_used_or_what_is_wrong_with_them_is_told() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let pem = || Some(certificate.clone().into_bytes());
        let identity = |key: &KeyPair| {
            Some(Identity { certificates: certificate.clone().into_bytes(), key: key.serialize_pem().into_bytes() })
        };
        let no_key = Some(Identity { certificates: certificate.clone().into_bytes(), key: b"no key".to_vec() });
        let name = |name: &str| Some(name.to_owned());
        for (authorities, identity, server_name, wrong) in [
            (pem(), None, None, None),
            (pem(), identity(&key), name("b.example"), None),
            (Some(b"nothing".to_vec()), None, None, Some("no certificate of an authority")),
            (pem(), identity(&other), None, Some("client certificate cannot be used")),
            (pem(), no_key, None, Some("client key cannot be read")),
            (pem(), None, name("no name"), Some("name of the server")),
        ] {
            let told = ClientTls::new(&TlsParts { authorities, identity, server_name }).err().map(|e| e.to_string());
            assert_eq!(told.is_some(), wrong.is_some(), "{told:?} {wrong:?}");
            assert!(told.unwrap_or_default().contains(wrong.unwrap_or_default()), "{wrong:?}");
        }
        assert!(!format!("{:?}", identity(&key)).contains("PRIVATE"), "a key is never shown");
    }
}
