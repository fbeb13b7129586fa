//! Which gateway has how many of a revision's instances. Pure.

use std::collections::BTreeMap;

/// What matters of a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Instances of the revision that run there or are starting.
    pub(super) has: u32,
    /// Requests that wait or are on their way there.
    pub(super) load: u32,
    /// Instances of all revisions that it is to have.
    pub(super) total: u32,
}

/// Spreads `desired` instances over `places`. What was there `before` stays where it is as far as possible: an instance is
/// not moved, it ends in one place and starts in another.
pub(super) fn spread<'a>(
    desired: u32,
    before: &BTreeMap<String, u32>,
    places: &BTreeMap<&'a str, Place>,
) -> BTreeMap<&'a str, u32> {
    let mut shares: BTreeMap<&str, u32> =
        places.keys().map(|name| (*name, before.get(*name).copied().unwrap_or(0))).collect();
    let mut sum: u32 = shares.values().sum();
    while sum < desired {
        // What runs already by itself is taken first; then the emptier place, the one with the work, the idler machine.
        let best = shares.iter().min_by_key(|(name, share)| {
            let place = places[*name];
            let more = **share - before.get(**name).copied().unwrap_or(0).min(**share);
            (place.has <= **share, **share, u32::MAX - place.load, place.total + more, **name)
        });
        let Some((&name, _)) = best else { return shares };
        *shares.get_mut(name).expect("it was found there") += 1;
        sum += 1;
    }
    while sum > desired {
        let fullest = shares.iter().filter(|(_, share)| **share > 0).max_by_key(|(name, share)| {
            let place = places[*name];
            (**share, u32::MAX - place.load, place.total, **name)
        });
        let Some((&name, _)) = fullest else { return shares };
        *shares.get_mut(name).expect("it was found there") -= 1;
        sum -= 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(has: u32, load: u32, total: u32) -> Place {
        Place { has, load, total }
    }

    #[test]
    fn shares() {
        type Row = (u32, [u32; 3], [(u32, u32, u32); 3], [u32; 3], &'static str);
        let rows: &[Row] = &[
            (0, [0, 0, 0], [(0, 0, 0); 3], [0, 0, 0], "nothing to do"),
            (1, [0, 0, 0], [(0, 0, 0), (0, 3, 0), (0, 0, 0)], [0, 1, 0], "where the work is"),
            (1, [0, 0, 0], [(0, 0, 5), (0, 0, 2), (0, 0, 3)], [0, 1, 0], "where there is the least else"),
            (1, [0, 0, 0], [(0, 9, 0), (0, 0, 0), (1, 1, 0)], [0, 0, 1], "where it runs already"),
            (3, [1, 0, 0], [(1, 9, 0), (0, 0, 0), (0, 0, 0)], [1, 1, 1], "one each before two anywhere"),
            (5, [1, 1, 1], [(1, 0, 0), (1, 9, 0), (1, 5, 0)], [1, 2, 2], "the next where the work is"),
            (1, [1, 1, 1], [(1, 0, 0), (1, 9, 0), (1, 5, 0)], [0, 1, 0], "what does the least ends first"),
            (2, [0, 4, 0], [(0, 0, 0), (4, 0, 0), (0, 0, 0)], [0, 2, 0], "what is there is not moved"),
        ];
        for (desired, before, places, want, why) in rows {
            let names = ["a", "b", "c"];
            let before = names.iter().map(|name| (*name).to_owned()).zip(*before).collect();
            let places = names.into_iter().zip(places.iter().map(|(has, load, total)| place(*has, *load, *total)));
            let want = names.into_iter().zip(*want).collect();
            assert_eq!(spread(*desired, &before, &places.collect()), want, "{why}");
        }
    }

    fn any_place() -> impl Strategy<Value = Place> {
        (0_u32..5, 0_u32..50, 0_u32..20).prop_map(|(has, load, total)| place(has, load, total))
    }

    proptest! {
        /// All that is asked for is somewhere, and nobody who has something gets less while more is asked for than before.
        #[test]
        fn they_add_up_and_nothing_moves_without_need(
            desired in 0_u32..40,
            before in prop::collection::vec(0_u32..6, 4),
            places in prop::collection::vec(any_place(), 4),
        ) {
            let names = ["a", "b", "c", "d"];
            let before: BTreeMap<String, u32> = names.iter().map(|name| (*name).to_owned()).zip(before).collect();
            let places: BTreeMap<&str, Place> = names.into_iter().zip(places).collect();
            let shares = spread(desired, &before, &places);
            prop_assert_eq!(shares.values().sum::<u32>(), desired);
            let grows = desired >= before.values().sum();
            for (name, share) in shares {
                let is_kept = if grows { share >= before[name] } else { share <= before[name] };
                prop_assert!(is_kept, "{name}: {share}");
            }
        }
    }
}
