//! Resident memory of the product: idle, with a backlog that nobody takes, with 10,000 triggers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use super::super::error::{BenchError, Doing};
use super::super::events::{DATA_BYTES, MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::exactly;
use super::super::manifest::{Manifest, Start};
use super::super::product::Product;
use super::super::report::{Goal, Row};
use super::no_rows;
use super::triggers::TRIGGERS;

const IDLE: Goal = Goal::AtMost { must: 80.0, aim: 40.0 };
const BACKLOG: Goal = Goal::AtMost { must: 300.0, aim: 150.0 };
const MANY_TRIGGERS: Goal = Goal::AtMost { must: 200.0, aim: 100.0 };

/// How long the product is left alone before and while it is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a backlog may take to go in.
const FILL_LIMIT: Duration = Duration::from_secs(600);

/// Measures the three rows, each on a product of its own.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    Ok(vec![idle(lab).await?, backlog(lab).await?, many_triggers(lab).await?])
}

async fn idle(lab: &Lab) -> Result<Row, BenchError> {
    lab.step("memory: idle");
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    finish(product, "memory, idle".to_owned(), IDLE).await
}

async fn backlog(lab: &Lab) -> Result<Row, BenchError> {
    let mebibytes: u64 = if lab.quick { 256 } else { 1024 };
    let label = format!("memory, {mebibytes} MiB backlog");
    lab.step(&label);
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let manifest = Manifest::one_trigger("nobody-home", MATCHING_TYPE, closed_port()?, Start::Latest);
    product.apply(&manifest).await?;
    let events = (mebibytes << 20) / DATA_BYTES as u64;
    let batch = Template::batch(product.ingress, Target::DefaultBroker, MATCHING_TYPE, 100);
    exactly(&lab.load(product.ingress, batch, 8), events, FILL_LIMIT).await?;
    finish(product, label, BACKLOG).await
}

async fn many_triggers(lab: &Lab) -> Result<Row, BenchError> {
    let label = format!("memory, {TRIGGERS} triggers");
    lab.step(&label);
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    product.apply(&Manifest::triggers(TRIGGERS, MATCHING_TYPE, closed_port()?)).await?;
    finish(product, label, MANY_TRIGGERS).await
}

/// The highest resident memory while nothing is asked of the product.
async fn finish(product: Product, label: String, goal: Goal) -> Result<Row, BenchError> {
    tokio::time::sleep(SETTLE).await;
    let began = Instant::now();
    let mut highest = product.resident()?;
    while began.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = product.resident()?;
        if now.now_bytes > highest.now_bytes {
            highest = now;
        }
    }
    let peak = product.resident()?.peak_bytes;
    product.stop().await?;
    let row = Row::of_values(label, &[mebibytes(highest.now_bytes)], "MiB", Some(goal));
    let row = row.ok_or_else(|| no_rows("memory"))?;
    Ok(row.note(format!("highest since the start of the process: {:.0} MiB", mebibytes(peak))))
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// An address at which nobody listens: a port that was free a moment ago.
fn closed_port() -> Result<SocketAddr, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .doing(|| "looking for a free port".to_owned())
}
