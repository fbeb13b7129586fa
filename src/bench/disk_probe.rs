//! The raw cost of a synced write on the disk that the product writes to.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::{BenchError, Doing};
use super::sink::latencies;

/// Bytes of one synced write: the alignment of the product's log.
const WRITE_BYTES: usize = 4096;

/// The preallocated file that is written round and round, bytes. Its size is fixed before the first measured write,
/// so that a sync does not also commit file metadata.
const FILE_BYTES: usize = 16 << 20;

/// At least so many synced writes, however slow the disk is.
const LEAST_WRITES: u64 = 50;

/// What a synced 4 KiB write costs.
#[derive(Debug, Clone, Copy)]
pub struct SyncCost {
    /// Half of the writes were faster.
    pub p50: Duration,
    /// 99 of 100 writes were faster.
    pub p99: Duration,
}

/// Overwrites a zero-filled file in `directory`, one `pwrite` and one `fdatasync` at a time, for `span` and at least
/// 50 times, and removes it.
///
/// # Errors
/// [`BenchError::Io`] when the disk refuses.
pub fn probe(directory: &Path, span: Duration) -> Result<SyncCost, BenchError> {
    let path = directory.join("disk-probe");
    let result = measure(&path, span).doing(|| format!("probing the disk with {}", path.display()));
    // A file left behind is removed with its directory.
    let _ = std::fs::remove_file(&path);
    result
}

fn measure(path: &Path, span: Duration) -> std::io::Result<SyncCost> {
    let file = File::options().create(true).truncate(true).write(true).open(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let block = [0x5a_u8; WRITE_BYTES];
    let mut costs = latencies();
    let started = Instant::now();
    for offset in (0..FILE_BYTES).step_by(WRITE_BYTES).cycle() {
        let before = Instant::now();
        file.write_all_at(&block, offset as u64)?;
        file.sync_data()?;
        costs.saturating_record(before.elapsed().as_nanos() as u64);
        if costs.len() >= LEAST_WRITES && started.elapsed() >= span {
            break;
        }
    }
    let at = |quantile| Duration::from_nanos(costs.value_at_quantile(quantile));
    Ok(SyncCost { p50: at(0.5), p99: at(0.99) })
}

/// Whether `directory` is in memory only, so that a sync costs nothing and every ratio against it is void.
#[cfg(target_os = "linux")]
pub fn is_memory_only(directory: &Path) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    rustix::fs::statfs(directory).is_ok_and(|fs| matches!(fs.f_type as u32, TMPFS | RAMFS))
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub fn is_memory_only(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_measures_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let cost = probe(directory.path(), Duration::from_millis(1)).unwrap();
        // Two system calls take longer than this on any machine.
        assert!(cost.p50 > Duration::from_nanos(100) && cost.p50 <= cost.p99, "{cost:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
