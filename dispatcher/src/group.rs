//! One log group: the task that follows its tail, matches, starts attempts and stores progress.
//!
//! It owns all its state and waits for nothing but the next thing to happen: reads, appends and progress are futures
//! that it polls beside its queue, attempts are made by the connections' own tasks. Nothing a subscriber does can make
//! it wait.

mod cache;
mod catch_up;
mod cursors;
mod gauges;
mod outcome;
mod progress;
mod pump;
mod reads;
mod scan;
mod slot;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use pelton_client::{
    AppendError, BrokerName, Client, EventBatch, Grant, GroupCursors, GroupId, Offset, OperationError, Position,
    ReadError, Resources, Session,
};
use pelton_env::{Chance, Clock, UnixMillis};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::Options;
use crate::journal::{Entry, Journal, Journals};
use crate::matching::MatchIndex;
use crate::metrics::Metrics;
use crate::pool::{Outcome, Targets, Ticket};
use crate::snapshot::GroupSnapshot;
use cache::Cache;
use progress::ProgressKeeper;
use pump::Parked;
use reads::Reads;
use slot::Slots;

/// Outcomes that wait to be taken in. Connections wait when it is full; the group never waits for a connection.
const INBOX: usize = 4_096;
/// Triggers that are served before the next thing that happened is looked at.
const RUNS_PER_TURN: usize = 256;
/// Outcomes that are taken in at once.
const OUTCOMES_PER_TURN: usize = 256;

/// Answers of the broker that are taken in at once.
const ANSWERS_PER_TURN: usize = 64;

/// What groups share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub options: Arc<Options>,
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub targets: Targets,
    pub metrics: Metrics,
    pub journals: Arc<Journals>,
}

/// When outcomes were taken in: asked once for all that come together.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    time: UnixMillis,
}

/// Something that was asked of the broker has been answered.
enum Happened {
    Tail { from: Offset, read: Result<Vec<EventBatch>, ReadError> },
    Fetched { at: Offset, read: Result<Vec<EventBatch>, ReadError> },
    CaughtUp { at: Offset, read: Result<Vec<EventBatch>, ReadError> },
    Cursors { seen: u64, read: Result<GroupCursors, ReadError> },
    LookedUp(Vec<gauges::Sealed>),
    Progress(Result<(), OperationError>),
    Appended { ticket: Ticket, plan: Arc<crate::plan::Plan>, entry: Entry, result: Result<Position, AppendError> },
    Waited(Wake),
    Warned,
}

/// What a wait was for.
#[derive(Debug)]
enum Wake {
    Tail,
    /// A watch has ended.
    Watch,
    /// A read for waiting events failed, for these triggers.
    Fetch {
        at: Offset,
        slots: Vec<u32>,
    },
    /// The next of those behind the tail.
    CatchUp,
    /// A read behind the tail failed, for these triggers.
    Behind {
        at: Offset,
        slots: Vec<u32>,
    },
}

type Work = FuturesUnordered<Pin<Box<dyn Future<Output = Happened> + Send>>>;

/// How a group's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// The group's leader asked for it, and what was done is stored.
    Finished,
    /// Another dispatcher has the group now, or nobody has.
    SessionEnded,
}

/// The task of one group, for as long as it has one session.
pub(crate) struct Group<C: Client> {
    client: C,
    group: GroupId,
    session: Session,
    served: watch::Receiver<Arc<BTreeMap<GroupId, Grant>>>,
    /// The session counts no more: nothing starts, and nothing that was done is stored.
    has_ended: bool,
    shared: Arc<Shared>,
    slots: Slots,
    brokers: HashMap<BrokerName, MatchIndex<u32>>,
    resources: Arc<Resources>,
    resource_changes: watch::Receiver<Arc<Resources>>,
    committed: watch::Receiver<Offset>,
    cursor_changes: watch::Receiver<u64>,
    /// Cursors of triggers that are no resource (yet): taken up when they become one.
    unclaimed: BTreeMap<pelton_client::TriggerId, pelton_client::Cursor>,
    /// Triggers that were deleted, and whose cursors are there still.
    deleted: BTreeSet<pelton_client::TriggerId>,
    alive: Alive,
    /// A watch that has ended is begun again in a moment.
    watches_later: bool,
    /// The stored cursors were read at least once.
    loaded: bool,
    cursors_wanted: bool,
    cursors_reading: bool,
    /// They are not read again before this.
    cursors_after: Option<Instant>,
    scanned: Offset,
    tail_reading: bool,
    cache: Cache,
    run: VecDeque<u32>,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    parked: HashMap<crate::endpoint::Authority, Parked>,
    /// Told when there may be a slot for a trigger that waits for one.
    slot_news: Arc<Notify>,
    lagging: BTreeSet<(Offset, u32)>,
    lagging_next: (Offset, u32),
    catching_up: bool,
    fetches: BTreeMap<Offset, Vec<u32>>,
    fetches_out: BTreeMap<Offset, Vec<u32>>,
    fetching: usize,
    reads: Reads,
    progress: ProgressKeeper,
    /// When gauges are set again.
    gauges_due: Instant,
    looking_up: bool,
    lookup_from: Offset,
    work: Work,
    inbox: mpsc::Receiver<Outcome>,
    outbox: mpsc::Sender<Outcome>,
    /// Replies that are being stored.
    appending: usize,
    stopping: Option<Instant>,
    /// The leader asked for it.
    is_finishing: bool,
    snapshot: Arc<GroupSnapshot>,
    journal: Arc<Journal>,
}

impl<C: Client> Group<C> {
    /// The task's state at its beginning.
    ///
    /// # Errors
    /// The client does not know the group.
    pub fn new(
        client: C,
        group: GroupId,
        session: Session,
        shared: Arc<Shared>,
        snapshot: Arc<GroupSnapshot>,
    ) -> Result<Self, ReadError> {
        let (outbox, inbox) = mpsc::channel(INBOX);
        let resource_changes = client.resources();
        let mut served = client.served();
        let has_ended = served.borrow_and_update().get(&group).is_none_or(|grant| grant.session != session);
        Ok(Self {
            committed: client.committed(group)?,
            cursor_changes: client.cursor_changes(group)?,
            resources: Arc::default(),
            resource_changes,
            client,
            group,
            session,
            served,
            has_ended,
            slots: Slots::default(),
            brokers: HashMap::new(),
            unclaimed: BTreeMap::new(),
            deleted: BTreeSet::new(),
            alive: Alive { resources: true, committed: true, cursors: true, served: true },
            watches_later: false,
            loaded: false,
            cursors_wanted: true,
            cursors_reading: false,
            cursors_after: None,
            scanned: Offset(0),
            tail_reading: false,
            // What one read brings must fit, or what was asked for would be pushed out by what came with it.
            cache: Cache::new(shared.options.cache_bytes.max(2 * shared.options.read_bytes)),
            run: VecDeque::new(),
            timers: BinaryHeap::new(),
            parked: HashMap::new(),
            slot_news: Arc::default(),
            lagging: BTreeSet::new(),
            lagging_next: (Offset(0), 0),
            catching_up: false,
            fetches: BTreeMap::new(),
            fetches_out: BTreeMap::new(),
            fetching: 0,
            reads: Reads::new(group),
            progress: ProgressKeeper::new(&shared.options),
            gauges_due: Instant::now(),
            looking_up: false,
            lookup_from: Offset(0),
            work: FuturesUnordered::new(),
            inbox,
            outbox,
            appending: 0,
            stopping: None,
            is_finishing: false,
            journal: shared.journals.begin(group, shared.clock.now()),
            shared,
            snapshot,
        })
    }

    /// Runs until the session ends, and then not a moment longer; or until `stop` names a moment, and then until everything
    /// on its way is back and stored, or that moment.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) -> End {
        let mut outcomes = Vec::with_capacity(OUTCOMES_PER_TURN);
        loop {
            self.turn();
            if !self.holds_session() {
                return End::SessionEnded;
            }
            if self.is_finished() {
                return if self.is_finishing { End::Finished } else { End::Stopped };
            }
            let wake = self.next_timer();
            tokio::select! {
                biased;
                changed = stop.changed() => {
                    if changed.is_err() {
                        // The handle was dropped: nothing more is sent, and nothing stored.
                        return End::Stopped;
                    }
                    let deadline = (*stop.borrow_and_update()).unwrap_or_else(Instant::now);
                    self.stopping = Some(deadline);
                }
                changed = self.served.changed(), if self.alive.served => {
                    self.alive.served = changed.is_ok();
                    self.look_at_session();
                }
                count = self.inbox.recv_many(&mut outcomes, OUTCOMES_PER_TURN) => {
                    debug_assert!(count > 0, "the group holds a sender itself");
                    let seen = self.seen_now();
                    for outcome in outcomes.drain(..) {
                        self.on_outcome(outcome, seen);
                    }
                }
                () = self.slot_news.notified() => self.on_slot_news(),
                Some(happened) = self.work.next(), if !self.work.is_empty() => self.on_happened(happened),
                changed = self.cursor_changes.changed(), if self.alive.cursors => {
                    self.cursors_wanted = true;
                    if changed.is_err() {
                        self.alive.cursors = false;
                        self.watch_later();
                    }
                }
                changed = self.resource_changes.changed(), if self.alive.resources => {
                    self.alive.resources = changed.is_ok();
                    self.take_resources();
                }
                changed = self.committed.changed(), if self.alive.committed => if changed.is_err() {
                    self.alive.committed = false;
                    self.watch_later();
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
                () = std::future::ready(()), if !self.run.is_empty() => tokio::task::yield_now().await,
            }
        }
    }

    /// Whether the session still counts. Asked before each attempt starts; it costs a look at one number.
    fn holds_session(&mut self) -> bool {
        // An error says that there will be no more changes, not that the session has ended.
        if self.served.has_changed().unwrap_or(false) {
            self.look_at_session();
        }
        !self.has_ended
    }

    /// A session that was over stays over.
    fn look_at_session(&mut self) {
        let grant = self.served.borrow_and_update().get(&self.group).copied();
        match grant.filter(|grant| grant.session == self.session) {
            Some(grant) if grant.is_to_finish && !self.is_finishing => {
                self.is_finishing = true;
                // A stop that was asked for may give less time, and more is no use.
                let deadline = Instant::now() + self.shared.options.finish_within;
                self.stopping = Some(self.stopping.map_or(deadline, |stop| stop.min(deadline)));
            }
            Some(_) => {}
            #[cfg(feature = "bugs")]
            None if pelton_env::bugs::Bug::SessionOutlived.is_on() => {}
            None => self.has_ended = true,
        }
    }

    /// Does what can be done without waiting.
    fn turn(&mut self) {
        // A flood of outcomes must not keep reads and progress from being taken in.
        for _ in 0..ANSWERS_PER_TURN {
            let Some(Some(happened)) = self.work.next().now_or_never() else { break };
            self.on_happened(happened);
        }
        let now = Instant::now();
        self.fire_timers(now);
        self.refresh_resources();
        self.cursors_wanted |= self.cursor_changes.has_changed().unwrap_or(false);
        self.refresh_cursors(now);
        if self.loaded {
            self.follow_tail();
            self.catch_up();
            for _ in 0..RUNS_PER_TURN {
                let Some(at) = self.run.pop_front() else { break };
                self.pump(at, now);
            }
            self.start_fetches();
            self.store_progress(now);
            self.refresh_gauges(now);
        }
        self.snapshot.set(self.cache.bytes(), self.slots.len(), self.scanned);
    }

    fn on_happened(&mut self, happened: Happened) {
        self.refresh_resources();
        match happened {
            Happened::Tail { from, read } => self.on_tail(from, read),
            Happened::Fetched { at, read } => self.on_fetched(at, read),
            Happened::CaughtUp { at, read } => self.on_caught_up(at, read),
            Happened::Cursors { seen, read } => self.on_cursors(seen, read),
            Happened::LookedUp(found) => self.on_looked_up(&found),
            Happened::Progress(result) => self.on_progress(result),
            Happened::Appended { ticket, plan, entry, result } => self.on_appended(ticket, &plan, entry, result),
            Happened::Waited(Wake::Tail) => self.tail_reading = false,
            Happened::Waited(Wake::Watch) => self.watch_again(),
            Happened::Waited(Wake::Fetch { at, slots }) => self.fetch_again(at, slots),
            Happened::Waited(Wake::CatchUp) => self.catching_up = false,
            Happened::Waited(Wake::Behind { at, slots }) => self.catch_up_again(at, slots),
            Happened::Warned => {}
        }
    }

    /// Looks anew at what the node that was watched has nothing more to tell of: another leads the group.
    fn watch_again(&mut self) {
        #[cfg(feature = "bugs")]
        if pelton_env::bugs::Bug::WatchNotBegunAgain.is_on() {
            return;
        }
        self.watches_later = false;
        if !self.alive.committed
            && let Ok(committed) = self.client.committed(self.group)
        {
            (self.committed, self.alive.committed) = (committed, true);
        }
        if !self.alive.cursors
            && let Ok(changes) = self.client.cursor_changes(self.group)
        {
            (self.cursor_changes, self.alive.cursors) = (changes, true);
            self.cursors_wanted = true;
        }
        if !self.alive.committed || !self.alive.cursors {
            self.watch_later();
        }
    }

    fn watch_later(&mut self) {
        if !std::mem::replace(&mut self.watches_later, true) {
            self.wait_for(RETRY_AFTER, Wake::Watch);
        }
    }

    /// The present moment, by both clocks.
    fn seen_now(&self) -> Seen {
        Seen { at: Instant::now(), time: self.shared.clock.now() }
    }

    /// Nothing is left to do of what stopping waits for.
    fn is_finished(&self) -> bool {
        let Some(deadline) = self.stopping else { return false };
        let now = Instant::now();
        let is_idle = (self.snapshot.in_flight() == 0 && self.appending == 0) || now >= deadline;
        (is_idle && (!self.loaded || self.progress.is_settled())) || now >= deadline + STORE_GRACE
    }

    /// The next moment at which [`is_finished`](Self::is_finished) may change by time alone.
    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.stopping?;
        Some(if Instant::now() < deadline { deadline } else { deadline + STORE_GRACE })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Has the trigger looked at soon.
    fn queue(&mut self, at: u32) {
        if let Some(slot) = self.slots.get_mut(at)
            && !slot.queued
        {
            slot.queued = true;
            self.run.push_back(at);
        }
    }

    /// Polls `work` beside everything else.
    fn begin(&mut self, work: impl Future<Output = Happened> + Send + 'static) {
        self.work.push(Box::pin(work));
    }

    /// Waits before something that failed is tried again.
    fn wait_for(&mut self, wait: Duration, wake: Wake) {
        self.begin(async move {
            tokio::time::sleep(wait).await;
            Happened::Waited(wake)
        });
    }
}

/// How long after the deadline the last progress may take.
const STORE_GRACE: Duration = Duration::from_secs(2);
/// The wait before a failed call to the broker is repeated. Reads of the log wait longer each time.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Which of the channels can still say something.
struct Alive {
    served: bool,
    resources: bool,
    committed: bool,
    cursors: bool,
}
