//! What the leaders of groups tell the registry's leader: up to which version of the resources every trigger is started
//! in their group.
//!
//! Leaders tell, and are not asked: they know at once when a trigger is started, and whoever applied it waits. A leader
//! tells again every second, so that a new leader of the registry soon knows what the one before did.

mod service;

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::{GroupId, NodeId};
use pelton_peer::PeerAddress;
use tokio::sync::watch;

use crate::ids;
use crate::node::Shared;

pub(crate) use service::ReportService;

/// How often a leader tells, also when nothing changed.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long telling may take.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// One group, as its leader tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupReport {
    pub(crate) group: GroupId,
    /// Every trigger of the resources up to this version is started.
    pub(crate) started: u64,
}

/// What this node was told, and that there is something to tell.
#[derive(Default)]
pub(crate) struct Reports {
    told: Mutex<BTreeMap<GroupId, u64>>,
    /// Moves on with `told`.
    changed: watch::Sender<u64>,
    /// Moves on when this node has something new to tell.
    news: watch::Sender<u64>,
}

impl Reports {
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// This node has something new to tell.
    pub(crate) fn nudge(&self) {
        self.news.send_modify(|news| *news += 1);
    }

    pub(crate) fn take(&self, reports: impl IntoIterator<Item = GroupReport>) {
        let mut told = self.told.lock();
        let mut is_new = false;
        for GroupReport { group, started } in reports {
            // A start is committed in its group: it stays true, whoever led then.
            let known = told.entry(group).or_default();
            is_new |= *known < started;
            *known = started.max(*known);
        }
        drop(told);
        if is_new {
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// The version up to which every trigger is started in each of the groups; 0 when one has not told.
    pub(crate) fn started_in_all(&self, groups: impl IntoIterator<Item = GroupId>) -> u64 {
        let told = self.told.lock();
        groups.into_iter().map(|group| told.get(&group).copied().unwrap_or_default()).min().unwrap_or(u64::MAX)
    }
}

/// Tells the registry's leader until the node goes down.
pub(crate) async fn run(shared: Shared) {
    let mut news = shared.reports.news.subscribe();
    let mut registry = shared.registry.raft.leadership();
    let mut ticks = tokio::time::interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        news.borrow_and_update();
        let leader = registry.borrow_and_update().leader.map(ids::node);
        let reports = own(&shared);
        match leader {
            Some(leader) if leader == shared.this => shared.reports.take(reports),
            Some(leader) if !reports.is_empty() => {
                if let Err(why) = tell(&shared, leader, reports).await {
                    tracing::debug!(%leader, why, "the registry's leader was not told; tried again");
                }
            }
            _ => {}
        }
        tokio::select! {
            biased;
            changed = registry.changed() => if changed.is_err() { return },
            _ = news.changed() => {}
            _ = ticks.tick() => {}
        }
    }
}

/// Of the groups that this node leads.
fn own(shared: &Shared) -> Vec<GroupReport> {
    let mut reports = Vec::new();
    for (id, group) in shared.groups.all().iter() {
        if !group.raft.serves() {
            continue;
        }
        let (started, now) = (*group.started.borrow(), group.raft.leadership().borrow().term.0);
        if started.term == now {
            reports.push(GroupReport { group: *id, started: started.version });
        }
    }
    reports
}

async fn tell(shared: &Shared, leader: NodeId, reports: Vec<GroupReport>) -> Result<(), String> {
    let cluster = shared.registry.state.current_cluster();
    let info = cluster.member(leader).ok_or("it is no member")?;
    let address: PeerAddress = info.peer_address.parse().map_err(|error| format!("{error}"))?;
    let member = shared.member.as_ref().ok_or("this node reaches no others")?;
    let channels = member.pool.channels(&address);
    let told = service::tell(&channels, shared.identity, shared.options.versions, leader, reports);
    tokio::time::timeout(TELL_WITHIN, told).await.map_err(|_| "no answer in time".to_owned())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_stays_known_whoever_told_it() {
        let report = |group, started| GroupReport { group: GroupId(group), started };
        let (reports, groups) = (Reports::default(), || [GroupId(1), GroupId(2)]);
        assert_eq!(reports.started_in_all([]), u64::MAX, "without groups there is nothing to wait for");
        reports.take([report(1, 20)]);
        assert_eq!(reports.started_in_all(groups()), 0, "one has not told");
        reports.take([report(2, 30)]);
        assert_eq!(reports.started_in_all(groups()), 20);
        reports.take([report(1, 25), report(1, 0)]);
        assert_eq!(reports.started_in_all(groups()), 25);
        let changes = *reports.watch().borrow();
        reports.take([report(1, 7), report(2, 30)]);
        assert_eq!(*reports.watch().borrow(), changes, "nothing new");
    }
}
