//! Chance from a seed, for simulations.

use std::future::Future;

use crate::types::Runtime;

/// Runs `future`, and all tasks that groups start in it, with the chance of `seed`: the same seed, the same election
/// timeouts. With the feature `simulation`, groups are opened nowhere else.
///
/// That alone is not one history for one seed: tokio wakes those who wait for one `watch` in an order that its own chance
/// decides. The runtime has to be seeded, too (`Builder::rng_seed`, with `--cfg tokio_unstable`).
pub fn simulated<F: Future>(seed: u64, future: F) -> impl Future<Output = F::Output> {
    Runtime::scope(seed, future)
}
