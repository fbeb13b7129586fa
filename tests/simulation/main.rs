//! A cluster from one seed: three and five nodes over a simulated network and simulated disks, on one thread and one
//! simulated clock. Whatever can go wrong does; then everything heals, and the cluster has to come back.
//!
//! `PELTON_SIM_SEEDS=N` runs N seeds, `PELTON_SIM_SEED=x` runs one, `PELTON_SIM_LOUD=1` prints what happens.
//!
//! Every choice follows from the seed: that of the network and of tokio's scheduler (`turmoil`), of elections
//! (`pelton_consensus::simulated`), of disks, clients and faults. A test runs one seed twice and compares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod disk;
mod invariants;
mod ledger;
mod mangle;
mod nemesis;
mod network;
mod node;
mod oracle;
mod run;
mod seeds;
mod trace;
mod witness;
mod world;

/// The invariants hold in every run, and after it the cluster serves again.
#[test]
fn any_number_of_seeds() {
    seeds::all();
}

/// One seed gives one run: everything that happened, and when, is the same.
#[test]
fn one_seed_gives_one_run() {
    for seed in [3, 11] {
        let mut runs = Vec::new();
        seeds::run_all([seed, seed], |_, run| {
            runs.push(run.unwrap());
            true
        });
        assert!(runs[0].trace.lines > 100, "seed {seed}: too little happened");
        assert!(
            runs[0] == runs[1],
            "seed {seed}: two runs differ:\n{:#?}",
            runs.iter().map(|run| &run.trace).collect::<Vec<_>>()
        );
    }
}
