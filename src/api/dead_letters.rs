//! Kept dead letters, each with what is known of its event.

use std::collections::HashMap;

use pelton_client::{Client, DeadLetter, EventBatch, GroupId, Position, Resources, Selection, TriggerId};
use pelton_event::Event;

use super::Api;
use super::problem::Problem;
use super::resources::{current, find_trigger, trigger_name};
use super::router::{Outcome, ok, query_value};
use super::view::{Count, DeadLetterPage, DeadLetterView, SelectionBody};

/// Letters a page, unless told otherwise.
const PAGE: usize = 100;

/// Most letters a page.
const MAX_PAGE: usize = 1000;

/// How much of the log is read at a time to find the events of a page.
const READ_BYTES: usize = 256 * 1024;

/// A page of letters.
pub async fn list<C: Client>(api: &Api<C>, query: &str) -> Outcome {
    let resources = current(api);
    let trigger = match query_value(query, "trigger") {
        Some(text) => Some(find_trigger(&resources, &text)?.0),
        None => None,
    };
    let limit = match query_value(query, "limit") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit)).ok_or_else(|| {
            Problem::bad_request(format!("limit: expected a number from 1 to {MAX_PAGE}, got {text:?}"))
        })?,
    };
    let after = match query_value(query, "after") {
        None => None,
        Some(text) => {
            let place = read_place(&text);
            Some(place.ok_or_else(|| Problem::bad_request(format!("after: {text:?} is no place in the list")))?)
        }
    };
    let letters = api.client.dead_letters(trigger, after, limit).await?;
    let next =
        letters.last().filter(|_| letters.len() == limit).map(|last| format!("{}:{}", last.trigger, last.position));
    let mut events = Events::default();
    let mut items = Vec::with_capacity(letters.len());
    for letter in &letters {
        let event = events.at(&api.client, letter.position).await;
        items.push(view(api, &resources, letter, event));
    }
    ok(&DeadLetterPage { items, next })
}

/// One letter, with its event.
pub async fn show<C: Client>(api: &Api<C>, trigger: &str, position: &str) -> Outcome {
    let resources = current(api);
    let (trigger, _) = find_trigger(&resources, trigger)?;
    let position = read_position(position)?;
    let Some(letter) = api.client.dead_letter(trigger, position).await? else {
        return Err(Problem::not_found(format!("there is no dead letter at {position}")));
    };
    let event = Events::default().at(&api.client, position).await;
    let json = event.as_ref().ok().and_then(super::events::structured);
    let mut view = view(api, &resources, &letter, event);
    view.event = json;
    ok(&view)
}

/// Sends letters again.
pub async fn redrive<C: Client>(api: &Api<C>, body: &SelectionBody) -> Outcome {
    let count = api.client.redrive(selection(api, body)?).await?;
    ok(&Count { count })
}

/// Drops letters.
pub async fn discard<C: Client>(api: &Api<C>, body: &SelectionBody) -> Outcome {
    let count = api.client.discard(selection(api, body)?).await?;
    ok(&Count { count })
}

fn selection<C: Client>(api: &Api<C>, body: &SelectionBody) -> Result<Selection, Problem> {
    match (body.all, &body.trigger, &body.position) {
        (true, None, None) => Ok(Selection::All),
        (false, Some(trigger), None) => Ok(Selection::Trigger(find_trigger(&current(api), trigger)?.0)),
        (false, Some(trigger), Some(position)) => {
            Ok(Selection::One(find_trigger(&current(api), trigger)?.0, read_position(position)?))
        }
        _ => Err(Problem::bad_request("expected a trigger, a trigger and a position, or all alone")),
    }
}

fn read_position(text: &str) -> Result<Position, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{text:?}: {error}")))
}

/// Reads `uid:group/offset`.
fn read_place(text: &str) -> Option<(TriggerId, Position)> {
    let (trigger, position) = text.split_once(':')?;
    Some((TriggerId::parse(trigger)?, position.parse().ok()?))
}

fn view<C: Client>(
    api: &Api<C>,
    resources: &Resources,
    letter: &DeadLetter,
    event: Result<Event, String>,
) -> DeadLetterView {
    let at = i64::try_from(letter.at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let (event, event_error) = match event {
        Ok(event) => (Some(event), None),
        Err(why) => (None, Some(why)),
    };
    DeadLetterView {
        trigger: trigger_name(resources, letter.trigger),
        trigger_uid: letter.trigger.to_string(),
        position: letter.position.to_string(),
        id: event.as_ref().map(|event| event.id().to_owned()),
        source: event.as_ref().map(|event| event.source().to_owned()),
        ty: event.as_ref().map(|event| event.ty().to_owned()),
        event_error,
        attempts: letter.attempts,
        cause: letter.cause.as_str().to_owned(),
        destination: letter.destination.clone(),
        code: letter.answer.code,
        detail: String::from_utf8_lossy(&letter.answer.detail).into_owned(),
        at: at.to_string(),
        age_millis: u64::try_from(api.clock.now().since(letter.at).as_millis()).unwrap_or(u64::MAX),
        event: None,
    }
}

/// Events by position. Letters come in the order of the log, so the batches read for one often hold the next.
#[derive(Default)]
struct Events {
    read: HashMap<GroupId, Vec<EventBatch>>,
}

impl Events {
    async fn at<C: Client>(&mut self, client: &C, position: Position) -> Result<Event, String> {
        let holds =
            |batches: &[EventBatch]| batches.iter().any(|b| b.base <= position.offset && position.offset < b.end());
        let batches = self.read.entry(position.group).or_default();
        if !holds(batches) {
            *batches =
                client.read(position.group, position.offset, READ_BYTES).await.map_err(|error| error.to_string())?;
        }
        let records = batches.iter().flat_map(EventBatch::records);
        for record in records {
            let (at, record) = record.map_err(|error| error.to_string())?;
            if at == position {
                return record.event().map_err(|error| error.to_string());
            }
        }
        Err("the event is no longer in the log".into())
    }
}
