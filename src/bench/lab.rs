//! What all workloads of one run share: how long and how often to measure, where to put files, what to show.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use super::error::{BenchError, Doing};
use super::events::Template;
use super::load::Load;
use super::sink::Origin;

/// One run of the bench.
#[derive(Debug)]
pub struct Lab {
    /// Pairs a row.
    pub rounds: usize,
    /// How long one measurement lasts.
    pub window: Duration,
    /// Fewer events where a workload has a fixed number of them.
    pub quick: bool,
    /// Worker threads of the product and of the null server.
    pub workers: usize,
    /// From when planned times count.
    pub origin: Origin,
    /// Live end-to-end events a second, once a workload has measured them.
    pub live_rate: Cell<Option<f64>>,
    files: TempDir,
    directories: Cell<u32>,
    ids: Arc<AtomicU64>,
    bar: ProgressBar,
}

impl Lab {
    /// Makes a directory for the run's files in `data`, removed with the lab.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn new(data: &Path, rounds: usize, window: Duration, quick: bool, workers: usize) -> Result<Self, BenchError> {
        let files = tempfile::Builder::new()
            .prefix("pelton-bench-")
            .tempdir_in(data)
            .doing(|| format!("making a directory in {}", data.display()))?;
        Ok(Self {
            rounds,
            window,
            quick,
            workers,
            origin: Origin::now(),
            live_rate: Cell::new(None),
            files,
            directories: Cell::new(0),
            ids: Arc::new(AtomicU64::new(0)),
            bar: ProgressBar::hidden(),
        })
    }

    /// Shows progress over `workloads` steps, where standard error is a terminal.
    pub fn show_progress(&mut self, workloads: u64) {
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:20}] {pos}/{len} {spinner} {wide_msg}");
        self.bar = ProgressBar::new(workloads).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.enable_steady_tick(Duration::from_millis(250));
    }

    /// Says what is being done.
    pub fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        if self.bar.is_hidden() {
            eprintln!("{what}");
        }
    }

    /// One workload is done; its files are removed.
    pub fn workload_done(&self) {
        self.bar.inc(1);
        for entry in std::fs::read_dir(self.files.path()).into_iter().flatten().flatten() {
            // What stays is removed with the whole directory.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }

    /// Takes the progress bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// A fresh, empty directory.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn directory(&self, name: &str) -> Result<PathBuf, BenchError> {
        let number = self.directories.replace(self.directories.get() + 1);
        let path = self.files.path().join(format!("{number:02}-{name}"));
        std::fs::create_dir(&path).doing(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// The directory of all files of the run.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// A load on `server`.
    pub fn load(&self, server: SocketAddr, template: Template, connections: usize) -> Load {
        Load { servers: vec![server], template, connections, ids: Arc::clone(&self.ids), origin: self.origin }
    }

    /// Where fresh event ids come from.
    pub fn ids(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.ids)
    }

    /// How long a server runs under load before it is measured.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 2 })
    }

    /// A pause between pairs: a host takes time away from machines that never rest.
    pub async fn rest(&self) {
        tokio::time::sleep(Duration::from_millis(if self.quick { 300 } else { 1_500 })).await;
    }
}
