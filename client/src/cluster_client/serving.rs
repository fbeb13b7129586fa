//! Which groups the dispatcher behind this client may deliver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::nodes::{Connect, Nodes, Place};
use crate::{ClusterView, Grant, GroupId, GroupInfo, NodeClient, NodeId, ReadError, Role, Serving, Session};

/// How often a leader that gave no session, or ended one, is asked again at most.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A session that was asked for, or is held.
struct Asked {
    leader: NodeId,
    /// Another node had named it.
    was_named: bool,
    /// Who led the group then, and in which term, as far as the view knew.
    seen: (u64, Option<NodeId>),
    session: watch::Receiver<Serving>,
}

impl Asked {
    /// Whether the view has learnt of another leader since. One whose leader is not known for a moment may still be held:
    /// it is the leader that ends it.
    fn is_of_another_leader(&self, info: &GroupInfo) -> bool {
        info.leader.is_some_and(|leader| leader != self.leader) && self.seen != (info.term, info.leader)
    }
}

/// Sessions that whoever held them gave back.
#[derive(Debug, Default)]
pub(super) struct Released {
    sessions: Mutex<BTreeMap<GroupId, Session>>,
    told: Notify,
}

impl Released {
    pub(super) fn add(&self, group: GroupId, session: Session) {
        self.sessions.lock().insert(group, session);
        self.told.notify_one();
    }

    /// Lets go of what was given back.
    fn take_from(&self, asked: &mut BTreeMap<GroupId, Asked>) -> Vec<GroupId> {
        let released = std::mem::take(&mut *self.sessions.lock());
        let held = |(group, session): &(GroupId, Session)| {
            asked.get(group).is_some_and(|asked| asked.session.borrow().session() == Some(*session))
        };
        let gone: Vec<GroupId> = released.into_iter().filter(held).map(|(group, _)| group).collect();
        asked.retain(|group, _| !gone.contains(group));
        gone
    }
}

/// Asks the leader of every group for the right to deliver its events, as long as the client lasts, and says which it has.
///
/// A leader whose own node has a dispatcher is not asked: that one has it.
pub(super) async fn follow<L: NodeClient, C: Connect>(
    nodes: Arc<Nodes<L, C>>,
    released: Arc<Released>,
    served: watch::Sender<Arc<BTreeMap<GroupId, Grant>>>,
) {
    let mut view = nodes.view.clone();
    let mut asked: BTreeMap<GroupId, Asked> = BTreeMap::new();
    let mut again: BTreeMap<GroupId, Instant> = BTreeMap::new();
    let mut turns: BTreeMap<GroupId, u32> = BTreeMap::new();
    // Who was named as leader by the one that was asked.
    let mut named: BTreeMap<GroupId, NodeId> = BTreeMap::new();
    loop {
        let now = view.borrow_and_update().clone();
        let leaders = leaders(&nodes, &now);
        asked.retain(|group, asked| now.groups.get(group).is_some_and(|info| !asked.is_of_another_leader(info)));
        let moment = Instant::now();
        for group in released.take_from(&mut asked) {
            again.insert(group, moment + ASK_AGAIN_AFTER);
        }
        again.retain(|group, when| *when > moment && now.groups.contains_key(group));
        turns.retain(|group, _| now.groups.contains_key(group));
        for (&group, info) in &now.groups {
            if asked.contains_key(&group) || again.contains_key(&group) {
                continue;
            }
            let turn = turns.entry(group).or_default();
            let by_name = named.remove(&group).filter(|node| is_asked(&now, *node));
            let known = by_name.or_else(|| leaders.get(&group).copied());
            let Some(leader) = known.or_else(|| perhaps(&nodes, &now, group, *turn)) else {
                continue;
            };
            // One that does not lead gives none, or ends it; then it is the next one's turn.
            *turn = turn.wrapping_add(1);
            let was_named = by_name.is_some();
            let refused = match nodes.node(&now, leader).map(|node| node.serve(group)) {
                Some(Ok(session)) => {
                    let seen = (info.term, info.leader);
                    asked.insert(group, Asked { leader, was_named, seen, session });
                    continue;
                }
                Some(Err(ReadError::NotLeader { leader })) => leader,
                Some(Err(_)) | None => None,
            };
            nodes.leads_not(Place::Group(group), leader);
            again
                .insert(group, follow_name(&mut named, group, refused.filter(|node| is_asked(&now, *node)), was_named));
        }
        // Whoever grants a session leads, also while the view does not say so yet.
        for (group, asked) in &asked {
            if let Some(session) = asked.session.borrow().session() {
                nodes.leads_in(&now, Place::Group(*group), asked.leader, session.term);
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
            () = released.told.notified() => None,
            () = sleep_until(wake.unwrap_or(moment)), if wake.is_some() => None,
        };
        if let Some((group, ended)) = ended.and_then(|group| asked.remove_entry(&group)) {
            nodes.leads_not(Place::Group(group), ended.leader);
            let refused = match *ended.session.borrow() {
                Serving::Elsewhere(leader) => leader,
                Serving::Waits | Serving::Granted(_) => None,
            };
            again.insert(
                group,
                follow_name(&mut named, group, refused.filter(|node| is_asked(&now, *node)), ended.was_named),
            );
        }
    }
}

/// When a group is asked for again after a node gave no session, or no more: at once when it named the leader, unless it
/// had been named itself. Two nodes that each take the other for the leader would else keep this busy, and so would a
/// leader that is not asked: such a one is no `leader` here.
fn follow_name(
    named: &mut BTreeMap<GroupId, NodeId>,
    group: GroupId,
    leader: Option<NodeId>,
    was_named: bool,
) -> Instant {
    match leader {
        Some(leader) if !was_named => {
            named.insert(group, leader);
            Instant::now()
        }
        _ => Instant::now() + ASK_AGAIN_AFTER,
    }
}

/// Waits until something becomes of one of them. Returns the one that is over.
async fn changed(asked: &mut BTreeMap<GroupId, Asked>) -> Option<GroupId> {
    let each = asked.iter_mut().map(|(group, asked)| {
        Box::pin(async move { if asked.session.changed().await.is_ok() { None } else { Some(*group) } })
    });
    select_all(each).await.0
}

fn publish(served: &watch::Sender<Arc<BTreeMap<GroupId, Grant>>>, asked: &mut BTreeMap<GroupId, Asked>) {
    let sessions = asked.iter_mut().filter_map(|(group, asked)| {
        // Seen or not: one that changes while this is read changes again.
        match *asked.session.borrow_and_update() {
            Serving::Granted(grant) => Some((*group, grant)),
            Serving::Waits | Serving::Elsewhere(_) => None,
        }
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
