//! Starting and stopping, and following the resources: which revisions there are, and which host means which.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pelton_client::serving::{GatewayInfo, RevisionFact, RevisionLoad, RevisionsTold, RoutingTable};
use pelton_client::{Client, Resources};
use pelton_http_front::{Budget, Front, FrontError, FrontHandle, FrontOptions};
use pelton_resource::serving::Revision as SaidRevision;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::census::Census;
use crate::deliveries::Deliveries;
use crate::logs::Logs;
use crate::metrics::RevisionSeries;
use crate::revision::{Revision, RevisionSpec, RevisionStatus, WaitingEvents};
use crate::runtime::Runtimes;
use crate::serve::Serving;
use crate::sharing::{self, Word};
use crate::spec_of::{Defaults, spec_of};
use crate::tidy;
use crate::waiting_for::WaitingFor;

/// Between two looks at what instances are doing: that may change a thousand times a second.
const REPORT_GAP: Duration = Duration::from_millis(100);

/// How often what has not changed is told all the same: the registry may have another leader, who knows nothing of it.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// How long a gateway that stops tries to say so.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Before a report that nobody took is made again.
const REPORT_PAUSE: Duration = Duration::from_millis(500);

/// What a gateway is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name among the gateways of a cluster: no other has it, and no other process of this node had it.
    pub name: String,
    /// The domain below which Routes have their hosts.
    pub domain: String,
    /// What Revisions get that say nothing.
    pub defaults: Defaults,
    /// The bounds of connections.
    pub front: FrontOptions,
    /// Bytes that unread heads of all connections may hold together.
    pub head_bytes: usize,
    /// How the other gateways of the cluster reach this one, with which it shares its work. `None`: it is alone.
    pub reached: Option<GatewayInfo>,
}

impl Default for Options {
    fn default() -> Self {
        let front = FrontOptions {
            half_close: false,
            upgrades: true,
            connect_protocol: true,
            vectored_writes: true,
            ..FrontOptions::default()
        };
        Self {
            name: "gateway".to_owned(),
            domain: "localhost".to_owned(),
            defaults: Defaults::default(),
            front,
            head_bytes: 64 * 1024 * 1024,
            reached: None,
        }
    }
}

/// Which host means which revision, as of one moment.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    pub(crate) table: RoutingTable,
    revisions: HashMap<String, Arc<Entry>>,
}

/// A revision that is there, and is served from its first request on.
#[derive(Debug)]
struct Entry {
    said: Arc<SaidRevision>,
    /// The same in every table that it is in.
    begun: Arc<OnceLock<Arc<Revision>>>,
}

/// What all of a gateway shares.
#[derive(Debug)]
pub(crate) struct Shared {
    routing: ArcSwap<Routing>,
    runtimes: Runtimes,
    logs: Logs,
    options: Options,
    changed: Arc<Notify>,
    /// What revisions count.
    series: Arc<RevisionSeries>,
    /// What was decided last for the gateways that share their work.
    pub(crate) word: ArcSwap<Word>,
    /// The registry's leader knows nothing of this gateway.
    pub(crate) unheard: Notify,
    /// Told when hosts may have come to mean other revisions.
    routed: watch::Sender<()>,
    /// Events that wait, by the host that they are for.
    waiting: Mutex<WaitingFor>,
    /// Where its tasks run, whoever begins them.
    runtime: Handle,
    /// Revisions that are on their way out.
    leaving: Mutex<Vec<Arc<Revision>>>,
}

impl Shared {
    pub(crate) fn routing(&self) -> arc_swap::Guard<Arc<Routing>> {
        self.routing.load()
    }

    /// The revision that serves what `said` says.
    pub(crate) fn revision(&self, routing: &Routing, said: &SaidRevision) -> Option<Arc<Revision>> {
        self.revision_of(routing, said.metadata.uid.as_deref()?)
    }

    /// The revision of that uid.
    pub(crate) fn revision_of(&self, routing: &Routing, uid: &str) -> Option<Arc<Revision>> {
        let entry = routing.revisions.get(uid)?;
        if let Some(revision) = entry.begun.get() {
            return Some(Arc::clone(revision));
        }
        let revision = Arc::clone(entry.begun.get_or_init(|| self.begin(&entry.said)));
        if !self.routing.load().revisions.contains_key(uid) {
            // It was deleted meanwhile, and nobody else knows of it.
            revision.retire();
            self.leaving.lock().push(Arc::clone(&revision));
        }
        Some(revision)
    }

    /// The revisions that are served, by their uids.
    pub(crate) fn begun(&self) -> Vec<(String, Arc<Revision>)> {
        let routing = self.routing.load();
        let begun = routing.revisions.iter().filter_map(|(uid, entry)| Some((uid.clone(), entry.begun.get()?.clone())));
        begun.collect()
    }

    /// What instances print.
    pub(crate) const fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The namespaces and names of revisions that are on their way out.
    pub(crate) fn leaving(&self) -> Vec<(String, String)> {
        self.leaving.lock().iter().filter(|revision| !revision.is_gone()).map(|revision| revision.name()).collect()
    }

    /// Its name among the gateways.
    pub(crate) fn name(&self) -> &str {
        &self.options.name
    }

    /// Whether others are told to reach this one at that address.
    pub(crate) fn is_at(&self, address: &str) -> bool {
        self.options.reached.as_ref().is_some_and(|reached| reached.address == address)
    }

    /// What a request shows that another gateway passes on to this one.
    pub(crate) fn pass(&self) -> Option<&str> {
        self.options.reached.as_ref().map(|reached| reached.pass.as_str())
    }

    /// The revision of that uid: `None` when there is none, `Some(None)` when nothing has asked for it yet.
    pub(crate) fn known(&self, uid: &str) -> Option<Option<Arc<Revision>>> {
        self.routing.load().revisions.get(uid).map(|entry| entry.begun.get().cloned())
    }

    /// Changes when hosts may have come to mean other revisions.
    pub(crate) fn routed(&self) -> watch::Receiver<()> {
        self.routed.subscribe()
    }

    /// Where the gateway's tasks run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// From now on so many events wait for `host`, and so many have matched since that was said last.
    pub(crate) fn events_wait(&self, host: &str, events: WaitingEvents, matched: u64) {
        // Held while revisions are told, so that what they were told last is right.
        let mut waiting = self.waiting.lock();
        waiting.set(host, events, matched, &self.shares(host));
    }

    /// The revisions that `host` means, and how many of 100 requests each gets.
    fn shares(&self, host: &str) -> Vec<(Arc<Revision>, u32)> {
        let routing = self.routing();
        let shares = routing.table.shares(host).iter();
        shares.filter_map(|(said, percent)| Some((self.revision(&routing, said)?, *percent))).collect()
    }

    fn begin(&self, said: &SaidRevision) -> Arc<Revision> {
        let _within = self.runtime.enter();
        let spec = RevisionSpec { is_shared: self.options.reached.is_some(), ..spec_of(said, &self.options.defaults) };
        let log = self.logs.revision(&said.metadata.namespace, &said.metadata.name);
        let runtime = self.runtimes.of(said.runtime());
        let revision = Revision::begin(spec, runtime, log, Arc::clone(&self.changed), &self.series);
        if let Some(uid) = &said.metadata.uid {
            self.word.load().tell(uid, &revision);
        }
        revision
    }

    /// Takes the resources as they are now.
    fn follow(&self, resources: &Resources) {
        let before = self.routing.load_full();
        let mut revisions = HashMap::new();
        for said in resources.revisions.values() {
            let Some(uid) = said.metadata.uid.clone() else { continue };
            let begun = before.revisions.get(&uid).map(|entry| Arc::clone(&entry.begun)).unwrap_or_default();
            if let Some(revision) = begun.get() {
                revision.follow(spec_of(said, &self.options.defaults).core.scaling);
            }
            revisions.insert(uid, Arc::new(Entry { said: Arc::clone(said), begun }));
        }
        for entry in revisions.values().filter(|entry| entry.begun.get().is_none()) {
            let spec = spec_of(&entry.said, &self.options.defaults);
            if !spec.is_proved || (spec.core.scaling.min_scale > 0 && spec.core.scaling.reachable) {
                entry.begun.get_or_init(|| self.begin(&entry.said));
            }
        }
        let table = RoutingTable::new(resources, &self.options.domain);
        let routing = Arc::new(Routing { table, revisions });
        self.routing.store(Arc::clone(&routing));
        // Not before that: from now on whoever begins one sees that it is not wanted.
        let gone = before.revisions.iter().filter(|(uid, _)| !routing.revisions.contains_key(*uid));
        let gone: Vec<_> = gone.filter_map(|(_, entry)| entry.begun.get().cloned()).collect();
        gone.iter().for_each(Revision::retire);
        {
            let mut leaving = self.leaving.lock();
            leaving.retain(|revision| !revision.is_gone());
            leaving.extend(gone);
        }
        self.routed.send_replace(());
        // What waits goes where its hosts lead now.
        let mut waiting = self.waiting.lock();
        for host in waiting.hosts() {
            waiting.lead(&host, &self.shares(&host));
        }
    }

    /// What controllers are told.
    fn told(&self) -> RevisionsTold {
        let statuses: Vec<_> = self.begun().into_iter().map(|(uid, revision)| (uid, revision.status())).collect();
        let loads = match self.options.reached {
            Some(_) => statuses.iter().map(|(uid, status)| (uid.clone(), load_of(status))).collect(),
            None => BTreeMap::new(),
        };
        RevisionsTold {
            gateway: self.options.name.clone(),
            reached: self.options.reached.clone(),
            revisions: statuses.into_iter().map(|(uid, status)| (uid, fact_of(status))).collect(),
            loads,
        }
    }
}

fn load_of(status: &RevisionStatus) -> RevisionLoad {
    RevisionLoad {
        in_flight: status.counts.in_flight,
        queued: status.counts.queued,
        arrivals: status.arrivals,
        starting: status.counts.starting,
        events_milli: status.demand.milli(),
        delivering: status.demand.delivering(),
    }
}

fn fact_of(status: RevisionStatus) -> RevisionFact {
    RevisionFact {
        deployed: status.deployed,
        ready_replicas: status.counts.ready,
        desired_replicas: status.counts.desired,
        reached_initial_scale: status.is_proved,
        crash_loop: status.crash_loop,
        last_active: None,
    }
}

/// The way in for requests to services.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Listens on `address`; port 0 takes a free one. Must be called within a runtime.
    ///
    /// # Errors
    /// That of the system: the address is taken, or not ours.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        Front::bind(address)
    }

    /// Serves the Routes of `client` from now on. Must be called within a runtime, and after the metrics recorder was
    /// installed.
    ///
    /// # Errors
    /// [`FrontError`]; then nothing was started.
    pub fn serve<C: Client>(
        listeners: Vec<TcpListener>,
        client: C,
        runtimes: Runtimes,
        logs: Logs,
        options: Options,
    ) -> Result<GatewayHandle, FrontError> {
        let shared = Arc::new(Shared {
            routing: ArcSwap::default(),
            runtimes,
            logs,
            changed: Arc::default(),
            series: Arc::default(),
            word: ArcSwap::default(),
            unheard: Notify::new(),
            routed: watch::Sender::new(()),
            waiting: Mutex::default(),
            runtime: Handle::current(),
            leaving: Mutex::default(),
            options,
        });
        let mut resources = client.resources();
        let mut before = Arc::clone(&resources.borrow_and_update());
        shared.follow(&before);
        let heads = Arc::new(Budget::new(shared.options.head_bytes));
        let serving = Arc::new(Serving::new(Arc::clone(&shared)));
        let front = Front::serve(listeners, shared.options.front.clone(), heads, serving)?;
        let stop = CancellationToken::new();
        let tidying = tidy::run(Arc::clone(&shared), resources.clone(), stop.clone());
        let following = {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            tokio::spawn(async move {
                let follow = async {
                    while resources.changed().await.is_ok() {
                        let now = Arc::clone(&resources.borrow_and_update());
                        if !now.has_serving_of(&before) {
                            shared.follow(&now);
                            shared.changed.notify_one();
                        }
                        before = now;
                    }
                };
                tokio::select! {
                    () = follow => {}
                    () = stop.cancelled() => {}
                }
            })
        };
        let mut tasks = vec![following, tokio::spawn(tidying)];
        if shared.options.reached.is_some() {
            tasks.push(tokio::spawn(sharing::run(Arc::clone(&shared), client.clone(), stop.clone())));
        }
        tasks.push(tokio::spawn(tell(Arc::clone(&shared), client, stop.clone())));
        Ok(GatewayHandle { shared, front, stop, tasks })
    }
}

/// Tells controllers what instances are doing, whenever that has changed.
async fn tell<C: Client>(shared: Arc<Shared>, client: C, stop: CancellationToken) {
    let is_sharing = shared.options.reached.is_some();
    let mut last = RevisionsTold::default();
    let mut told_at = Instant::now();
    loop {
        let looked_at = Instant::now();
        let told = shared.told();
        // A gateway that shares its work is known though it has none.
        let is_due = (is_sharing || !last.revisions.is_empty()) && told_at.elapsed() >= TELL_AGAIN;
        if told.revisions != last.revisions || told.loads != last.loads || told.reached != last.reached || is_due {
            told_at = Instant::now();
            match client.tell_revisions(told.clone()).await {
                Ok(()) => last = told,
                Err(error) => {
                    tracing::debug!(%error, "nobody took what instances are doing; told again");
                    sleep(REPORT_PAUSE).await;
                    continue;
                }
            }
        }
        let is_again = is_sharing || !last.revisions.is_empty();
        tokio::select! {
            () = shared.changed.notified() => sleep_until(looked_at + REPORT_GAP).await,
            () = shared.unheard.notified() => last = RevisionsTold::default(),
            () = sleep_until(told_at + TELL_AGAIN), if is_again => {}
            () = stop.cancelled() => break,
        }
    }
    if is_sharing {
        // The others need not find out by themselves.
        let goodbye = RevisionsTold { gateway: shared.options.name.clone(), ..RevisionsTold::default() };
        let _ = tokio::time::timeout(GOODBYE_WITHIN, client.tell_revisions(goodbye)).await;
    }
}

/// A running gateway. Dropping it cuts every connection and kills every instance; [`GatewayHandle::shutdown`] is the polite
/// way.
#[derive(Debug)]
pub struct GatewayHandle {
    shared: Arc<Shared>,
    front: FrontHandle,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl GatewayHandle {
    /// Where the first listener listens, with the port really bound.
    ///
    /// # Panics
    /// When the gateway was given no listener.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.front.local_addr()
    }

    /// What instances print.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.shared.logs
    }

    /// What its instances are doing, for whoever asks.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::new(&self.shared)
    }

    /// What its revisions count, for whoever shows metrics.
    #[must_use]
    pub fn series(&self) -> Arc<RevisionSeries> {
        Arc::clone(&self.shared.series)
    }

    /// Its services, for the dispatcher of the same process.
    #[must_use]
    pub fn deliveries(&self) -> Deliveries {
        Deliveries::new(Arc::clone(&self.shared))
    }

    /// Stops: takes no more requests, lets those on their way end and long-lived connections say goodbye, waits until the
    /// last delivery is made too, which is when `delivered` ends, and then stops every instance. What takes longer than
    /// `grace` is cut. Gives the number of connections cut.
    pub async fn shutdown(self, grace: Duration, delivered: impl Future<Output = ()>) -> usize {
        let deadline = Instant::now() + grace;
        self.stop.cancel();
        let revisions: Vec<Arc<Revision>> = {
            let routing = self.shared.routing.load();
            let begun = routing.revisions.values().filter_map(|entry| entry.begun.get().cloned());
            begun.chain(self.shared.leaving.lock().drain(..)).collect()
        };
        for revision in &revisions {
            revision.close_streams();
        }
        let (cut, ()) = tokio::join!(self.front.shutdown(grace), delivered);
        // The front does not know them any more. Both ends are to hear the goodbye before an instance is asked to end.
        let all_closed = async {
            for revision in &revisions {
                revision.streams_closed().await;
            }
        };
        let _ = tokio::time::timeout_at(deadline, all_closed).await;
        for revision in &revisions {
            revision.retire();
            revision.stop_now();
        }
        let all_gone = async || {
            for revision in &revisions {
                revision.gone().await;
            }
        };
        if tokio::time::timeout_at(deadline.max(Instant::now() + LAST_GRACE), all_gone()).await.is_err() {
            // What they have started besides is found only by those who wait for their end.
            for revision in &revisions {
                revision.kill_now();
            }
            let _ = tokio::time::timeout(KILLED_WITHIN, all_gone()).await;
        }
        for task in self.tasks {
            task.abort();
        }
        cut
    }
}

/// How long killed instances and what they have started are waited for.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// What instances get to end at least when the gateway stops, whatever its connections took.
const LAST_GRACE: Duration = Duration::from_secs(2);
