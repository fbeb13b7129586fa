//! What is known of the cluster: routes drawn out of it, and, where no node is in this process, gathered from others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::nodes::{Connect, Nodes};
use crate::routing::Routes;
use crate::{ClusterView, GroupInfo, NodeClient, NodeId, NodePhase, Resources, Role};

/// Nodes that are asked at most, with the seeds. Each sends every change of the view and of the resources.
const MAX_SOURCES: usize = 8;

/// Draws the routes anew whenever the view or the resources change.
pub(super) async fn keep_routes(
    mut view: watch::Receiver<Arc<ClusterView>>,
    mut resources: watch::Receiver<Arc<Resources>>,
    routes: Arc<ArcSwap<Routes>>,
) {
    loop {
        let (now, of) = (view.borrow_and_update().clone(), resources.borrow_and_update().clone());
        let drawn = Routes::of(&now, &of);
        if **routes.load() != drawn {
            routes.store(Arc::new(drawn));
        }
        let (view, resources) = tokio::select! {
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

/// Follows the views and the resources of the seeds, and of every node that keeps a log.
pub(super) async fn gather<L: NodeClient, C: Connect>(nodes: Arc<Nodes<L, C>>, seeds: Vec<String>, gathered: Gathered) {
    let mut asked = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut view = gathered.view();
    loop {
        let now = view.borrow_and_update().clone();
        let keeps_a_log =
            now.nodes.values().filter(|node| node.phase == NodePhase::Active && node.roles.contains(&Role::Broker));
        for address in seeds.iter().chain(keeps_a_log.map(|node| &node.peer_address)) {
            if asked.len() < MAX_SOURCES
                && !asked.contains(address)
                && let Some(node) = nodes.stranger(address)
            {
                asked.insert(address.clone());
                tasks.spawn(follow(address.clone(), node, gathered.clone()));
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
            changed = view.changed() => changed.is_ok(),
            changed = resources.changed() => changed.is_ok(),
        };
        if !alive {
            return;
        }
    }
}
