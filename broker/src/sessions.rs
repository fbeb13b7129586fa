//! Who may deliver a group's events: one dispatcher at a time, for as long as this node leads the group.
//!
//! A session ends with the leader's term and with its holder. The next one begins only once no progress of the one
//! before is on its way: whoever begins reads cursors that nothing older changes any more.
//!
//! Before a planned hand-over the holder is asked to finish: it stores what it did and gives the session back, so that the
//! next leader's dispatcher does none of it again. Events come in meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pelton_client::{Grant, NodeId, OperationError, Serving, Session};
use tokio::sync::{Notify, watch};

/// Most dispatchers that wait for one group. Each is a node of the cluster.
const MAX_SEATS: usize = 64;

/// Who asks for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The dispatcher of this node.
    Own,
    /// One on another machine.
    Remote,
}

/// The dispatchers that want to serve one group, and the one that does.
#[derive(Debug, Clone)]
pub(crate) struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Who may get a session: its own dispatcher when the node has one, else any.
    only: Caller,
    /// What the numbers of its sessions begin with. A term may see two leaders, one after the other, and a session of
    /// one must not pass for one of the other.
    first_grant: u64,
    inner: Mutex<Inner>,
    changed: Notify,
    /// Told when nobody has the session and nothing is on its way.
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last term in which this node led and served.
    term: u64,
    /// It does now.
    serves: bool,
    /// The number of the last session.
    grants: u64,
    current: Option<(Session, Seat)>,
    waiting: VecDeque<Seat>,
    /// Progress of sessions of this term on its way.
    on_the_way: usize,
    /// The group is about to be handed over: no session begins.
    is_ending: bool,
}

type Seat = watch::Sender<Serving>;

/// Keeps the next session from beginning while progress of the current one is on its way.
#[derive(Debug)]
pub(crate) struct Hold {
    term: u64,
    of: Arc<Shared>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut inner = self.of.inner.lock();
        if inner.term == self.term {
            inner.on_the_way -= 1;
            if inner.on_the_way == 0 {
                self.of.changed.notify_one();
            }
        }
    }
}

impl Sessions {
    /// With `has_dispatcher`, the node's own dispatcher serves what the node leads, and no other.
    pub(crate) fn new(this: NodeId, has_dispatcher: bool) -> Self {
        let first_grant = this.0 << 32;
        let only = if has_dispatcher { Caller::Own } else { Caller::Remote };
        let inner = Inner { grants: first_grant, ..Inner::default() };
        Self(Arc::new(Shared {
            only,
            first_grant,
            inner: Mutex::new(inner),
            changed: Notify::new(),
            given_back: Notify::new(),
        }))
    }

    /// A seat for a dispatcher: granted for as long as it has the session. It is given up by dropping the receiver.
    pub(crate) fn serve(&self, caller: Caller) -> watch::Receiver<Serving> {
        let (seat, session) = watch::channel(Serving::Waits);
        if caller == Caller::Own || self.0.only == Caller::Remote {
            let mut inner = self.0.inner.lock();
            inner.waiting.retain(|seat| !seat.is_closed());
            if inner.waiting.len() < MAX_SEATS {
                inner.waiting.push_back(seat);
            }
            inner.settle();
            self.0.changed.notify_one();
        }
        session
    }

    /// This node leads in `term` and serves, or does not. Whoever had a session has it no more.
    pub(crate) fn set_term(&self, term: Option<u64>) {
        let mut inner = self.0.inner.lock();
        if term == inner.serves.then_some(inner.term) {
            return;
        }
        if let Some((_, seat)) = inner.current.take() {
            seat.send_replace(Serving::Waits);
            // It is the first that gets it when this node leads again.
            inner.waiting.push_front(seat);
        }
        inner.serves = term.is_some();
        inner.is_ending = false;
        // A leader that serves no more may serve again in the same term, with progress still on its way.
        if let Some(term) = term.filter(|term| *term != inner.term) {
            (inner.term, inner.grants, inner.on_the_way) = (term, self.0.first_grant, 0);
        }
        inner.settle();
        self.0.changed.notify_one();
    }

    /// Asks whoever has the session to finish, and returns once it was given back, or `within` is over. None begins after
    /// that, until [`go_on`](Self::go_on) or another term.
    pub(crate) async fn finish(&self, within: Duration) {
        {
            let mut inner = self.0.inner.lock();
            inner.is_ending = true;
            if let Some((session, seat)) = &inner.current {
                seat.send_replace(Serving::Granted(Grant { session: *session, is_to_finish: true }));
            }
        }
        let given_back = async {
            loop {
                let told = self.0.given_back.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                if self.0.inner.lock().is_given_back() {
                    return;
                }
                told.await;
            }
        };
        // What is not finished by then is done again.
        let _ = tokio::time::timeout(within, given_back).await;
    }

    /// The group stays with this node, after all.
    pub(crate) fn go_on(&self) {
        let mut inner = self.0.inner.lock();
        inner.is_ending = false;
        inner.settle();
        self.0.changed.notify_one();
    }

    /// Lets progress of `session` begin its way.
    pub(crate) fn hold(&self, session: Session) -> Result<Hold, OperationError> {
        let mut inner = self.0.inner.lock();
        match &inner.current {
            Some((current, _)) if *current == session => {
                inner.on_the_way += 1;
                Ok(Hold { term: session.term, of: self.0.clone() })
            }
            _ => Err(OperationError::SessionEnded),
        }
    }

    /// Gives the session on whenever its holder is gone. Runs for as long as the group is open.
    pub(crate) async fn run(&self) {
        loop {
            let holder = self.0.inner.lock().current.as_ref().map(|(_, seat)| seat.clone());
            let gone = async {
                match &holder {
                    Some(seat) => seat.closed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.0.changed.notified() => {}
                () = gone => {}
            }
            let mut inner = self.0.inner.lock();
            inner.settle();
            if inner.is_given_back() {
                self.0.given_back.notify_waiters();
            }
        }
    }
}

impl Inner {
    /// Whether nobody has the session and nothing of it is on its way.
    fn is_given_back(&self) -> bool {
        self.current.as_ref().is_none_or(|(_, seat)| seat.is_closed()) && self.on_the_way == 0
    }

    fn settle(&mut self) {
        if self.current.as_ref().is_some_and(|(_, seat)| seat.is_closed()) {
            self.current = None;
        }
        if !self.serves || self.is_ending || self.current.is_some() || self.on_the_way > 0 {
            return;
        }
        while let Some(seat) = self.waiting.pop_front() {
            if seat.is_closed() {
                continue;
            }
            self.grants += 1;
            let session = Session { term: self.term, grant: self.grants };
            seat.send_replace(Serving::Granted(session.into()));
            self.current = Some((session, seat));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: NodeId = NodeId(2);

    fn session(term: u64, nth: u64) -> Session {
        Session { term, grant: (2 << 32) + nth }
    }

    async fn until(seat: &mut watch::Receiver<Serving>, want: Option<Session>) {
        let changed = seat.wait_for(|serving| serving.session() == want);
        tokio::time::timeout(std::time::Duration::from_secs(30), changed).await.expect("in time").unwrap();
    }

    #[tokio::test]
    async fn one_dispatcher_at_a_time_and_the_next_only_when_nothing_is_on_its_way() {
        let sessions = Sessions::new(THIS, false);
        let running = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.run().await }
        });
        let mut first = sessions.serve(Caller::Remote);
        let mut second = sessions.serve(Caller::Remote);
        assert_eq!((*first.borrow(), *second.borrow()), (Serving::Waits, Serving::Waits), "this node does not lead");
        sessions.set_term(Some(3));
        let former = session(3, 1);
        until(&mut first, Some(former)).await;
        let hold = sessions.hold(former).unwrap();
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(*second.borrow(), Serving::Waits, "progress of the first is on its way");
        drop(hold);
        let next = session(3, 2);
        until(&mut second, Some(next)).await;
        assert_eq!(sessions.hold(former).err(), Some(OperationError::SessionEnded));

        let late = sessions.hold(next).unwrap();
        sessions.set_term(None);
        until(&mut second, None).await;
        assert_eq!(sessions.hold(next).err(), Some(OperationError::SessionEnded));
        sessions.set_term(Some(3));
        tokio::task::yield_now().await;
        assert_eq!(*second.borrow(), Serving::Waits, "the same term again, and progress is still on its way");
        sessions.set_term(Some(5));
        until(&mut second, Some(session(5, 1))).await;
        drop(late);
        assert_eq!(sessions.hold(next).err(), Some(OperationError::SessionEnded), "of an older term");
        running.abort();
    }

    /// Before a hand-over: the holder finishes what is on its way, and nobody begins until it is known who leads.
    #[tokio::test(start_paused = true)]
    async fn a_session_is_finished_before_a_hand_over() {
        let sessions = Sessions::new(THIS, false);
        let running = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.run().await }
        });
        let long = Duration::from_secs(3_600);
        sessions.finish(long).await;
        sessions.set_term(Some(3));
        let (mut first, mut second) = (sessions.serve(Caller::Remote), sessions.serve(Caller::Remote));
        until(&mut first, Some(session(3, 1))).await;
        let finishing = tokio::spawn({
            let sessions = sessions.clone();
            async move { sessions.finish(long).await }
        });
        let asked = Serving::Granted(Grant { session: session(3, 1), is_to_finish: true });
        first.wait_for(|serving| *serving == asked).await.unwrap();
        let hold = sessions.hold(session(3, 1)).expect("what it did may still be stored");
        drop(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!finishing.is_finished(), "progress is on its way");
        drop(hold);
        finishing.await.unwrap();
        assert_eq!(*second.borrow(), Serving::Waits, "the group is about to move");
        sessions.go_on();
        until(&mut second, Some(session(3, 2))).await;
        // One that does not finish is not waited for.
        let begun = tokio::time::Instant::now();
        sessions.finish(Duration::from_secs(1)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        sessions.set_term(None);
        until(&mut second, None).await;
        sessions.set_term(Some(5));
        until(&mut second, Some(session(5, 1))).await;
        running.abort();
    }

    #[tokio::test]
    async fn a_nodes_own_dispatcher_serves_what_the_node_leads() {
        let sessions = Sessions::new(THIS, true);
        sessions.set_term(Some(1));
        let remote = sessions.serve(Caller::Remote);
        assert_eq!(*remote.borrow(), Serving::Waits);
        let own = sessions.serve(Caller::Own);
        assert_eq!(own.borrow().session(), Some(session(1, 1)));
        assert!(remote.has_changed().is_err(), "there is nothing to wait for");
    }

    #[test]
    fn seats_are_bounded_and_those_left_are_free_again() {
        let sessions = Sessions::new(THIS, false);
        let seats: Vec<_> = (0..=MAX_SEATS).map(|_| sessions.serve(Caller::Remote)).collect();
        assert!(seats[MAX_SEATS].has_changed().is_err(), "one too many");
        drop(seats);
        assert!(sessions.serve(Caller::Remote).has_changed().is_ok());
    }
}
