//! Load that rises from 10 requests in flight to 500: how long until the right number of instances is decided.
//!
//! It is seen from outside, by the metric of what there should be, and counts from the first request of the rise.

use std::time::{Duration, Instant};

use super::super::super::consumer::HOLD;
use super::super::super::error::BenchError;
use super::super::super::events::Template;
use super::super::super::lab::Lab;
use super::super::super::load::closed;
use super::super::super::product::Product;
use super::super::super::report::{Goal, Row, millis};
use super::super::super::rounds::Spread;
use super::super::super::service::Service;
use super::super::super::steal::StealWatch;
use super::super::no_rows;
use super::IDLE_PAUSE;

const BEFORE: usize = 10;
const AFTER: usize = 500;
const GOAL: Goal = Goal::AtMost { must: 1_000.0, aim: 200.0 };

/// How many instances are right: Knative's default target is 70 % of 100 requests in one (spec/serving.md, 3.5).
const RIGHT: f64 = 8.0;

/// What there should be, as the product exports it.
const DESIRED: &str = "kn_revision_pods_desired";

/// How long the consumer holds a request. Its connection sends the next one at once.
const HELD_MILLIS: u64 = 500;

/// How long the load lasts after the rise: Knative's own autoscaler needs 6 s.
const RISEN: Duration = Duration::from_secs(8);

/// How often the metric is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Measures the row.
pub async fn run(lab: &Lab) -> Result<Vec<Row>, BenchError> {
    let label = format!("gateway, {BEFORE} to {AFTER} in flight: scale decided");
    let product = Product::start(&lab.directory("product")?, lab.workers).await?;
    let (mut decided, mut longest_gaps, mut stolen) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..lab.rounds {
        lab.step(&format!("{label}: round {} of {}", round + 1, lab.rounds));
        // A new one each time: a revision remembers its load for a minute.
        let service = Service::of_consumer(&format!("step-{round}"))?.with(IDLE_PAUSE, "never");
        product.serve(std::slice::from_ref(&service)).await?;
        let watch = StealWatch::start();
        let (took, gap) = rise(lab, &product, &service).await?;
        decided.push(millis(took));
        longest_gaps.push(millis(gap));
        stolen.extend(watch.percent());
        lab.rest().await;
    }
    product.stop().await?;
    let mut row = Row::of_values(label, &decided, "ms", Some(GOAL)).ok_or_else(|| no_rows("gateway-step"))?;
    row.stolen_percent = Spread::of(stolen);
    let gap = Spread::of(longest_gaps).map_or(f64::NAN, |gaps| gaps.max);
    Ok(vec![
        row.note(format!("{RIGHT} instances are right; between two looks at the metric passed at most {gap:.0} ms")),
    ])
}

/// How long the decision took, and the longest time between two looks until then.
async fn rise(lab: &Lab, product: &Product, service: &Service) -> Result<(Duration, Duration), BenchError> {
    let before = if lab.quick { Duration::from_secs(2) } else { Duration::from_secs(8) };
    let template = Template::get(&service.host(), &format!("{HOLD}{HELD_MILLIS}"));
    let base = lab.load(product.gateway, template.clone(), BEFORE);
    let more = lab.load(product.gateway, template, AFTER - BEFORE);
    let base = closed(&base, before + RISEN);
    let rising = async {
        tokio::time::sleep(before).await;
        let desired = product.metric_of(service, DESIRED).await?;
        if desired != Some(1.0) {
            let reason = format!("{BEFORE} in flight are work for one instance, and {desired:?} are wanted");
            return Err(BenchError::Load { reason });
        }
        tokio::try_join!(closed(&more, RISEN), look(product, service))
    };
    let (base, (more, looked)) = tokio::try_join!(base, rising)?;
    base.demand_no_refusal()?;
    let risen_at = more.demand_no_refusal()?.started;
    let (decided, gap) = looked;
    Ok((decided.saturating_duration_since(risen_at), gap))
}

/// When the right scale was seen first.
async fn look(product: &Product, service: &Service) -> Result<(Instant, Duration), BenchError> {
    let began = Instant::now();
    let (mut last, mut gap) = (began, Duration::ZERO);
    loop {
        let desired = product.metric_of(service, DESIRED).await?;
        let now = Instant::now();
        gap = gap.max(now - last);
        last = now;
        if desired == Some(RIGHT) {
            return Ok((now, gap));
        }
        if began.elapsed() > RISEN {
            let what = format!("{RIGHT} instances wanted (last {desired:?})");
            return Err(BenchError::TooLate { what, limit: RISEN });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
