//! Events a second in, matched by one trigger and out to the sink, against the null server.

use super::super::error::BenchError;
use super::super::events::{MATCHING_TYPE, Target, Template};
use super::super::lab::Lab;
use super::super::load::closed;
use super::super::null_server::NullServer;
use super::super::report::{Goal, Row};
use super::super::rounds::{Side, pairs};
use super::super::sink::Sink;
use super::delivery::{CONNECTIONS, Delivery};
use super::{closed_rate, no_rows};

const GOAL: Goal = Goal::AtLeast { must: 0.25, aim: 0.40 };

/// Measures the row, and leaves the rate for the workloads that need it.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("end to end, {CONNECTIONS} connections");
    let null = NullServer::start(&lab.directory("null")?, lab.workers).await?;
    let template = Template::binary(null.address(), Target::DefaultBroker, MATCHING_TYPE);
    let reference = lab.load(null.address(), template, CONNECTIONS);
    let sink = Sink::start(lab.origin)?;
    lab.step(&format!("{label}: warming up"));
    closed(&reference, lab.warm_up()).await?;
    let mut delivery = Delivery::with_one_trigger(lab, &sink).await?;
    let pairs = pairs(lab, lab.rounds, &label, async |side| match side {
        Side::Ours => delivery.rate(lab, &sink).await,
        Side::Reference => closed_rate(&reference, null.pid(), lab.window).await,
    })
    .await?;
    let note = delivery.backlog_note();
    delivery.product.stop().await?;
    null.stop().await;
    let row =
        Row::of_pairs(label, &pairs, ("events/s", "null requests/s"), GOAL).ok_or_else(|| no_rows("end to end"))?;
    lab.live_rate.set(Some(row.ours.value));
    Ok(vec![row.note(note)])
}
