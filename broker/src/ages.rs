//! How long ago offsets were reached, by a clock that nobody sets: what was promised to be remembered for a time is not
//! forgotten because the system's clock jumped (the fault catalogue, F7).

use std::collections::VecDeque;
use std::time::Duration;

use pelton_client::Offset;
use tokio::time::Instant;

/// Marks in the longest time that is asked for: how exact it is.
const MARKS: u32 = 256;

/// Where the end of a group was at some moments of this process. What came before the first of them counts as new.
#[derive(Debug, Default)]
pub(crate) struct Ages(VecDeque<(Instant, Offset)>);

impl Ages {
    /// The group ends at `end` now. Nobody will ask for more than `longest`.
    pub(crate) fn note(&mut self, now: Instant, end: Offset, longest: Duration) {
        while self.0.get(1).is_some_and(|(next, _)| *next + longest <= now) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|(last, _)| *last + longest / MARKS <= now) {
            self.0.push_back((now, end));
        }
    }

    /// What is below was there `age` ago. What is not may have been there too, for up to a 256th of the longest time, or
    /// the pause between two notes.
    pub(crate) fn older_than(&self, now: Instant, age: Duration) -> Offset {
        let young = self.0.partition_point(|(at, _)| *at + age <= now);
        young.checked_sub(1).map_or(Offset(0), |last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_noted_long_enough_ago_is_old() {
        let start = Instant::now();
        let mut ages = Ages::default();
        for (second, end) in [(0, 5), (10, 5), (20, 9)] {
            ages.note(start + second * SECOND, Offset(end), 100 * SECOND);
        }
        for (now, age, want) in [(20, 30, 0), (20, 20, 5), (20, 1, 5), (20, 0, 9), (29, 10, 5), (30, 10, 9)] {
            let old = ages.older_than(start + now * SECOND, age * SECOND);
            assert_eq!(old, Offset(want), "at {now} s, what is older than {age} s");
        }
    }

    proptest! {
        /// Nothing is called older than it is, and not too little is; what is kept has a bound.
        #[test]
        fn it_is_exact_within_its_bounds(steps in proptest::collection::vec((0_u64..2_000, 0_u64..9), 1..600), age in 0_u32..100) {
            let longest = 100 * SECOND;
            let (mut now, mut end) = (Instant::now(), 0);
            let (mut ages, mut all) = (Ages::default(), Vec::new());
            for (millis, more) in steps {
                now += Duration::from_millis(millis);
                end += more;
                ages.note(now, Offset(end), longest);
                all.push((now, end));
            }
            let ended_before = |age| all.iter().rfind(|(at, _)| *at + age <= now).map_or(0, |(_, end)| *end);
            let old = ages.older_than(now, age * SECOND).0;
            prop_assert!(old <= ended_before(age * SECOND));
            prop_assert!(old >= ended_before(age * SECOND + longest / MARKS + 2 * SECOND));
            prop_assert!(ages.0.len() <= MARKS as usize + 2);
        }
    }
}
