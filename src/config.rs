//! Configuration: flags over environment over one YAML file over defaults, read once into types that cannot be wrong.
//!
//! [`KEYS`] is the one list of what can be set. A key has the same name everywhere: `ingress-listen` is the flag
//! `--ingress-listen`, the variable `PELTON_INGRESS_LISTEN` and the member `ingress-listen` of the file.
//! [`Layers`] finds each key's value and remembers where it came from; [`Settings`] checks them all and reports every
//! mistake together. What is about other nodes is [`ClusterSettings`]; `pelton up` has none.

mod access;
mod args;
mod cluster;
mod key;
mod layers;
mod mistake;
mod settings;
#[cfg(test)]
mod tests;
pub mod units;

pub use access::{AccessSettings, ApiAccess};
pub use args::{ServerArgs, SettingsArgs};
pub use cluster::ClusterSettings;
pub use key::{KEYS, Key, Scope, Shape};
pub use layers::{Flags, Layers};
pub use mistake::{ConfigError, Mistake, Source};
#[cfg(test)]
use settings::Retention;
#[cfg(feature = "docker")]
pub use settings::docker_host;
pub use settings::{LogFormat, LogSettings, Settings, default_workers};
pub use units::{parse_duration, parse_size};
