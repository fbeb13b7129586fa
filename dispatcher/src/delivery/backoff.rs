//! How long to wait before an attempt is repeated.

use std::time::Duration;

use pelton_resource::Backoff;

/// The largest part of a wait that jitter adds.
const JITTER: f64 = 0.1;

/// The wait before retry number `retry`, counted from 0. `jitter` in `0.0..=1.0` makes it up to a tenth longer, within
/// the policy's cap.
#[must_use]
pub fn jittered_wait(backoff: &Backoff, retry: u32, jitter: f64) -> Duration {
    let base = backoff.wait(retry);
    let extra = u32::try_from((jitter.clamp(0.0, 1.0) * JITTER * 1e6) as u64).unwrap_or(0);
    base.saturating_add((base / 1_000_000).saturating_mul(extra)).min(backoff.max)
}

#[cfg(test)]
mod tests {
    use pelton_resource::BackoffPolicy;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn backoff(policy: BackoffPolicy, max: u32) -> Backoff {
        Backoff { policy, delay: SECOND, max: SECOND * max }
    }

    #[test]
    fn waits_grow_as_the_policy_says() {
        let rows = [(BackoffPolicy::Linear, [1, 2, 3, 4, 5]), (BackoffPolicy::Exponential, [1, 2, 4, 8, 16])];
        for (policy, want) in rows {
            for (retry, want) in (0..).zip(want) {
                assert_eq!(
                    jittered_wait(&backoff(policy, 300), retry, 0.0),
                    SECOND * want,
                    "{policy:?}, retry {retry}"
                );
            }
        }
    }

    #[test]
    fn waits_stop_growing_at_the_cap() {
        for policy in [BackoffPolicy::Linear, BackoffPolicy::Exponential] {
            for retry in [10, 31, 32, 33, 1_000, u32::MAX] {
                assert_eq!(jittered_wait(&backoff(policy, 10), retry, 0.7), SECOND * 10, "{policy:?}, retry {retry}");
            }
        }
    }

    #[test]
    fn the_largest_delay_does_not_overflow() {
        let huge = Backoff { policy: BackoffPolicy::Exponential, delay: Duration::MAX, max: Duration::MAX };
        assert_eq!(jittered_wait(&huge, 5, 1.0), Duration::MAX);
    }

    proptest! {
        /// Jitter only ever makes a wait longer, by a tenth at most, and never longer than the cap.
        #[test]
        fn jitter_stays_within_a_tenth(retry in 0_u32..40, jitter in 0.0_f64..1.0, linear: bool) {
            let policy = if linear { BackoffPolicy::Linear } else { BackoffPolicy::Exponential };
            let backoff = backoff(policy, 100);
            let (plain, jittered) = (jittered_wait(&backoff, retry, 0.0), jittered_wait(&backoff, retry, jitter));
            prop_assert!(jittered >= plain && jittered <= plain.mul_f64(1.1) + Duration::from_nanos(1));
            prop_assert!(jittered <= backoff.max);
        }
    }
}
