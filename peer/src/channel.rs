//! A gRPC channel to a node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::stall::StallGuard;
use crate::{BoxedIo, Network, PeerAddress, Security, limits};

/// How a channel is kept. The defaults are those of [`limits`].
#[derive(Debug, Clone, Copy)]
pub struct ChannelOptions {
    /// How long a connection may take to be made, with its handshake.
    pub connect_timeout: Duration,
    /// How long a quiet connection is left alone.
    pub keepalive_interval: Duration,
    /// How long the peer's sign of life may take.
    pub keepalive_timeout: Duration,
    /// How long the peer may take nothing of what is written.
    pub write_stall_timeout: Duration,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            connect_timeout: limits::CONNECT_TIMEOUT,
            keepalive_interval: limits::KEEPALIVE_INTERVAL,
            keepalive_timeout: limits::KEEPALIVE_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
        }
    }
}

/// A channel of one connection to the node at `address`.
///
/// It connects when it is first used, and again when it is used after it broke. A request that finds no connection
/// fails at once: when to try again is the caller's business. Must be called within a tokio runtime.
pub fn channel(
    network: Arc<dyn Network>,
    security: Security,
    address: &PeerAddress,
    options: ChannelOptions,
) -> Channel {
    // Only the connector looks at where this leads; the scheme decides nothing.
    let uri = Uri::builder().scheme("http").authority(address.as_str()).path_and_query("/").build();
    let endpoint = Endpoint::from(uri.expect("host:port is an authority"))
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::MAX_FRAME_BYTES)
        .http2_max_header_list_size(limits::MAX_HEADER_LIST_BYTES);
    let address = address.clone();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (network, security, address) = (Arc::clone(&network), security.clone(), address.clone());
        async move {
            let limit = options.connect_timeout;
            let connected = timeout(limit, connect(&*network, &security, &address, &options)).await;
            connected.unwrap_or(Err(ConnectError::Timeout { address, limit })).map(TokioIo::new)
        }
    }))
}

async fn connect(
    network: &dyn Network,
    security: &Security,
    address: &PeerAddress,
    options: &ChannelOptions,
) -> Result<BoxedIo, ConnectError> {
    let io = network.connect(address.host(), address.port()).await;
    let io = io.map_err(|source| ConnectError::Unreachable { address: address.clone(), source })?;
    let io: BoxedIo = Box::new(StallGuard::new(io, options.write_stall_timeout));
    let io = security.connect(io, address).await;
    io.map_err(|source| ConnectError::Handshake { address: address.clone(), source })
}

/// Why there is no connection to a node. A call fails with it as a source of its status.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network says no.
    #[error("no connection to the node at {address}")]
    Unreachable {
        /// The node.
        address: PeerAddress,
        /// What the network says.
        source: io::Error,
    },
    /// One of the two does not trust the other, or the other speaks something else.
    #[error("the handshake with the node at {address} failed")]
    Handshake {
        /// The node.
        address: PeerAddress,
        /// What went wrong.
        source: io::Error,
    },
    /// The connection or its handshake took too long.
    #[error("no connection to the node at {address} within {limit:?}")]
    Timeout {
        /// The node.
        address: PeerAddress,
        /// How long it was waited.
        limit: Duration,
    },
}
