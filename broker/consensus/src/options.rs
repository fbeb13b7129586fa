//! How a group is run.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use pelton_log::{GroupId, Term};

use crate::{GroupError, NodeId};

/// How a group is run. All its nodes should have the same times.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// This node.
    pub node: NodeId,
    /// Time between heartbeats of a leader.
    pub heartbeat: Duration,
    /// Shortest and longest election timeout, the first above `heartbeat`.
    ///
    /// A leader has a lease of the longest: a follower that has heard it votes for nobody as long. After that it waits
    /// for a random time between the two before it stands itself. So a dead leader is followed by another after the
    /// longest timeout and some more, twice the longest at most.
    pub election_timeout: (Duration, Duration),
    /// Whether a voter that is opened again holds its vote: for the longest election timeout it gives no vote and does
    /// not stand.
    ///
    /// It has forgotten what lease it gave to whom. Without a hold it could help elect a leader while another still
    /// counts on its lease. A group that this node never voted in, or whose only voter it is, has nothing to hold.
    pub hold_votes: bool,
    /// A node that was in the group, and forgot what it held of it, gives no vote in this term or an older one: it may
    /// have given it already. 0 where it never was. Of no effect on a node that holds something of the group.
    pub at_least_term: Term,
    /// Nodes that should have a replica: whom to ask where the group's own memberships are damaged.
    pub replicas: BTreeSet<NodeId>,
    /// Whether a follower is told at once that entries are committed, though no others follow them. That is a message for
    /// each commit, as many again as those with entries when few entries come at a time. Without it a follower applies
    /// with the next entries or the next heartbeat, which only those notice who read there.
    pub tell_commits_at_once: bool,
}

impl GroupOptions {
    /// Settings for `node` that suit few groups and real disks: heartbeats of 500 ms, elections after 2 to 3.5 s.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            heartbeat: Duration::from_millis(500),
            election_timeout: (Duration::from_secs(2), Duration::from_millis(3_500)),
            hold_votes: true,
            at_least_term: Term(0),
            replicas: BTreeSet::new(),
            tell_commits_at_once: true,
        }
    }

    /// openraft's settings. A line here that differs from its defaults is there because of what was read in its source.
    pub(crate) fn config(&self, group: GroupId) -> Result<Config, GroupError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: format!("group-{}", group.0),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_timeout.0),
            election_timeout_max: millis(self.election_timeout.1),
            // A follower that was sent entries in this time has heard its leader.
            heartbeat_min_interval: Some(millis(self.heartbeat / 2)),
            // A node that cannot win must not raise the term and so depose a leader that others still hear.
            enable_pre_vote: Some(true),
            // A leader sends entries before its own disk has them. One that restarts may have lost the last of them while
            // followers have them: in its old term it would write others with the same term and index.
            enable_leader_restore: Some(false),
            // Without it one follower whose disk lost what was synced stops the leader in a debug build, and is never
            // sent anything again in another.
            allow_log_reversion: Some(true),
            // How long replication leaves a node alone that did not answer.
            backoff: format!("{}ms", millis(self.heartbeat / 2).max(1)),
            // Snapshots are asked for when the watermark has moved; see the crate's text.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            // The default of 200 ms is shorter than a sync can take.
            install_snapshot_timeout: 60_000,
            // Entries are whole batches, so few make a request; bytes are capped by the reader.
            max_payload_entries: 64,
            ..Config::default()
        };
        #[cfg(feature = "bugs")]
        let config = Config { enable_leader_restore: Some(pelton_env::bugs::Bug::LeadsOnAfterCrash.is_on()), ..config };
        config.validate().map_err(|error| GroupError::Config(error.to_string()))
    }
}
