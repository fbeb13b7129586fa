//! What the gateway adds to the latency of a lone request, over what nginx adds to it.

use std::time::Duration;

use super::super::super::error::BenchError;
use super::super::super::lab::Lab;
use super::super::super::load::{Load, closed};
use super::super::super::report::{Goal, Row, micros};
use super::super::super::rounds::{Sample, Side, Spread, pairs};
use super::super::super::sink::latencies;
use super::super::no_rows;
use super::Proxies;

const GOAL: Goal = Goal::AtMost { must: 1.5, aim: 1.0 };

/// One request at a time.
const CONNECTIONS: usize = 1;

/// How often a measurement goes from one way to the other: the machine changes meanwhile.
const TURNS: u32 = 4;

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = "gateway, added latency, p50".to_owned();
    lab.step(&format!("{label}: warming up"));
    let proxies = Proxies::start(lab, CONNECTIONS).await?;
    let mut direct = Vec::new();
    let pairs = pairs(lab, lab.rounds, &label, async |side| {
        let through = match side {
            Side::Ours => &proxies.gateway_load,
            Side::Reference => &proxies.nginx_load,
        };
        let (without, with) = medians(lab, &proxies.direct_load, through).await?;
        direct.push(without);
        if with <= without {
            let reason =
                format!("a request through a proxy ({with:.1} us) was no slower than without ({without:.1} us)");
            return Err(BenchError::Load { reason });
        }
        Ok(Sample::from(with - without))
    })
    .await?;
    proxies.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("us added", "us added by nginx"), GOAL);
    let row = row.ok_or_else(|| no_rows("gateway-latency"))?;
    let direct = Spread::of(direct).map_or(f64::NAN, |spread| spread.median);
    Ok(vec![row.note(format!("one request at a time; without anything between: {direct:.0} us"))])
}

/// The median without and with something between, microseconds.
async fn medians(lab: &Lab, direct: &Load, through: &Load) -> Result<(f64, f64), BenchError> {
    let (mut without, mut with) = (latencies(), latencies());
    for _ in 0..TURNS {
        for (load, all) in [(direct, &mut without), (through, &mut with)] {
            let tally = closed(load, lab.window / (2 * TURNS)).await?.demand_no_refusal()?;
            all.add(tally.latency).map_err(|error| BenchError::Load { reason: error.to_string() })?;
        }
    }
    let median = |all: hdrhistogram::Histogram<u64>| micros(Duration::from_nanos(all.value_at_quantile(0.5)));
    Ok((median(without), median(with)))
}
