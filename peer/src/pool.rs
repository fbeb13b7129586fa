//! The channels to every node, shared by whoever talks to it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tonic::transport::Channel;

use crate::channel::{ChannelOptions, channel};
use crate::{Network, PeerAddress, Security, limits};

/// The channels to one node, each one connection.
///
/// The first is for what is small and must not wait: votes, heartbeats, questions. The others are for what is large.
#[derive(Debug, Clone)]
pub struct Channels {
    control: Channel,
    /// At least one.
    data: Vec<Channel>,
}

impl Channels {
    /// For messages that must not wait behind large ones.
    pub fn control(&self) -> Channel {
        self.control.clone()
    }

    /// For everything else. One key always gets the same channel, so that what it sends stays in one connection; keys
    /// are spread over the channels.
    pub fn data(&self, key: u64) -> Channel {
        self.data[(key % self.data.len() as u64) as usize].clone()
    }
}

/// The channels of a node to the others, made when they are first asked for and dropped with their last user.
pub struct Pool {
    network: Arc<dyn Network>,
    security: Security,
    options: ChannelOptions,
    connections: usize,
    /// Those without a user are cleared away when a node is added.
    peers: Mutex<HashMap<PeerAddress, Weak<Channels>>>,
}

impl Pool {
    /// A pool of [`limits::CONNECTIONS_PER_PEER`] connections a node.
    pub fn new(network: Arc<dyn Network>, security: Security) -> Self {
        Self::with_options(network, security, ChannelOptions::default(), limits::CONNECTIONS_PER_PEER)
    }

    /// A pool of `connections` connections a node; with one, small messages share it with large ones.
    pub fn with_options(
        network: Arc<dyn Network>,
        security: Security,
        options: ChannelOptions,
        connections: usize,
    ) -> Self {
        Self { network, security, options, connections, peers: Mutex::default() }
    }

    /// The channels to the node at `address`. Nothing is connected by this. Must be called within a tokio runtime.
    pub fn channels(&self, address: &PeerAddress) -> Arc<Channels> {
        let mut peers = self.peers.lock();
        if let Some(channels) = peers.get(address).and_then(Weak::upgrade) {
            return channels;
        }
        peers.retain(|_, channels| channels.strong_count() > 0);
        let connect = || channel(Arc::clone(&self.network), self.security.clone(), address, self.options);
        let control = connect();
        let data = match self.connections {
            0 | 1 => vec![control.clone()],
            many => (1..many).map(|_| connect()).collect(),
        };
        let channels = Arc::new(Channels { control, data });
        peers.insert(address.clone(), Arc::downgrade(&channels));
        channels
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("security", &self.security).field("peers", &self.peers.lock().len()).finish()
    }
}
