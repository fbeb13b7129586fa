//! From POST sent to POST received, in an open loop at a quarter of the rate that the product can take.

use std::time::Duration;

use super::super::disk_probe::probe;
use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::open;
use super::super::report::{Figure, Goal, Row, micros, millis};
use super::super::rounds::Spread;
use super::super::sink::Sink;
use super::super::steal::StealWatch;
use super::delivery::{Delivery, live_rate};
use super::no_rows;

const CONNECTIONS: usize = 64;
const SHARE_OF_RATE: f64 = 0.25;
const GOAL: Goal = Goal::AtMost { must: 10.0, aim: 4.0 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = "end-to-end latency, p99".to_owned();
    let sink = Sink::start(lab.origin)?;
    let rate = live_rate(lab, &sink).await? * SHARE_OF_RATE;
    let delivery = Delivery::with_one_trigger(lab, &sink).await?;
    let server = delivery.product.ingress;
    let load = lab.load(server, Template::timed(server, Target::DefaultBroker, MATCHING_TYPE), CONNECTIONS);
    let (mut p99, mut p50, mut p999, mut sync_p99, mut acknowledged) = (vec![], vec![], vec![], vec![], vec![]);
    let mut stolen = Vec::new();
    for round in 0..lab.rounds {
        lab.step(&format!("{label}: round {} of {} at {rate:.0} events/s", round + 1, lab.rounds));
        sync_p99.push(micros(probe(lab.files(), lab.window / 4)?.p99));
        let watch = StealWatch::start();
        let before = sink.delivered();
        sink.note_travel();
        let tally = open(&load, rate, lab.window).await?.demand_no_refusal()?;
        sink.wait_for(before + tally.accepted, Duration::from_secs(60)).await?;
        let travel = sink.take_travel();
        let at = |quantile| millis(Duration::from_nanos(travel.value_at_quantile(quantile)));
        p50.push(at(0.5));
        p99.push(at(0.99));
        p999.push(at(0.999));
        acknowledged.push(millis(tally.latency_at(0.99)));
        stolen.extend(watch.percent());
        lab.rest().await;
    }
    delivery.product.stop().await?;
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(f64::NAN, |spread| spread.median);
    let mut row = Row::of_values(label, &p99, "ms", Some(GOAL)).ok_or_else(|| no_rows("latency"))?;
    row.reference = Some(Figure { value: median(&sync_p99), unit: "us raw sync p99" });
    row.stolen_percent = Spread::of(stolen);
    Ok(vec![row.note(format!(
        "open loop at {rate:.0} events/s from planned send times; p50 {:.2} ms, p99.9 {:.2} ms, acknowledged p99 {:.2} ms",
        median(&p50),
        median(&p999),
        median(&acknowledged)
    ))])
}
