//! Acknowledged events a second, single events in binary mode, against the null server.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::closed;
use super::super::null_server::NullServer;
use super::super::product::Product;
use super::super::report::{Goal, Row};
use super::super::rounds::{Side, pairs};
use super::{closed_rate, no_rows};

/// Connections and what each number of them must reach. With few, the loop is bound by the latency of the disk.
const ROWS: [(usize, Goal); 2] =
    [(256, Goal::AtLeast { must: 0.65, aim: 0.80 }), (64, Goal::AtLeast { must: 0.50, aim: 0.65 })];

/// Measures a row for each number of connections.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    for (connections, goal) in ROWS {
        let label = format!("ingest, {connections} connections");
        let null = NullServer::start(&lab.directory("null")?, lab.workers).await?;
        let product = Product::start(&lab.directory("product")?, lab.workers).await?;
        let load =
            |server| lab.load(server, Template::binary(server, Target::DefaultBroker, MATCHING_TYPE), connections);
        let (ours, reference) = (load(product.ingress), load(null.address()));
        lab.step(&format!("{label}: warming up"));
        closed(&reference, lab.warm_up()).await?;
        closed(&ours, lab.warm_up()).await?;
        let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
            Side::Ours => closed_rate(&ours, product.pid(), lab.window).await,
            Side::Reference => closed_rate(&reference, null.pid(), lab.window).await,
        })
        .await?;
        rows.push(
            Row::of_pairs(label, &pairs, ("events/s", "null requests/s"), goal).ok_or_else(|| no_rows("ingest"))?,
        );
        product.stop().await?;
        null.stop().await;
    }
    Ok(rows)
}
