//! A node's disk: what it holds outlives the node, and how long it takes is the nemesis' to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pelton_env::{Chance, SeededChance};
use pelton_log::{SimDisk, Stepper, Turn};
use tokio::sync::Notify;

/// How long a good disk takes for a write and its sync, at most.
const GOOD_MILLIS: u64 = 3;

/// How often a disk that hangs, or is full, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub struct NodeDisk {
    /// What is mounted. Another one after a crash.
    pub disk: Mutex<SimDisk>,
    /// The longest that a write takes.
    pub slow_millis: AtomicU64,
    pub hangs: AtomicBool,
    /// The power goes in the middle of the next write: it is written and not synced.
    pub power_fails: AtomicBool,
    /// What the loss of power left, once it happened.
    pub left: Mutex<Option<SimDisk>>,
}

impl NodeDisk {
    pub fn new(direct: bool) -> Self {
        let disk = if direct { SimDisk::direct() } else { SimDisk::new() };
        disk.track();
        Self {
            disk: Mutex::new(disk),
            slow_millis: AtomicU64::new(GOOD_MILLIS),
            hangs: AtomicBool::new(false),
            power_fails: AtomicBool::new(false),
            left: Mutex::new(None),
        }
    }

    /// The power will go in the middle of the write that comes after `writes` more.
    pub fn fail_power_after(&self, writes: u64) {
        self.power_fails.store(true, Ordering::Relaxed);
        self.disk.lock().fail_syncs_after(Some(writes));
    }

    /// The node is gone; what does its disk hold?
    pub fn crash(&self, chance: &dyn Chance, loses_power: bool) {
        let left = self.left.lock().take();
        let mut disk = self.disk.lock();
        let left = left.unwrap_or_else(|| {
            if loses_power {
                disk.crash(chance)
            } else {
                let copy = disk.copy();
                copy.track();
                copy
            }
        });
        *disk = left;
        self.heal();
    }

    pub fn heal(&self) {
        self.slow_millis.store(GOOD_MILLIS, Ordering::Relaxed);
        self.hangs.store(false, Ordering::Relaxed);
        self.power_fails.store(false, Ordering::Relaxed);
    }

    /// Takes the log's turns, each as late as the disk is slow, until the log ends.
    pub async fn drive(self: Arc<Self>, work: Arc<Notify>, stepper: Stepper, chance: SeededChance) {
        loop {
            work.notified().await;
            loop {
                let slow = self.slow_millis.load(Ordering::Relaxed) * 1_000;
                tokio::time::sleep(Duration::from_micros(100 + chance.below(slow))).await;
                while self.hangs.load(Ordering::Relaxed) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                let turn = if chance.below(8) == 0 { stepper.mark() } else { stepper.turn() };
                match turn {
                    Turn::Worked => {}
                    Turn::Idle => break,
                    Turn::Full => tokio::time::sleep(LOOK_AGAIN).await,
                    Turn::Ended => {
                        if self.power_fails.load(Ordering::Relaxed) {
                            *self.left.lock() = Some(self.disk.lock().crash(&chance));
                        }
                        return;
                    }
                }
            }
        }
    }
}
