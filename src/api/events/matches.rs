//! Which events of a Broker a filter would have let pass: that of a Trigger, or one that is tried.
//!
//! | query | what |
//! | --- | --- |
//! | `filter`, `filters` | JSON, as `spec.filter` and `spec.filters` of a Trigger have it |
//! | `since`, `until`, `limit`, `data`, `next` | as of a list; `limit` is for the events that are shown |

use std::ops::ControlFlow;

use pelton_client::{BrokerName, Client};
use pelton_dispatcher::matching::Predicate;
use pelton_resource::{Defaults, Filter, Resource};
use serde_json::{Value, json};

use super::asked::Asked;
use super::{known_broker, permit, view};
use crate::api::Api;
use crate::api::events_view::MatchPage;
use crate::api::problem::Problem;
use crate::api::resources::current;
use crate::api::router::{Outcome, ok, query_value};

/// What of a Broker's events passes a filter that is in the query.
pub async fn matches<C: Client>(api: &Api<C>, namespace: &str, name: &str, query: &str) -> Outcome {
    let broker = known_broker(api, namespace, name)?;
    let filter = tried(&broker, query)?;
    count(api, &broker, &filter, query).await
}

/// What of its Broker's events passes the filter of a Trigger.
pub async fn matches_of_trigger<C: Client>(api: &Api<C>, namespace: &str, name: &str, query: &str) -> Outcome {
    let trigger = current(api).trigger(namespace, name).map(|(_, trigger)| trigger.clone());
    let trigger = trigger.ok_or_else(|| Problem::not_found(format!("Trigger {namespace}/{name} does not exist")))?;
    let broker = known_broker(api, namespace, trigger.broker_name())?;
    count(api, &broker, &trigger.filter_expr(), query).await
}

/// Counts what passes, and shows the first of it.
async fn count<C: Client>(api: &Api<C>, broker: &BrokerName, filter: &Filter, query: &str) -> Outcome {
    let asked = Asked::read(query, api.clock.now())?;
    let filter = Predicate::compile(filter);
    let _permit = permit(&api.scans, "look through the log")?;
    let mut scan = asked.scan(&api.client).await?;
    let (mut looked_at, mut matched, mut items) = (0, 0, Vec::new());
    let run = scan.run(asked.until, |position, arrived, record| {
        let is_within = record.broker() == broker.as_str() && asked.is_within(arrived);
        if is_within && let Ok(event) = record.event() {
            looked_at += 1;
            if filter.matches(&event) {
                matched += 1;
                if items.len() < asked.limit {
                    items.push(view(position, record.broker(), arrived, &event));
                }
            }
        }
        ControlFlow::Continue(())
    });
    run.await?;
    ok(&MatchPage { broker: broker.as_str().to_owned(), looked_at, matched, items, looked: scan.looked() })
}

/// A filter as a Trigger with it would have it: read, defaulted and checked in the same way.
fn tried(broker: &BrokerName, query: &str) -> Result<Filter, Problem> {
    let mut spec = json!({"broker": broker.name(), "subscriber": {"uri": "http://localhost/"}});
    for name in ["filter", "filters"] {
        if let Some(text) = query_value(query, name) {
            let value: Value = serde_json::from_str(&text)
                .map_err(|error| Problem::bad_request(format!("{name}: it is no JSON: {error}")))?;
            spec[name] = value;
        }
    }
    let manifest = json!({
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": "tried", "namespace": broker.namespace()},
        "spec": spec,
    });
    let wrong = |error: String| {
        Problem::bad_request("the filter is not valid").with_errors(error.lines().map(str::to_owned).collect())
    };
    let mut resource = Resource::from_manifest(manifest).map_err(|error| wrong(error.to_string()))?;
    let defaults = Defaults::default();
    resource.set_defaults(&defaults);
    resource.validate(&defaults).map_err(|errors| wrong(errors.to_string()))?;
    match resource {
        Resource::Trigger(trigger) => Ok(trigger.filter_expr()),
        _ => Ok(Filter::nothing()),
    }
}
