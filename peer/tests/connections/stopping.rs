//! How a listener ends.

use std::sync::Arc;
use std::time::Duration;

use pelton_peer::{ChannelOptions, Network as _, Security, ServeOptions, TcpNetwork, channel, limits};
use pelton_proto::consensus::v1::membership_client::MembershipClient;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::{HELD, MEMORY_ADDRESS, MemoryNetwork, Node, STUCK, client, named, tcp_channel};

const BUFFER_BYTES: usize = 64 * 1024;

/// A client that connects without TLS.
fn plain_client(network: &Arc<MemoryNetwork>) -> MembershipClient<Channel> {
    let address = MEMORY_ADDRESS.parse().unwrap();
    client(channel(network.clone(), Security::Plaintext, &address, ChannelOptions::default()))
}

#[tokio::test(start_paused = true)]
async fn quiet_connections_end_at_once() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let mut node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut client = plain_client(&network);
    client.hello(named("a")).await.unwrap();
    // Nor does one whose handshake has not come to an end keep it.
    let _silent = network.raw().await;
    let start = Instant::now();
    node.stop();
    node.stopped().await;
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_is_answered() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let mut node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut client = plain_client(&network);
    let call = tokio::spawn(async move { client.hello(named(HELD)).await });
    let echo = node.echo.clone();
    echo.arrived.notified().await;
    node.stop();
    tokio::time::advance(limits::DRAIN_TIMEOUT / 2).await;
    echo.release.notify_one();
    call.await.unwrap().unwrap();
    node.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_cut() {
    let network = MemoryNetwork::new(BUFFER_BYTES);
    let mut node = network.node(Security::Plaintext, ServeOptions::default()).await;
    let mut client = plain_client(&network);
    let call = tokio::spawn(async move { client.hello(named(STUCK)).await });
    let echo = node.echo.clone();
    echo.arrived.notified().await;
    let start = Instant::now();
    node.stop();
    node.stopped().await;
    let took = start.elapsed();
    assert!(took.abs_diff(limits::DRAIN_TIMEOUT) < Duration::from_millis(100), "{took:?}");
    // Neither side goes on with it.
    call.await.unwrap().unwrap_err();
    echo.dropped.notified().await;
}

#[tokio::test]
async fn a_channel_connects_again_after_its_node_has_restarted() {
    let mut node = Node::over_tcp(Security::Plaintext, ServeOptions::default()).await;
    let address = node.address.clone();
    let mut client = client(tcp_channel(Security::Plaintext, &address));
    client.hello(named("a")).await.unwrap();
    node.stop();
    node.stopped().await;
    assert_eq!(client.hello(named("a")).await.unwrap_err().code(), Code::Unavailable);
    let listener = TcpNetwork.listen(address.as_str().parse().unwrap()).await.unwrap();
    let _node = Node::start(listener, Security::Plaintext, ServeOptions::default());
    client.hello(named("a")).await.unwrap();
}
