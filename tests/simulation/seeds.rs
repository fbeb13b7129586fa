//! Which seeds are run, on how many threads, and what is printed.

use std::cell::RefCell;
use std::sync::Once;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::run::{self, Summary};

/// Seeds that are run when nobody says how many.
const SEEDS: u64 = 20;

/// Runs share nothing, so there may be one for each processor.
const THREADS: usize = 2;

/// Futures of a debug build are large.
const STACK_BYTES: usize = 16 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

thread_local! {
    /// The seed that this thread runs, and where its outcome goes.
    static RUNNING: RefCell<Option<(u64, Sender<Done>)>> = const { RefCell::new(None) };
}

type Done = (u64, Result<Summary, String>);

fn again(seed: u64) -> String {
    format!("again: PELTON_SIM_SEED={seed} cargo test --test simulation any_number_of_seeds")
}

/// Runs one seed; `Err` says what it showed, with the end of its trace.
fn one(seed: u64) -> Result<Summary, String> {
    let loud = std::env::var_os("PELTON_SIM_LOUD").is_some();
    let failure = match run::run(seed, loud) {
        Ok(summary) => return Ok(summary),
        Err(failure) => failure,
    };
    let lines: Vec<_> = failure.trace.last.iter().map(String::as_str).collect();
    let told = format!("seed {seed}: {}: {}", failure.violation.invariant, failure.violation.what);
    Err(format!("{told}\n{:?}\n{}\n{told}\n{}", failure.plan, lines.join("\n"), again(seed)))
}

/// A panic is an outcome like any other, and the thread it happened on is left as it is: hosts that are torn down in the
/// middle of their work panic again, which would end the process and everything that is known about it.
fn panics_are_outcomes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let running = RUNNING.with_borrow_mut(Option::take);
            let Some((seed, done)) = running else { return usual(panic) };
            let backtrace = std::backtrace::Backtrace::capture();
            let _ =
                done.send((seed, Err(format!("seed {seed}: nothing panics: {panic}\n{backtrace}\n{}", again(seed)))));
            loop {
                std::thread::park();
            }
        }));
    });
}

/// Runs a seed on a thread of its own.
fn start(seed: u64, done: Sender<Done>) {
    let work = move || {
        RUNNING.set(Some((seed, done.clone())));
        let outcome = one(seed);
        RUNNING.set(None);
        // Nobody waits any more after a failure that ended everything.
        let _ = done.send((seed, outcome));
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread can be started");
}

/// Runs seeds, as many at a time as there are processors, and hands each outcome to `take` until that says `false`.
pub fn run_all(seeds: impl IntoIterator<Item = u64>, mut take: impl FnMut(u64, Result<Summary, String>) -> bool) {
    panics_are_outcomes();
    let (done, outcomes) = channel();
    let mut seeds = seeds.into_iter();
    let mut running = 0;
    for seed in seeds.by_ref().take(THREADS) {
        start(seed, done.clone());
        running += 1;
    }
    while running > 0 {
        let (seed, outcome) = outcomes.recv().expect("this thread has a sender, too");
        running -= 1;
        if !take(seed, outcome) {
            break;
        }
        if let Some(seed) = seeds.next() {
            start(seed, done.clone());
            running += 1;
        }
    }
}

/// Runs the seeds that the environment names, and says what came of them.
pub fn all() {
    let (first, many) = match number("PELTON_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("PELTON_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    run_all(first..first + many, |seed, outcome| {
        match outcome {
            Ok(summary) => done.push(summary),
            Err(what) => {
                eprintln!("\n{what}");
                failed.push(seed);
            }
        }
        true
    });
    let simulated: Duration = done.iter().map(|summary| summary.simulated).sum();
    println!(
        "{} seeds, {:.2} simulated hours, {} acknowledged commands, {} leaders, {} crashes",
        done.len(),
        simulated.as_secs_f64() / 3_600.0,
        done.iter().map(|summary| summary.acknowledged).sum::<usize>(),
        done.iter().map(|summary| summary.elections).sum::<usize>(),
        done.iter().map(|summary| summary.crashes).sum::<u64>(),
    );
    assert!(failed.is_empty(), "of {many} seeds these failed: {failed:?}");
}
