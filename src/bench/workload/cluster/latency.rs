//! From POST sent to POST received with three replicas, in an open loop at given rates, over the disk's own sync.

use std::time::Duration;

use super::super::super::disk_probe::probe;
use super::super::super::error::BenchError;
use super::super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::super::lab::Lab;
use super::super::super::load::{Load, open};
use super::super::super::report::{Figure, Goal, Row, micros};
use super::super::super::rounds::Spread;
use super::super::super::sink::Sink;
use super::super::super::steal::StealWatch;
use super::super::no_rows;
use super::end_to_end::start_delivering;

const RATES: [f64; 2] = [1_000.0, 5_000.0];
const CONNECTIONS: usize = 64;
const GOAL: Goal = Goal::AtMost { must: 6.0, aim: 3.0 };

/// How long the last events may take to arrive.
const ARRIVE_LIMIT: Duration = Duration::from_secs(60);

/// Measures a row for each rate.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let sink = Sink::start(lab.origin)?;
    let trio = start_delivering(lab, &sink).await?;
    let servers = trio.ingress();
    let template = Template::timed(servers[0], Target::DefaultBroker, MATCHING_TYPE);
    let load = Load { servers: servers.clone(), ..lab.load(servers[0], template, CONNECTIONS) };
    open(&load, RATES[1], lab.warm_up()).await?;
    let mut rows = Vec::new();
    for rate in RATES {
        rows.push(at_rate(lab, &sink, &load, rate).await?);
    }
    trio.stop().await?;
    Ok(rows)
}

async fn at_rate(lab: &Lab, sink: &Sink, load: &Load, rate: f64) -> Result<Row, BenchError> {
    let label = format!("3 replicas, end-to-end p99 at {rate:.0} events/s over the disk's");
    let (mut ratios, mut p99s, mut p50s, mut syncs, mut stolen) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..lab.rounds {
        lab.step(&format!("{label}: round {} of {}", round + 1, lab.rounds));
        let sync = micros(probe(lab.files(), lab.window / 2)?.p99);
        let watch = StealWatch::start();
        let before = sink.delivered();
        sink.note_travel();
        let tally = open(load, rate, lab.window).await?.demand_no_refusal()?;
        sink.wait_for(before + tally.accepted, ARRIVE_LIMIT).await?;
        let travel = sink.take_travel();
        let at = |quantile| micros(Duration::from_nanos(travel.value_at_quantile(quantile)));
        ratios.push(at(0.99) / sync);
        p99s.push(at(0.99));
        p50s.push(at(0.5));
        syncs.push(sync);
        stolen.extend(watch.percent());
        lab.rest().await;
    }
    let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(f64::NAN, |spread| spread.median);
    let mut row = Row::of_values(label, &ratios, "x", Some(GOAL)).ok_or_else(|| no_rows("latency"))?;
    row.ours = Figure { value: median(&p99s), unit: "us p99" };
    row.reference = Some(Figure { value: median(&syncs), unit: "us raw sync p99" });
    row.stolen_percent = Spread::of(stolen);
    Ok(row.note(format!("p50 {:.0} us", median(&p50s))))
}
