//! Connections between nodes: who may connect, how a connection is kept and bounded, and when it is given up.
//!
//! This crate knows nothing of Raft and of events. It gives gRPC clients a [`Channel`](tonic::transport::Channel) to an
//! address ([`Channels`], [`Pool`]), and gRPC services a listener that lasts ([`serve`]). Both go through a [`Network`],
//! real or simulated, and through [`Security`], so that a simulated cluster runs the same code as a real one.
//!
//! A connection is HTTP/2, on TLS 1.3 with a certificate on both sides, or plain. Every bound is in [`limits`].

mod address;
mod channel;
mod ending;
mod handshakes;
pub mod limits;
mod network;
mod pool;
mod preface;
mod routes;
mod security;
mod serve;
mod stall;
mod tls;
mod turned_away;
mod version;

pub use address::{BadAddress, PeerAddress};
pub use channel::{ChannelOptions, ConnectError, channel};
pub use network::{BoxedIo, Io, Network, PeerListener, TcpNetwork};
pub use pool::{Channels, Pool};
pub use routes::Routes;
pub use security::{PlaintextNotAllowed, Security};
pub use serve::{ServeOptions, serve};
pub use tls::{Tls, TlsError, TlsFiles};
pub use version::{NotVersions, PROTOCOL_MAX, PROTOCOL_MIN, Versions, VersionsApart};
