//! How long a group takes no events after its leader was killed.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::lab::Lab;
use super::super::super::report::{Goal, Row, millis};
use super::super::super::trio::Trio;
use super::super::super::writers::{Writers, longest_gap};
use super::super::no_rows;

const GOAL: Goal = Goal::AtMost { must: 2_000.0, aim: 1_000.0 };
const KILLS: usize = 50;
const KILLS_QUICK: usize = 10;

/// How long writers write before and after a kill.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(3);

/// How long the writers may take to get their last acknowledgement.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Measures the row. What is judged is the 99th percentile of all gaps.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let kills = if lab.quick { KILLS_QUICK } else { KILLS };
    let label = format!("3 replicas, leader killed: writes resume, p99 of {kills}");
    let mut trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    let mut gaps = Vec::new();
    for kill in 0..kills {
        lab.step(&format!("{label}: kill {}", kill + 1));
        trio.healthy().await?;
        let leaders = trio.leaders().await?;
        let (_, victim) = leaders[kill % leaders.len()].clone();
        let writers = Writers::start(trio.ingress(), &lab.ids());
        tokio::time::sleep(BEFORE).await;
        let began = Instant::now();
        let peer = trio.kill(&victim)?;
        writers.set_servers(trio.ingress());
        tokio::time::sleep(AFTER).await;
        let acknowledged = writers.stop(STOP_LIMIT).await?;
        let gap = longest_gap(&acknowledged);
        gaps.push(millis(gap));
        if began.elapsed() < gap {
            return Err(BenchError::Load { reason: "a writer stood still before the kill".to_owned() });
        }
        trio.add(&victim, peer).await?;
    }
    trio.stop().await?;
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let p99 = sorted[(sorted.len() * 99).div_ceil(100) - 1];
    let median = sorted[sorted.len() / 2];
    let row = Row::of_values(label, &[p99], "ms", Some(GOAL)).ok_or_else(|| no_rows("failover"))?;
    let note = format!("the longest time in which one of 12 writers had no acknowledgement; median {median:.0} ms");
    Ok(vec![row.note(note)])
}
