//! Whether the connections of a listener are protected, and what is known of who made one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take, with the wait for a certificate that is made at the first start.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the connections of a listener are protected.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// By TLS, with what is there when a connection comes. As long as there is nothing, it waits for its handshake.
    Tls(watch::Receiver<Option<Arc<ServerConfig>>>),
}

/// Who made a connection. Each request has it as an extension.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it came from.
    pub address: SocketAddr,
    /// The certificate that was shown, if one was, and those that lead from it to who is trusted. That was so when the
    /// connection began: whether it still is must be asked.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// By which generation of whom is trusted, and in which second since 1970, that was found to be so last.
    checked: Arc<Mutex<Option<(u64, u64)>>>,
}

/// The server's side of a handshake.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    mut configs: watch::Receiver<Option<Arc<ServerConfig>>>,
) -> io::Result<TlsStream<S>> {
    let handshake = async {
        let config = configs.wait_for(Option::is_some).await.ok().and_then(|config| config.clone());
        let config = config.ok_or(io::ErrorKind::ConnectionAborted)?;
        TlsAcceptor::from(config).accept(stream).await
    };
    timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl Peer {
    /// Somebody at an address who showed those certificates.
    pub fn new(address: SocketAddr, certificates: &[CertificateDer<'static>]) -> Self {
        Self { address, certificates: certificates.into(), checked: Arc::default() }
    }

    /// Checks the certificates, unless that was done within this second, by the same generation of whom is trusted. It is
    /// done for each request, and certificates tell their times in seconds.
    ///
    /// # Errors
    /// What `check` says.
    pub fn check<E>(
        &self,
        generation: u64,
        second: u64,
        check: impl FnOnce(&[CertificateDer<'static>]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut checked = self.checked.lock();
        if *checked != Some((generation, second)) {
            check(&self.certificates)?;
            *checked = Some((generation, second));
        }
        Ok(())
    }

    /// Who made a connection that went through a handshake.
    pub(super) fn of<S>(address: SocketAddr, stream: &TlsStream<S>) -> Self {
        Self::new(address, stream.get_ref().1.peer_certificates().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio_rustls::TlsConnector;

    use super::super::stall::Stalling;
    use super::*;

    /// A certificate for `localhost`, as a server shows it and as a client trusts it.
    fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        (Arc::new(server), Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_off_with_tls_as_without() {
        const WITHIN: Duration = Duration::from_secs(30);
        let (server, client) = configs();
        let (near, far) = duplex(1024);
        let (_keep, configs) = watch::channel(Some(server));
        let name = ServerName::try_from("localhost").unwrap();
        let (near, far) =
            tokio::join!(accept(Stalling::new(near, WITHIN), configs), TlsConnector::from(client).connect(name, far));
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");

        let begun = tokio::time::Instant::now();
        let written = async {
            near.write_all(&[7; 256 * 1024]).await?;
            near.flush().await
        };
        assert_eq!(written.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), WITHIN.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_time() {
        let (server, _) = configs();
        for config in [None, Some(server)] {
            let (near, _far) = duplex(1024);
            let (_keep, configs) = watch::channel(config);
            let begun = tokio::time::Instant::now();
            assert_eq!(accept(near, configs).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(begun.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
        }
    }
}
