//! What ingest keeps of its rate while a replica of gigabytes is rebuilt on a new node.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::events::{DATA_BYTES, MATCHING_TYPE, Target, Template};
use super::super::super::lab::Lab;
use super::super::super::load::{Load, closed, exactly};
use super::super::super::report::{Figure, Goal, Row};
use super::super::super::rounds::Spread;
use super::super::super::trio::{Trio, free_addresses};
use super::super::no_rows;
use super::load_on;

const GOAL: Goal = Goal::AtLeast { must: 0.7, aim: 0.9 };
const CONNECTIONS: usize = 64;

/// How long the events may take to go in, and the replica to be there.
const FILL_LIMIT: Duration = Duration::from_secs(1_200);
const REBUILD_LIMIT: Duration = Duration::from_secs(1_200);

/// Measures the row: the rate with two nodes and a third that is being rebuilt, over the rate with three that have all.
/// Two alone are no measure of what a rebuild costs: they write each event twice, and with the third three times.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let mebibytes: u64 = if lab.quick { 512 } else { 4_096 };
    let label = format!("3 replicas, ingest while {mebibytes} MiB are rebuilt");
    let mut trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    lab.step(&format!("{label}: filling"));
    let servers = trio.ingress();
    let template = Template::batch(servers[0], Target::DefaultBroker, MATCHING_TYPE, 100);
    let fill = Load { servers: servers.clone(), ..lab.load(servers[0], template, 12) };
    exactly(&fill, (mebibytes << 20) / DATA_BYTES as u64, FILL_LIMIT).await?.demand_no_refusal()?;
    trio.healthy().await?;
    let whole = calm_rate(lab, &load_on(lab, &trio, CONNECTIONS), &format!("{label}: three")).await?;
    trio.kill("c")?;
    let load = load_on(lab, &trio, CONNECTIONS);
    // Until what the third led is led by the two.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let two = calm_rate(lab, &load, &format!("{label}: two")).await?;
    trio.remove("c").await?;
    let [peer] = free_addresses()?;
    trio.add("d", peer).await?;
    let began = Instant::now();
    let mut during = Vec::new();
    while !has_all_replicas(&trio).await? {
        if began.elapsed() > REBUILD_LIMIT {
            return Err(BenchError::TooLate { what: "a rebuilt replica".to_owned(), limit: REBUILD_LIMIT });
        }
        lab.step(&format!("{label}: measurement {}", during.len() + 1));
        during.push(closed(&load, lab.window).await?.rate());
    }
    let took = began.elapsed();
    trio.stop().await?;
    let ratios: Vec<f64> = during.iter().map(|rate| rate / whole).collect();
    let mut row = Row::of_values(label, &ratios, "x", Some(GOAL)).ok_or_else(|| no_rows("rebuild"))?;
    row.ours = Figure { value: median(&during), unit: "events/s" };
    row.reference = Some(Figure { value: whole, unit: "events/s, three nodes" });
    Ok(vec![row.note(format!("rebuilt in {:.0} s; two nodes alone took {two:.0} events/s", took.as_secs_f64()))])
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values.iter().copied()).map_or(f64::NAN, |spread| spread.median)
}

async fn calm_rate(lab: &Lab, load: &Load, step: &str) -> Result<f64, BenchError> {
    lab.step(step);
    closed(load, lab.warm_up()).await?;
    let mut rates = Vec::new();
    for _ in 0..lab.rounds {
        rates.push(closed(load, lab.window).await?.demand_no_refusal()?.rate());
    }
    Ok(median(&rates))
}

/// Every group has three replicas that vote and lag by next to nothing.
async fn has_all_replicas(trio: &Trio) -> Result<bool, BenchError> {
    const NEXT_TO_NOTHING: u64 = 1_000;
    let status = trio.status().await?;
    let groups = status["groups"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(groups.iter().filter(|group| group["name"] != "registry").all(|group| {
        let replicas = group["replicas"].as_array().map_or(&[][..], Vec::as_slice);
        let sound = replicas.iter().filter(|replica| {
            matches!(replica["role"].as_str(), Some("leader" | "follower"))
                && replica["lagEntries"].as_u64().is_none_or(|lag| lag < NEXT_TO_NOTHING)
        });
        sound.count() >= 3
    }))
}
