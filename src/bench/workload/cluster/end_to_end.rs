//! Events a second in with three replicas, matched by one trigger and out to the sink, against the null server.

use std::time::{Duration, Instant};

use super::super::super::error::BenchError;
use super::super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::super::lab::Lab;
use super::super::super::load::{Load, closed, exactly};
use super::super::super::manifest::{Manifest, Start};
use super::super::super::null_server::NullServer;
use super::super::super::report::{Goal, Row};
use super::super::super::rounds::{Sample, Side, pairs};
use super::super::super::sink::Sink;
use super::super::super::trio::Trio;
use super::super::{closed_rate, no_rows};
use super::load_on;

const GOAL: Goal = Goal::AtLeast { must: 0.16, aim: 0.30 };
const CONNECTIONS: usize = 256;

/// How long what was acknowledged may take to arrive.
const ARRIVE_LIMIT: Duration = Duration::from_secs(120);

/// How long one try of the set-up may take.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("3 replicas, end to end, {CONNECTIONS} connections");
    let null = NullServer::start(&lab.directory("null")?, lab.workers).await?;
    let template = Template::binary(null.address(), Target::DefaultBroker, MATCHING_TYPE);
    let reference = lab.load(null.address(), template, CONNECTIONS);
    let sink = Sink::start(lab.origin)?;
    lab.step(&format!("{label}: warming up"));
    closed(&reference, lab.warm_up()).await?;
    let trio = start_delivering(lab, &sink).await?;
    let load = load_on(lab, &trio, CONNECTIONS);
    rate(lab, &trio, &load, &sink, lab.warm_up()).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => rate(lab, &trio, &load, &sink, lab.window).await,
        Side::Reference => closed_rate(&reference, null.pid(), lab.window).await,
    })
    .await?;
    trio.stop().await?;
    null.stop().await;
    let row =
        Row::of_pairs(label, &pairs, ("events/s", "null requests/s"), GOAL).ok_or_else(|| no_rows("end to end"))?;
    Ok(vec![row])
}

/// Three nodes with one trigger in effect in every group.
pub async fn start_delivering(lab: &Lab, sink: &Sink) -> Result<Trio, BenchError> {
    let trio = Trio::start(&lab.directory("trio")?, lab.workers).await?;
    trio.apply(&Manifest::one_trigger("bench", MATCHING_TYPE, sink.address(), Start::Latest)).await?;
    let load = load_on(lab, &trio, 3);
    // What a group took before the trigger was in effect there never arrives.
    let began = Instant::now();
    loop {
        let before = sink.delivered();
        let tally = exactly(&load, 30, ARRIVE_LIMIT).await?.demand_no_refusal()?;
        match sink.wait_for(before + tally.accepted, TRY_LIMIT).await {
            Ok(()) => break,
            Err(late) if began.elapsed() > ARRIVE_LIMIT => return Err(late),
            Err(_) => {}
        }
    }
    sink.wait_until_quiet(Duration::from_millis(200), ARRIVE_LIMIT).await?;
    Ok(trio)
}

/// Events a second that were acknowledged *and* delivered: the time until the last one arrived counts in full.
async fn rate(lab: &Lab, trio: &Trio, load: &Load, sink: &Sink, window: Duration) -> Result<Sample, BenchError> {
    let (before, used) = (sink.delivered(), trio.processor_time());
    let tally = closed(load, window).await?.demand_no_refusal()?;
    sink.wait_for(before + tally.accepted, ARRIVE_LIMIT).await?;
    let began = lab.origin.nanos(tally.started);
    let end = lab.origin.nanos(tally.started + tally.window).max(sink.last_nanos());
    let used = trio.processor_time().zip(used).map(|(after, before)| after.saturating_sub(before));
    let micros = used.map(|used| super::super::super::report::micros(used) / tally.accepted.max(1) as f64);
    Ok(Sample { value: tally.accepted as f64 / ((end - began) as f64 / 1e9), processor_micros: micros })
}
