//! What is done with a Trigger besides changing it, and how resources are looked up.

use pelton_client::{Client, Offset, Resources, Start, TriggerId, Warning};
use pelton_env::UnixMillis;
use pelton_resource::StartPosition;

use super::Api;
use super::problem::Problem;
use super::router::{Outcome, ok};
use super::view::{Count, RewindBody, WarningBody};

/// Moves a Trigger's cursor.
pub async fn rewind<C: Client>(api: &Api<C>, namespace: &str, name: &str, body: RewindBody) -> Outcome {
    let to = match StartPosition::of(&body.to) {
        Some(StartPosition::Latest) => Start::Latest,
        Some(StartPosition::Earliest) => Start::Earliest,
        Some(StartPosition::Offset(offset)) => Start::Offset(Offset(offset)),
        Some(StartPosition::Time(time)) => Start::Time(UnixMillis(time.unix_millis())),
        None => {
            let detail = format!("to: {:?} is none of latest, earliest, offset:N and an RFC 3339 time", body.to);
            return Err(Problem::bad_request(detail));
        }
    };
    let (trigger, _) = find_trigger(&current(api), &format!("{namespace}/{name}"))?;
    api.client.rewind(trigger, to).await?;
    ok(&Count { count: 1 })
}

/// Shows a warning on a Trigger, or takes it away.
pub async fn warn<C: Client>(api: &Api<C>, namespace: &str, name: &str, body: Option<WarningBody>) -> Outcome {
    let (trigger, _) = find_trigger(&current(api), &format!("{namespace}/{name}"))?;
    let warning = body.map(|WarningBody { reason, message }| Warning { reason, message });
    api.client.warn(trigger, warning).await?;
    ok(&Count { count: 1 })
}

/// The resources as of now.
pub fn current<C: Client>(api: &Api<C>) -> std::sync::Arc<Resources> {
    api.client.resources().borrow().clone()
}

/// The Trigger that `namespace/name` or a uid names, and how it is called. One that is gone has only its uid.
///
/// # Errors
/// 404.
pub fn find_trigger(resources: &Resources, text: &str) -> Result<(TriggerId, String), Problem> {
    let by_name = text.split_once('/').and_then(|(namespace, name)| resources.trigger(namespace, name));
    if let Some((id, _)) = by_name {
        return Ok((id, text.to_owned()));
    }
    match TriggerId::parse(text) {
        Some(id) => Ok((id, trigger_name(resources, id))),
        None => Err(Problem::not_found(format!("Trigger {text} does not exist"))),
    }
}

/// `namespace/name`, or the uid of a Trigger that is gone.
pub fn trigger_name(resources: &Resources, id: TriggerId) -> String {
    resources
        .triggers
        .get(&id)
        .map_or_else(|| id.to_string(), |trigger| format!("{}/{}", trigger.metadata.namespace, trigger.metadata.name))
}
