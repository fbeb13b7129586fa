//! The delivery core: what an attempt came to, and what follows from it. No clock, no socket, no dice.

mod answer;
mod backoff;
mod classify;
mod retries;
mod retry_after;

pub use answer::{Answer, Attempted, Content, KEPT_BODY_BYTES, NoAnswer};
pub use backoff::jittered_wait;
pub use classify::{Verdict, classify, speaks_against_target};
pub use retries::{Next, Retries};
pub use retry_after::RetryAfter;
