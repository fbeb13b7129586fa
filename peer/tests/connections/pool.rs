//! Channels, shared.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use pelton_peer::{
    BoxedIo, ChannelOptions, Channels, Network, PeerAddress, PeerListener, Pool, Security, ServeOptions, limits,
};

use crate::support::{MEMORY_ADDRESS, MemoryNetwork, client, named};

/// Counts the connections that were made.
struct Counting {
    inner: Arc<MemoryNetwork>,
    connections: AtomicUsize,
}

impl Network for Counting {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxedIo>> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.inner.connect(host, port)
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn PeerListener>>> {
        self.inner.listen(address)
    }
}

fn counting() -> Arc<Counting> {
    Arc::new(Counting { inner: MemoryNetwork::new(64 * 1024), connections: AtomicUsize::new(0) })
}

async fn use_all(channels: &Channels) {
    for channel in [channels.control(), channels.data(0), channels.data(1), channels.data(2), channels.data(u64::MAX)] {
        client(channel).hello(named("a")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_has_so_many_connections_and_no_more() {
    for (asked, want) in [(limits::CONNECTIONS_PER_PEER, limits::CONNECTIONS_PER_PEER), (1, 1), (2, 2), (4, 4)] {
        let network = counting();
        let _node = network.inner.node(Security::Plaintext, ServeOptions::default()).await;
        let pool = Pool::with_options(network.clone(), Security::Plaintext, ChannelOptions::default(), asked);
        let channels = pool.channels(&MEMORY_ADDRESS.parse().unwrap());
        assert_eq!(network.connections.load(Ordering::Relaxed), 0, "nothing is connected before it is used");
        use_all(&channels).await;
        use_all(&channels).await;
        assert_eq!(network.connections.load(Ordering::Relaxed), want, "{asked} asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn users_of_an_address_share_its_channels_until_the_last_is_gone() {
    let network = counting();
    let node = network.inner.node(Security::Plaintext, ServeOptions::default()).await;
    let pool = Pool::new(network.clone(), Security::Plaintext);
    let address: PeerAddress = MEMORY_ADDRESS.parse().unwrap();
    let (first, second) = (pool.channels(&address), pool.channels(&address));
    assert!(Arc::ptr_eq(&first, &second));
    assert!(!Arc::ptr_eq(&first, &pool.channels(&"127.0.0.1:7401".parse().unwrap())));
    drop(first);
    use_all(&second).await;
    assert_eq!(network.connections.load(Ordering::Relaxed), 3);

    // Its connections go with it: a node that only waits for them to end has none left.
    drop(second);
    use_all(&pool.channels(&address)).await;
    assert_eq!(network.connections.load(Ordering::Relaxed), 6);
    drop(node);
}
