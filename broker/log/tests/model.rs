//! The log against a model of it: any operations, with the log closed and opened in between.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod common;

use std::sync::Arc;

use common::model::{Model, submit};
use common::{open_with, options, wait};
use pelton_env::{Chance, SeededChance};
use pelton_log::{Log, LogIndex, Offset, Options, SimDisk, verify};
use proptest::prelude::*;

fn check_positions(log: &Log, model: &Model) {
    for (group, state) in &model.0 {
        for entry in &state.entries {
            let meta = log.entry_meta(*group, entry.index).expect("readable").expect("held");
            assert_eq!((meta.term, meta.leader, meta.kind), (entry.term, entry.leader, entry.kind));
            for offset in [entry.first_offset, Offset(entry.next_offset().0 - 1)] {
                assert_eq!(log.index_of_offset(*group, offset).expect("readable"), Some(entry.index), "{offset:?}");
            }
        }
        if let (Some(first), Some(last)) = (state.entries.first(), state.entries.last()) {
            assert!(
                log.read(*group, LogIndex(first.index.0.wrapping_sub(1)), first.index, 1)
                    .map_or(true, |r| r.is_empty())
            );
            assert_eq!(log.next_offset(*group), last.next_offset());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// After every operation the log holds exactly what the model holds, whether it was opened again or not, and
    /// whatever of it is in memory.
    #[test]
    fn the_log_is_equal_to_its_model(seed in any::<u64>(), tail_cache_bytes in prop_oneof![Just(0_u64), Just(20_000)], direct in any::<bool>()) {
        let chance = SeededChance::new(seed);
        let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
        let options = Options { tail_cache_bytes, ..options() };
        let (mut log, _) = open_with(Arc::new(disk.clone()), options.clone()).expect("opens");
        let mut model = Model::default();
        let mut term = 1;
        for _ in 0..120 {
            let op = model.next(&chance, &mut term, 8_000);
            wait(|done| submit(&log, &op, done)).expect("durable");
            model.apply(&op);
            match chance.below(12) {
                0 => {
                    log.shutdown();
                    let (again, report) = open_with(Arc::new(disk.clone()), options.clone()).expect("opens again");
                    prop_assert_eq!(report.cut, None);
                    log = again;
                }
                1 => check_positions(&log, &model),
                _ => {}
            }
            prop_assert_eq!(Model::of(&log), model.trimmed(), "after {:?}", op);
        }
        log.shutdown();
        let verified = verify(&disk).expect("readable");
        prop_assert!(verified.is_whole(), "{:?}", verified);
    }
}
