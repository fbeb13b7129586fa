//! A process without a descriptor left goes on accepting as soon as it has some (tonic's RUSTSEC-2024-0376). Alone in
//! its binary, because the limit is the process's.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

#[path = "ingress/support.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use all of it")]
mod support;

use metrics_exporter_prometheus::PrometheusBuilder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{FakeLog, Producer, event, serve, soon};
use tokio::net::TcpStream;

#[tokio::test]
async fn the_accept_loop_outlives_a_lack_of_descriptors() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let log = FakeLog::new(&["default/default"]);
    let ingress = metrics::with_local_recorder(&recorder, || serve(&log, pelton_ingress::Options::default()));
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), maximum }).unwrap();

    // Both ends of each connection are ours. The kernel completes connections before they are accepted, so this loop
    // takes the last descriptor and leaves connections that the ingress cannot accept.
    let mut clients = Vec::new();
    while let Ok(stream) = TcpStream::connect(ingress.local_addr()).await {
        clients.push(stream);
    }
    soon("a failed accept", async {
        let failed =
            |line: &str| line.strip_prefix("pelton_ingress_accept_errors_total ").is_some_and(|count| count != "0");
        while !rendered.render().lines().any(failed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(clients);
    soon("recovery", async {
        loop {
            if let Ok(stream) = TcpStream::connect(ingress.local_addr()).await {
                let mut producer = Producer::on(stream);
                producer.send(event("x")).await;
                if producer.try_answer().await.is_some_and(|answer| answer.status == 202) {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
