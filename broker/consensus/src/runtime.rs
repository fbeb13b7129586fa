//! tokio, with chance that a simulation can choose.
//!
//! openraft asks its runtime for chance when it draws an election timeout. As a rule that comes from the system. On a
//! thread that was told to ([`simulated`]) it comes from a seed instead: one program serves both, and which it is is known
//! when it runs.

use std::cell::Cell;
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use openraft::impls::TokioRuntime;
use openraft::rt::deterministic_rng::DeterministicRng;
use openraft::{AsyncRuntime, OptionalSend};

type Seeded = DeterministicRng<TokioRuntime>;

thread_local! {
    /// The next seed of a thread that simulates.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on all groups on this thread have the chance of `seed`: the same seed, and the same that happens, the same
/// election timeouts. Of the thread, and not of a task: a node starts groups from tasks of many kinds.
pub fn simulated(seed: u64) {
    SEED.set(Some(seed));
}

/// A seed for one draw; `None` outside a simulation.
fn next_seed() -> Option<u64> {
    // The sequence of SplitMix64.
    let next = SEED.get()?.wrapping_add(0x9e37_79b9_7f4a_7c15);
    SEED.set(Some(next));
    let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Some(mixed ^ (mixed >> 31))
}

/// The runtime of the groups.
#[derive(Debug)]
pub(crate) struct Runtime(TokioRuntime);

impl AsyncRuntime for Runtime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <Seeded as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        TokioRuntime::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        TokioRuntime::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        // The standard library keys its hash maps from the system's chance.
        let seed = next_seed().unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let drawn = Seeded::scope(seed, async { Seeded::thread_rng() }).now_or_never();
        drawn.expect("it waits for nothing")
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(f: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        TokioRuntime::spawn_blocking(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: Option<u64>) -> Vec<String> {
        // A thread of its own, as each test and each simulation has one.
        let drawn = std::thread::spawn(move || {
            seed.into_iter().for_each(simulated);
            [(), ()].map(|()| format!("{:?}", Runtime::thread_rng())).to_vec()
        });
        drawn.join().unwrap()
    }

    #[test]
    fn chance_comes_from_the_seed_in_a_simulation_and_from_the_system_outside() {
        let (first, again, other) = (draws(Some(7)), draws(Some(7)), draws(Some(8)));
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_ne!(first[0], first[1], "each draw is another one");
        assert_ne!(draws(None), draws(None));
    }
}
