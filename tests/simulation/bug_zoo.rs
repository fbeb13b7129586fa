//! How many seeds it takes to find bugs that others had (`pelton_env::bugs` says who). A simulation that does not find them
//! proves nothing.
//!
//! `cargo test --features bugs --test simulation bug_zoo -- --nocapture`; `PELTON_ZOO_SEEDS` says after how many seeds a
//! bug counts as missed, `PELTON_ZOO_BUG` names those that are looked for, with commas between them.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use pelton_env::bugs::{self, Bug};

use crate::seeds;

/// Seeds within which every bug has to be found.
const SEEDS: u64 = 200;

/// The bug that threads are started with, by its place. (A thread cannot be told in another way before it runs.)
static CAUGHT_NOW: AtomicUsize = AtomicUsize::new(0);

#[test]
fn bug_zoo() {
    let at_most = seeds::number("PELTON_ZOO_SEEDS").unwrap_or(SEEDS);
    let only = std::env::var("PELTON_ZOO_BUG").ok();
    let (mut took, mut missed) = (Vec::new(), Vec::new());
    for (place, bug) in Bug::ALL.into_iter().enumerate() {
        if only.as_ref().is_some_and(|only| only.split(',').all(|only| *only != format!("{bug:?}"))) {
            continue;
        }
        CAUGHT_NOW.store(place, Ordering::SeqCst);
        let of = if bug.is_of_deliveries() { seeds::Of::WholeNodes } else { seeds::Of::Consensus };
        let (tried, caught) = (Cell::new(0), Cell::new(None));
        let prepare = || bugs::set(Some(Bug::ALL[CAUGHT_NOW.load(Ordering::SeqCst)]));
        seeds::run_all(of, 1..=at_most, prepare, |_, outcome| {
            tried.set(tried.get() + 1);
            let Err(what) = outcome else { return true };
            caught.set(what.lines().next().map(str::to_owned));
            false
        });
        match caught.take() {
            Some(what) => {
                println!("{bug:?}: {} seeds; {}", tried.get(), what.chars().take(200).collect::<String>());
                took.push(tried.get());
            }
            None => {
                println!("{bug:?}: not in {at_most} seeds");
                missed.push(bug);
            }
        }
    }
    took.sort_unstable();
    println!("{} caught, median {:?} seeds, at most {:?}", took.len(), took.get(took.len() / 2), took.last());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
