//! What is watched at a node: one stream for each thing, begun again when it breaks, as long as somebody looks.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_proto::broker::v1 as wire;
use pelton_resource::{Resource, ResourceKey};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::{Status, Streaming};
use wire::watch_request::Subject;
use wire::watch_response::News;

use super::calls::{Caller, Lane};
use super::parts::{key_from_wire, resource_from_wire};
use super::refusal::Wire as _;
use super::{CALL_TIMEOUT, WATCH_AGAIN_AFTER};
use crate::history::Change;
use crate::version::{version_after, version_at};
use crate::{ClusterView, Grant, GroupId, Offset, ReadError, Resources, Serving, Session};

/// A number of a group that only its leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Number {
    Committed(GroupId),
    CursorChanges(GroupId),
}

type Shown<K, T> = Arc<Mutex<HashMap<K, Arc<watch::Sender<T>>>>>;

/// Everything that is watched at one node. The tasks end with this.
#[derive(Debug)]
pub(super) struct Watches {
    caller: Caller,
    committed: Shown<Number, Offset>,
    changes: Shown<Number, u64>,
    cluster: Shown<(), Arc<ClusterView>>,
    resources: Shown<(), Arc<Resources>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Watches {
    pub(super) fn new(caller: Caller) -> Self {
        Self {
            caller,
            committed: Shown::default(),
            changes: Shown::default(),
            cluster: Shown::default(),
            resources: Shown::default(),
            tasks: Mutex::default(),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.caller.runtime);
    }

    pub(super) fn committed(&self, group: GroupId) -> watch::Receiver<Offset> {
        let read = |number| Some(Offset(number));
        self.number(&self.committed, Number::Committed(group), Subject::Committed(group.0), read)
    }

    pub(super) fn cursor_changes(&self, group: GroupId) -> watch::Receiver<u64> {
        self.number(&self.changes, Number::CursorChanges(group), Subject::CursorChanges(group.0), Some)
    }

    fn number<T: Default + PartialEq + Send + Sync + 'static>(
        &self,
        shown: &Shown<Number, T>,
        key: Number,
        subject: Subject,
        read: impl Fn(u64) -> Option<T> + Send + 'static,
    ) -> watch::Receiver<T> {
        self.look(shown, key, subject, Lane::Small, move |news, shown: &watch::Sender<T>| {
            if let Some(News::Number(number)) = news
                && let Some(number) = read(number)
            {
                show(shown, number);
            }
            Ok(())
        })
    }

    pub(super) fn cluster(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.look(&self.cluster, (), Subject::Cluster(true), Lane::Small, |news, shown| {
            if let Some(News::Cluster(json)) = news {
                show(shown, Arc::new(serde_json::from_slice(&json).map_err(|_| bad("a view"))?));
            }
            Ok(())
        })
    }

    pub(super) fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        let mut building = None;
        self.look(&self.resources, (), Subject::Resources(true), Lane::Reads, move |news, shown| {
            take_resources(&mut building, news, shown)
        })
    }

    /// A look at something that others may look at already. `take` gets nothing when a stream begins, and then its news.
    fn look<K, T, F>(&self, shown: &Shown<K, T>, key: K, subject: Subject, lane: Lane, take: F) -> watch::Receiver<T>
    where
        K: Eq + Hash + Copy + Send + 'static,
        T: Default + Send + Sync + 'static,
        F: FnMut(Option<News>, &watch::Sender<T>) -> Result<(), Status> + Send + 'static,
    {
        let mut all = shown.lock();
        if let Some(sender) = all.get(&key) {
            return sender.subscribe();
        }
        let sender = Arc::new(watch::Sender::default());
        let receiver = sender.subscribe();
        all.insert(key, sender.clone());
        drop(all);
        self.spawn(follow(self.caller.clone(), shown.clone(), key, sender, subject, lane, take));
        receiver
    }

    /// The right to deliver a group's events: a stream of its own each time it is asked for, as having it means to keep
    /// the stream.
    pub(super) fn session(&self, group: GroupId) -> watch::Receiver<Serving> {
        let (sender, receiver) = watch::channel(Serving::Waits);
        self.spawn(hold(self.caller.clone(), group, sender));
        receiver
    }
}

fn bad(what: &str) -> Status {
    Status::invalid_argument(format!("{what} that cannot be read"))
}

fn show<T: PartialEq>(shown: &watch::Sender<T>, news: T) {
    shown.send_if_modified(|current| {
        let is_news = *current != news;
        if is_news {
            *current = news;
        }
        is_news
    });
}

/// Resources as they were told so far.
#[derive(Default)]
struct Building {
    resources: Resources,
    /// What changed since they were shown last.
    changes: Vec<Change>,
}

impl Building {
    /// One is gone. In which of the entries since is not told, so it counts as the first of them: whatever has come in its
    /// place came later.
    fn forget(&mut self, key: &ResourceKey) {
        if let Some(gone) = self.resources.find(key) {
            self.changes.push(Change::take(gone, version_at(self.resources.version + 1, 0)));
            self.resources.take(key);
        }
    }
}

/// A stream begins from nothing: what was deleted before it is not told.
fn take_resources(
    building: &mut Option<Building>,
    news: Option<News>,
    shown: &watch::Sender<Arc<Resources>>,
) -> Result<(), Status> {
    match news {
        None => *building = None,
        Some(News::Resources(changes)) => take_changes(building, changes, shown)?,
        Some(_) => {}
    }
    Ok(())
}

/// They are shown with the last part.
fn take_changes(
    building: &mut Option<Building>,
    changes: wire::ResourceChanges,
    shown: &watch::Sender<Arc<Resources>>,
) -> Result<(), Status> {
    let mut built = building.take().unwrap_or_default();
    for key in changes.deleted {
        let key = key_from_wire(key).map_err(|_| bad("the name of a resource"))?;
        built.forget(&key);
    }
    for resource in &changes.stored {
        let resource = resource_from_wire(resource).map_err(|_| bad("a resource"))?;
        // Another one of the same name: the one before is gone.
        let is_other = |before: &Resource| before.meta().uid != resource.meta().uid;
        if built.resources.find(&resource.key()).is_some_and(|before| is_other(&before)) {
            built.forget(&resource.key());
        }
        built.changes.push(Change::put(built.resources.find(&resource.key()).as_ref(), &resource));
        built.resources.put(resource);
    }
    if changes.is_last_part {
        show_resources(&mut built, changes.version, shown);
    }
    *building = Some(built);
    Ok(())
}

fn show_resources(built: &mut Building, version: u64, shown: &watch::Sender<Arc<Resources>>) {
    let mut changes = std::mem::take(&mut built.changes);
    if built.resources.version == 0 {
        built.resources.history.begin(version_after(version));
    } else {
        changes.sort_by_key(|change| change.version);
        changes.into_iter().for_each(|change| built.resources.history.record(change));
    }
    built.resources.version = version;
    let news = Arc::new(built.resources.clone());
    // Another node's or an older stream's: what is known is newer.
    shown.send_if_modified(|current| {
        let is_news = news.version > current.version || (current.version == 0 && news.version == 0);
        if is_news {
            *current = news;
        }
        is_news
    });
}

async fn open(caller: &Caller, lane: Lane, subject: Subject) -> Result<Streaming<wire::WatchResponse>, Status> {
    let mut stub = caller.stub(lane);
    let request = wire::WatchRequest { subject: Some(subject) };
    match tokio::time::timeout(CALL_TIMEOUT, stub.watch(request)).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer")),
    }
}

/// Shows what the node tells, until nobody looks any more or the node says that it has nothing more to tell. Then the
/// receivers see the end.
async fn follow<K: Eq + Hash, T, F>(
    caller: Caller,
    shown: Shown<K, T>,
    key: K,
    sender: Arc<watch::Sender<T>>,
    subject: Subject,
    lane: Lane,
    mut take: F,
) where
    F: FnMut(Option<News>, &watch::Sender<T>) -> Result<(), Status>,
{
    loop {
        let told = async {
            let mut stream = open(&caller, lane, subject).await?;
            take(None, &sender)?;
            while let Some(response) = stream.message().await? {
                match response.news {
                    Some(News::Refusal(_)) => return Ok(true),
                    Some(news) => take(Some(news), &sender)?,
                    None => {}
                }
            }
            Ok::<_, Status>(false)
        };
        let is_over = tokio::select! {
            biased;
            told = told => told.unwrap_or_else(|status| {
                tracing::debug!(%status, "a watch broke");
                false
            }),
            // Somebody may look again by the time that the lock is held.
            () = sender.closed() => false,
        };
        let mut all = shown.lock();
        // Under the lock: who looks from now on begins a watch of its own.
        if is_over || sender.is_closed() {
            all.remove(&key);
            return;
        }
        drop(all);
        sleep(WATCH_AGAIN_AFTER).await;
    }
}

/// Holds on to a session until the stream ends in whatever way, or nobody wants it any more.
async fn hold(caller: Caller, group: GroupId, sender: watch::Sender<Serving>) {
    // What is left of it when the stream has ended.
    let mut left = Serving::Waits;
    let told = async {
        let mut stream = open(&caller, Lane::Small, Subject::Session(group.0)).await?;
        while let Some(response) = stream.message().await? {
            match response.news {
                Some(News::Session(news)) => show(&sender, serving_from_wire(&news)),
                Some(News::Refusal(refusal)) => {
                    if let ReadError::NotLeader { leader } = ReadError::from_wire(refusal) {
                        left = Serving::Elsewhere(leader);
                    }
                    break;
                }
                Some(_) | None => {}
            }
        }
        Ok::<_, Status>(())
    };
    tokio::select! {
        biased;
        told = told => if let Err(status) = told {
            tracing::debug!(%group, %status, "a session's stream broke");
        },
        () = sender.closed() => {}
    }
    show(&sender, left);
}

fn serving_from_wire(news: &wire::SessionNews) -> Serving {
    let Some(wire::Session { term, grant }) = news.session else { return Serving::Waits };
    Serving::Granted(Grant { session: Session { term, grant }, is_to_finish: news.is_to_finish })
}

#[cfg(test)]
mod tests {
    use super::super::parts::resource_to_wire;
    use super::*;

    fn all(version: u64, names: &[&str]) -> News {
        let manifest =
            |name: &&str| format!("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}}}\n");
        let text = names.iter().map(manifest).collect::<Vec<_>>().join("---\n");
        let resources = pelton_resource::parse_documents(&text, "test").unwrap();
        News::Resources(wire::ResourceChanges {
            version,
            stored: resources.iter().map(resource_to_wire).collect(),
            deleted: Vec::new(),
            is_last_part: true,
        })
    }

    #[test]
    fn what_was_deleted_while_no_stream_was_open_does_not_come_back() {
        let shown = watch::Sender::<Arc<Resources>>::default();
        let mut building = None;
        let names = || shown.borrow().brokers.keys().map(|name| name.to_string()).collect::<Vec<_>>();
        for (version, told, want) in [(1, &["a", "b"][..], &["/a", "/b"][..]), (2, &["b"], &["/b"])] {
            take_resources(&mut building, None, &shown).unwrap();
            take_resources(&mut building, Some(all(version, told)), &shown).unwrap();
            assert_eq!(names(), want);
        }
    }
}
