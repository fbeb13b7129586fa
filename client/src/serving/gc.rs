//! Which revisions of a Configuration nobody needs any more.

use std::time::Duration;

use pelton_env::UnixMillis;

/// How long revisions are kept that no Route sends requests to. The defaults are Knative's (`config-gc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcPolicy {
    /// How old a revision must be to be stale; `None` asks for no age.
    pub retain_since_create: Option<Duration>,
    /// How long ago it must have been active last; `None` asks for no rest. With neither, no revision is ever stale.
    pub retain_since_last_active: Option<Duration>,
    /// How many are kept however stale they are.
    pub min_non_active: usize,
    /// How many are kept however fresh they are; `None` keeps all that are not stale.
    pub max_non_active: Option<usize>,
}

impl Default for GcPolicy {
    fn default() -> Self {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 60 * 60));
        Self {
            retain_since_create: hours(48),
            retain_since_last_active: hours(15),
            min_non_active: 20,
            max_non_active: Some(1000),
        }
    }
}

/// A revision that may go: not the latest that is ready, held by nobody, in reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<T> {
    /// What it is called.
    pub id: T,
    /// When it was created.
    pub created: UnixMillis,
    /// When it last had requests, or was last to have some.
    pub last_active: UnixMillis,
}

/// What follows for the candidates of one Configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage<T> {
    /// Those to delete, the one that was active longest ago first.
    pub delete: Vec<T>,
    /// When another one may have become stale.
    pub wake_at: Option<UnixMillis>,
}

/// Sorts out the candidates of one Configuration: stale ones go while more than the minimum is left, then the oldest
/// while more than the maximum is.
#[must_use]
pub fn collect<T: Ord>(policy: &GcPolicy, mut candidates: Vec<Candidate<T>>, now: UnixMillis) -> Garbage<T> {
    // The name decides between those that were active last at the same moment, so that nobody else has to.
    candidates.sort_by(|a, b| (a.last_active, a.created, &a.id).cmp(&(b.last_active, b.created, &b.id)));
    let mut spare = candidates.len().saturating_sub(policy.min_non_active);
    let (mut delete, mut kept) = (Vec::new(), Vec::new());
    for candidate in candidates {
        if spare > 0 && policy.stale_from(&candidate).is_some_and(|from| from <= now) {
            spare -= 1;
            delete.push(candidate.id);
        } else {
            kept.push(candidate);
        }
    }
    let too_many = policy.max_non_active.map_or(0, |max| kept.len().saturating_sub(max));
    delete.extend(kept.drain(..too_many).map(|candidate| candidate.id));
    let may_go = kept.len() > policy.min_non_active;
    let wake_at = kept.iter().filter(|_| may_go).filter_map(|candidate| policy.stale_from(candidate)).min();
    Garbage { delete, wake_at }
}

impl GcPolicy {
    /// The first moment at which both times are over; `None` when that never comes.
    fn stale_from<T>(&self, candidate: &Candidate<T>) -> Option<UnixMillis> {
        let by_age = self.retain_since_create.map(|age| candidate.created.plus(age));
        let by_rest = self.retain_since_last_active.map(|rest| candidate.last_active.plus(rest));
        by_age.max(by_rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * 60 * 60)
    }

    /// A revision so many hours old, active last so many hours ago.
    fn candidate(id: u32, age: u64, rest: u64) -> Candidate<u32> {
        Candidate { id, created: NOW.minus(hours(age)), last_active: NOW.minus(hours(rest)) }
    }

    fn policy(age: Option<u64>, rest: Option<u64>, min: usize, max: Option<usize>) -> GcPolicy {
        GcPolicy {
            retain_since_create: age.map(hours),
            retain_since_last_active: rest.map(hours),
            min_non_active: min,
            max_non_active: max,
        }
    }

    #[test]
    fn stale_revisions_go_down_to_the_minimum_and_old_ones_down_to_the_maximum() {
        let both = (Some(48), Some(15));
        let rows = [
            // what, (age, rest), min, max, candidates as (age, rest), deleted
            ("both times over", both, 0, None, vec![(48, 15), (100, 50)], vec![1, 0]),
            ("too young", both, 0, None, vec![(47, 15)], vec![]),
            ("active lately", both, 0, None, vec![(48, 14)], vec![]),
            ("age alone", (Some(48), None), 0, None, vec![(48, 0), (47, 47)], vec![0]),
            ("rest alone", (None, Some(15)), 0, None, vec![(16, 15), (100, 14)], vec![0]),
            ("neither: never stale", (None, None), 0, None, vec![(10_000, 10_000)], vec![]),
            ("the minimum stays", both, 2, None, vec![(90, 50), (80, 60), (70, 40)], vec![1]),
            ("fresh ones count for the minimum", both, 1, None, vec![(90, 50), (1, 1)], vec![0]),
            ("no more than the minimum", both, 2, None, vec![(90, 50), (80, 60)], vec![]),
            ("above the maximum", both, 0, Some(1), vec![(1, 1), (3, 3), (2, 2)], vec![1, 2]),
            ("stale first, then above the maximum", both, 0, Some(1), vec![(90, 50), (3, 3), (2, 2)], vec![0, 1]),
            ("at the maximum", both, 0, Some(2), vec![(3, 3), (2, 2)], vec![]),
            ("never stale, but too many", (None, None), 0, Some(0), vec![(3, 3)], vec![0]),
        ];
        for (what, (age, rest), min, max, candidates, want) in rows {
            let candidates = (0u32..).zip(candidates).map(|(id, (age, rest))| candidate(id, age, rest)).collect();
            assert_eq!(collect(&policy(age, rest, min, max), candidates, NOW).delete, want, "{what}");
        }
    }

    #[test]
    fn the_defaults_are_knatives() {
        let default = policy(Some(48), Some(15), 20, Some(1000));
        assert_eq!(GcPolicy::default(), default);
        let revisions = |count: u32| (0..count).map(|id| candidate(id, 1000, 1000)).collect::<Vec<_>>();
        for (count, want) in [(20, 0), (21, 1), (1000, 980)] {
            assert_eq!(collect(&default, revisions(count), NOW).delete.len(), want, "{count} stale revisions");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_kept_until_the_time_that_is_told(
            revisions in vec((0u64..100, 0u64..100), 0..12),
            (age, rest) in (proptest::option::of(0u64..60), proptest::option::of(0u64..60)),
            (min, max) in (0usize..6, proptest::option::of(0usize..8)),
        ) {
            let policy = policy(age, rest, min, max);
            let all: Vec<_> = (0u32..).zip(revisions).map(|(id, (age, rest))| candidate(id, age, rest)).collect();
            let first = collect(&policy, all.clone(), NOW);
            let left: Vec<_> = all.iter().filter(|one| !first.delete.contains(&one.id)).cloned().collect();
            prop_assert!(max.is_none_or(|max| left.len() <= max));
            prop_assert!(left.len() >= min.min(max.unwrap_or(min)).min(all.len()));
            let again = collect(&policy, left.clone(), NOW);
            prop_assert!(again.delete.is_empty());
            let far = NOW.plus(hours(1000));
            let before = first.wake_at.map_or(far, |at| UnixMillis(at.0 - 1));
            prop_assert!(collect(&policy, left.clone(), before).delete.is_empty());
            if let Some(at) = first.wake_at {
                prop_assert!(!collect(&policy, left, at).delete.is_empty());
            }
        }
    }
}
