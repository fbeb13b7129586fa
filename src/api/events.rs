//! The events of a Broker, as they stand in the log. Any node answers, for all log groups; what one request costs is bounded
//! ([`scan::MAX_EVENTS`], [`scan::MAX_BYTES`], [`SCANS`]), and an answer says how far it looked.
//!
//! | query | what |
//! | --- | --- |
//! | `since`, `until` | only what was taken in then: a time, or how long ago |
//! | `type`, `source`, `subject`, `id`, `attribute.NAME` | only events whose attribute is exactly that |
//! | `limit` | events a page |
//! | `data=true` | with `data` |
//! | `next` | goes on where the answer before ended |

pub mod asked;
mod matches;
mod places;
pub mod scan;
mod show;
mod tail;
pub mod time;

use std::ops::ControlFlow;
use std::sync::Arc;

use http::StatusCode;
use pelton_client::{BrokerName, Client, Position};
use pelton_env::UnixMillis;
use pelton_event::Event;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::asked::Asked;
use self::time::rfc3339;
use super::Api;
use super::events_view::{EventPage, EventView};
use super::problem::Problem;
use super::resources::current;
use super::router::{Outcome, ok};

pub use matches::{matches, matches_of_trigger};
pub use show::show;
pub use tail::tail;

/// Requests that look through the log at once. Beyond it: 503.
pub const SCANS: usize = 4;

/// Requests that follow the log at once, each with a connection and a few hundred KiB. Beyond it: 503.
pub const TAILS: usize = 32;

/// Requests that follow the log and read it at one moment; others wait for their turn. Who begins far back reads all that
/// there is, whatever little of it he asked for.
pub const TAIL_READS: usize = 2;

/// Bytes of events that one page has, but for a first one that is larger.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Leave to look through the log.
///
/// # Errors
/// 503: so many do already.
pub fn permit(of: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(of).try_acquire_owned().map_err(|_| too_many(what))
}

/// What is told who comes while as many as may do the same.
pub fn too_many(what: &str) -> Problem {
    let detail = format!("as many requests as may at once {what} already; try again in a moment");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// A page of a Broker's events.
pub async fn list<C: Client>(api: &Api<C>, namespace: &str, name: &str, query: &str) -> Outcome {
    let broker = known_broker(api, namespace, name)?;
    let asked = Asked::read(query, api.clock.now())?;
    let _permit = permit(&api.scans, "look through the log")?;
    let mut scan = asked.scan(&api.client).await?;
    let (mut items, mut bytes, mut beyond) = (Vec::new(), 0, None);
    let run = scan.run(asked.until, |position, arrived, record| {
        if record.broker() != broker.as_str() {
            return ControlFlow::Continue(());
        }
        let Ok(event) = record.event() else { return ControlFlow::Continue(()) };
        if !asked.is_wanted(arrived, &event) {
            return ControlFlow::Continue(());
        }
        let larger = bytes + event.frame_len();
        if items.len() >= asked.limit || (larger > PAGE_BYTES && !items.is_empty()) {
            beyond = Some(position);
            return ControlFlow::Break(());
        }
        bytes = larger;
        items.push(asked.view(position, record.broker(), arrived, &event));
        ControlFlow::Continue(())
    });
    run.await?;
    if let Some(position) = beyond {
        scan.back_to(position);
    }
    ok(&EventPage { items, looked: scan.looked() })
}

/// The name of a Broker that there is.
///
/// # Errors
/// 404.
pub fn known_broker<C: Client>(api: &Api<C>, namespace: &str, name: &str) -> Result<BrokerName, Problem> {
    let broker = BrokerName::new(namespace, name);
    match current(api).brokers.contains_key(&broker) {
        true => Ok(broker),
        false => Err(Problem::not_found(format!("Broker {namespace}/{name} does not exist"))),
    }
}

/// An event as it is told, without `data`.
#[must_use]
pub fn view(position: Position, broker: &str, arrived: UnixMillis, event: &Event) -> EventView {
    let attributes = event.attributes().map(|(name, value)| (name.to_owned(), value.to_canonical().into_owned()));
    EventView {
        position,
        broker: broker.to_owned(),
        arrived: rfc3339(arrived),
        attributes: attributes.collect(),
        data_bytes: event.data().len(),
        event: None,
    }
}

/// The event in JSON format.
#[must_use]
pub fn structured(event: &Event) -> Option<Box<RawValue>> {
    let json = String::from_utf8(pelton_event::http::encode_structured(event).to_vec()).ok()?;
    RawValue::from_string(json).ok()
}

#[cfg(test)]
mod tests;
