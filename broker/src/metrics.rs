//! What the broker counts. Names and meanings are listed in `docs/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use pelton_client::{GroupId, NodeId};
use pelton_consensus::{FollowerStatus, GroupStatus, Role};

/// Handles registered once, so that the hot path only adds.
#[derive(Clone)]
pub(crate) struct BrokerMetrics(Arc<Handles>);

struct Handles {
    batch_events: Histogram,
    batch_bytes: Histogram,
    commit_seconds: Histogram,
    batches: Counter,
    checkpoints: Counter,
    log_bytes: Gauge,
    log_segments: Gauge,
    retained_past_limit: Gauge,
    dead_letters: Gauge,
    dead_letters_expired: Counter,
    dead_letters_dropped: Counter,
    keys_forgotten: Counter,
    damaged_reads: Counter,
    damaged_entries: Gauge,
    repaired_entries: Counter,
    scrubbed_bytes: Counter,
    scrub_damage: Counter,
    scrubs: Counter,
    scrub_seconds: Gauge,
}

impl BrokerMetrics {
    pub(crate) fn register() -> Self {
        Self(Arc::new(Handles {
            batch_events: histogram!("pelton_broker_batch_events"),
            batch_bytes: histogram!("pelton_broker_batch_bytes"),
            commit_seconds: histogram!("pelton_broker_commit_seconds"),
            batches: counter!("pelton_broker_batches_total"),
            checkpoints: counter!("pelton_broker_checkpoints_total"),
            log_bytes: gauge!("pelton_log_bytes"),
            log_segments: gauge!("pelton_log_segments"),
            retained_past_limit: gauge!("pelton_log_bytes_over_limit"),
            dead_letters: gauge!("pelton_dead_letters"),
            dead_letters_expired: counter!("pelton_dead_letters_expired_total"),
            dead_letters_dropped: counter!("pelton_dead_letters_dropped_total"),
            keys_forgotten: counter!("pelton_broker_deduplication_keys_forgotten_total"),
            damaged_reads: counter!("pelton_log_damaged_reads_total"),
            damaged_entries: gauge!("pelton_log_damaged_entries"),
            repaired_entries: counter!("pelton_log_repaired_entries_total"),
            scrubbed_bytes: counter!("pelton_log_scrubbed_bytes_total"),
            scrub_damage: counter!("pelton_log_scrub_damage_total"),
            scrubs: counter!("pelton_log_scrubs_total"),
            scrub_seconds: gauge!("pelton_log_scrub_seconds"),
        }))
    }

    pub(crate) fn batch_sealed(&self, events: u32, bytes: usize) {
        self.0.batches.increment(1);
        self.0.batch_events.record(f64::from(events));
        self.0.batch_bytes.record(bytes as f64);
    }

    pub(crate) fn batch_committed(&self, since_first_event: Duration) {
        self.0.commit_seconds.record(since_first_event);
    }

    pub(crate) fn checkpoint(&self) {
        self.0.checkpoints.increment(1);
    }

    pub(crate) fn log_size(&self, bytes: u64, segments: u64, over_limit: u64) {
        self.0.log_bytes.set(bytes as f64);
        self.0.log_segments.set(segments as f64);
        self.0.retained_past_limit.set(over_limit as f64);
    }

    /// `dropped` since the start, because there were more than a group keeps.
    pub(crate) fn dead_letters(&self, kept: usize, dropped: u64) {
        self.0.dead_letters.set(kept as f64);
        self.0.dead_letters_dropped.absolute(dropped);
    }

    pub(crate) fn dead_letters_expired(&self, count: u64) {
        self.0.dead_letters_expired.increment(count);
    }

    /// `forgotten` since the start, because there were more than a window holds.
    pub(crate) fn deduplication_keys(&self, forgotten: u64) {
        self.0.keys_forgotten.absolute(forgotten);
    }

    /// A piece of the log was read to look for damage, which was found in so many places.
    pub(crate) fn scrubbed(&self, bytes: u64, damaged: u64) {
        self.0.scrubbed_bytes.increment(bytes);
        self.0.scrub_damage.increment(damaged);
    }

    /// The whole log was read to look for damage.
    pub(crate) fn scrub_passed(&self, took: Duration) {
        self.0.scrubs.increment(1);
        self.0.scrub_seconds.set(took.as_secs_f64());
    }

    /// Entries that cannot be read now, and those that were repaired since the start.
    pub(crate) fn damaged_entries(&self, damaged: u64, repaired: u64) {
        self.0.damaged_entries.set(damaged as f64);
        self.0.repaired_entries.absolute(repaired);
    }

    /// Counts a read that found damage.
    pub(crate) fn read_failed(&self, error: &pelton_log::ReadError) {
        if matches!(error, pelton_log::ReadError::Damaged(_)) {
            self.0.damaged_reads.increment(1);
        }
    }
}

/// A follower that has not answered for so long is not reached.
pub(crate) const UNREACHED_AFTER: Duration = Duration::from_secs(3);

/// What is wrong with the cluster as one node sees it at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ailing {
    /// Groups that it leads, and of which fewer replicas answer than there should be.
    groups_short: usize,
    /// Groups of which it has a replica and knows no leader: no quorum, or an election.
    groups_without_leader: usize,
    /// Its own replicas that ended.
    failed_replicas: usize,
    /// Nodes that follow it and do not answer.
    silent_nodes: BTreeSet<NodeId>,
}

impl Ailing {
    /// With so many replicas of its own that ended, and are closed or open.
    pub(crate) fn with_failed(failed_replicas: usize) -> Self {
        Self { failed_replicas, ..Self::default() }
    }

    /// Takes in a replica that is open, of a group that should have so many.
    pub(crate) fn note(&mut self, status: &GroupStatus, replication: usize) {
        if status.role == Role::Ended {
            return;
        }
        self.groups_without_leader += usize::from(status.leader.is_none());
        if !status.is_leader() {
            return;
        }
        let silent = |follower: &FollowerStatus| follower.answered.is_none_or(|answered| answered > UNREACHED_AFTER);
        let followers = status.followers.iter();
        let silent: BTreeSet<_> = followers.filter(|(_, follower)| silent(follower)).map(|(node, _)| *node).collect();
        let answering = status.voters.difference(&silent).count();
        self.groups_short += usize::from(answering < replication);
        self.silent_nodes.extend(silent.into_iter().map(|node| NodeId(node.0)));
    }
}

/// The same as gauges. Each is 0 when all is well.
pub(crate) struct ClusterMetrics {
    groups_short: Gauge,
    groups_without_leader: Gauge,
    failed_replicas: Gauge,
    silent_nodes: Gauge,
}

impl ClusterMetrics {
    pub(crate) fn register() -> Self {
        Self {
            groups_short: gauge!("pelton_cluster_under_replicated_groups"),
            groups_without_leader: gauge!("pelton_cluster_groups_without_leader"),
            failed_replicas: gauge!("pelton_cluster_failed_replicas"),
            silent_nodes: gauge!("pelton_cluster_silent_nodes"),
        }
    }

    pub(crate) fn show(&self, ailing: &Ailing) {
        self.groups_short.set(ailing.groups_short as f64);
        self.groups_without_leader.set(ailing.groups_without_leader as f64);
        self.failed_replicas.set(ailing.failed_replicas as f64);
        self.silent_nodes.set(ailing.silent_nodes.len() as f64);
    }
}

/// Of one replica, with the label `group`; 0 is the registry's.
pub(crate) struct GroupMetrics {
    group: GroupId,
    leads: Gauge,
    votes: Gauge,
    term: Gauge,
    commit_index: Gauge,
    applied_index: Gauge,
    elections: Counter,
    snapshots: Counter,
    /// Followers that a lag is shown of, so that one that is gone shows none.
    followers: parking_lot::Mutex<BTreeMap<NodeId, Gauge>>,
}

impl GroupMetrics {
    pub(crate) fn register(group: GroupId) -> Self {
        let label = || group.to_string();
        Self {
            group,
            leads: gauge!("pelton_group_leads", "group" => label()),
            votes: gauge!("pelton_group_votes", "group" => label()),
            term: gauge!("pelton_group_term", "group" => label()),
            commit_index: gauge!("pelton_group_commit_index", "group" => label()),
            applied_index: gauge!("pelton_group_applied_index", "group" => label()),
            elections: counter!("pelton_group_elections_won_total", "group" => label()),
            snapshots: counter!("pelton_group_snapshots_installed_total", "group" => label()),
            followers: parking_lot::Mutex::default(),
        }
    }

    /// Shows what the replica is doing now.
    ///
    /// Whether it `serves` as the leader says the clock, too: a core that waits for its disk says for as long what it was
    /// before.
    pub(crate) fn show(&self, this: NodeId, status: &GroupStatus, serves: bool) {
        let set = |gauge: &Gauge, is: bool| gauge.set(f64::from(u8::from(is)));
        let index = |index: Option<pelton_log::LogIndex>| index.map_or(0, |index| index.0);
        set(&self.leads, serves);
        set(&self.votes, status.role != Role::Ended && status.voters.iter().any(|node| node.0 == this.0));
        self.term.set(status.term.0 as f64);
        self.commit_index.set(index(status.committed_index) as f64);
        self.applied_index.set(index(status.applied_index) as f64);
        self.elections.absolute(status.elections_won);
        self.snapshots.absolute(status.snapshots_installed);
        let last = index(status.last_index);
        let mut followers = self.followers.lock();
        for (node, follower) in &status.followers {
            let gauge = followers.entry(NodeId(node.0)).or_insert_with(
                || gauge!("pelton_group_lag_entries", "group" => self.group.to_string(), "node" => node.0.to_string()),
            );
            gauge.set(last.saturating_sub(index(follower.matched)) as f64);
        }
        // A series cannot be taken back; what follows no more lags no more.
        followers.retain(|node, gauge| {
            let follows = status.followers.keys().any(|follower| follower.0 == node.0);
            if !follows {
                gauge.set(0.0);
            }
            follows
        });
    }

    /// The replica is closed.
    pub(crate) fn clear(&self) {
        for gauge in [&self.leads, &self.votes, &self.term, &self.commit_index, &self.applied_index] {
            gauge.set(0.0);
        }
        self.followers.lock().values().for_each(|gauge| gauge.set(0.0));
    }
}

#[cfg(test)]
mod tests;
