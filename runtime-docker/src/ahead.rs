//! The container of a revision that is created before it is needed, so that its start is only that.

use parking_lot::Mutex;
use pelton_serving_gateway::runtime::InstanceId;

/// The place for one container that nobody has started yet.
#[derive(Debug)]
pub struct Ahead(Mutex<Place>);

#[derive(Debug)]
enum Place {
    Empty,
    /// Somebody creates it.
    Promised,
    There(InstanceId),
    /// The revision is not wanted any more.
    Closed,
}

impl Ahead {
    /// With that one in it.
    pub fn with(id: InstanceId) -> Self {
        Self(Mutex::new(Place::There(id)))
    }

    /// Takes it.
    pub fn take(&self) -> Option<InstanceId> {
        let mut place = self.0.lock();
        match std::mem::replace(&mut *place, Place::Empty) {
            Place::There(id) => Some(id),
            other => {
                *place = other;
                None
            }
        }
    }

    /// Whether another is to be created. Whoever is told so does it, and says what came of it by [`fill`](Self::fill).
    pub fn wants_one(&self) -> bool {
        let mut place = self.0.lock();
        let is_empty = matches!(*place, Place::Empty);
        if is_empty {
            *place = Place::Promised;
        }
        is_empty
    }

    /// What was promised is there, or is not to be had. Gives back what nobody wants any more.
    pub fn fill(&self, made: Option<InstanceId>) -> Option<InstanceId> {
        let mut place = self.0.lock();
        match *place {
            Place::Promised => {
                *place = made.map_or(Place::Empty, Place::There);
                None
            }
            Place::Empty | Place::There(_) | Place::Closed => made,
        }
    }

    /// Nobody wants one any more. Gives the one that is there.
    pub fn close(&self) -> Option<InstanceId> {
        match std::mem::replace(&mut *self.0.lock(), Place::Closed) {
            Place::There(id) => Some(id),
            Place::Empty | Place::Promised | Place::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn there_is_one_at_most_and_none_is_forgotten() {
        let id = |name: &str| InstanceId(Arc::from(name));
        let ahead = Ahead::with(id("a"));
        assert!(!ahead.wants_one());
        assert_eq!(ahead.take(), Some(id("a")));
        assert_eq!(ahead.take(), None);
        assert!(ahead.wants_one());
        assert!(!ahead.wants_one(), "it is promised");
        assert_eq!(ahead.take(), None);
        assert_eq!(ahead.fill(None), None);
        assert!(ahead.wants_one(), "it was not to be had");
        assert_eq!(ahead.fill(Some(id("b"))), None);
        assert_eq!(ahead.fill(Some(id("c"))), Some(id("c")), "nobody asked for it");
        assert_eq!(ahead.take(), Some(id("b")));
        assert!(ahead.wants_one());
        assert_eq!(ahead.close(), None);
        assert_eq!(ahead.fill(Some(id("d"))), Some(id("d")), "it came too late");
        assert!(!ahead.wants_one());
        assert_eq!(ahead.take(), None);
        assert_eq!(Ahead::with(id("e")).close(), Some(id("e")));
    }
}
