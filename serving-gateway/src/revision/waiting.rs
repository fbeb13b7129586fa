//! Requests that wait for an instance, first come first served, with a bound in number and in bytes.

use std::collections::BTreeMap;

use super::core::Reach;

/// One request among those that wait. They are granted in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How much may wait for one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// The most requests.
    pub requests: usize,
    /// The most bytes that they hold in memory together.
    pub bytes: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self { requests: 1_000, bytes: 64 * 1024 * 1024 }
    }
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// That on their number.
    Requests,
    /// That on their bytes.
    Bytes,
}

/// Requests that wait; `W` is what each is answered by.
#[derive(Debug)]
pub struct Waiting<W> {
    bounds: QueueBounds,
    entries: BTreeMap<Ticket, Entry<W>>,
    bytes: usize,
    /// Those that are served here or nowhere.
    for_here: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry<W> {
    waiter: W,
    reach: Reach,
    bytes: usize,
}

impl<W> Waiting<W> {
    /// Nobody waits.
    pub fn new(bounds: QueueBounds) -> Self {
        Self { bounds, entries: BTreeMap::new(), bytes: 0, for_here: 0, next: 0 }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that they hold.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a request at the end. One alone may be larger than the bound on bytes: else it could never be served.
    ///
    /// # Errors
    /// The bound that is reached, and the waiter.
    pub fn push(&mut self, waiter: W, bytes: usize, reach: Reach) -> Result<Ticket, (Full, W)> {
        if self.entries.len() >= self.bounds.requests {
            return Err((Full::Requests, waiter));
        }
        if !self.entries.is_empty() && self.bytes.saturating_add(bytes) > self.bounds.bytes {
            return Err((Full::Bytes, waiter));
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.bytes += bytes;
        self.for_here += usize::from(reach == Reach::Here);
        self.entries.insert(ticket, Entry { waiter, reach, bytes });
        Ok(ticket)
    }

    /// Whether somebody came before one that may go to `reach`.
    pub fn any_before(&self, reach: Reach) -> bool {
        match reach {
            Reach::Here => !self.entries.is_empty(),
            Reach::Anywhere => self.entries.len() > self.for_here,
        }
    }

    /// Whether somebody is served here or nowhere.
    pub fn any_for_here(&self) -> bool {
        self.for_here > 0
    }

    /// Takes the first of those that `can` go where they may, and says where that is.
    pub fn pop_first(&mut self, can: impl Fn(Reach) -> bool) -> Option<(W, Reach)> {
        let (ticket, reach) =
            self.entries.iter().map(|(ticket, entry)| (*ticket, entry.reach)).find(|(_, reach)| can(*reach))?;
        self.remove(ticket).map(|waiter| (waiter, reach))
    }

    /// Takes one that does not wait any longer. `None` when it was granted already.
    pub fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes -= entry.bytes;
        self.for_here -= usize::from(entry.reach == Reach::Here);
        Some(entry.waiter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_and_who_leaves_is_passed_over() {
        let mut waiting = Waiting::new(QueueBounds::default());
        let tickets: Vec<_> = (0..4).map(|i| waiting.push(i, 10, Reach::Anywhere).unwrap()).collect();
        assert_eq!(waiting.remove(tickets[1]), Some(1));
        assert_eq!(waiting.remove(tickets[1]), None);
        let mut pop = || waiting.pop_first(|_| true).map(|(waiter, _)| waiter);
        assert_eq!((pop(), pop(), pop(), pop()), (Some(0), Some(2), Some(3), None));
        assert_eq!(waiting.bytes(), 0);
    }

    #[test]
    fn who_is_served_only_here_holds_up_nobody_who_is_served_elsewhere() {
        let mut waiting = Waiting::new(QueueBounds::default());
        for (waiter, reach) in [('a', Reach::Here), ('b', Reach::Anywhere), ('c', Reach::Here)] {
            waiting.push(waiter, 1, reach).unwrap();
        }
        assert!(waiting.any_before(Reach::Anywhere) && waiting.any_for_here());
        let elsewhere = |reach| reach == Reach::Anywhere;
        assert_eq!(waiting.pop_first(elsewhere), Some(('b', Reach::Anywhere)));
        assert_eq!(waiting.pop_first(elsewhere), None);
        assert!(!waiting.any_before(Reach::Anywhere) && waiting.any_before(Reach::Here));
        assert_eq!(waiting.pop_first(|_| true), Some(('a', Reach::Here)));
    }

    #[test]
    fn at_each_bound_and_one_past_it() {
        let mut waiting = Waiting::new(QueueBounds { requests: 3, bytes: 100 });
        waiting.push('a', 60, Reach::Anywhere).unwrap();
        assert_eq!(waiting.push('b', 41, Reach::Anywhere), Err((Full::Bytes, 'b')));
        waiting.push('b', 40, Reach::Anywhere).unwrap();
        waiting.push('c', 0, Reach::Anywhere).unwrap();
        assert_eq!(waiting.push('d', 0, Reach::Anywhere), Err((Full::Requests, 'd')));
        waiting.pop_first(|_| true);
        waiting.push('d', 60, Reach::Anywhere).unwrap();
    }

    #[test]
    fn one_that_is_larger_than_the_bound_waits_alone() {
        let mut waiting = Waiting::new(QueueBounds { requests: 3, bytes: 100 });
        waiting.push('a', 1_000, Reach::Anywhere).unwrap();
        assert_eq!(waiting.push('b', 1, Reach::Anywhere), Err((Full::Bytes, 'b')));
    }
}
