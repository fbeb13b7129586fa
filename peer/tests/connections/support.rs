//! A service to call, a network in memory, and certificates.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, pending};
use parking_lot::Mutex;
use pelton_peer::{
    BoxedIo, ChannelOptions, Network, PeerAddress, PeerListener, Routes, Security, ServeOptions, TcpNetwork, Tls,
    TlsFiles, channel, limits, serve,
};
use pelton_proto::consensus::v1::membership_client::MembershipClient;
use pelton_proto::consensus::v1::membership_server::{Membership, MembershipServer};
use pelton_proto::consensus::v1::{
    HelloRequest, HelloResponse, Identity, JoinRequest, JoinResponse, SettleRequest, SettleResponse,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// The name in a hello that makes the service panic.
pub const PANIC: &str = "panic";

/// The name in a hello that is never answered.
pub const STUCK: &str = "stuck";

/// The name in a hello that is answered once [`Echo::release`] was called.
pub const HELD: &str = "held";

/// Answers a hello with the identity that it came with.
#[derive(Clone, Default)]
pub struct Echo {
    /// Told when a request has arrived that will not be answered by itself.
    pub arrived: Arc<Notify>,
    /// Told when such a request was given up.
    pub dropped: Arc<Notify>,
    /// Lets a held request go on.
    pub release: Arc<Notify>,
}

struct TellOnDrop(Arc<Notify>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tonic::async_trait]
impl Membership for Echo {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloResponse>, Status> {
        let identity = request.into_inner().identity.unwrap_or_default();
        match identity.name.as_str() {
            PANIC => panic!("as the test asked for"),
            STUCK => {
                let _tell = TellOnDrop(Arc::clone(&self.dropped));
                self.arrived.notify_one();
                pending().await
            }
            HELD => {
                self.arrived.notify_one();
                self.release.notified().await;
            }
            _ => {}
        }
        Ok(Response::new(HelloResponse { identity: Some(identity) }))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn settle(&self, _: Request<SettleRequest>) -> Result<Response<SettleResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}

/// A hello of this name.
pub fn named(name: &str) -> HelloRequest {
    HelloRequest { identity: Some(Identity { name: name.to_owned(), ..Identity::default() }) }
}

/// A hello whose encoding is this long.
pub fn sized(size_bytes: usize) -> HelloRequest {
    let mut hello =
        HelloRequest { identity: Some(Identity { nonce: Bytes::from(vec![7; size_bytes]), ..Identity::default() }) };
    let over = prost::Message::encoded_len(&hello) - size_bytes;
    hello.identity.as_mut().unwrap().nonce = Bytes::from(vec![7; size_bytes - over]);
    assert_eq!(prost::Message::encoded_len(&hello), size_bytes, "this size cannot be met");
    hello
}

/// A client of the echo.
pub fn client(channel: Channel) -> MembershipClient<Channel> {
    MembershipClient::new(channel).max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
}

/// A node that listens.
pub struct Node {
    pub address: PeerAddress,
    pub echo: Echo,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Node {
    /// Over TCP, on a free port of 127.0.0.1.
    pub async fn over_tcp(security: Security, options: ServeOptions) -> Self {
        let listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self::start(listener, security, options)
    }

    pub fn start(listener: Box<dyn PeerListener>, security: Security, options: ServeOptions) -> Self {
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let echo = Echo::default();
        let service = MembershipServer::new(echo.clone()).max_decoding_message_size(limits::MAX_MESSAGE_BYTES);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, security, Routes::default().with(service), options, async {
            let _ = stopped.await;
        }));
        Self { address, echo, stop: Some(stop), serving }
    }

    /// Tells it to stop, without waiting.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        self.serving.await.unwrap();
    }
}

/// A channel over TCP.
pub fn tcp_channel(security: Security, address: &PeerAddress) -> Channel {
    channel(Arc::new(TcpNetwork), security, address, ChannelOptions::default())
}

/// A network of one listener, in memory, on which time can be paused.
pub struct MemoryNetwork {
    connecting: mpsc::Sender<DuplexStream>,
    listener: Mutex<Option<MemoryListener>>,
    buffer_bytes: usize,
}

struct MemoryListener {
    connected: tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>,
    /// Failures that the next calls give instead of a connection.
    failures: Mutex<VecDeque<io::Error>>,
}

/// Where the listener of a [`MemoryNetwork`] is.
pub const MEMORY_ADDRESS: &str = "127.0.0.1:7400";

impl MemoryNetwork {
    /// `buffer_bytes` are on their way in each direction before a write waits.
    pub fn new(buffer_bytes: usize) -> Arc<Self> {
        Self::failing(buffer_bytes, Vec::new())
    }

    /// A network whose listener first fails with `failures`.
    pub fn failing(buffer_bytes: usize, failures: Vec<io::Error>) -> Arc<Self> {
        let (connecting, connected) = mpsc::channel(16);
        let listener = MemoryListener { connected: connected.into(), failures: Mutex::new(failures.into()) };
        Arc::new(Self { connecting, listener: Mutex::new(Some(listener)), buffer_bytes })
    }

    pub async fn node(&self, security: Security, options: ServeOptions) -> Node {
        Node::start(self.listen(MEMORY_ADDRESS.parse().unwrap()).await.unwrap(), security, options)
    }

    /// A connection on which anything can be written.
    pub async fn raw(&self) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(self.buffer_bytes);
        self.connecting.send(theirs).await.unwrap();
        ours
    }
}

impl Network for MemoryNetwork {
    fn connect<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<BoxedIo>> {
        Box::pin(async { Ok(Box::new(self.raw().await) as BoxedIo) })
    }

    fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>> {
        let listener = self.listener.lock().take().unwrap();
        Box::pin(async { Ok(Box::new(listener) as Box<dyn PeerListener>) })
    }
}

impl PeerListener for MemoryListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxedIo, SocketAddr)>> {
        Box::pin(async {
            if let Some(failure) = self.failures.lock().pop_front() {
                return Err(failure);
            }
            match self.connected.lock().await.recv().await {
                Some(stream) => Ok((Box::new(stream) as BoxedIo, MEMORY_ADDRESS.parse().unwrap())),
                None => pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(MEMORY_ADDRESS.parse().unwrap())
    }
}

/// An authority that signs certificates of nodes, in files.
pub struct Authority {
    pub dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Authorities are told apart by their names.
        params.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The files of a node that is reached as one of `hosts`.
    pub fn files(&self, hosts: &[&str]) -> TlsFiles {
        self.files_with(CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>()).unwrap())
    }

    pub fn files_with(&self, params: CertificateParams) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let serial = std::fs::read_dir(self.dir.path()).unwrap().count();
        let certificate = self.dir.path().join(format!("{serial}.pem"));
        std::fs::write(&certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        let key_file = self.dir.path().join(format!("{serial}.key"));
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        TlsFiles { ca: self.ca(), certificate, key: key_file }
    }

    /// What a node that is reached as one of `hosts` uses.
    pub fn security(&self, hosts: &[&str]) -> Security {
        tls(self.files(hosts))
    }
}

pub fn tls(files: TlsFiles) -> Security {
    Security::Tls(Arc::new(Tls::read(files).unwrap()))
}
