//! Which server a command talks to, and as whom: contexts of kubeconfig files.
//!
//! The first of these that says something decides:
//!
//! 1. `--api URL`: that server, without credentials; with `--context` or `--kubeconfig` as well, with those of the context.
//! 2. `--context NAME`, or `--kubeconfig FILE` and the context that is current in it.
//! 3. `PELTON_API`, a URL.
//! 4. The context that is current in Pelton's own configuration: the files of `PELTON_KUBECONFIG`, else `pelton/config` in the
//!    folder for configuration.
//! 5. `http://127.0.0.1:8001`.
//!
//! A context is looked for in Pelton's own configuration, and then in the files of kubectl (`KUBECONFIG`, `~/.kube/config`).
//! What is current in kubectl's files is never followed by itself: it may be a cluster that was not meant.

mod config;
mod credentials;
mod places;

use std::path::PathBuf;

pub use config::{BadConfig, Config, Context, change};
pub use credentials::server;
pub use places::Places;

use crate::http::{BadUrl, Endpoint, Url};

/// Where the API of `pelton up` is.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8001";

/// The variable with the URL of a server.
const API_VARIABLE: &str = "PELTON_API";

/// Where to go instead, as the command line says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The URL of a server.
    pub api: Option<String>,
    /// The only file that is looked at.
    pub kubeconfig: Option<PathBuf>,
    /// A context by its name.
    pub context: Option<String>,
}

/// A server, and what one is there.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server.
    pub endpoint: Endpoint,
    /// The namespace that is meant when none is said.
    pub namespace: Option<String>,
}

/// Why it is not known where to go.
#[derive(Debug, thiserror::Error)]
pub enum NoTarget {
    /// A file cannot be used.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// A URL cannot be used.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// There is no such context.
    #[error("there is no context {name:?} in {}", list(.looked_at))]
    NoContext {
        /// Its name.
        name: String,
        /// Where it was looked for.
        looked_at: Vec<PathBuf>,
    },
    /// The file that was named says of no context that it is current.
    #[error("{} has no current context: --context names one", list(.0))]
    NoneCurrent(Vec<PathBuf>),
    /// A context names something that is not there.
    #[error("the context {context:?} names the {what} {name:?}, which is not there")]
    Missing {
        /// The context.
        context: String,
        /// `cluster` or `user`.
        what: &'static str,
        /// How it is called.
        name: String,
    },
    /// What a context says cannot be used.
    #[error("the context {context:?} cannot be used: {why}")]
    Unusable {
        /// The context.
        context: String,
        /// Why not, as a sentence.
        why: String,
    },
}

fn list(files: &[PathBuf]) -> String {
    match files {
        [] => "any file: there is none".to_owned(),
        files => files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "),
    }
}

/// Finds the server. `variable` reads the environment.
///
/// # Errors
/// [`NoTarget`].
pub fn resolve(wanted: &Wanted, variable: impl Fn(&str) -> Option<String>) -> Result<Target, NoTarget> {
    let at = |url: &str| Ok(Target { endpoint: Url::parse(url)?.into(), namespace: None });
    let names_a_context = wanted.context.is_some() || wanted.kubeconfig.is_some();
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(url) = wanted.api.clone().or_else(|| set(API_VARIABLE)).filter(|_| !names_a_context) {
        return at(&url);
    }
    let places = Places::of(wanted.kubeconfig.as_deref(), variable);
    let own = Config::read_all(&places.own)?;
    let name = match wanted.context.clone().or_else(|| own.current()) {
        Some(name) => name,
        None if wanted.kubeconfig.is_some() => return Err(NoTarget::NoneCurrent(places.own)),
        None => return at(DEFAULT_SERVER),
    };
    let (config, context) = find(own, &places, &name)?;
    let mut target = credentials::target(&config, &name, &context)?;
    if let Some(url) = &wanted.api {
        target.endpoint.url = Url::parse(url)?;
    }
    Ok(target)
}

fn find(own: Config, places: &Places, name: &str) -> Result<(Config, Context), NoTarget> {
    if let Some(context) = own.context(name) {
        return Ok((own, context));
    }
    let kubectl = Config::read_all(&places.kubectl)?;
    match kubectl.context(name) {
        Some(context) => Ok((kubectl, context)),
        None => {
            let looked_at = places.own.iter().chain(&places.kubectl).cloned().collect();
            Err(NoTarget::NoContext { name: name.to_owned(), looked_at })
        }
    }
}

#[cfg(test)]
mod tests;
