//! What the process says about itself: log lines, metrics, health.

mod describe;
mod health;
mod log;
mod log_observer;
mod metrics;
mod process;

pub use health::{Health, MetricsListener};
pub use log::install as install_log;
pub use log_observer::LogObserver;
pub use metrics::Metrics;
pub use process::REVISION;
