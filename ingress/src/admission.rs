//! How many bytes of requests are held at once, of a Broker and of the node.

use pelton_http_front::{Budget, Gauge};

/// Which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Busy {
    /// That of the Broker: a quota.
    Broker,
    /// That of the node: us.
    Node,
}

/// The bytes that one request holds of both bounds; given back on drop, whatever way the request ends.
#[derive(Debug)]
pub(crate) struct Charge<'a> {
    node: &'a Budget,
    broker: &'a Budget,
    bytes: usize,
    waiting: bool,
}

impl<'a> Charge<'a> {
    /// Takes `bytes` of both bounds.
    pub(crate) fn take(node: &'a Budget, broker: &'a Budget, bytes: usize) -> Result<Self, Busy> {
        let mut charge = Self { node, broker, bytes: 0, waiting: false };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Takes `bytes` more of both.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Busy> {
        take_both(&self.broker.all, &self.node.all, bytes)?;
        if self.waiting
            && let Err(busy) = take_both(&self.broker.waiting, &self.node.waiting, bytes)
        {
            self.broker.all.release(bytes);
            self.node.all.release(bytes);
            return Err(busy);
        }
        self.bytes += bytes;
        Ok(())
    }

    /// The request has to be waited for: what it holds counts against the half for those.
    pub(crate) fn wait(&mut self) -> Result<(), Busy> {
        if !self.waiting {
            take_both(&self.broker.waiting, &self.node.waiting, self.bytes)?;
            self.waiting = true;
        }
        Ok(())
    }

    /// The request is complete.
    pub(crate) fn arrived(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.broker.waiting.release(self.bytes);
            self.node.waiting.release(self.bytes);
        }
    }
}

fn take_both(broker: &Gauge, node: &Gauge, bytes: usize) -> Result<(), Busy> {
    if !broker.take(bytes) {
        return Err(Busy::Broker);
    }
    if !node.take(bytes) {
        broker.release(bytes);
        return Err(Busy::Node);
    }
    Ok(())
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.arrived();
        self.node.all.release(self.bytes);
        self.broker.all.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_holds_to_the_byte() {
        let (node, broker) = (Budget::new(100), Budget::new(60));
        let first = Charge::take(&node, &broker, 60).unwrap();
        assert_eq!(Charge::take(&node, &broker, 1).unwrap_err(), Busy::Broker);
        let other = Budget::new(60);
        assert_eq!(Charge::take(&node, &other, 41).unwrap_err(), Busy::Node);
        assert_eq!(other.used(), 0, "what did not fit into the node is given back to the broker");
        drop(Charge::take(&node, &other, 40).unwrap());
        drop(first);
        assert_eq!((node.used(), broker.used()), (0, 0));
        assert_eq!(Charge::take(&node, &broker, usize::MAX).unwrap_err(), Busy::Broker);
    }

    #[test]
    fn half_of_a_bound_is_closed_to_what_is_still_on_its_way() {
        let (node, broker) = (Budget::new(100), Budget::new(80));
        let mut slow = Charge::take(&node, &broker, 40).unwrap();
        slow.wait().unwrap();
        assert_eq!(slow.grow(1), Err(Busy::Broker));
        let mut other = Charge::take(&node, &broker, 40).unwrap();
        assert_eq!(other.wait(), Err(Busy::Broker), "the other half is for those that are there");
        drop(other);
        assert!(node.take_waiting(10), "the node's half is 50");
        assert!(!node.take_waiting(1));
        node.release_waiting(10);
        slow.arrived();
        slow.grow(40).unwrap();
        drop(slow);
        let left = |budget: &Budget| (budget.used(), budget.waiting.used());
        assert_eq!((left(&node), left(&broker)), ((0, 0), (0, 0)));
    }

    proptest! {
        /// What is used is the sum of what is held, before, during and after, and never above the bound.
        #[test]
        fn used_is_what_is_held(sizes in prop::collection::vec((0_usize..50, 0_usize..50), 0..20)) {
            let (node, broker) = (Budget::new(200), Budget::new(150));
            let mut held = Vec::new();
            for (first, more) in sizes {
                if let Ok(mut charge) = Charge::take(&node, &broker, first) {
                    if more % 3 == 0 {
                        let _ = charge.wait();
                    }
                    let _ = charge.grow(more);
                    if more % 2 == 0 {
                        charge.arrived();
                    }
                    held.push(charge);
                }
                let sum: usize = held.iter().map(|charge| charge.bytes).sum();
                prop_assert_eq!((node.used(), broker.used()), (sum, sum));
                prop_assert!(sum <= 150);
                let waiting: usize = held.iter().filter(|charge| charge.waiting).map(|charge| charge.bytes).sum();
                prop_assert_eq!(broker.waiting.used(), waiting);
                prop_assert!(waiting <= 75);
                if held.len() > 6 {
                    held.remove(0);
                }
            }
            held.clear();
            prop_assert_eq!((node.used(), broker.used()), (0, 0));
        }
    }
}
