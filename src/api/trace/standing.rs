//! Where a Trigger's cursor is, seen from one event. Pure.

use pelton_client::{Cursor, GroupCursors, Offset, TriggerId};

/// That of a cursor that was never rewound.
const FIRST_EPOCH: u64 = 1;

/// What a stored cursor says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The event was matched, and is neither delivered nor given up.
    pub is_pending: bool,
    /// The Trigger has been matched against it.
    pub is_passed: bool,
    /// Events before it that the Trigger has not been matched against either.
    pub behind: u64,
    /// Failed attempts so far.
    pub failed_attempts: u32,
    /// The Trigger was rewound since it began.
    pub was_rewound: bool,
}

impl Standing {
    /// What the cursor of a Trigger says about the event at `offset`. `None` when it has not started in that group.
    #[must_use]
    pub fn of(cursors: &GroupCursors, trigger: TriggerId, offset: Offset) -> Option<Self> {
        let cursor: &Cursor = cursors.cursors.get(&trigger)?;
        let upto = cursor.upto_offset(cursors.scanned);
        Some(Self {
            is_pending: cursor.pending.contains(offset),
            is_passed: offset < upto,
            behind: offset.0.saturating_sub(upto.0),
            failed_attempts: cursor.attempts.get(&offset).copied().unwrap_or(0),
            was_rewound: cursor.epoch > FIRST_EPOCH,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pelton_client::Upto;

    use super::*;

    #[test]
    fn an_event_is_below_or_beyond_the_bound_or_pending() {
        let trigger = TriggerId(1);
        let mut cursor = Cursor::starting(1, 0, Offset(0));
        cursor.pending.insert(Offset(3));
        cursor.attempts.insert(Offset(3), 2);
        let of = |upto, offset| {
            let cursor = Cursor { upto, ..cursor.clone() };
            let cursors = GroupCursors { scanned: Offset(10), cursors: BTreeMap::from([(trigger, cursor)]) };
            Standing::of(&cursors, trigger, Offset(offset)).unwrap()
        };
        let standing = |is_pending, is_passed, behind, failed_attempts| Standing {
            is_pending,
            is_passed,
            behind,
            failed_attempts,
            was_rewound: false,
        };
        assert_eq!(of(Upto::Scanned, 3), standing(true, true, 0, 2));
        assert_eq!(of(Upto::Scanned, 9), standing(false, true, 0, 0));
        assert_eq!(of(Upto::Scanned, 10), standing(false, false, 0, 0));
        assert_eq!(of(Upto::At(Offset(5)), 9), standing(false, false, 4, 0));
        assert_eq!(Standing::of(&GroupCursors::default(), trigger, Offset(0)), None);
        let rewound = Cursor::starting(2, 0, Offset(0));
        let cursors = GroupCursors { scanned: Offset(10), cursors: BTreeMap::from([(trigger, rewound)]) };
        assert!(Standing::of(&cursors, trigger, Offset(0)).unwrap().was_rewound);
    }
}
