//! How many seeds it takes to find bugs that others had (`pelton_env::bugs` says who). A simulation that does not find them
//! proves nothing.
//!
//! `cargo test --workspace --features bugs --test simulation bug_zoo -- --nocapture`; `PELTON_ZOO_SEEDS` says after how many
//! seeds a bug counts as missed, `PELTON_ZOO_BUG` names those that are looked for, with commas between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pelton_env::bugs::{self, Bug};

use crate::seeds::{self, Of};

/// Seeds within which every bug has to be found.
const SEEDS: u64 = 200;

/// The bug that threads are started with, by its place. (A thread cannot be told in another way before it runs.)
static CAUGHT_NOW: AtomicUsize = AtomicUsize::new(0);

/// The bugs that were named, or all of them.
fn wanted() -> Vec<Bug> {
    let Ok(names) = std::env::var("PELTON_ZOO_BUG") else { return Bug::ALL.to_vec() };
    let named = |name: &str| Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name);
    names.split(',').map(|name| named(name).unwrap_or_else(|| panic!("{name:?} is no bug of the zoo"))).collect()
}

/// Whether a seed is quiet without a bug: what it shows with one is the bug's doing.
fn is_quiet(of: Of, seed: u64) -> bool {
    let mut quiet = false;
    let take = |_, outcome: Result<_, String>| {
        quiet = outcome.is_ok();
        true
    };
    seeds::run_all(of, [seed], || {}, take);
    quiet
}

#[test]
fn bug_zoo() {
    let at_most = seeds::number("PELTON_ZOO_SEEDS").unwrap_or(SEEDS);
    let (mut took, mut missed, mut quiet) = (Vec::new(), Vec::new(), BTreeMap::new());
    for bug in wanted() {
        CAUGHT_NOW.store(bug as usize, Ordering::SeqCst);
        let begun = Instant::now();
        let of = if bug.is_of_deliveries() { Of::WholeNodes } else { Of::Consensus };
        let (mut tried, mut caught) = (0, None);
        let prepare = || bugs::set(Some(Bug::ALL[CAUGHT_NOW.load(Ordering::SeqCst)]));
        seeds::run_all(of, 1..=at_most, prepare, |seed, outcome| {
            tried += 1;
            let Err(what) = outcome else { return true };
            if !*quiet.entry((bug.is_of_deliveries(), seed)).or_insert_with(|| is_quiet(of, seed)) {
                println!("{bug:?}: seed {seed} fails without it too, and does not count");
                return true;
            }
            caught = what.lines().next().map(str::to_owned);
            false
        });
        let seconds = begun.elapsed().as_secs();
        match caught {
            Some(what) => {
                println!("{bug:?}: {tried} seeds, {seconds} s; {}", what.chars().take(200).collect::<String>());
                took.push(tried);
            }
            None => {
                println!("{bug:?}: not in {at_most} seeds, {seconds} s");
                missed.push(bug);
            }
        }
    }
    took.sort_unstable();
    println!("{} caught, median {:?} seeds, at most {:?}", took.len(), took.get(took.len() / 2), took.last());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
