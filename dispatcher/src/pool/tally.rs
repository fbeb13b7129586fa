//! What waits for one service, of all triggers together, and when that is told. Pure; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::service::Waiting;

/// How often a number is told that is neither the first nor the last: what follows from it takes longer.
const TOLD_EVERY: Duration = Duration::from_millis(50);

/// The next that a service is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// So much waits, and so many events have matched since the last word.
    Now(Waiting, u64),
    /// What there is then.
    At(Instant),
}

/// What waits for one service.
#[derive(Debug, Default)]
pub(super) struct Tally {
    is: Waiting,
    matched: u64,
    told: Option<(Instant, Waiting)>,
}

impl Tally {
    /// One trigger's part of it has changed, and so many events have matched since.
    pub fn change(&mut self, before: Waiting, now: Waiting, matched: u64) {
        self.is.events = self.is.events - before.events + now.events;
        self.is.at_once = self.is.at_once - before.at_once + now.at_once;
        self.matched += matched;
    }

    /// What is to be told, and when; `None` when nothing has changed. That something waits, and that nothing does any
    /// more, is told at once.
    pub fn next_word(&mut self, now: Instant) -> Option<Word> {
        let (at, told) = self.told.map_or((None, Waiting::default()), |(at, told)| (Some(at), told));
        let is_news = (told.events == 0) != (self.is.events == 0);
        let has_changed = told != self.is || self.matched > 0;
        match at.map(|at| at + TOLD_EVERY).filter(|due| now < *due) {
            Some(due) if has_changed && !is_news => Some(Word::At(due)),
            _ if has_changed => {
                self.told = Some((now, self.is));
                Some(Word::Now(self.is, std::mem::take(&mut self.matched)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn waiting(events: u64) -> Waiting {
        Waiting { events, at_once: events.min(100) }
    }

    #[test]
    fn the_first_and_the_last_are_told_at_once_and_what_is_between_now_and_then() {
        let start = Instant::now();
        let mut tally = Tally::default();
        let mut is = 0;
        // (after milliseconds, events that wait, that matched, what is told)
        for (at, events, matched, want) in [
            (0, 0, 0, None),
            (0, 1, 1, Some((1, 1))),
            (10, 900, 899, None),
            (49, 901, 1, None),
            (50, 902, 1, Some((902, 901))),
            (60, 0, 0, Some((0, 0))),
            (61, 0, 0, None),
            (62, 5, 5, Some((5, 5))),
            (70, 4, 0, None),
            (500, 4, 0, Some((4, 0))),
            (600, 4, 0, None),
        ] {
            tally.change(waiting(is), waiting(events), matched);
            is = events;
            let told = match tally.next_word(start + Duration::from_millis(at)) {
                Some(Word::Now(told, matched)) => Some((told.events, matched)),
                Some(Word::At(due)) => {
                    assert!(due > start + Duration::from_millis(at) && want.is_none(), "after {at} ms");
                    None
                }
                None => None,
            };
            assert_eq!(told, want, "after {at} ms");
        }
    }

    proptest! {
        /// What is told last is the sum of all parts once no part has anything, and what matched is told once.
        #[test]
        fn nothing_is_left_over(changes in prop::collection::vec((0..4usize, 0..1_000u64, 0..10u64, 0..200u64), 0..100)) {
            let (mut now, mut tally, mut parts) = (Instant::now(), Tally::default(), [0; 4]);
            let (mut last, mut told_matched, mut all_matched) = (Waiting::default(), 0, 0);
            let ends = (0..4).map(|part| (part, 0, 0, 60));
            for (part, events, matched, millis) in changes.into_iter().chain(ends) {
                now += Duration::from_millis(millis);
                tally.change(waiting(parts[part]), waiting(events), matched);
                parts[part] = events;
                all_matched += matched;
                if let Some(Word::Now(told, matched)) = tally.next_word(now) {
                    last = told;
                    told_matched += matched;
                    let want = parts.iter().fold(Waiting::default(), |sum, part| Waiting {
                        events: sum.events + part,
                        at_once: sum.at_once + part.min(&100),
                    });
                    prop_assert_eq!(told, want);
                }
            }
            prop_assert_eq!(last, Waiting::default());
            prop_assert_eq!(told_matched, all_matched);
        }
    }
}
