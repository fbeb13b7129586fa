//! What a simulated directory went through, and what a loss of power leaves of it.
//!
//! [`CrashPlan`] walks a record and gives, for any moment, directories as a power loss could have left them: what was
//! synced is there, of the rest any 512-byte sectors. [`SimTrace::crashes`] spreads such crashes over a whole record.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_env::Chance;

use super::SimDisk;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The names and contents of a directory. Contents are shared until they are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    pub names: BTreeMap<String, u64>,
    pub files: BTreeMap<u64, Arc<Vec<u8>>>,
}

impl Image {
    pub fn apply_name(&mut self, op: &NameOp) {
        match op {
            NameOp::Create { name, file } => {
                self.names.insert(name.clone(), *file);
                self.files.entry(*file).or_default();
            }
            NameOp::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            NameOp::Remove { name } => {
                self.names.remove(name);
            }
        }
    }

    pub fn write(&mut self, file: u64, at: usize, data: &[u8]) {
        let bytes = Arc::make_mut(self.files.entry(file).or_default());
        if bytes.len() < at + data.len() {
            bytes.resize(at + data.len(), 0);
        }
        bytes[at..at + data.len()].copy_from_slice(data);
    }

    pub fn apply_data(&mut self, op: &DataOp) {
        match op {
            DataOp::Write { file, at, data } => self.write(*file, *at, data),
            DataOp::SetLen { file, len } => Arc::make_mut(self.files.entry(*file).or_default()).resize(*len, 0),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameOp {
    Create { name: String, file: u64 },
    Rename { from: String, to: String },
    Remove { name: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DataOp {
    Write { file: u64, at: usize, data: Arc<[u8]> },
    SetLen { file: u64, len: usize },
}

impl DataOp {
    fn file(&self) -> u64 {
        match self {
            Self::Write { file, .. } | Self::SetLen { file, .. } => *file,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(NameOp),
    Data(DataOp),
    Sync(u64),
    SyncDir,
}

/// One recorded step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOp(Step);

impl TraceOp {
    /// Bytes written, when the step is a write.
    #[must_use]
    pub fn written_bytes(&self) -> Option<usize> {
        match &self.0 {
            Step::Data(DataOp::Write { data, .. }) => Some(data.len()),
            _ => None,
        }
    }

    /// Whether the step made something durable.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self.0, Step::Sync(_) | Step::SyncDir)
    }
}

/// What a directory went through since recording began. Two runs of one seed must give equal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimTrace {
    start: Image,
    ops: Vec<TraceOp>,
}

impl SimTrace {
    pub(super) fn from(start: Image) -> Self {
        Self { start, ops: Vec::new() }
    }

    pub(super) fn push(&mut self, step: Step) {
        self.ops.push(TraceOp(step));
    }

    /// The steps.
    #[must_use]
    pub fn ops(&self) -> &[TraceOp] {
        &self.ops
    }

    /// The same, with a disk that does nothing when it is asked to sync after the first `steps`: to see that a test of
    /// crashes can fail.
    #[must_use]
    pub fn without_syncs_after(&self, steps: usize) -> Self {
        let kept = self.ops.iter().enumerate().filter(|(nth, op)| *nth < steps || !op.is_sync());
        Self { start: self.start.clone(), ops: kept.map(|(_, op)| op.clone()).collect() }
    }
}

/// One crash of a trace.
#[derive(Debug)]
pub struct Crash {
    /// Steps of the trace that had been taken.
    pub moment: usize,
    /// What a loss of power then could have left.
    pub disk: SimDisk,
}

impl SimTrace {
    /// `states` crashes, spread evenly over the trace, whatever its length is.
    pub fn crashes<'a>(&'a self, states: u64, chance: &'a dyn Chance) -> impl Iterator<Item = Crash> + 'a {
        let moments = self.ops.len() as u64 + 1;
        let mut plan = CrashPlan::new(self);
        (1..=states).map(move |nth| {
            // The first moment by which `nth` of the states are due.
            let moment = (nth * moments).div_ceil(states) - 1;
            while (plan.position() as u64) < moment && plan.advance() {}
            Crash { moment: plan.position(), disk: plan.sample(chance) }
        })
    }
}

/// What is durable of a directory, and what is not yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsynced {
    durable: Image,
    names: Vec<NameOp>,
    data: Vec<DataOp>,
}

impl Unsynced {
    pub fn of(durable: Image) -> Self {
        Self { durable, names: Vec::new(), data: Vec::new() }
    }

    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Name(op) => self.names.push(op.clone()),
            Step::Data(op) => self.data.push(op.clone()),
            Step::Sync(synced) => {
                let (now, later) = std::mem::take(&mut self.data).into_iter().partition(|op| op.file() == *synced);
                self.data = later;
                let now: Vec<DataOp> = now;
                now.iter().for_each(|op| self.durable.apply_data(op));
            }
            Step::SyncDir => {
                for op in std::mem::take(&mut self.names) {
                    self.durable.apply_name(&op);
                }
            }
        }
    }

    /// What a loss of power leaves: any sectors of what is not synced, in any order, and the first few of the names.
    pub fn sample(&self, chance: &dyn Chance) -> Image {
        let names = usize::try_from(chance.below(self.names.len() as u64 + 1)).unwrap_or(0);
        // Sometimes nearly nothing, sometimes nearly everything: both ends find more than the middle.
        let odds = [0, 1, 8, 32, 56, 63, 64][usize::try_from(chance.below(7)).unwrap_or(0)];
        self.with(names, &mut || chance.below(64) < odds)
    }

    /// The first few of the names, and the sectors that `keep` wants.
    fn with(&self, names: usize, keep: &mut dyn FnMut() -> bool) -> Image {
        let mut image = self.durable.clone();
        self.names.iter().take(names).for_each(|op| image.apply_name(op));
        for op in &self.data {
            match op {
                DataOp::Write { file, at, data } => {
                    for (nth, sector) in data.chunks(SECTOR).enumerate() {
                        if keep() {
                            image.write(*file, at + nth * SECTOR, sector);
                        }
                    }
                }
                DataOp::SetLen { .. } => {
                    if keep() {
                        image.apply_data(op);
                    }
                }
            }
        }
        image
    }
}

/// Walks a trace and makes the directories that a crash could leave.
#[derive(Debug)]
pub struct CrashPlan<'a> {
    trace: &'a SimTrace,
    done: usize,
    unsynced: Unsynced,
}

impl<'a> CrashPlan<'a> {
    /// At the start of `trace`.
    #[must_use]
    pub fn new(trace: &'a SimTrace) -> Self {
        Self { trace, done: 0, unsynced: Unsynced::of(trace.start.clone()) }
    }

    /// Steps taken so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.done
    }

    /// Takes the next step; `false` at the end.
    pub fn advance(&mut self) -> bool {
        let Some(op) = self.trace.ops.get(self.done) else { return false };
        self.done += 1;
        self.unsynced.take(&op.0);
        true
    }

    /// Sectors written and not synced.
    #[must_use]
    pub fn unsynced_sectors(&self) -> usize {
        let sectors = |op: &DataOp| match op {
            DataOp::Write { data, .. } => data.len().div_ceil(SECTOR),
            DataOp::SetLen { .. } => 0,
        };
        self.unsynced.data.iter().map(sectors).sum()
    }

    /// A crash that leaves the first `sectors` of what is not synced.
    #[must_use]
    pub fn torn_after(&self, sectors: usize) -> SimDisk {
        let mut left = sectors;
        SimDisk::from_image(self.unsynced.with(usize::MAX, &mut || {
            let kept = left > 0;
            left = left.saturating_sub(1);
            kept
        }))
    }

    /// A crash that leaves any sectors of what is not synced, in any order, and the first few of the names.
    #[must_use]
    pub fn sample(&self, chance: &dyn Chance) -> SimDisk {
        SimDisk::from_image(self.unsynced.sample(chance))
    }
}
