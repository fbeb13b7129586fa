//! How many may be at the door.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// The handshakes in progress at a listener, oldest first.
///
/// At the bound the oldest is cut for a new one. A handshake between nodes takes milliseconds, so whoever wants to keep
/// them out has to begin thousands a second, not hold a few open.
#[derive(Debug)]
pub(crate) struct Handshakes {
    max: usize,
    begun: VecDeque<oneshot::Sender<()>>,
}

/// Held for as long as a handshake goes on.
#[derive(Debug)]
pub(crate) struct Handshake(oneshot::Receiver<()>);

impl Handshakes {
    /// At most `max` at a time, and at least one.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), begun: VecDeque::new() }
    }

    /// A place for one more.
    pub(crate) fn begin(&mut self) -> Handshake {
        self.begun.retain(|handshake| !handshake.is_closed());
        if self.begun.len() >= self.max {
            // Dropping its half tells the oldest.
            self.begun.pop_front();
        }
        let (place, handshake) = oneshot::channel();
        self.begun.push_back(place);
        Handshake(handshake)
    }
}

impl Handshake {
    /// Done once the place went to another.
    pub(crate) async fn displaced(&mut self) {
        let _ = (&mut self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_displaced(handshake: &mut Handshake) -> bool {
        handshake.displaced().now_or_never().is_some()
    }

    #[test]
    fn at_the_bound_the_oldest_gives_way() {
        let mut handshakes = Handshakes::new(2);
        let (mut first, mut second) = (handshakes.begin(), handshakes.begin());
        assert!(!is_displaced(&mut first));
        let mut third = handshakes.begin();
        assert!(is_displaced(&mut first));
        // One that has ended has left its place already.
        drop(third);
        let mut fourth = handshakes.begin();
        assert!(!is_displaced(&mut second) && !is_displaced(&mut fourth));
        third = handshakes.begin();
        assert!(is_displaced(&mut second) && !is_displaced(&mut fourth) && !is_displaced(&mut third));
    }
}
