//! The largest of the numbers of a while: what a delay before scaling down looks back on (spec/serving.md 3.6, 10).

use std::collections::VecDeque;
use std::time::Duration;

/// The maximum over some buckets of equal length, each of which counts until as many have begun after it.
#[derive(Debug, Clone)]
pub struct MaxWindow {
    bucket_seconds: u64,
    buckets: u64,
    /// Bucket and value; those of later buckets are smaller, all others can never be the maximum again.
    candidates: VecDeque<(u64, u32)>,
    latest: u32,
}

impl MaxWindow {
    /// An empty window of `length`, in buckets of `bucket_seconds`. A part of a bucket counts as one.
    #[must_use]
    pub fn new(length: Duration, bucket_seconds: u64) -> Self {
        let bucket_seconds = bucket_seconds.max(1);
        let buckets = length.as_secs().div_ceil(bucket_seconds).max(1);
        Self { bucket_seconds, buckets, candidates: VecDeque::with_capacity(buckets as usize), latest: 0 }
    }

    /// Takes a value in. What is given back is the maximum as of `now`.
    pub fn record(&mut self, now: Duration, value: u32) -> u32 {
        let bucket = now.as_secs() / self.bucket_seconds;
        while self.candidates.front().is_some_and(|(of, _)| of + self.buckets <= bucket) {
            self.candidates.pop_front();
        }
        while self.candidates.back().is_some_and(|(_, smaller)| *smaller <= value) {
            self.candidates.pop_back();
        }
        // In a bucket that has a larger value already this one says nothing.
        if self.candidates.back().is_none_or(|(of, _)| *of < bucket) {
            self.candidates.push_back((bucket, value));
        }
        self.latest = value;
        self.candidates.front().map_or(value, |(_, max)| *max)
    }

    /// When the maximum becomes a smaller one, if no other value than the latest is recorded until then.
    #[must_use]
    pub fn falls_at(&self) -> Option<Duration> {
        let (bucket, max) = self.candidates.front()?;
        (*max > self.latest).then(|| Duration::from_secs((bucket + self.buckets) * self.bucket_seconds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// spec/serving.md 3.12, table C, row 23: two values, each with its second.
    #[test]
    fn maxima_follow_row_23() {
        let rows = [
            ("a smaller one in the same second", [(10, 6), (10, 5)], 6),
            ("a larger one in the same second", [(10, 5), (10, 8)], 8),
            ("a smaller one six seconds later", [(10, 5), (16, 4)], 4),
        ];
        for (row, values, want) in rows {
            let mut window = MaxWindow::new(Duration::from_secs(5), 1);
            let max = values.map(|(second, value)| window.record(Duration::from_secs(second), value))[1];
            assert_eq!(max, want, "{row}");
        }
    }

    #[test]
    fn it_says_when_the_maximum_falls() {
        let mut window = MaxWindow::new(Duration::from_secs(10), 2);
        assert_eq!(window.falls_at(), None, "empty");
        window.record(Duration::from_secs(3), 7);
        assert_eq!(window.falls_at(), None, "one value");
        window.record(Duration::from_secs(6), 2);
        assert_eq!(window.falls_at(), Some(Duration::from_secs(12)));
        assert_eq!(window.record(Duration::from_secs(11), 2), 7, "before");
        assert_eq!(window.record(Duration::from_secs(12), 2), 2, "then");
        assert_eq!(window.falls_at(), None, "the latest is the largest");
        window.record(Duration::from_secs(12), 1);
        assert_eq!(window.falls_at(), Some(Duration::from_secs(22)), "a smaller one in the same bucket");
    }

    proptest! {
        /// Against the plain definition: the largest of the values whose bucket still counts.
        #[test]
        fn it_is_the_maximum_of_the_buckets_that_count(
            steps in vec((0_u64..7, 0_u32..9), 1..60), length in 1_u64..20, bucket_seconds in 1_u64..4,
        ) {
            let mut window = MaxWindow::new(Duration::from_secs(length), bucket_seconds);
            let buckets = length.div_ceil(bucket_seconds);
            let (mut now, mut all) = (0, Vec::new());
            for (pause, value) in steps {
                now += pause;
                all.push((now / bucket_seconds, value));
                let counting = all.iter().filter(|(bucket, _)| bucket + buckets > now / bucket_seconds);
                let want = counting.map(|(_, value)| *value).max();
                prop_assert_eq!(Some(window.record(Duration::from_secs(now), value)), want);
                prop_assert!(window.candidates.len() as u64 <= buckets);
            }
        }
    }
}
