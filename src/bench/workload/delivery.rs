//! What the end-to-end workloads share: a product with triggers that deliver to the sink, and the rate through both.

use std::time::{Duration, Instant};

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::{Load, closed, exactly};
use super::super::manifest::{Manifest, Start};
use super::super::product::Product;
use super::super::report::micros;
use super::super::rounds::Sample;
use super::super::sink::Sink;

/// Connections of every closed end-to-end loop.
pub const CONNECTIONS: usize = 256;

/// How long a resource may take to have effect.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// How long one try of the set-up may take.
const TRY_LIMIT: Duration = Duration::from_secs(5);

/// A product whose triggers deliver to a sink.
#[derive(Debug)]
pub struct Delivery {
    /// The product.
    pub product: Product,
    load: Load,
    backlogs: Vec<Backlog>,
}

/// How far delivery was behind when a load ended.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    events: u64,
    drained_in: Duration,
}

impl Delivery {
    /// A product with one trigger on the default broker.
    pub async fn with_one_trigger(lab: &Lab, sink: &Sink) -> Result<Self, BenchError> {
        let manifest = Manifest::one_trigger("bench", MATCHING_TYPE, sink.address(), Start::Latest);
        Self::start(lab, sink, &manifest, Target::DefaultBroker).await
    }

    /// A product with `manifest` applied and proved to deliver, warmed up.
    pub async fn start(lab: &Lab, sink: &Sink, manifest: &Manifest, target: Target) -> Result<Self, BenchError> {
        let product = Product::start(&lab.directory("product")?, lab.workers).await?;
        product.apply(manifest).await?;
        let template = Template::binary(product.ingress, target, MATCHING_TYPE);
        let load = lab.load(product.ingress, template, CONNECTIONS);
        let mut delivery = Self { product, load, backlogs: Vec::new() };
        delivery.settle(sink, target).await?;
        let before = sink.delivered();
        let tally = closed(&delivery.load, lab.warm_up()).await?;
        delivery.caught_up(lab, sink, before + tally.accepted).await?;
        sink.wait_until_quiet(Duration::from_millis(200), SETTLE_LIMIT).await?;
        delivery.backlogs.clear();
        Ok(delivery)
    }

    /// Events a second that were acknowledged *and* delivered: the time until the last one arrived counts in full.
    pub async fn rate(&mut self, lab: &Lab, sink: &Sink) -> Result<Sample, BenchError> {
        let before = sink.delivered();
        let processor_before = self.product.processor_time();
        let tally = closed(&self.load, lab.window).await?.demand_no_refusal()?;
        self.caught_up(lab, sink, before + tally.accepted).await?;
        let end = lab.origin.nanos(tally.started + tally.window).max(sink.last_nanos());
        let seconds = (end - lab.origin.nanos(tally.started)) as f64 / 1e9;
        let used = self.product.processor_time().zip(processor_before).map(|(after, before)| after - before);
        Ok(Sample {
            value: tally.accepted as f64 / seconds,
            processor_micros: used.map(|used| micros(used) / tally.accepted.max(1) as f64),
        })
    }

    /// A sentence about how far delivery was behind at the end of each load.
    pub fn backlog_note(&self) -> String {
        let lines: Vec<String> = self
            .backlogs
            .iter()
            .map(|backlog| format!("{} drained in {} ms", backlog.events, backlog.drained_in.as_millis()))
            .collect();
        format!("behind when the load ended: {}", lines.join("; "))
    }

    async fn caught_up(&mut self, lab: &Lab, sink: &Sink, total: u64) -> Result<(), BenchError> {
        let began = Instant::now();
        let events = total.saturating_sub(sink.delivered());
        let limit = lab.window * 10 + Duration::from_secs(60);
        sink.wait_for(total, limit).await?;
        self.backlogs.push(Backlog { events, drained_in: began.elapsed() });
        Ok(())
    }

    /// Sends one event to each broker until all of a turn arrive: then every broker and trigger is in effect.
    async fn settle(&self, sink: &Sink, target: Target) -> Result<(), BenchError> {
        let brokers = match target {
            Target::DefaultBroker => 1,
            Target::Brokers(count) => u64::from(count),
        };
        let probe = Load { connections: 4, ..self.load.clone() };
        let began = Instant::now();
        let mut last: Option<BenchError> = None;
        while began.elapsed() < SETTLE_LIMIT {
            let before = sink.delivered();
            match exactly(&probe, brokers, TRY_LIMIT).await {
                Ok(tally) if tally.refused == 0 => match sink.wait_for(before + brokers, TRY_LIMIT).await {
                    Ok(()) => return sink.wait_until_quiet(Duration::from_millis(200), SETTLE_LIMIT).await,
                    Err(late) => last = Some(late),
                },
                Ok(tally) => last = tally.demand_no_refusal().err(),
                Err(error @ BenchError::TooLate { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or(BenchError::TooLate { what: "the triggers in effect".to_owned(), limit: SETTLE_LIMIT }))
    }
}

/// Live events a second end to end with one trigger: what an earlier workload of this run found, or measured now.
pub async fn live_rate(lab: &Lab, sink: &Sink) -> Result<f64, BenchError> {
    if let Some(rate) = lab.live_rate.get() {
        return Ok(rate);
    }
    lab.step("finding the end-to-end rate");
    let mut delivery = Delivery::with_one_trigger(lab, sink).await?;
    let rate = delivery.rate(lab, sink).await?.value;
    delivery.product.stop().await?;
    lab.live_rate.set(Some(rate));
    Ok(rate)
}
