//! Pauses between looks at something that will be soon: short at first.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_micros(100);

/// The longest.
const LONGEST: Duration = Duration::from_millis(5);

/// Pauses from 0.1 ms to 5 ms, each a fifth longer than the one before: what is awaited is found late by a tenth of the
/// time that it took, and seldom by more than a fifth.
#[derive(Debug)]
pub struct Pace {
    next: Duration,
    timer: timer::Timer,
}

impl Pace {
    /// The first pause comes next.
    pub fn new() -> Self {
        Self { next: FIRST, timer: timer::Timer::default() }
    }

    /// Waits for as long as it is time to.
    pub async fn pause(&mut self) {
        let length = self.step();
        self.timer.wait(length).await;
    }

    fn step(&mut self) -> Duration {
        let next = (self.next * 6 / 5).min(LONGEST);
        std::mem::replace(&mut self.next, next)
    }
}

/// A timer of the kernel: tokio's counts whole milliseconds, and waits one more.
#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::readable::readable;

    /// Made with the first wait.
    #[derive(Debug, Default)]
    pub struct Timer(Option<AsyncFd<OwnedFd>>);

    impl Timer {
        pub async fn wait(&mut self, length: Duration) {
            // Without a descriptor to spare, a pause is longer.
            if self.try_wait(length).await.is_err() {
                tokio::time::sleep(length).await;
            }
        }

        async fn try_wait(&mut self, length: Duration) -> io::Result<()> {
            let fd = match &self.0 {
                Some(fd) => fd,
                None => {
                    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
                    let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
                    self.0.insert(readable(fd)?)
                }
            };
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let once = Timespec { tv_sec: length.as_secs() as i64, tv_nsec: i64::from(length.subsec_nanos()) };
            let spec = Itimerspec { it_interval: never, it_value: once };
            timerfd_settime(fd.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
            loop {
                let mut ready = fd.readable().await?;
                let mut expirations = [0; 8];
                match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut expirations)?)) {
                    Ok(read) => return read.map(drop),
                    // What was ready belonged to the wait before.
                    Err(_) => continue,
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub struct Timer;

    impl Timer {
        pub async fn wait(&mut self, length: Duration) {
            tokio::time::sleep(length).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// serving.md, 7.3: "probe with 0.1 ms -> 5 ms backoff".
    #[test]
    fn pauses_grow_from_a_tenth_of_a_millisecond_to_five() {
        let mut pace = Pace::new();
        let micros: Vec<_> = (0..24).map(|_| pace.step().as_micros()).collect();
        assert_eq!(micros[..8], [100, 120, 144, 172, 207, 248, 298, 358]);
        assert_eq!(micros[20..], [3833, 4600, 5000, 5000]);
    }

    #[tokio::test]
    async fn a_pause_ends() {
        let mut pace = Pace::new();
        for _ in 0..5 {
            pace.pause().await;
        }
    }
}
