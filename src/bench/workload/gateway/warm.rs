//! Requests a second through the gateway to one warm instance, against nginx in front of the same instance.

use super::super::super::error::BenchError;
use super::super::super::lab::Lab;
use super::super::super::report::{Goal, Row};
use super::super::super::rounds::{Side, Spread, pairs};
use super::super::{closed_rate, closed_rate_of, no_rows};
use super::Proxies;

const CONNECTIONS: usize = 64;
const GOAL: Goal = Goal::AtLeast { must: 0.80, aim: 1.00 };

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("gateway, warm, {CONNECTIONS} connections");
    lab.step(&format!("{label}: warming up"));
    let proxies = Proxies::start(lab, CONNECTIONS).await?;
    let mut nginx_micros = Vec::new();
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => closed_rate(&proxies.gateway_load, proxies.product.pid(), lab.window).await,
        Side::Reference => {
            let used = || proxies.nginx.processor_time();
            let sample = closed_rate_of(&proxies.nginx_load, used, lab.window).await?;
            nginx_micros.extend(sample.processor_micros);
            Ok(sample)
        }
    })
    .await?;
    let direct = closed_rate_of(&proxies.direct_load, || None, lab.window).await?.value;
    proxies.stop().await?;
    let row = Row::of_pairs(label, &pairs, ("requests/s", "requests/s of nginx"), GOAL);
    let row = row.ok_or_else(|| no_rows("gateway-warm"))?;
    let median = |values: Vec<f64>| Spread::of(values).map_or(f64::NAN, |spread| spread.median);
    let ours = row.processor_micros_per_event.unwrap_or(f64::NAN);
    let cost = format!(
        "processor time a request: gateway {ours:.1} us with {0} threads, nginx {1:.1} us with {0} workers",
        lab.workers,
        median(nginx_micros)
    );
    Ok(vec![row.note(cost).note(format!("without anything between: {direct:.0} requests/s"))])
}
