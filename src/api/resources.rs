//! Resources of every kind.

use http::StatusCode;
use pelton_client::{Client, Offset, Resources, Start, TriggerId, Warning};
use pelton_env::UnixMillis;
use pelton_resource::{Kind, Resource, ResourceKey, StartPosition, parse_documents};

use super::Api;
use super::problem::Problem;
use super::router::{Outcome, ok, query_value};
use super::view::{Count, ResourceList, RewindBody, WarningBody};

/// All resources of a kind, by namespace and name.
pub fn list<C: Client>(api: &Api<C>, kind: Kind, query: &str) -> Outcome {
    let namespace = query_value(query, "namespace");
    let wanted = |resource: &Resource| namespace.as_ref().is_none_or(|wanted| resource.meta().namespace == *wanted);
    let mut items: Vec<Resource> = current(api).of_kind(kind).filter(wanted).collect();
    items.sort_by_key(Resource::key);
    ok(&ResourceList::new(items))
}

/// One resource.
pub fn show<C: Client>(api: &Api<C>, kind: Kind, namespace: &str, name: &str) -> Outcome {
    let key = ResourceKey::new(kind, namespace, name);
    let found = current(api).find(&key);
    found.map_or_else(|| Err(Problem::not_found(format!("{key} does not exist"))), |resource| ok(&resource))
}

/// Deletes one resource.
pub async fn delete<C: Client>(api: &Api<C>, kind: Kind, namespace: &str, name: &str) -> Outcome {
    api.client.delete(ResourceKey::new(kind, namespace, name)).await?;
    ok(&Count { count: 1 })
}

/// Stores every document of a text, or none.
pub async fn apply<C: Client>(api: &Api<C>, text: &str) -> Outcome {
    let text = text.to_owned();
    // On a thread of its own: a document may be deep, and here the stack is as good as empty.
    let parsed = tokio::task::spawn_blocking(move || parse_documents(&text, "request")).await.map_err(|error| {
        tracing::error!(%error, "a manifest could not be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be read")
    })?;
    let resources = parsed.map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Problem::new(StatusCode::BAD_REQUEST, "the request holds documents that are no resources").with_errors(errors)
    })?;
    if resources.is_empty() {
        return Err(Problem::bad_request("the request holds no resource"));
    }
    ok(&ResourceList::new(api.client.apply(resources).await?))
}

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
