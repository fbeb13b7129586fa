//! The product under measurement: a `pelton up` of this very executable, with a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{Child, address};
use super::error::{BenchError, Doing};
use super::manifest::Manifest;
use super::process::{ChildProcess, Resident, children, processor_time, resident};
use super::service::Service;
use super::{http, metrics};

/// How long the product may take to be ready, also with gigabytes to recover.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long a Service may take to be ready, and its instances to become what they should be.
const SERVICE_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long after the last exit of an instance its gateway has heard of it for certain.
const HEARD: Duration = Duration::from_millis(20);

/// The label of a revision's metrics with the name of its Service.
const SERVICE_LABEL: &str = "kn_service_name";

/// A running product.
#[derive(Debug)]
pub struct Product {
    child: Child,
    /// Where events go in.
    pub ingress: SocketAddr,
    /// Where requests to Services go in.
    pub gateway: SocketAddr,
    api: SocketAddr,
    metrics: SocketAddr,
    /// From the start of the process to its ready file.
    pub ready_after: Duration,
}

impl Product {
    /// Starts it on the data in `directory` (which may hold some already) with `workers` worker threads.
    ///
    /// # Errors
    /// [`BenchError`] when it does not come up.
    pub async fn start(directory: &Path, workers: usize) -> Result<Self, BenchError> {
        let ready_file = directory.join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file).doing(|| "removing the last ready file".to_owned())?;
        }
        let data = directory.join("data");
        let mut arguments: Vec<std::ffi::OsString> = vec!["up".into(), "--data".into(), data.into()];
        for listen in ["--ingress-listen", "--gateway-listen", "--api-listen", "--metrics-listen"] {
            arguments.extend([listen.into(), "127.0.0.1:0".into()]);
        }
        arguments.extend(["--workers".into(), workers.to_string().into()]);
        arguments.extend(["--ready-file".into(), ready_file.clone().into()]);
        let mut child = Child::spawn("the product", arguments, directory)?;
        let ready = child.ready(&ready_file, START_LIMIT).await?;
        Ok(Self {
            ingress: address(&ready.json, "ingress")?,
            gateway: address(&ready.json, "gateway")?,
            api: address(&ready.json, "api")?,
            metrics: address(&ready.json, "metrics")?,
            ready_after: ready.after,
            child,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Applies every document of the manifest.
    ///
    /// # Errors
    /// [`BenchError`] when one is refused.
    pub async fn apply(&self, manifest: &Manifest) -> Result<(), BenchError> {
        manifest.apply(self.api).await
    }

    /// Applies these Services and waits until each is ready: it was started once, and answered.
    ///
    /// # Errors
    /// [`BenchError`] when one is refused or does not come up.
    pub async fn serve(&self, services: &[Service]) -> Result<(), BenchError> {
        self.apply(&Manifest::services(services)).await?;
        let began = Instant::now();
        for service in services {
            loop {
                let conditions = self.conditions(service).await?;
                if conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True") {
                    break;
                }
                if began.elapsed() > SERVICE_LIMIT {
                    let what = format!("the Service {} ready ({conditions:?})", service.name());
                    return Err(BenchError::TooLate { what, limit: SERVICE_LIMIT });
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    async fn conditions(&self, service: &Service) -> Result<Vec<serde_json::Value>, BenchError> {
        let path = format!("/apis/serving.knative.dev/v1/namespaces/default/services/{}", service.name());
        let text = http::get(self.api, &path).await?;
        let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(found["status"]["conditions"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until no instance of any Service is left, and the product knows it.
    ///
    /// # Errors
    /// [`BenchError::TooLate`].
    pub async fn at_zero(&self) -> Result<(), BenchError> {
        self.instances("no instance left", <[ChildProcess]>::is_empty).await
    }

    /// Waits until there are instances and all of them are paused, and the product knows it.
    ///
    /// # Errors
    /// [`BenchError::TooLate`].
    pub async fn paused(&self) -> Result<(), BenchError> {
        let are_paused = |all: &[ChildProcess]| !all.is_empty() && all.iter().all(|one| one.is_stopped);
        self.instances("all instances paused", are_paused).await
    }

    /// Waits until the instances, which are the only children of the product, are as they should be.
    async fn instances(&self, what: &str, are: impl Fn(&[ChildProcess]) -> bool) -> Result<(), BenchError> {
        let began = Instant::now();
        loop {
            let found = children(self.pid());
            if are(&found) {
                tokio::time::sleep(HEARD).await;
                return Ok(());
            }
            if began.elapsed() > SERVICE_LIMIT {
                let what = format!("{what} ({found:?})");
                return Err(BenchError::TooLate { what, limit: SERVICE_LIMIT });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A metric of a Service; `None` while the product does not export it.
    ///
    /// # Errors
    /// [`BenchError`] when there are no metrics at all.
    pub async fn metric_of(&self, service: &Service, name: &str) -> Result<Option<f64>, BenchError> {
        let text = http::get(self.metrics, "/metrics").await?;
        Ok(metrics::sum_where(&text, name, SERVICE_LABEL, service.name()))
    }

    /// The sum of a metric over all its labels.
    ///
    /// # Errors
    /// [`BenchError::Missing`] when the product does not export it.
    pub async fn counter(&self, name: &str) -> Result<f64, BenchError> {
        let text = http::get(self.metrics, "/metrics").await?;
        metrics::sum(&text, name)
            .ok_or_else(|| BenchError::Missing { place: "/metrics".to_owned(), field: name.to_owned() })
    }

    /// Its resident memory.
    ///
    /// # Errors
    /// [`BenchError::Missing`] where the system does not tell.
    pub fn resident(&self) -> Result<Resident, BenchError> {
        resident(self.pid())
            .ok_or_else(|| BenchError::Missing { place: "/proc/PID/status".to_owned(), field: "VmRSS".to_owned() })
    }

    /// The processor time that it has used, where the system tells.
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(self.pid())
    }

    /// Ends it in order, so that all it holds is on disk.
    ///
    /// # Errors
    /// [`BenchError::Load`] when it had to be killed: what it then recovers is another figure.
    pub async fn stop(self) -> Result<(), BenchError> {
        if self.child.stop().await {
            return Ok(());
        }
        Err(BenchError::Load { reason: "the product did not end on SIGTERM and was killed".to_owned() })
    }
}

/// Bytes of all files under the product's data directory.
pub fn data_bytes(directory: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![directory.join("data")];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}
