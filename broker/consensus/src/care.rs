//! What an open replica does about damage: it is repaired in place from the others, and does not lead meanwhile.
//!
//! Consensus needs no more of an applied entry than its id, which is known. What is damaged is what consumers read, and
//! what a follower that is behind would be sent. So a damaged replica follows and votes as any other; it does not stand,
//! takes no leadership, and gives away what it has, unless no replica has the entry: then nobody would be better.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use pelton_log::LogIndex;
use pelton_proto::consensus::v1::fetch_response::Lack;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::group::{Group, Shared};
use crate::mend::{Mend, Peer};
use crate::storage::GroupLog;
use crate::{GroupStatus, NodeId, Role, StateMachine, Unsound};

/// How long one waits before the others are asked again for what they could not give.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Entries that are asked for in one round, so that it has an end where a whole segment is lost.
const ROUND_ENTRIES: usize = 4_096;

pub(crate) struct Care<S: StateMachine> {
    pub(crate) group: Weak<Shared<S>>,
    pub(crate) mend: Mend,
    pub(crate) store: GroupLog,
    pub(crate) told: watch::Sender<Unsound>,
    /// Until then the replica holds its vote and does not stand.
    pub(crate) votes_held_until: Option<Instant>,
    /// How often it is looked whether something was found damaged; a read that waits is heard of at once.
    pub(crate) look_every: Duration,
}

impl<S: StateMachine> Care<S> {
    /// Runs as long as the group is open here.
    pub(crate) async fn run(self) {
        while let Some(status) = self.look() {
            let is_sound = self.told.borrow().is_nothing();
            let is_alone = others(&self.mend, &status).is_empty();
            let pause = if is_sound || is_alone {
                self.look_every
            } else if self.repair(&status).await {
                continue;
            } else {
                AGAIN_AFTER
            };
            self.wait(pause, is_sound).await;
        }
        // Nobody brings copies any more.
        self.store.set_mended(false);
    }

    /// Looks what is damaged, and whether this replica may stand. `None` when the group has ended.
    fn look(&self) -> Option<GroupStatus> {
        let group = Group(self.group.upgrade()?);
        let status = group.status();
        if status.role == Role::Ended {
            return None;
        }
        self.store.set_mended(!group.is_only_voter());
        let found = self.mend.unsound();
        let is_everywhere = !found.is_nothing() && self.told.borrow().is_everywhere;
        self.tell(Unsound { is_everywhere, ..found });
        group.decide_whether_it_stands();
        Some(status)
    }

    fn tell(&self, found: Unsound) {
        self.told.send_if_modified(|told| {
            let is_new = *told != found;
            *told = found;
            is_new
        });
    }

    async fn wait(&self, pause: Duration, is_sound: bool) {
        let held = self.votes_held_until.filter(|until| Instant::now() < *until);
        tokio::select! {
            biased;
            () = self.store.came_upon_damage(), if is_sound => {}
            () = tokio::time::sleep_until(held.unwrap_or_else(Instant::now)), if held.is_some() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Asks the others for what is damaged here; `true` when that went on.
    async fn repair(&self, status: &GroupStatus) -> bool {
        let others = others(&self.mend, status);
        let mut wanted = self.mend.faulty();
        let all = wanted.len();
        wanted.truncate(ROUND_ENTRIES);
        let answers = self.mend.round(&others, &wanted).await;
        let left: BTreeSet<LogIndex> = self.mend.faulty().into_iter().collect();
        if left.len() < all {
            tracing::info!(group = self.mend.group.0, entries = all - left.len(), "damaged entries were repaired");
            return true;
        }
        let left: Vec<_> = wanted.into_iter().filter(|index| left.contains(index)).collect();
        let lack = |peer: &Peer, index: &LogIndex| peer.lacks.get(index).copied();
        let purged = left.iter().rev().find(|i| answers.values().any(|peer| lack(peer, i) == Some(Lack::Purged)));
        if let Some(index) = purged
            && self.go_beyond(&others, *index).await
        {
            return true;
        }
        let is_nowhere = |index: &LogIndex| {
            others.iter().all(|node| {
                let lack = answers.get(node).and_then(|peer| lack(peer, index));
                lack.is_some_and(|lack| lack != Lack::Purged)
            })
        };
        let is_everywhere = left.iter().any(is_nowhere);
        self.tell(Unsound { is_everywhere, ..self.mend.unsound() });
        if status.is_leader() && !is_everywhere {
            let sound = answers.iter().filter(|(_, peer)| !peer.is_damaged).map(|(node, _)| *node).collect();
            self.give_way(&sound).await;
        }
        false
    }

    /// The others have purged the entry, so nobody needs it: this replica purges it as well.
    async fn go_beyond(&self, others: &BTreeSet<NodeId>, index: LogIndex) -> bool {
        let Some((_, snapshot)) = self.mend.snapshot(others, index).await else { return false };
        let Some(group) = self.group.upgrade().map(Group) else { return false };
        let adopted = match group.machine().adopt(snapshot) {
            Ok(_) => group.purge_to_watermark().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = adopted {
            tracing::warn!(group = self.mend.group.0, %error, "damaged entries that others have purged are not purged here");
        }
        // Purging goes on by itself.
        false
    }

    async fn give_way(&self, sound: &BTreeSet<NodeId>) {
        let Some(group) = self.group.upgrade().map(Group) else { return };
        let status = group.status();
        let ready = status.followers.iter().filter(|(node, _)| sound.contains(node) && status.voters.contains(node));
        let heir = ready.max_by_key(|(node, follower)| (follower.matched, std::cmp::Reverse(**node)));
        let Some((heir, _)) = heir else { return };
        let (group_id, heir) = (self.mend.group.0, *heir);
        match group.transfer_leader(heir).await {
            Ok(()) => tracing::info!(group = group_id, %heir, "a damaged replica gave the lead away"),
            Err(error) => {
                tracing::warn!(group = group_id, %heir, %error, "a damaged replica still leads; it tries again")
            }
        }
    }
}

fn others(mend: &Mend, status: &GroupStatus) -> BTreeSet<NodeId> {
    let mut others = &status.voters | &status.learners;
    others.remove(&mend.node);
    others
}
