//! Which seeds are run, on how many threads, and what is printed.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::panics;
use crate::run::{self, Failure, Summary};
use crate::whole;

/// Seeds that are run when nobody says how many.
const SEEDS: u64 = 20;

/// Seeds of whole nodes that are run when nobody says how many.
const WHOLE_SEEDS: u64 = 20;

/// What a run simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// One group: its log, its consensus, a list as its state.
    Consensus,
    /// Whole nodes: brokers and dispatchers, with producers and subscribers.
    WholeNodes,
}

impl Of {
    fn run(self, seed: u64, loud: bool) -> Result<Summary, Box<Failure>> {
        match self {
            Self::Consensus => run::run(seed, loud),
            Self::WholeNodes => whole::run(seed, loud),
        }
    }

    /// Of so many seeds, those that are run of this. Those of whole nodes are counted apart (`PELTON_SIM_WHOLE_SEEDS`): a
    /// run takes several times as long.
    fn share(self, seeds: u64) -> u64 {
        match self {
            Self::Consensus => seeds,
            Self::WholeNodes => number("PELTON_SIM_WHOLE_SEEDS").unwrap_or(WHOLE_SEEDS),
        }
    }

    /// The test that runs its seeds.
    fn test(self) -> &'static str {
        match self {
            Self::Consensus => "consensus_with_any_number_of_seeds",
            Self::WholeNodes => "whole_nodes_with_any_number_of_seeds",
        }
    }
}

/// Runs share nothing, so there may be one for each processor.
const THREADS: usize = 2;

/// Futures of a debug build are large.
const STACK_BYTES: usize = 16 << 20;

/// No run takes that long, however busy the machine: it goes round in circles without its clock moving.
const STUCK_AFTER: Duration = Duration::from_secs(600);

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

type Done = (u64, Result<Summary, String>);

fn again(of: Of, seed: u64) -> String {
    format!("again: PELTON_SIM_SEED={seed} cargo test --test simulation {}", of.test())
}

/// Runs one seed; `Err` says what it showed, with the end of its trace.
fn one(of: Of, seed: u64) -> Result<Summary, String> {
    let loud = std::env::var_os("PELTON_SIM_LOUD").is_some();
    if let Ok(filter) = std::env::var("PELTON_SIM_LOG") {
        // Another run of this process may have done so.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    let failure = match of.run(seed, loud) {
        Ok(summary) => return Ok(summary),
        Err(failure) => failure,
    };
    let lines: Vec<_> = failure.trace.last.iter().map(String::as_str).collect();
    let told = format!("seed {seed}: {}: {}", failure.violation.invariant, failure.violation.what);
    Err(format!("{told}\n{:?}\n{}\n{told}\n{}", failure.plan, lines.join("\n"), again(of, seed)))
}

/// Runs a seed on a thread of its own.
fn start(of: Of, seed: u64, done: Sender<Done>, prepare: fn()) {
    let work = move || {
        prepare();
        panics::are_outcomes();
        let outcome = one(of, seed);
        // Nobody waits any more after a failure that ended everything.
        let _ = done.send((seed, outcome));
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread can be started");
}

/// Runs seeds, as many at a time as there are processors, each on a thread that was prepared for it, and hands each
/// outcome to `take` until that says `false`.
pub fn run_all(
    of: Of,
    seeds: impl IntoIterator<Item = u64>,
    prepare: fn(),
    mut take: impl FnMut(u64, Result<Summary, String>) -> bool,
) {
    let (done, outcomes) = channel();
    let mut seeds = seeds.into_iter();
    let mut running = 0;
    for seed in seeds.by_ref().take(THREADS) {
        start(of, seed, done.clone(), prepare);
        running += 1;
    }
    while running > 0 {
        let outcome = outcomes.recv_timeout(STUCK_AFTER);
        let (seed, outcome) = outcome.unwrap_or((0, Err("seed: a run goes round in circles".to_owned())));
        running -= 1;
        if !take(seed, outcome) {
            break;
        }
        if let Some(seed) = seeds.next() {
            start(of, seed, done.clone(), prepare);
            running += 1;
        }
    }
}

/// Runs the seeds that the environment names, and says what came of them.
pub fn all(of: Of) {
    let (first, many) = match number("PELTON_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (1, of.share(number("PELTON_SIM_SEEDS").unwrap_or(SEEDS))),
    };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    run_all(
        of,
        first..first + many,
        || {},
        |seed, outcome| {
            match outcome {
                Ok(summary) => done.push(summary),
                Err(what) => {
                    eprintln!("\n{what}");
                    failed.push(seed);
                }
            }
            true
        },
    );
    let simulated: Duration = done.iter().map(|summary| summary.simulated).sum();
    println!(
        "{of:?}: {} seeds, {:.2} simulated hours, {} acknowledgements, {} leaders, {} crashes, {} deliveries",
        done.len(),
        simulated.as_secs_f64() / 3_600.0,
        done.iter().map(|summary| summary.acknowledged).sum::<usize>(),
        done.iter().map(|summary| summary.elections).sum::<usize>(),
        done.iter().map(|summary| summary.crashes).sum::<u64>(),
        done.iter().map(|summary| summary.deliveries).sum::<usize>(),
    );
    assert!(failed.is_empty(), "of {many} seeds these failed: {failed:?}");
}
