//! Probes that go on, or may fail only so often: for liveness and startup.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Probe, ProbeError};

/// A probe and how often it is asked, as Kubernetes has it.
#[derive(Debug, Clone)]
pub struct Repeated {
    /// What is asked.
    pub probe: Probe,
    /// The wait before the first.
    pub initial_delay: Duration,
    /// From one to the next.
    pub period: Duration,
    /// So many failures in a row are one too many. At least 1.
    pub failure_threshold: u32,
}

impl Repeated {
    /// Asks until an instance has come up, or has had all the time that it has for that: the delay, and a period for each
    /// failure that it may have. It is asked more often than once a period, so that it is not found late.
    ///
    /// # Errors
    /// What was wrong last. At `deadline` it is given up before.
    pub async fn until_started(&self, address: SocketAddr, deadline: Instant) -> Result<(), ProbeError> {
        let begin = Instant::now() + self.initial_delay;
        let end = begin + self.period.saturating_mul(self.failure_threshold);
        tokio::time::sleep_until(begin.min(deadline)).await;
        self.probe.until_ready(address, end.min(deadline)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn tcp(initial_delay: Duration, period: Duration, failure_threshold: u32) -> Repeated {
        Repeated { probe: Probe::default(), initial_delay, period, failure_threshold }
    }

    /// A port that nobody listens on.
    async fn nobody() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn one_that_comes_up_is_found_before_the_period_is_over() {
        let hour = Duration::from_secs(3_600);
        let address = nobody().await;
        let watch = tcp(Duration::ZERO, hour, 1);
        let up = async {
            tokio::task::yield_now().await;
            TcpListener::bind(address).await.unwrap()
        };
        let (found, _listener) = tokio::join!(watch.until_started(address, Instant::now() + hour), up);
        found.unwrap();
    }

    #[tokio::test]
    async fn it_has_the_delay_and_a_period_for_each_failure() {
        let ms = Duration::from_millis;
        let far = Instant::now() + Duration::from_secs(3_600);
        for (watch, deadline, least) in [
            (tcp(ms(0), ms(20), 3), far, ms(60)),
            (tcp(ms(40), ms(20), 1), far, ms(60)),
            (tcp(ms(3_600_000), ms(1), 1), Instant::now() + ms(30), ms(0)),
        ] {
            let begun = Instant::now();
            let error = watch.until_started(nobody().await, deadline).await.unwrap_err();
            assert!(begun.elapsed() >= least, "{watch:?}: {error} after {:?}", begun.elapsed());
        }
    }
}
