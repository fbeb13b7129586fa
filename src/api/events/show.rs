//! One event, by its place.

use http::StatusCode;
use pelton_client::{Client, Position};

use super::asked::Asked;
use crate::api::Api;
use crate::api::problem::Problem;
use crate::api::router::{Outcome, ok};

/// The event at `group/offset`; with `?data=true` with its `data`.
pub async fn show<C: Client>(api: &Api<C>, position: &str, query: &str) -> Outcome {
    let position: Position =
        position.parse().map_err(|error| Problem::bad_request(format!("{position:?}: {error}")))?;
    let asked = Asked::read(query, api.clock.now())?;
    // At least the batch that holds it.
    let batches = api.client.read(position.group, position.offset, 1).await?;
    for batch in &batches {
        for record in batch.records() {
            let (at, record) = record.map_err(|error| damaged(&error))?;
            if at == position {
                let event = record.event().map_err(|error| damaged(&error))?;
                return ok(&asked.view(at, record.broker(), batch.sealed, &event));
            }
        }
    }
    Err(Problem::not_found(format!("there is no event at {position} yet")))
}

fn damaged(error: &dyn std::error::Error) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the event cannot be read: {error}"))
}
