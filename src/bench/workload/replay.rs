//! Delivery of events that are already there, to a trigger that starts at the earliest, against live delivery.

use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::exactly;
use super::super::manifest::{Manifest, Start};
use super::super::product::Product;
use super::super::report::{Goal, Row, micros};
use super::super::rounds::{Sample, Side, pairs};
use super::super::sink::Sink;
use super::delivery::Delivery;
use super::no_rows;

const GOAL: Goal = Goal::AtLeast { must: 1.0, aim: 1.5 };

/// A replay of a million events takes long enough to be even, so few rounds do.
const MOST_ROUNDS: usize = 3;

/// How long the events may take to go in, and to come out.
const LIMIT: Duration = Duration::from_secs(600);

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let events: u64 = if lab.quick { 100_000 } else { 1_000_000 };
    let label = format!("replay of {events} events");
    let sink = Sink::start(lab.origin)?;
    let mut live = Delivery::with_one_trigger(lab, &sink).await?;
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    lab.step(&format!("{label}: filling"));
    let batch = Template::batch(product.ingress, Target::DefaultBroker, MATCHING_TYPE, 100);
    exactly(&lab.load(product.ingress, batch, 8), events, LIMIT).await?.demand_no_refusal()?;
    let mut replays = 0;
    let pairs = pairs(lab, lab.rounds.min(MOST_ROUNDS), &label, async |side| match side {
        Side::Ours => {
            replays += 1;
            replay(&product, &sink, &format!("replay-{replays}"), events).await
        }
        Side::Reference => live.rate(lab, &sink).await,
    })
    .await?;
    product.stop().await?;
    live.product.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("events/s", "live events/s"), GOAL).ok_or_else(|| no_rows("replay"))?;
    Ok(vec![row])
}

/// Events a second from the moment at which the trigger is applied to the last arrival. The trigger stays; with no new
/// events it has nothing more to do.
async fn replay(product: &Product, sink: &Sink, name: &str, events: u64) -> Result<Sample, BenchError> {
    let before = sink.delivered();
    let processor_before = product.processor_time();
    let applied = Instant::now();
    product.apply(&Manifest::one_trigger(name, MATCHING_TYPE, sink.address(), Start::Earliest)).await?;
    sink.wait_for(before + events, LIMIT).await?;
    let seconds = applied.elapsed().as_secs_f64();
    let used = product.processor_time().zip(processor_before).map(|(after, before)| after - before);
    sink.wait_until_quiet(Duration::from_millis(200), LIMIT).await?;
    Ok(Sample { value: events as f64 / seconds, processor_micros: used.map(|used| micros(used) / events as f64) })
}
