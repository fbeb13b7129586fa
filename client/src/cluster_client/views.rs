//! What is known of the cluster: routes drawn out of it, and, where no node is in this process, gathered from others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::nodes::{Connect, Nodes};
use crate::routing::{Deduplicating, Routes};
use crate::{ClusterView, GroupInfo, NodeClient, NodeId, NodePhase, Resources, Role};

/// Nodes that are asked at most, with the seeds. Each sends every change of the view and of the resources.
const MAX_SOURCES: usize = 8;

/// Draws the routes anew whenever the view or the resources change.
pub(super) async fn keep_routes(
    mut view: watch::Receiver<Arc<ClusterView>>,
    mut resources: watch::Receiver<Arc<Resources>>,
    routes: Arc<ArcSwap<Routes>>,
) {
    let mut known = Arc::new(Resources::default());
    let mut deduplicating = Deduplicating::default();
    loop {
        let (now, of) = (view.borrow_and_update().clone(), resources.borrow_and_update().clone());
        if !Deduplicating::is_of_both(&known, &of) {
            deduplicating = Deduplicating::of(&of);
        }
        known = of;
        let drawn = Routes::of(&now, deduplicating.clone());
        if **routes.load() != drawn {
            routes.store(Arc::new(drawn));
        }
        let (view, resources) = tokio::select! {
            biased;
            changed = view.changed() => (changed.is_ok(), true),
            changed = resources.changed() => (true, changed.is_ok()),
        };
        if !view || !resources {
            return;
        }
    }
}

/// What the nodes that were asked have said.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    this: Option<NodeId>,
    views: Arc<Mutex<BTreeMap<String, Arc<ClusterView>>>>,
    view: watch::Sender<Arc<ClusterView>>,
    resources: watch::Sender<Arc<Resources>>,
}

impl Gathered {
    pub(super) fn new(this: Option<NodeId>) -> Self {
        Self { this, views: Arc::default(), view: watch::Sender::default(), resources: watch::Sender::default() }
    }

    pub(super) fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.subscribe()
    }

    pub(super) fn resources(&self) -> watch::Receiver<Arc<Resources>> {
        self.resources.subscribe()
    }

    fn take(&self, address: &str, view: Arc<ClusterView>, resources: Arc<Resources>) {
        let mut views = self.views.lock();
        views.insert(address.to_owned(), view);
        let merged = merge(views.values().map(Arc::as_ref), self.this);
        // Under the lock, so that an older one never comes last.
        self.view.send_if_modified(|current| {
            let is_news = **current != merged;
            if is_news {
                *current = Arc::new(merged);
            }
            is_news
        });
        self.resources.send_if_modified(|current| {
            let is_news = resources.version > current.version;
            if is_news {
                *current = resources;
            }
            is_news
        });
    }
}

/// The newest nodes and groups, and of each group the leader of the highest term: a node that is cut off, or that nobody
/// hears any more, has old ones.
pub(super) fn merge<'a>(views: impl Iterator<Item = &'a ClusterView> + Clone, this: Option<NodeId>) -> ClusterView {
    let Some(newest) = views.clone().max_by_key(|view| view.version) else { return ClusterView::default() };
    let mut merged = ClusterView { this, ..newest.clone() };
    let led = |info: &mut GroupInfo, said: &GroupInfo| {
        if said.leader.is_some() && (said.term > info.term || info.leader.is_none()) {
            (info.term, info.leader) = (said.term, said.leader);
        }
    };
    for view in views {
        led(&mut merged.registry, &view.registry);
        for (group, info) in &mut merged.groups {
            if let Some(said) = view.groups.get(group) {
                led(info, said);
            }
        }
    }
    merged
}

/// Follows the views and the resources of the seeds, and of every node that keeps a log for as long as it does.
pub(super) async fn gather<L: NodeClient, C: Connect>(nodes: Arc<Nodes<L, C>>, seeds: Vec<String>, gathered: Gathered) {
    let mut asked: BTreeMap<String, AbortHandle> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut view = gathered.view();
    loop {
        let now = view.borrow_and_update().clone();
        let keeps_a_log =
            now.nodes.values().filter(|node| node.phase != NodePhase::Removed && node.roles.contains(&Role::Broker));
        let wanted: BTreeSet<&String> = seeds.iter().chain(keeps_a_log.map(|node| &node.peer_address)).collect();
        asked.retain(|address, task| {
            let is_wanted = wanted.contains(address);
            if !is_wanted {
                task.abort();
                gathered.views.lock().remove(address);
            }
            is_wanted
        });
        while tasks.try_join_next().is_some() {}
        for address in wanted {
            if asked.len() < MAX_SOURCES
                && !asked.contains_key(address)
                && let Some(node) = nodes.stranger(address)
            {
                asked.insert(address.clone(), tasks.spawn(follow(address.clone(), node, gathered.clone())));
            }
        }
        if view.changed().await.is_err() {
            return;
        }
    }
}

async fn follow<N: NodeClient>(address: String, node: N, gathered: Gathered) {
    let (mut view, mut resources) = (node.cluster(), node.resources());
    loop {
        let (now, of) = (view.borrow_and_update().clone(), resources.borrow_and_update().clone());
        gathered.take(&address, now, of);
        let alive = tokio::select! {
            biased;
            changed = view.changed() => changed.is_ok(),
            changed = resources.changed() => changed.is_ok(),
        };
        if !alive {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupId;

    fn view(version: u64, term: u64, leader: Option<u64>) -> ClusterView {
        let info = GroupInfo { term, leader: leader.map(NodeId), ..GroupInfo::default() };
        ClusterView { version, groups: [(GroupId(1), info.clone())].into(), registry: info, ..ClusterView::default() }
    }

    /// A node that was cut off says what was true then.
    #[test]
    fn the_leader_of_the_highest_term_counts() {
        for (views, want) in [
            (vec![], None),
            (vec![view(1, 3, Some(1))], Some((3, Some(1)))),
            (vec![view(1, 3, Some(1)), view(1, 4, Some(2))], Some((4, Some(2)))),
            (vec![view(1, 4, Some(2)), view(9, 3, Some(1))], Some((4, Some(2)))),
            // Nobody is better than an old one only to whom knows nobody.
            (vec![view(1, 3, Some(1)), view(9, 4, None)], Some((3, Some(1)))),
            (vec![view(9, 4, None), view(1, 5, Some(3)), view(1, 3, Some(1))], Some((5, Some(3)))),
        ] {
            let merged = merge(views.iter(), Some(NodeId(7)));
            let led = |info: &GroupInfo| (info.term, info.leader.map(|leader| leader.0));
            assert_eq!(merged.groups.get(&GroupId(1)).map(led), want, "{views:?}");
            if let Some(want) = want {
                assert_eq!((led(&merged.registry), merged.this), (want, Some(NodeId(7))));
                assert_eq!(Some(merged.version), views.iter().map(|view| view.version).max());
            }
        }
    }
}
