//! Clients beside a node: they propose, read, and look after the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pelton_consensus::{Command, Group, Outcome, ProposeError, Space};
use pelton_env::{Chance, SeededChance};
use pelton_log::LogIndex;

use crate::ledger::{Ledger, body};
use crate::oracle::Oracle;
use crate::world::World;

/// Proposals of one writer that wait for an answer.
const IN_FLIGHT: usize = 6;

const WRITERS: u64 = 2;

/// Tells the oracle of the fate of a proposal, at the moment it is told.
struct Told {
    node: u64,
    id: u64,
    oracle: Arc<Oracle>,
    in_flight: Arc<AtomicUsize>,
    fates: Mutex<u32>,
}

impl Told {
    fn once(&self) {
        *self.fates.lock() += 1;
        assert_eq!(*self.fates.lock(), 1, "a proposal has one fate");
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Outcome for Told {
    fn committed(&self, index: LogIndex) {
        self.once();
        self.oracle.acked(self.node, self.id, index.0);
    }

    fn failed(&self, error: ProposeError) {
        self.once();
        self.oracle.not_acked(self.id, &error);
    }
}

pub fn start(me: u64, seed: u64, group: &Group<Ledger>, world: &Arc<World>) {
    for writer in 0..WRITERS {
        tokio::spawn(write(me, SeededChance::new(seed + 10 + writer), group.clone(), world.clone()));
    }
    tokio::spawn(read(me, SeededChance::new(seed + 20), group.clone(), world.clone()));
    tokio::spawn(keep_house(SeededChance::new(seed + 21), group.clone()));
}

async fn write(me: u64, chance: SeededChance, group: Group<Ledger>, world: Arc<World>) {
    let in_flight = Arc::new(AtomicUsize::new(0));
    loop {
        tokio::time::sleep(Duration::from_millis(10 + chance.below(120))).await;
        let leads = group.leadership().borrow().leader.is_some_and(|leader| leader.0 == me);
        // Sometimes a node is asked that does not lead.
        let asks = leads || chance.below(40) == 0;
        if !asks || world.is_quiet() || in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
            continue;
        }
        let id = world.oracle.next_id();
        let padding = if chance.below(30) == 0 { 20_000 } else { chance.below(800) };
        let command = Command {
            kind: 16,
            event_count: chance.below(4) as u32,
            body: body(id, padding as usize),
            space: Space::Ordinary,
        };
        in_flight.fetch_add(1, Ordering::Relaxed);
        let (oracle, in_flight) = (world.oracle.clone(), in_flight.clone());
        group.propose(command, Arc::new(Told { node: me, id, oracle, in_flight, fates: Mutex::new(0) })).await;
    }
}

async fn read(me: u64, chance: SeededChance, group: Group<Ledger>, world: Arc<World>) {
    loop {
        tokio::time::sleep(Duration::from_millis(50 + chance.below(300))).await;
        let began_at = world.oracle.read_begins();
        if let Ok(index) = group.read_index().await {
            let applied = group.applied().borrow().0;
            world.oracle.read_ends(me, began_at, index.0, applied);
        }
    }
}

/// Checkpoints, and lets go of the log behind the watermark.
async fn keep_house(chance: SeededChance, group: Group<Ledger>) {
    loop {
        tokio::time::sleep(Duration::from_millis(300 + chance.below(2_000))).await;
        // An error is that of the group, which tells it.
        if chance.below(3) == 0 {
            let _ = group.checkpoint().await;
        } else {
            let _ = group.purge_to_watermark().await;
        }
    }
}
