//! The node's end of a watch: only the newest is told, whenever it can be.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{BoxStream, once, unfold};
use futures_util::{StreamExt as _, future};
use pelton_proto::broker::v1 as wire;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;
use tonic::Status;
use wire::watch_response::News;

use super::parts::{grouped, key_to_wire, resource_to_wire};
use super::refusal::Wire as _;
use crate::{Grant, ReadError, Resources, Serving, Session, SharedMap};

pub(super) type Told = BoxStream<'static, Result<wire::WatchResponse, Status>>;

fn response(news: News) -> wire::WatchResponse {
    wire::WatchResponse { news: Some(news) }
}

/// There is nothing to tell.
pub(super) fn refused(error: &ReadError) -> Told {
    let response = response(News::Refusal(error.to_wire()));
    Box::pin(once(future::ready(Ok(response))))
}

/// What the receiver has, now and whenever it is another. When there is no more, that is because the node does not lead.
pub(super) fn newest<T: Send + Sync + 'static>(
    receiver: watch::Receiver<T>,
    tell: impl Fn(&T) -> News + Send + 'static,
) -> Told {
    let mut receiver = receiver;
    receiver.mark_changed();
    let told = unfold((receiver, tell, false), |(mut receiver, tell, is_over)| async move {
        if is_over {
            return None;
        }
        let (news, is_over) = match receiver.changed().await {
            Ok(()) => (tell(&receiver.borrow_and_update()), false),
            Err(_) => (News::Refusal(ReadError::NotLeader { leader: None }.to_wire()), true),
        };
        Some((Ok(response(news)), (receiver, tell, is_over)))
    });
    Box::pin(told)
}

/// What becomes of a session.
pub(super) fn serving(serving: &Serving) -> News {
    match *serving {
        Serving::Waits => News::Session(wire::SessionNews::default()),
        Serving::Granted(Grant { session: Session { term, grant }, is_to_finish }) => {
            News::Session(wire::SessionNews { session: Some(wire::Session { term, grant }), is_to_finish })
        }
        Serving::Elsewhere(leader) => News::Refusal(ReadError::NotLeader { leader }.to_wire()),
    }
}

/// All resources, and then what changes. What is told is made when it can be sent, from what was told last to what is now.
pub(super) fn resources(receiver: watch::Receiver<Arc<Resources>>) -> Told {
    let mut receiver = receiver;
    receiver.mark_changed();
    let begin = (receiver, None::<Arc<Resources>>, VecDeque::new());
    let told = unfold(begin, |(mut receiver, mut before, mut parts)| async move {
        if parts.is_empty() {
            receiver.changed().await.ok()?;
            let now = receiver.borrow_and_update().clone();
            parts.extend(changes(before.as_deref(), &now));
            before = Some(now);
        }
        let part = parts.pop_front()?;
        Some((Ok(response(News::Resources(part))), (receiver, before, parts)))
    });
    told.boxed()
}

/// What makes `now` out of what there was before, in at least one part.
pub(super) fn changes(before: Option<&Resources>, now: &Resources) -> Vec<wire::ResourceChanges> {
    let (mut told, nothing) = (Changes::default(), Resources::default());
    let before = before.unwrap_or(&nothing);
    told.of(&before.brokers, &now.brokers);
    // One that was deleted and made again under its name has another id; it is deleted first and then stored.
    told.of(&before.triggers, &now.triggers);
    told.of(&before.services, &now.services);
    told.of(&before.configurations, &now.configurations);
    told.of(&before.revisions, &now.revisions);
    told.of(&before.routes, &now.routes);
    told.of(&before.domain_mappings, &now.domain_mappings);
    told.of(&before.core, &now.core);
    let Changes { stored, deleted } = told;
    let mut parts: Vec<_> = grouped(stored, bytes::Bytes::len)
        .into_iter()
        .map(|stored| wire::ResourceChanges { version: now.version, stored, ..wire::ResourceChanges::default() })
        .collect();
    if let Some(first) = parts.first_mut() {
        first.deleted = deleted.iter().map(key_to_wire).collect();
    }
    if let Some(last) = parts.last_mut() {
        last.is_last_part = true;
    }
    parts
}

#[derive(Default)]
struct Changes {
    stored: Vec<bytes::Bytes>,
    deleted: Vec<ResourceKey>,
}

impl Changes {
    /// What is another in one kind. A resource that did not change is still the same one in memory.
    fn of<K: Ord, T: Clone>(&mut self, before: &SharedMap<K, Arc<T>>, now: &SharedMap<K, Arc<T>>)
    where
        Resource: From<T>,
    {
        let resource = |it: &Arc<T>| Resource::from(it.as_ref().clone());
        for changed in now.diff(before) {
            match (changed.before, changed.now) {
                (_, Some(now)) => self.stored.push(resource_to_wire(&resource(now))),
                (Some(gone), None) => self.deleted.push(resource(gone).key()),
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFESTS: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n---\n\
                             apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n---\n\
                             apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t}\n\
                             spec: {broker: a, subscriber: {uri: 'http://s.example/'}}\n";

    #[tokio::test]
    async fn only_what_changed_is_told() {
        let client = crate::memory::MemoryClient::new();
        client.apply_yaml(MANIFESTS).await;
        let all = crate::Client::resources(&client).borrow().clone();
        let count = |parts: &[wire::ResourceChanges]| {
            let last = parts.iter().filter(|part| part.is_last_part).count();
            let (stored, deleted) = parts.iter().fold((0, 0), |(s, d), p| (s + p.stored.len(), d + p.deleted.len()));
            (last, stored, deleted)
        };
        let stored = all.brokers.len() + all.triggers.len();
        assert_eq!(stored, 3);
        assert_eq!(count(&changes(None, &all)), (1, stored, 0));
        assert_eq!(count(&changes(Some(&all), &all)), (1, 0, 0), "and yet the version is told");
        let fewer = all.without(&ResourceKey::new(pelton_resource::Kind::Broker, "default", "b"), 2);
        assert_eq!(count(&changes(Some(&all), &fewer)), (1, 0, 1));
        assert_eq!(count(&changes(Some(&fewer), &all)), (1, 1, 0));
        assert_eq!(count(&changes(None, &Resources::default())), (1, 0, 0));
    }
}
