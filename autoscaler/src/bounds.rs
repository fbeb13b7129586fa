//! The bounds that a revision gives itself (spec/serving.md 3.7).

use super::spec::Spec;

/// Which bound a number was moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `min-scale`.
    Min,
    /// `max-scale`.
    Max,
    /// `initial-scale`, which has not been reached yet.
    Initial,
}

/// The bounds of one revision, and whether it has reached its initial scale.
#[derive(Debug, Clone)]
pub struct Bounds {
    reached_initial_scale: bool,
}

impl Bounds {
    /// The bounds of a revision that has, or has not, reached its initial scale before.
    #[must_use]
    pub fn new(reached_initial_scale: bool) -> Self {
        Self { reached_initial_scale }
    }

    /// Whether the initial scale was ready once.
    #[must_use]
    pub fn reached_initial_scale(&self) -> bool {
        self.reached_initial_scale
    }

    /// Moves `desired` into the bounds, and says which one moved it.
    pub fn apply(&mut self, desired: u32, ready: u32, spec: &Spec) -> (u32, Option<Bound>) {
        let mut min = if spec.reachable { spec.min_scale } else { 0 };
        let mut lower = Bound::Min;
        self.reached_initial_scale |= ready >= min.max(spec.initial_scale);
        // An initial scale of 1 is no bound: a new revision keeps its one instance as one that is being activated.
        if !self.reached_initial_scale && spec.reachable && spec.initial_scale > min.max(1) {
            min = spec.initial_scale;
            lower = Bound::Initial;
        }
        let max = spec.max_scale.unwrap_or(u32::MAX);
        match desired.max(min).min(max) {
            same if same == desired => (desired, None),
            more if more > desired => (more, Some(lower)),
            fewer => (fewer, Some(Bound::Max)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_within_min_and_max() {
        // (min, max, reachable, desired, want)
        let rows = [
            (0, None, true, 0, (0, None)),
            (0, None, true, u32::MAX, (u32::MAX, None)),
            (2, None, true, 1, (2, Some(Bound::Min))),
            (2, None, true, 2, (2, None)),
            (2, None, false, 1, (1, None)),
            (2, Some(4), true, 4, (4, None)),
            (2, Some(4), true, 5, (4, Some(Bound::Max))),
            (2, Some(4), false, 5, (4, Some(Bound::Max))),
            (4, Some(4), true, 0, (4, Some(Bound::Min))),
        ];
        for row in rows {
            let (min_scale, max_scale, reachable, desired, want) = row;
            let spec = Spec { min_scale, max_scale, reachable, ..Spec::default() };
            assert_eq!(Bounds::new(true).apply(desired, 0, &spec), want, "{row:?}");
        }
    }

    /// The ready instances of one decision after the other, and what a desired 0 becomes.
    #[test]
    fn the_initial_scale_is_a_bound_until_it_was_ready_once() {
        type Row = (u32, u32, bool, &'static [(u32, u32)]);
        let rows: [Row; 6] = [
            (0, 3, true, &[(0, 3), (2, 3), (3, 0), (0, 0)]),
            (0, 3, false, &[(0, 0), (2, 0)]),
            (0, 1, true, &[(0, 0)]),
            (0, 0, true, &[(0, 0)]),
            (2, 3, true, &[(2, 3), (3, 2), (0, 2)]),
            (5, 3, true, &[(3, 5), (5, 5), (0, 5)]),
        ];
        for row in rows {
            let (min_scale, initial_scale, reachable, steps) = row;
            let spec = Spec { min_scale, initial_scale, reachable, ..Spec::default() };
            let mut bounds = Bounds::new(false);
            for (ready, want) in steps {
                assert_eq!(bounds.apply(0, *ready, &spec).0, *want, "{row:?}, {ready} ready");
            }
        }
    }

    #[test]
    fn the_initial_scale_counts_as_reached_with_min_scale_ready_too() {
        let spec = Spec { min_scale: 2, initial_scale: 1, ..Spec::default() };
        let mut bounds = Bounds::new(false);
        for (ready, want) in [(1, false), (2, true), (0, true)] {
            bounds.apply(1, ready, &spec);
            assert_eq!(bounds.reached_initial_scale(), want, "{ready} ready");
        }
    }
}
