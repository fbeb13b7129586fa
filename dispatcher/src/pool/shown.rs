//! Which circuits are open, for whoever scrapes.

use foldhash::{HashMap, HashMapExt};
use metrics::{Gauge, gauge};
use parking_lot::Mutex;

use crate::endpoint::Authority;

/// The gauges of circuits, set at the moment at which one opens or closes. A target gets a series when its circuit first
/// opens and keeps it, so there are few.
#[derive(Debug)]
pub(super) struct Shown {
    gauges: Mutex<HashMap<Authority, Gauge>>,
    /// A series that was made stays with the exporter, so beyond these nothing is shown.
    max: usize,
}

impl Shown {
    pub(super) fn new(max: usize) -> Self {
        Self { gauges: Mutex::new(HashMap::new()), max }
    }

    /// The circuit of a target opened, or it closed. Called with the target's lock held, so the last call is right.
    pub(super) fn set(&self, target: &Authority, is_open: bool) {
        let mut gauges = self.gauges.lock();
        if is_open && gauges.len() < self.max && !gauges.contains_key(target) {
            let gauge = gauge!("pelton_target_circuit_open", "target" => target.to_string());
            gauges.insert(target.clone(), gauge);
        }
        if let Some(gauge) = gauges.get(target) {
            gauge.set(if is_open { 1.0 } else { 0.0 });
        }
    }
}
