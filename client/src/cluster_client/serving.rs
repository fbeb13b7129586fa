//! Which groups the dispatcher behind this client may deliver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::nodes::{Connect, Nodes, Place};
use crate::{ClusterView, GroupId, NodeClient, NodeId, Role, Session};

/// How often a leader that gave no session, or ended one, is asked again at most.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A session that was asked for, or is held.
struct Asked {
    leader: NodeId,
    session: watch::Receiver<Option<Session>>,
}

/// Asks the leader of every group for the right to deliver its events, as long as the client lasts, and says which it has.
///
/// A leader whose own node has a dispatcher is not asked: that one has it.
pub(super) async fn follow<L: NodeClient, C: Connect>(
    nodes: Arc<Nodes<L, C>>,
    served: watch::Sender<Arc<BTreeMap<GroupId, Session>>>,
) {
    let mut view = nodes.view.clone();
    let mut asked: BTreeMap<GroupId, Asked> = BTreeMap::new();
    let mut again: BTreeMap<GroupId, Instant> = BTreeMap::new();
    let mut turns: BTreeMap<GroupId, u32> = BTreeMap::new();
    loop {
        let now = view.borrow_and_update().clone();
        let leaders = leaders(&nodes, &now);
        // One whose leader is not known for a moment may still be held: it is the leader that ends it.
        asked.retain(|group, asked| {
            now.groups.contains_key(group) && leaders.get(group).is_none_or(|leader| *leader == asked.leader)
        });
        let moment = Instant::now();
        again.retain(|group, when| *when > moment && now.groups.contains_key(group));
        turns.retain(|group, _| now.groups.contains_key(group));
        for &group in now.groups.keys() {
            if asked.contains_key(&group) || again.contains_key(&group) {
                continue;
            }
            let turn = turns.entry(group).or_default();
            let Some(leader) = leaders.get(&group).copied().or_else(|| perhaps(&nodes, &now, group, *turn)) else {
                continue;
            };
            // One that does not lead gives none, or ends it; then it is the next one's turn.
            *turn = turn.wrapping_add(1);
            match nodes.node(&now, leader).map(|node| node.serve(group)) {
                Some(Ok(session)) => {
                    asked.insert(group, Asked { leader, session });
                }
                Some(Err(_)) | None => {
                    again.insert(group, moment + ASK_AGAIN_AFTER);
                }
            }
        }
        publish(&served, &mut asked);
        let wake = again.values().min().copied();
        let ended = tokio::select! {
            biased;
            changed = view.changed() => match changed {
                Ok(()) => None,
                Err(_) => return,
            },
            ended = changed(&mut asked), if !asked.is_empty() => ended,
            () = sleep_until(wake.unwrap_or(moment)), if wake.is_some() => None,
        };
        if let Some(group) = ended {
            asked.remove(&group);
            again.insert(group, Instant::now() + ASK_AGAIN_AFTER);
        }
    }
}

/// Waits until something becomes of one of them. Returns the one that is over.
async fn changed(asked: &mut BTreeMap<GroupId, Asked>) -> Option<GroupId> {
    let each = asked.iter_mut().map(|(group, asked)| {
        Box::pin(async move { if asked.session.changed().await.is_ok() { None } else { Some(*group) } })
    });
    select_all(each).await.0
}

fn publish(served: &watch::Sender<Arc<BTreeMap<GroupId, Session>>>, asked: &mut BTreeMap<GroupId, Asked>) {
    let sessions = asked.iter_mut().filter_map(|(group, asked)| {
        // Seen or not: one that changes while this is read changes again.
        let session = *asked.session.borrow_and_update();
        session.map(|session| (*group, session))
    });
    let sessions: BTreeMap<_, _> = sessions.collect();
    served.send_if_modified(|current| {
        let is_news = **current != sessions;
        if is_news {
            *current = Arc::new(sessions);
        }
        is_news
    });
}

/// The leaders that are to be asked.
fn leaders<L: NodeClient, C: Connect>(nodes: &Nodes<L, C>, view: &ClusterView) -> BTreeMap<GroupId, NodeId> {
    let led = view.groups.iter().filter_map(|(group, info)| {
        let leader = info.leader.or_else(|| nodes.learnt(Place::Group(*group)))?;
        is_asked(view, leader).then_some((*group, leader))
    });
    led.collect()
}

/// Whom to ask for a group whose leader nobody has named: each replica in its turn may be it.
fn perhaps<L: NodeClient, C: Connect>(
    nodes: &Nodes<L, C>,
    view: &ClusterView,
    group: GroupId,
    turn: u32,
) -> Option<NodeId> {
    let info = view.groups.get(&group)?;
    if info.leader.is_some() || nodes.learnt(Place::Group(group)).is_some() {
        return None;
    }
    let may: Vec<_> = info.replicas.iter().copied().filter(|node| is_asked(view, *node)).collect();
    may.get(turn as usize % may.len().max(1)).copied()
}

/// A node that has a dispatcher of its own gives no other a session.
fn is_asked(view: &ClusterView, node: NodeId) -> bool {
    let dispatches = view.nodes.get(&node).is_some_and(|node| node.roles.contains(&Role::Dispatcher));
    view.this == Some(node) || !dispatches
}
