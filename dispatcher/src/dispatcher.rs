//! Starting and stopping.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use pelton_client::{Client, DispatchQuery, DispatchReport, DispatchSource, Grant, GroupId, Session};
use pelton_env::{Chance, Clock};
use pelton_peer::Network;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::group::{End, Group, Shared};
use crate::journal::Journals;
use crate::metrics::Metrics;
use crate::pool::Targets;
use crate::{GroupSnapshot, Options, Services};

/// The wait before a group that ended badly, or could not begin, begins again.
const BEGIN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Delivers events: follows the log groups that its [`Client`] has it serve, matches, sends, stores progress.
#[derive(Debug)]
pub struct Dispatcher;

impl Dispatcher {
    /// Starts a task for each session that [`Client::served`] gives, now and later, and ends it with its session. Must be
    /// called within a tokio runtime.
    ///
    /// Subscribers are reached over `network`, those that are `services` of this process without one. `clock` is asked for wall-clock time only (dates of `Retry-After`, times of
    /// dead letters); waiting is tokio's.
    pub fn start<C: Client>(
        client: C,
        network: Arc<dyn Network>,
        services: Option<Arc<dyn Services>>,
        options: Options,
        clock: Arc<dyn Clock>,
        chance: Arc<dyn Chance>,
    ) -> DispatcherHandle {
        let options = Arc::new(options);
        let shared = Arc::new(Shared {
            targets: Targets::new(network, services, options.clone()),
            metrics: Metrics::new(options.max_labelled_triggers),
            journals: Arc::new(Journals::new(&options)),
            options,
            clock,
            chance,
        });
        let (stop, stopped) = watch::channel(None);
        let snapshots = Snapshots::default();
        let mut sessions = Sessions {
            served: client.served(),
            client,
            shared: shared.clone(),
            stopped,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            over: BTreeMap::new(),
            again: BTreeMap::new(),
            snapshots: snapshots.clone(),
        };
        sessions.begin_all(Instant::now());
        let mut tasks = JoinSet::new();
        tasks.spawn(sessions.follow());
        // The targets must end with the groups, whoever may still ask.
        let (journals, shared) = (shared.journals.clone(), Arc::downgrade(&shared));
        let source = DispatchSource::new(move |query| answer(&journals, &shared, query));
        DispatcherHandle { stop, tasks, snapshots, source }
    }
}

/// What is remembered, and what is known of targets as long as somebody asks them.
fn answer(journals: &Journals, shared: &Weak<Shared>, query: &DispatchQuery) -> DispatchReport {
    match query {
        DispatchQuery::Counts => DispatchReport { counts: journals.counts(), ..DispatchReport::default() },
        DispatchQuery::Attempts(events) => {
            let open = |shared: Arc<Shared>| shared.targets.open_circuits(Instant::now(), shared.clock.now());
            // What is forgotten meanwhile is then in the time.
            let attempts = journals.attempts(events);
            DispatchReport {
                since: journals.since(),
                attempts,
                counts: Vec::new(),
                open_circuits: shared.upgrade().map(open).unwrap_or_default(),
            }
        }
    }
}

type Snapshots = Arc<Mutex<BTreeMap<GroupId, Arc<GroupSnapshot>>>>;

/// A running dispatcher. Dropped, it ends at once, and what was not stored is delivered again by the next.
#[derive(Debug)]
pub struct DispatcherHandle {
    stop: watch::Sender<Option<Instant>>,
    tasks: JoinSet<()>,
    snapshots: Snapshots,
    source: DispatchSource,
}

impl DispatcherHandle {
    /// Answers what is asked of the dispatcher's memory, also after it has ended.
    #[must_use]
    pub fn source(&self) -> DispatchSource {
        self.source.clone()
    }

    /// A glance at each group that is served now.
    #[must_use]
    pub fn groups(&self) -> Vec<(GroupId, Arc<GroupSnapshot>)> {
        self.snapshots.lock().iter().map(|(id, snapshot)| (*id, snapshot.clone())).collect()
    }

    /// Starts no more attempts, waits for those on their way until `deadline`, and stores progress.
    pub async fn shutdown(mut self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(why) = ended {
                tracing::error!(%why, "a task of the dispatcher did not end well");
            }
        }
    }
}

/// The sessions that are served, each by a task of its own. A group's next task begins once the one before has ended, so
/// that there are never two of one group here.
struct Sessions<C: Client> {
    client: C,
    shared: Arc<Shared>,
    served: watch::Receiver<Arc<BTreeMap<GroupId, Grant>>>,
    stopped: watch::Receiver<Option<Instant>>,
    tasks: JoinSet<End>,
    running: HashMap<Id, (GroupId, Session)>,
    /// The last session of each group that was refused: it does not begin again, whatever [`Client::served`] says yet.
    over: BTreeMap<GroupId, Session>,
    /// Groups that wait before they begin again.
    again: BTreeMap<GroupId, Instant>,
    snapshots: Snapshots,
}

impl<C: Client> Sessions<C> {
    /// Until stopped, and everything that runs has come to its end.
    async fn follow(mut self) {
        let mut may_change = true;
        loop {
            if self.stopped.borrow().is_some() {
                while let Some(ended) = self.tasks.join_next_with_id().await {
                    self.on_end(ended, Instant::now());
                }
                return;
            }
            let wake = self.again.values().min().copied();
            tokio::select! {
                biased;
                changed = self.stopped.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                // Without a sender nothing changes any more, and what runs goes on.
                changed = self.served.changed(), if may_change => may_change = changed.is_ok(),
                Some(ended) = self.tasks.join_next_with_id() => self.on_end(ended, Instant::now()),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            self.begin_all(Instant::now());
        }
    }

    /// Begins what is to be served and does not run. What runs and is not to be served ends by itself.
    fn begin_all(&mut self, now: Instant) {
        let served = self.served.borrow_and_update().clone();
        self.over.retain(|group, session| served.get(group).is_some_and(|grant| grant.session == *session));
        self.again.retain(|group, _| served.contains_key(group));
        for (&group, &Grant { session, is_to_finish }) in served.iter() {
            let is_running = self.running.values().any(|(running, _)| *running == group);
            let waits = self.again.get(&group).is_some_and(|again| *again > now);
            if is_running || waits || self.over.contains_key(&group) {
                continue;
            }
            if is_to_finish {
                // Nothing was begun.
                self.give_back(group, session);
            } else {
                self.begin(group, session, now);
            }
        }
    }

    fn begin(&mut self, id: GroupId, session: Session, now: Instant) {
        let snapshot = Arc::new(GroupSnapshot::default());
        match Group::new(self.client.clone(), id, session, self.shared.clone(), snapshot.clone()) {
            Ok(group) => {
                self.again.remove(&id);
                tracing::info!(group = %id, term = session.term, grant = session.grant, "the session begins");
                let task = self.tasks.spawn(group.run(self.stopped.clone()));
                self.running.insert(task.id(), (id, session));
                self.snapshots.lock().insert(id, snapshot);
            }
            Err(why) => {
                tracing::warn!(group = %id, %why, "the group cannot begin yet");
                self.again.insert(id, now + BEGIN_AGAIN_AFTER);
            }
        }
    }

    fn give_back(&mut self, group: GroupId, session: Session) {
        self.over.insert(group, session);
        self.client.release(group, session);
    }

    /// A group that panicked, which only a bug of ours can bring about, begins again from what is stored: at most what
    /// was not stored is delivered twice, and the other groups go on.
    fn on_end(&mut self, ended: Result<(Id, End), JoinError>, now: Instant) {
        let task = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((group, session)) = self.running.remove(&task) else { return };
        self.snapshots.lock().remove(&group);
        match ended {
            Ok((_, End::Stopped)) => {}
            Ok((_, End::Finished)) => {
                tracing::info!(group = %group, term = session.term, grant = session.grant, "the session is given back");
                self.give_back(group, session);
            }
            Ok((_, End::SessionEnded)) => {
                tracing::info!(group = %group, term = session.term, grant = session.grant, "the session has ended");
                self.over.insert(group, session);
            }
            Err(why) => {
                tracing::error!(%group, %why, "the group begins again");
                self.again.insert(group, now + BEGIN_AGAIN_AFTER);
            }
        }
    }
}
