//! The longest gap in acknowledgements while a group's leader hands it over.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::lab::Lab;
use super::super::super::report::{Goal, Row, millis};
use super::super::super::trio::Trio;
use super::super::super::writers::{Writers, longest_gap};
use super::super::no_rows;

const GOAL: Goal = Goal::AtMost { must: 200.0, aim: 50.0 };
const HAND_OVERS: usize = 20;
const HAND_OVERS_QUICK: usize = 6;

/// How long writers write around a hand-over.
const AROUND: Duration = Duration::from_millis(500);

/// How long a hand-over may take to be seen.
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Measures the row: the longest gap of all hand-overs.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let times = if lab.quick { HAND_OVERS_QUICK } else { HAND_OVERS };
    let label = format!("3 replicas, longest gap of {times} planned hand-overs");
    let trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    let mut gaps = Vec::new();
    for time in 0..times {
        lab.step(&format!("{label}: {}", time + 1));
        let leaders = trio.leaders().await?;
        let (group, leader) = leaders[time % leaders.len()].clone();
        let others = trio.members().iter().filter(|member| member.name != leader);
        let next = others.map(|member| member.name.clone()).nth(time % 2).unwrap_or_default();
        let writers = Writers::start(trio.ingress(), &lab.ids());
        tokio::time::sleep(AROUND).await;
        trio.lead(group, &next).await?;
        until_led(&trio, group, &next).await?;
        tokio::time::sleep(AROUND).await;
        gaps.push(millis(longest_gap(&writers.stop(SEEN_WITHIN).await?)));
    }
    trio.stop().await?;
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    let row = Row::of_values(label, &[longest], "ms", Some(GOAL)).ok_or_else(|| no_rows("hand-over"))?;
    gaps.sort_by(f64::total_cmp);
    Ok(vec![row.note(format!("median {:.0} ms", gaps[gaps.len() / 2]))])
}

async fn until_led(trio: &Trio, group: u32, node: &str) -> Result<(), BenchError> {
    let began = Instant::now();
    while !trio.leaders().await?.iter().any(|(led, by)| *led == group && by == node) {
        if began.elapsed() > SEEN_WITHIN {
            return Err(BenchError::TooLate { what: format!("group {group} led by {node}"), limit: SEEN_WITHIN });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
