//! A cluster from one seed: three and five nodes over a simulated network and simulated disks, on one thread and one
//! simulated clock. Whatever can go wrong does; then everything heals, and the cluster has to come back.
//!
//! There are two kinds of runs: of one group, whose consensus is looked at closely, and of whole nodes (`whole`), which take
//! events in and deliver them. `PELTON_SIM_SEEDS=N` runs N seeds of the first kind, `PELTON_SIM_WHOLE_SEEDS=N` of the second,
//! which take several times as long; `PELTON_SIM_SEED=x` runs one, `PELTON_SIM_LOUD=1` prints what happens, `PELTON_SIM_LOG=debug` what the product
//! logs.
//!
//! Every choice follows from the seed: that of the network and of tokio's scheduler (`turmoil`), of elections
//! (`pelton_consensus::simulated`), of disks, clients and faults. A test runs one seed twice and compares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "bugs")]
mod bug_zoo;
mod clients;
mod clock;
mod disk;
mod invariants;
mod journal;
mod ledger;
mod mangle;
mod nemesis;
mod network;
mod node;
mod oracle;
mod panics;
mod run;
mod seeds;
mod trace;
mod whole;
mod witness;
mod world;

use seeds::Of;

/// The invariants hold in every run, and after it the cluster serves again.
#[test]
fn consensus_with_any_number_of_seeds() {
    seeds::all(Of::Consensus);
}

/// The same of whole nodes, which deliver.
#[test]
fn whole_nodes_with_any_number_of_seeds() {
    seeds::all(Of::WholeNodes);
}

/// One seed gives one run: everything that happened, and when, is the same.
#[test]
fn one_seed_gives_one_run() {
    for (of, seed) in [(Of::Consensus, 3), (Of::Consensus, 11), (Of::WholeNodes, 3), (Of::WholeNodes, 11)] {
        let mut runs = Vec::new();
        seeds::run_all(
            of,
            [seed, seed],
            || {},
            |_, run| {
                runs.push(run.unwrap());
                true
            },
        );
        assert!(runs[0].trace.lines > 100, "seed {seed} of {of:?}: too little happened");
        assert!(
            runs[0] == runs[1],
            "seed {seed} of {of:?}: two runs differ:\n{:#?}",
            runs.iter().map(|run| &run.trace).collect::<Vec<_>>()
        );
    }
}
