//! From stopped to the first byte of an answer, over a bare spawn of the same program to its first byte.

use std::sync::Arc;
use std::time::Instant;

use super::super::super::bare::Bare;
use super::super::super::error::BenchError;
use super::super::super::first_byte::get;
use super::super::super::lab::Lab;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row};
use super::super::super::rounds::{Sample, Side, pairs};
use super::super::no_rows;
use super::{bare, median_millis, starts, stopping_after};

const GOAL: Goal = Goal::AtMost { must: 2.0, aim: 1.3 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = "gateway, from stopped to first byte, p50".to_owned();
    let count = starts(lab);
    let system = Arc::new(Bare::new()?);
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let service = stopping_after("cold", "50ms")?;
    product.serve(std::slice::from_ref(&service)).await?;
    product.at_zero().await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| {
        let times = match side {
            Side::Reference => bare(&system, move |system| system.in_turn(count)).await?,
            Side::Ours => {
                let mut times = Vec::with_capacity(count);
                for _ in 0..count {
                    let answer = get(product.gateway, &service.host(), Instant::now()).await?.demand_cold()?;
                    times.push(answer.after);
                    product.at_zero().await?;
                }
                times
            }
        };
        Ok(Sample::from(median_millis(&times)))
    })
    .await?;
    product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("ms", "ms, bare spawn"), GOAL).ok_or_else(|| no_rows("gateway-cold"))?;
    Ok(vec![row.note(format!("{count} starts a measurement"))])
}
