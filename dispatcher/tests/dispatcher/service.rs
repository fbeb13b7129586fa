//! A service of this process that has as many slots as a test says.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use pelton_dispatcher::{AnswerBody, NotServed, Service, Services, Slot, Unanswered, Waiting};
use tokio::sync::watch;

/// The host that it has.
pub const HOST: &str = "service.test";

/// A service; clones are the same one.
#[derive(Debug, Clone)]
pub struct FakeService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: watch::Sender<State>,
    sent: Mutex<Vec<String>>,
    told: watch::Sender<Waiting>,
    matched: Mutex<u64>,
}

#[derive(Debug, Clone, Default)]
struct State {
    free: usize,
    /// Why it takes nothing, when it does not.
    refuses: Option<&'static str>,
    /// Calls that wait for a slot.
    asking: usize,
    /// Slots that were given and not given back; and the most there were.
    busy: usize,
    most: usize,
    /// Requests that will not be sent.
    unsent: usize,
    /// Requests are answered.
    answers: bool,
}

impl FakeService {
    /// One that is at zero.
    pub fn new() -> Self {
        let state = State { answers: true, ..State::default() };
        Self(Arc::new(Inner {
            state: watch::Sender::new(state),
            sent: Mutex::default(),
            told: watch::Sender::new(Waiting::default()),
            matched: Mutex::default(),
        }))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.state.send_modify(change);
    }

    /// Has so many slots more.
    pub fn add_slots(&self, slots: usize) {
        self.change(|state| state.free += slots);
    }

    /// Takes nothing from now on, or does again.
    pub fn refuse(&self, why: Option<&'static str>) {
        self.change(|state| state.refuses = why);
    }

    /// So many requests fail to be sent, as soon as requests are answered.
    pub fn lose(&self, requests: usize) {
        self.change(|state| state.unsent = requests);
    }

    /// Whether requests are answered, or are on their way until they are.
    pub fn answer(&self, answers: bool) {
        self.change(|state| state.answers = answers);
    }

    /// The ids of the events that were sent, sorted.
    pub fn sent(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.0.sent.lock().iter().map(|id| id.parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    pub fn told(&self) -> Waiting {
        *self.0.told.borrow()
    }

    pub fn matched(&self) -> u64 {
        *self.0.matched.lock()
    }

    pub fn asking(&self) -> usize {
        self.0.state.borrow().asking
    }

    pub fn busy(&self) -> usize {
        self.0.state.borrow().busy
    }

    pub fn most(&self) -> usize {
        self.0.state.borrow().most
    }

    fn take(&self) -> Option<Box<dyn Slot>> {
        let taken = self.0.state.send_if_modified(|state| {
            let has = state.free > 0 && state.refuses.is_none();
            if has {
                state.free -= 1;
                state.busy += 1;
                state.most = state.most.max(state.busy);
            }
            has
        });
        taken.then(|| Box::new(FakeSlot(self.clone())) as Box<dyn Slot>)
    }
}

impl Services for FakeService {
    fn find(&self, host: &str, _port: u16) -> Option<Arc<dyn Service>> {
        (host == HOST).then(|| Arc::new(self.clone()) as Arc<dyn Service>)
    }
}

impl Service for FakeService {
    fn try_slot(&self) -> Option<Box<dyn Slot>> {
        self.take()
    }

    fn slot(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, NotServed>> {
        Box::pin(async {
            let _asks = Asks::begin(self);
            let mut changes = self.0.state.subscribe();
            loop {
                if let Some(why) = changes.borrow_and_update().refuses {
                    return Err(NotServed(why.to_owned()));
                }
                if let Some(slot) = self.take() {
                    return Ok(slot);
                }
                changes.changed().await.unwrap();
            }
        })
    }

    fn waits(&self, waiting: Waiting, matched: u64) {
        self.0.told.send_replace(waiting);
        *self.0.matched.lock() += matched;
    }
}

struct Asks<'a>(&'a FakeService);

impl<'a> Asks<'a> {
    fn begin(service: &'a FakeService) -> Self {
        service.change(|state| state.asking += 1);
        Self(service)
    }
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.asking -= 1);
    }
}

#[derive(Debug)]
struct FakeSlot(FakeService);

impl Drop for FakeSlot {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.busy -= 1;
            state.free += 1;
        });
    }
}

impl Slot for FakeSlot {
    fn send(
        self: Box<Self>,
        request: Request<Full<Bytes>>,
    ) -> BoxFuture<'static, Result<Response<AnswerBody>, Unanswered>> {
        Box::pin(async move {
            let is_lost = self.0.0.state.send_if_modified(|state| {
                let is_lost = state.unsent > 0;
                state.unsent -= usize::from(is_lost);
                is_lost
            });
            if is_lost {
                self.0.0.state.subscribe().wait_for(|state| state.answers).await.unwrap();
                return Err(Unanswered::Unsent("gone".to_owned()));
            }
            assert_eq!(request.headers()["host"], HOST);
            self.0.0.sent.lock().push(request.headers()["ce-id"].to_str().unwrap().to_owned());
            self.0.0.state.subscribe().wait_for(|state| state.answers).await.unwrap();
            let body = Full::new(Bytes::new()).map_err(|never| -> io::Error { match never {} });
            Ok(Response::builder().status(202).body(body.boxed_unsync()).unwrap())
        })
    }
}
