//! What three nodes with many brokers and triggers take while nothing happens.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::events::MATCHING_TYPE;
use super::super::super::lab::Lab;
use super::super::super::manifest::Manifest;
use super::super::super::report::{Goal, Row};
use super::super::super::trio::{Trio, free_addresses};
use super::super::no_rows;
use super::super::triggers::TRIGGERS;

const BROKERS: u32 = 1_000;
const PROCESSOR: Goal = Goal::AtMost { must: 2.0, aim: 0.5 };
const MEMORY: Goal = Goal::AtMost { must: 200.0, aim: 100.0 };

/// How long the nodes are left alone before they are looked at, and how long they are looked at.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(20);

/// Measures two rows: the busiest node's processor time, the largest node's memory.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("3 nodes idle, {BROKERS} brokers, {TRIGGERS} triggers");
    lab.step(&label);
    let trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    let [nobody] = free_addresses()?;
    trio.apply(&Manifest::brokers(BROKERS, MATCHING_TYPE, nobody)).await?;
    trio.apply(&Manifest::triggers(TRIGGERS - BROKERS, MATCHING_TYPE, nobody)).await?;
    tokio::time::sleep(if lab.quick { SETTLE / 2 } else { SETTLE }).await;
    let before: Vec<_> = trio.members().iter().map(|member| member.processor_time().unwrap_or_default()).collect();
    let began = Instant::now();
    tokio::time::sleep(if lab.quick { LOOK / 2 } else { LOOK }).await;
    let seconds = began.elapsed().as_secs_f64();
    let used = trio.members().iter().zip(before).map(|(member, before)| {
        100.0 * member.processor_time().unwrap_or_default().saturating_sub(before).as_secs_f64() / seconds
    });
    let busiest = used.fold(0.0, f64::max);
    let mut largest = 0.0_f64;
    for member in trio.members() {
        largest = largest.max(member.resident()?.now_bytes as f64 / f64::from(1 << 20));
    }
    trio.stop().await?;
    let rows = [
        Row::of_values(format!("{label}: processor"), &[busiest], "% of a core", Some(PROCESSOR)),
        Row::of_values(format!("{label}: memory"), &[largest], "MiB", Some(MEMORY)),
    ];
    rows.into_iter().map(|row| row.ok_or_else(|| no_rows("idle"))).collect()
}
