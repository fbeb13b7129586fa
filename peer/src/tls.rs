//! TLS with a certificate on both sides.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{BoxedIo, PeerAddress, limits};

/// HTTP/2, as ALPN names it. Nothing else is spoken between nodes.
const ALPN: &[u8] = b"h2";

/// The PEM files that a node shows and trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities whose certificates are trusted. Whoever holds a certificate of theirs is a node of the cluster,
    /// so they should sign nothing else. There is no list of revoked certificates: one that got out is shut out by
    /// another authority.
    pub ca: PathBuf,
    /// This node's certificate, and those between it and the authority. Its names are the hosts that other nodes dial;
    /// if it says what it is for, then both server and client.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// TLS 1.3 between nodes: both sides show a certificate, and both check the other's against the same authorities.
///
/// Whoever dials also checks that the certificate names the host it dialled. Whoever is dialled takes any name: a node's
/// address may change, some have none, and consensus has to trust every member whichever it says it is.
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Configs>,
}

struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Configs::read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again, for connections made from now on. Those that exist are left alone.
    ///
    /// # Errors
    /// As for [`read`](Self::read). What was read before stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(Configs::read(&self.files)?));
        Ok(())
    }

    pub(crate) async fn connect(&self, io: BoxedIo, address: &PeerAddress) -> io::Result<BoxedIo> {
        let config = Arc::clone(&self.current.load().client);
        let stream = TlsConnector::from(config).connect(address.server_name(), io).await?;
        Ok(Box::new(stream))
    }

    pub(crate) async fn accept(&self, io: BoxedIo) -> io::Result<BoxedIo> {
        let config = Arc::clone(&self.current.load().server);
        match TlsAcceptor::from(config).accept(io).into_fallible().await {
            Ok(stream) => Ok(Box::new(stream)),
            Err((error, io)) => {
                linger(io).await;
                Err(error)
            }
        }
    }
}

/// Closes a connection so that the peer still reads why.
///
/// A TLS 1.3 client is done before we have looked at its certificate and has sent more by then. If that were left
/// unread, the system would reset the connection, and the alert that was sent could be lost with it.
async fn linger(mut io: BoxedIo) {
    let rest = async {
        let mut discarded = [0; 4096];
        io.shutdown().await?;
        while io.read(&mut discarded).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // However it ends, the connection is over.
    let _ = timeout(limits::LINGER_TIMEOUT, rest).await;
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Configs {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = &[&rustls::version::TLS13];
        let roots = Arc::new(read_roots(&files.ca)?);
        let chain = read_certificates(&files.certificate)?;
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| pem_error(&files.key, "private key", error))?;
        // What can still fail is a pair that does not fit, or a certificate that is none.
        let unusable =
            |source| TlsError::Unusable { certificate: files.certificate.clone(), key: files.key.clone(), source };

        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|source| TlsError::Authorities { file: files.ca.clone(), source })?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unusable)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // Connections last, so taking a session up again would save nothing, and it would pass over the certificates.
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();

        Ok(Self { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn read_roots(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).map_err(|source| TlsError::Authority { file: file.to_owned(), source })?;
    }
    Ok(roots)
}

/// The certificates of a file: at least one.
fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| pem_error(file, "certificate", error))?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { file: file.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

fn pem_error(file: &Path, what: &'static str, error: pem::Error) -> TlsError {
    let file = file.to_owned();
    match error {
        pem::Error::Io(source) => TlsError::Read { file, source },
        pem::Error::NoItemsFound => TlsError::Missing { file, what },
        source => TlsError::Pem { file, source },
    }
}

/// Why the files of [`TlsFiles`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{file} cannot be read", file = file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{file} is not a PEM file", file = file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// Where it goes wrong.
        source: pem::Error,
    },
    /// The file is PEM but does not hold what it is for.
    #[error("{file} holds no {what}", file = file.display())]
    Missing {
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A certificate of an authority is none.
    #[error("{file} holds a certificate of an authority that cannot be used", file = file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The authorities cannot be used to check others' certificates.
    #[error("the authorities in {file} cannot be used to check certificates", file = file.display())]
    Authorities {
        /// The file.
        file: PathBuf,
        /// What is wrong with them.
        source: VerifierBuilderError,
    },
    /// The certificate and the key do not fit, or one of them is of a kind that is not supported.
    #[error("the certificate in {certificate} cannot be used with the key in {key}", certificate = certificate.display(), key = key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        source: rustls::Error,
    },
}
