//! Everything of the broker that lives in one data directory.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::{Offset, OperationError, Start, TriggerId, Warning};
use pelton_consensus::{Command, Group, GroupError, GroupOptions, NodeId, Outcome, ProposeError, Space};
use pelton_env::{Chance, Clock};
use pelton_log::{FatalHook, GroupId, Identity, Log, LogIndex, Observer, RealDisk};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::event_state::EventState;
use crate::identity;
use crate::local_client::LocalClient;
use crate::metrics::BrokerMetrics;
use crate::proposer::Proposer;
use crate::registry::{RegistryCommand, RegistryState};
use crate::{controller, retention};

/// The registry's group.
const REGISTRY: GroupId = GroupId(0);

/// The one group that holds events on a node by itself.
const FIRST_DATA_GROUP: GroupId = GroupId(1);

/// Largest body of a log record: a sealed batch, or a checkpoint of very many cursors.
pub(crate) const MAX_RECORD_BYTES: u64 = 28 << 20;

/// The first segments hold one record of that size.
const FIRST_SEGMENT_BYTES: u64 = 32 << 20;

/// How long events are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bytes of log that the node keeps. What a trigger still needs is kept beyond it, as an alarm. Default 10 GiB.
    pub bytes: u64,
    /// How long dead letters are kept. Default 7 days.
    pub dead_letters: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { bytes: 10 << 30, dead_letters: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// How a node is opened.
#[derive(Clone)]
pub struct Options {
    /// The data directory. Made when it is not there.
    pub data: PathBuf,
    /// How long events are kept. Each Broker's own time is in its `pelton.dev/retention`.
    pub retention: Retention,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub chance: Arc<dyn Chance>,
    /// Told about every flush of the log, for metrics.
    pub observer: Arc<dyn Observer>,
    /// Called when the disk failed to write or sync. It should say so and end the process: nothing is tried again.
    pub on_fatal: FatalHook,
    /// Whether the log passes the page cache.
    pub direct_io: pelton_log::DirectIo,
}

/// Why a node could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data directory cannot be used.
    #[error("data directory {path}: {why}", path = path.display())]
    Directory {
        /// The directory or file in question.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The log refused to open. It is as it was.
    #[error("the log in {path} cannot be opened: {source}", path = path.display())]
    Log {
        /// The log's directory.
        path: PathBuf,
        /// Why.
        source: pelton_log::OpenError,
    },
    /// A log group did not come up.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// A running broker. Dropping it without [`Node::shutdown`] is like a crash: nothing acknowledged is lost.
pub struct Node {
    shared: Shared,
    tasks: Vec<JoinHandle<()>>,
    report: pelton_log::Report,
}

/// What the parts of a node share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Parts>);

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub(crate) struct Parts {
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) chance: Arc<dyn Chance>,
    pub(crate) options: Options,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) groups: Vec<DataGroup>,
    pub(crate) registry: Registry,
    pub(crate) controller: ControllerInput,
}

/// A group that holds events.
pub(crate) struct DataGroup {
    pub(crate) raft: Group<EventState>,
    pub(crate) state: Arc<EventState>,
    pub(crate) proposer: Proposer,
}

/// The group that holds resources.
pub(crate) struct Registry {
    pub(crate) raft: Group<RegistryState>,
    pub(crate) state: Arc<RegistryState>,
    /// Held from reading the resources until what follows from them is applied.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

/// What the controller looks at, besides the resources.
#[derive(Default)]
pub(crate) struct ControllerInput {
    pub(crate) ingress: Mutex<Option<String>>,
    pub(crate) warnings: Mutex<BTreeMap<TriggerId, Warning>>,
    /// Counts changes of the above.
    pub(crate) nudge: watch::Sender<u64>,
    /// The version of the resources up to which everything is made true.
    pub(crate) settled: watch::Sender<u64>,
}

impl Registry {
    /// Commits a command and returns the log index at which it is applied. The caller holds `writing`.
    pub(crate) async fn commit(&self, command: &RegistryCommand) -> Result<u64, OperationError> {
        let (kind, body) = command.encode();
        let (told, answer) = oneshot::channel();
        let outcome = Arc::new(Committed(Mutex::new(Some(told))));
        self.raft.propose(Command { kind, event_count: 0, body, space: Space::Reserve }, outcome).await;
        let index = match answer.await {
            Ok(Ok(index)) => index,
            Ok(Err(ProposeError::NotLeader { .. } | ProposeError::Discarded | ProposeError::StorageFull)) => {
                return Err(OperationError::Unavailable);
            }
            Ok(Err(ProposeError::TooLarge)) => return Err(OperationError::TooLarge),
            Ok(Err(ProposeError::OutcomeUnknown)) | Err(_) => return Err(OperationError::OutcomeUnknown),
        };
        let mut applied = self.raft.applied();
        applied.wait_for(|applied| *applied >= index).await.map_err(|_| OperationError::OutcomeUnknown)?;
        Ok(index.0)
    }
}

/// Tells one waiter where its command was committed.
struct Committed(Mutex<Option<oneshot::Sender<Result<LogIndex, ProposeError>>>>);

impl Committed {
    fn tell(&self, fate: Result<LogIndex, ProposeError>) {
        if let Some(told) = self.0.lock().take() {
            // The receiver is gone only when the caller gave up waiting.
            let _ = told.send(fate);
        }
    }
}

impl Outcome for Committed {
    fn committed(&self, index: LogIndex) {
        self.tell(Ok(index));
    }

    fn failed(&self, error: ProposeError) {
        self.tell(Err(error));
    }
}

impl Node {
    /// Opens a data directory, or makes one, and leads every group in it.
    ///
    /// # Errors
    /// See [`OpenError`]; what is on disk is then unchanged.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let identity = identity::read_or_make(&options.data, &*options.chance)?;
        let (log, report) = open_log(&options, identity).await?;
        let shared = assemble(options, identity, log, BrokerMetrics::register()).await?;
        let tasks = vec![
            tokio::spawn(controller::run(shared.clone())),
            tokio::spawn(retention::run(shared.clone())),
            tokio::spawn(watch_groups(shared.clone())),
        ];
        Ok(Self { shared, tasks, report })
    }

    /// A handle for the other roles.
    #[must_use]
    pub fn client(&self) -> LocalClient {
        LocalClient(self.shared.clone())
    }

    /// What opening the log found and did.
    #[must_use]
    pub fn report(&self) -> &pelton_log::Report {
        &self.report
    }

    /// The log, for its sizes and figures.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Tells under which URL ingress is reached, without a path. Brokers get their addresses from it.
    pub fn set_ingress(&self, url: String) {
        *self.shared.controller.ingress.lock() = Some(url);
        self.shared.controller.nudge.send_modify(|nudges| *nudges += 1);
    }

    /// Writes what was taken, stores checkpoints and closes the log. Appends are refused from the first moment on.
    pub async fn shutdown(self) {
        self.shared.groups.iter().for_each(|group| group.proposer.close());
        for group in &self.shared.groups {
            group.proposer.drained().await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        for group in &self.shared.groups {
            if let Err(error) = group.raft.shutdown().await {
                tracing::warn!(%error, "no checkpoint at shutdown; the next start applies more of the log again");
            }
        }
        if let Err(error) = self.shared.registry.raft.shutdown().await {
            tracing::warn!(%error, "no checkpoint of the registry at shutdown");
        }
        self.shared.registry.state.flush();
        self.shared.log.shutdown();
    }
}

/// Everything of a node over an open log, with nobody yet who tends it.
pub(crate) async fn assemble(
    options: Options,
    identity: Identity,
    log: Log,
    metrics: BrokerMetrics,
) -> Result<Shared, OpenError> {
    let group_options = GroupOptions::new(NodeId(identity.node));
    let registry = open_registry(&options, &log, &group_options).await?;
    let data = open_data(&log, &group_options, &metrics).await?;
    let parts = Parts {
        log,
        clock: options.clock.clone(),
        chance: options.chance.clone(),
        options,
        metrics,
        groups: vec![data],
        registry,
        controller: ControllerInput::default(),
    };
    Ok(Shared(Arc::new(parts)))
}

/// Ends the process when a group fails: it would answer nothing any more and look alive.
async fn watch_groups(shared: Shared) {
    let data = &shared.groups[0].raft;
    let (group, why) = tokio::select! {
        why = data.failed() => (data.id(), why),
        why = shared.registry.raft.failed() => (shared.registry.raft.id(), why),
    };
    let failed = GroupError::Failed { group, why };
    (shared.options.on_fatal)(&io::Error::other(failed));
}

async fn open_log(options: &Options, identity: Identity) -> Result<(Log, pelton_log::Report), OpenError> {
    let path = options.data.join("log");
    let io = |error: io::Error| OpenError::Directory { path: path.clone(), why: error.to_string() };
    let disk = Arc::new(RealDisk::new(&path).map_err(io)?);
    let (clock, chance) = (options.clock.clone(), options.chance.clone());
    let settings = pelton_log::Options {
        max_record_bytes: MAX_RECORD_BYTES,
        initial_segment_size_bytes: FIRST_SEGMENT_BYTES,
        observer: options.observer.clone(),
        on_fatal: Some(options.on_fatal.clone()),
        direct_io: options.direct_io,
        ..pelton_log::Options::new(identity)
    };
    let opened = tokio::task::spawn_blocking(move || Log::open(disk, clock, chance, settings)).await;
    let opened = opened.map_err(|error| OpenError::Directory { path: path.clone(), why: error.to_string() })?;
    opened.map_err(|source| OpenError::Log { path, source })
}

async fn open_registry(options: &Options, log: &Log, group: &GroupOptions) -> Result<Registry, OpenError> {
    let path = options.data.join(identity::REGISTRY_STORE);
    // A log that was purged to its end holds no entry, and still reflects them.
    let view = log.group(REGISTRY);
    let last_index = view.last.max(view.purged).map_or(0, |(_, _, index)| index.0);
    let state = Arc::new(RegistryState::open(Some(&path), last_index, options.clock.now().0));
    let raft = Group::open_single(REGISTRY, log.clone(), state.clone(), group).await?;
    Ok(Registry { raft, state, writing: tokio::sync::Mutex::new(()) })
}

async fn open_data(log: &Log, options: &GroupOptions, metrics: &BrokerMetrics) -> Result<DataGroup, OpenError> {
    let state = Arc::new(EventState::new(pelton_client::GroupId(FIRST_DATA_GROUP.0)));
    let raft = Group::open_single(FIRST_DATA_GROUP, log.clone(), state.clone(), options).await?;
    let proposer = Proposer::start(raft.clone(), metrics.clone());
    Ok(DataGroup { raft, state, proposer })
}

/// Where a start is in a group now; `None` is after the last event.
pub(crate) fn offset_of_start(
    shared: &Shared,
    group: &DataGroup,
    start: Start,
) -> Result<Option<Offset>, OperationError> {
    let id = group.raft.id();
    let first = retention::first_offset(shared, id);
    Ok(match start {
        Start::Latest => None,
        Start::Earliest => Some(first),
        Start::Offset(offset) => Some(offset.max(first).min(group.state.tail())),
        Start::Time(time) => {
            let offset = shared.log.offset_at_time(id, time).map_err(|_| OperationError::Unavailable)?;
            Some(Offset(offset.0).max(first))
        }
    })
}

#[cfg(test)]
mod tests;
