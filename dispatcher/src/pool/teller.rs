//! Tells a service what waits for it, at once or when its time comes.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::tally::{Tally, Word};
use crate::service::{Service, Waiting};

/// What tells one service.
#[derive(Debug)]
pub(super) struct Teller {
    service: Arc<dyn Service>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    /// A task waits until the next word is due.
    is_due: bool,
}

impl Teller {
    pub fn new(service: Arc<dyn Service>) -> Arc<Self> {
        Arc::new(Self { service, state: Mutex::default() })
    }

    /// What waits for one trigger has changed.
    pub fn change(this: &Arc<Self>, before: Waiting, now: Waiting, matched: u64) {
        let mut state = this.state.lock();
        state.tally.change(before, now, matched);
        let Some(at) = this.tell(&mut state) else { return };
        // Without a runtime, at the very end, nobody is there to be told later.
        if !state.is_due
            && let Ok(runtime) = Handle::try_current()
        {
            state.is_due = true;
            runtime.spawn(later(Arc::clone(this), at));
        }
    }

    /// Tells what is due, under the lock, so that what was told last is right; or says when it will be due.
    fn tell(&self, state: &mut State) -> Option<Instant> {
        match state.tally.next_word(Instant::now())? {
            Word::Now(waiting, matched) => {
                self.service.waits(waiting, matched);
                None
            }
            Word::At(at) => Some(at),
        }
    }
}

/// Tells what is there at that time, and goes on while something came meanwhile.
async fn later(teller: Arc<Teller>, at: Instant) {
    let mut next = Some(at);
    while let Some(at) = next {
        sleep_until(at).await;
        let mut state = teller.state.lock();
        next = teller.tell(&mut state);
        state.is_due = next.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::service::{NotServed, Slot};

    #[derive(Debug, Default)]
    struct Heard(Mutex<Vec<(u64, u64)>>);

    impl Service for Heard {
        fn try_slot(&self) -> Option<Box<dyn Slot>> {
            None
        }

        fn slot(&self) -> BoxFuture<'_, Result<Box<dyn Slot>, NotServed>> {
            Box::pin(std::future::pending())
        }

        fn waits(&self, waiting: Waiting, matched: u64) {
            self.0.lock().push((waiting.events, matched));
        }
    }

    fn waiting(events: u64) -> Waiting {
        Waiting { events, at_once: events.min(100) }
    }

    /// A burst after which nothing changes for a long time, as for a service whose first instance takes its time.
    #[tokio::test(start_paused = true)]
    async fn what_changed_just_after_a_word_is_told_without_another_change() {
        let heard = Arc::new(Heard::default());
        let teller = Teller::new(heard.clone());
        Teller::change(&teller, waiting(0), waiting(1), 1);
        Teller::change(&teller, waiting(1), waiting(500), 499);
        Teller::change(&teller, waiting(500), waiting(900), 400);
        assert_eq!(*heard.0.lock(), [(1, 1)]);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(*heard.0.lock(), [(1, 1), (900, 899)]);
        Teller::change(&teller, waiting(900), waiting(899), 0);
        Teller::change(&teller, waiting(899), waiting(0), 0);
        assert_eq!(heard.0.lock().last(), Some(&(0, 0)), "that nothing waits any more is told at once");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*heard.0.lock(), [(1, 1), (900, 899), (0, 0)], "and nothing is told twice");
    }
}
