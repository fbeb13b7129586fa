//! Whether a failed delivery is tried again, and when.

use std::time::Duration;

use pelton_client::Cause;
use pelton_env::UnixMillis;
use pelton_resource::Backoff;

use super::{Attempted, Verdict, jittered_wait};

/// The retry part of a delivery policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Attempts after the first.
    pub retry: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is honoured. Zero ignores the header.
    pub retry_after_max: Duration,
}

/// What becomes of a delivery whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt after this wait.
    Retry {
        /// How long to wait.
        wait: Duration,
        /// The part of it that a 429 asked for: nothing else should go there either before it is over.
        hold: Option<Duration>,
    },
    /// No more attempts.
    GiveUp(Cause),
}

impl Retries {
    /// What becomes of a delivery whose attempt number `attempts` (from 1) failed with `verdict`.
    ///
    /// `now` is wall-clock time, for a `Retry-After` that names a date; `jitter` is in `0.0..=1.0`.
    #[must_use]
    pub fn after_failure(
        &self,
        verdict: Verdict,
        attempted: &Attempted,
        attempts: u32,
        now: UnixMillis,
        jitter: f64,
    ) -> Next {
        let exhausted = match verdict {
            Verdict::Reject | Verdict::Gone => return Next::GiveUp(Cause::Rejected),
            Verdict::Impossible => return Next::GiveUp(Cause::NoSubscriber),
            Verdict::BadReply | Verdict::Reply => Cause::Reply,
            Verdict::Retry | Verdict::Delivered | Verdict::DeliveredIgnored | Verdict::DeliveredForeign => {
                Cause::RetriesExhausted
            }
        };
        if attempts > self.retry {
            return Next::GiveUp(exhausted);
        }
        let backoff = jittered_wait(&self.backoff, attempts.saturating_sub(1), jitter);
        let asked = self.asked_wait(attempted, now);
        let is_quota = matches!(attempted, Ok(answer) if answer.status == 429);
        Next::Retry {
            wait: asked.map_or(backoff, |asked| asked.max(backoff)),
            hold: asked.filter(|hold| is_quota && !hold.is_zero()),
        }
    }

    /// What `Retry-After` asks for, within the bound. Only 429 and 503 may ask.
    fn asked_wait(&self, attempted: &Attempted, now: UnixMillis) -> Option<Duration> {
        let answer = attempted.as_ref().ok().filter(|answer| matches!(answer.status, 429 | 503))?;
        answer.retry_after.map(|after| after.wait(now, self.retry_after_max))
    }
}

#[cfg(test)]
mod tests {
    use pelton_resource::BackoffPolicy;

    use super::super::{Answer, Content, NoAnswer, RetryAfter};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn retries(retry: u32, retry_after_max: u64) -> Retries {
        let backoff = Backoff { policy: BackoffPolicy::Linear, delay: SECOND, max: SECOND * 300 };
        Retries { retry, backoff, retry_after_max: Duration::from_secs(retry_after_max) }
    }

    fn answer(status: u16, retry_after: Option<RetryAfter>) -> Attempted {
        Ok(Answer { status, retry_after, content: Content::Empty })
    }

    fn wait_of(next: Next) -> Option<u64> {
        match next {
            Next::Retry { wait, .. } => Some(wait.as_secs()),
            Next::GiveUp(_) => None,
        }
    }

    /// Total attempts are `retry` + 1.
    #[test]
    fn attempts_end_with_the_policy() {
        for retry in [0, 1, 3, 10] {
            for attempts in 1..=12 {
                let next = retries(retry, 300).after_failure(Verdict::Retry, &answer(500, None), attempts, NOW, 0.0);
                let want = (attempts <= retry).then_some(u64::from(attempts));
                assert_eq!(wait_of(next), want, "retry {retry}, attempt {attempts}");
            }
        }
    }

    #[test]
    fn each_end_has_its_cause() {
        let rows = [
            (Verdict::Retry, Cause::RetriesExhausted),
            (Verdict::BadReply, Cause::Reply),
            (Verdict::Reject, Cause::Rejected),
            (Verdict::Gone, Cause::Rejected),
            (Verdict::Impossible, Cause::NoSubscriber),
        ];
        for (verdict, cause) in rows {
            let next = retries(2, 300).after_failure(verdict, &Err(NoAnswer::Timeout), 3, NOW, 0.0);
            assert_eq!(next, Next::GiveUp(cause), "{verdict:?}");
        }
        for verdict in [Verdict::Reject, Verdict::Gone, Verdict::Impossible] {
            let next = retries(2, 300).after_failure(verdict, &answer(400, None), 1, NOW, 0.0);
            assert_eq!(wait_of(next), None, "{verdict:?} is not tried again");
        }
    }

    /// The wait is the larger of backoff and `Retry-After`, which is capped, and read on 429 and 503 only.
    #[test]
    fn retry_after_is_honoured_within_its_bound() {
        let asked = |seconds| Some(RetryAfter::Wait(Duration::from_secs(seconds)));
        let date = Some(RetryAfter::Until(NOW.plus(SECOND * 9)));
        let rows = [
            (429, asked(8), 300, 8),
            (503, asked(8), 300, 8),
            (429, date, 300, 9),
            (500, asked(8), 300, 1),
            (408, asked(8), 300, 1),
            (429, asked(8), 5, 5),
            (429, asked(8), 0, 1),
            (429, asked(0), 300, 1),
            (429, None, 300, 1),
        ];
        for (status, asked, cap, want) in rows {
            let next = retries(3, cap).after_failure(Verdict::Retry, &answer(status, asked), 1, NOW, 0.0);
            assert_eq!(wait_of(next), Some(want), "{status} {asked:?}, at most {cap} s");
        }
    }

    #[test]
    fn only_429_holds_the_others_back() {
        let asked = Some(RetryAfter::Wait(SECOND * 8));
        for (status, want) in [(429, Some(SECOND * 8)), (503, None)] {
            let next = retries(3, 300).after_failure(Verdict::Retry, &answer(status, asked), 1, NOW, 0.0);
            assert_eq!(next, Next::Retry { wait: SECOND * 8, hold: want }, "{status}");
        }
    }
}
