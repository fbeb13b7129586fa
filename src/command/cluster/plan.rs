//! Which nodes a cluster on one machine has, and where each listens: kept in its folder, so that a node that comes back
//! is found where it was.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use pelton_env::Chance;
use serde::{Deserialize, Serialize};

/// The file in the cluster's folder.
const FILE: &str = "cluster.json";

/// Of this form there is one version.
const VERSION: u32 = 1;

/// The names, so also the most nodes there can be.
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Most nodes.
pub const MAX_NODES: usize = NAMES.len();

/// Ports that programs choose for themselves lie from here on.
const FIRST_PORT: u16 = 10_000;

/// Where the system begins to take ports of outgoing connections from, unless it says otherwise.
const FIRST_EPHEMERAL_PORT: u16 = 32_768;

/// How many ports are tried for each that is needed. On a machine where so many in a row are taken nothing is free.
const TRIES: usize = 100;

/// The nodes of a cluster on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// The nodes; the first forms the cluster.
    pub nodes: Vec<Place>,
    /// Whether its API asks who one is.
    #[serde(default)]
    pub api_auth: bool,
}

/// A node and its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its name, and that of its folder.
    pub name: String,
    /// Where events come in.
    pub ingress: SocketAddr,
    /// Where requests to services come in; a plan that was made before nodes ran services has none.
    #[serde(default)]
    pub gateway: Option<SocketAddr>,
    /// Where the administration API is.
    pub api: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    /// Where the other nodes reach it.
    pub peer: SocketAddr,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There was none to read.
    #[error("there is no cluster in {0}")]
    Missing(String),
    /// What is there is none.
    #[error("{path} is not the plan of a cluster: {why}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// There are no free ports.
    #[error("no free port was found on 127.0.0.1")]
    Ports(#[source] io::Error),
}

impl Plan {
    /// Reads the plan in `folder`.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn read(folder: &Path) -> Result<Self, PlanError> {
        let path = folder.join(FILE);
        let shown = path.display().to_string();
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => PlanError::Missing(folder.display().to_string()),
            _ => PlanError::Io { path: shown.clone(), source },
        })?;
        let malformed = |why: String| PlanError::Malformed { path: shown.clone(), why };
        let plan: Self = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if plan.version != VERSION {
            return Err(malformed(format!("its version is {}, and this program reads {VERSION}", plan.version)));
        }
        // The names become folders.
        let known = |place: &Place| NAMES.contains(&place.name.as_str());
        if plan.nodes.is_empty() || !plan.nodes.iter().all(known) {
            return Err(malformed("its nodes are not called a, b, c and so on".to_owned()));
        }
        Ok(plan)
    }

    /// Makes a plan of `count` nodes on free ports, and writes it to `folder`.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn make(folder: &Path, count: usize, api_auth: bool, chance: &dyn Chance) -> Result<Self, PlanError> {
        let mut ports = Ports::new(chance);
        let mut nodes = Vec::with_capacity(count);
        for name in &NAMES[..count.min(MAX_NODES)] {
            nodes.push(Place {
                name: (*name).to_owned(),
                ingress: ports.take()?,
                gateway: Some(ports.take()?),
                api: ports.take()?,
                metrics: ports.take()?,
                peer: ports.take()?,
            });
        }
        let plan = Self { version: VERSION, nodes, api_auth };
        plan.write(folder)?;
        Ok(plan)
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Place> {
        self.nodes.iter().find(|place| place.name == name)
    }

    /// What each node is told to join.
    #[must_use]
    pub fn join(&self) -> String {
        self.nodes.iter().map(|place| place.peer.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Writes it to `folder`, as a whole.
    ///
    /// # Errors
    /// [`PlanError::Io`].
    pub fn write(&self, folder: &Path) -> Result<(), PlanError> {
        let path = folder.join(FILE);
        let io = |source| PlanError::Io { path: path.display().to_string(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let text = serde_json::to_vec_pretty(self).expect("names and addresses are JSON");
        file.write_all(&text).map_err(io)?;
        file.persist(&path).map_err(|error| io(error.error))?;
        Ok(())
    }
}

/// Free ports of 127.0.0.1, below those that the system gives to outgoing connections: one of these could sit on a
/// node's port while the node is down. All are held until the plan is made, so that none is given twice.
struct Ports<'a> {
    chance: &'a dyn Chance,
    end: u16,
    held: Vec<TcpListener>,
}

impl<'a> Ports<'a> {
    fn new(chance: &'a dyn Chance) -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
        let begin = range.and_then(|range| range.split_whitespace().next()?.parse().ok());
        // A system that leaves too little room below has us take our chance.
        let end = begin.filter(|begin| *begin > FIRST_PORT + 5_000).unwrap_or(FIRST_EPHEMERAL_PORT);
        Self { chance, end, held: Vec::new() }
    }

    fn take(&mut self) -> Result<SocketAddr, PlanError> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            let room = u64::from(self.end - FIRST_PORT);
            let port = FIRST_PORT + u16::try_from(self.chance.below(room)).expect("it is below a port");
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|l| Ok((l.local_addr()?, l))) {
                Ok((address, listener)) => {
                    self.held.push(listener);
                    return Ok(address);
                }
                Err(error) => last = error,
            }
        }
        Err(PlanError::Ports(last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pelton_env::SeededChance;

    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("new");
        let plan = Plan::make(&inside, 3, false, &SeededChance::new(1)).unwrap();
        assert_eq!(Plan::read(&inside).unwrap(), plan);
        assert_eq!(plan.nodes.iter().map(|place| place.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let ports: BTreeSet<u16> =
            plan.nodes.iter().flat_map(|n| [n.ingress, n.api, n.metrics, n.peer]).map(|a| a.port()).collect();
        assert_eq!(ports.len(), 12, "each address is another: {plan:?}");
        assert_eq!(plan.join().split(',').count(), 3);
        assert!(plan.node("b").is_some() && plan.node("d").is_none());
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Plan::read(folder.path()), Err(PlanError::Missing(_))));
        let good = Plan::make(folder.path(), 1, true, &SeededChance::new(1)).unwrap();
        let good = serde_json::to_string(&good).unwrap();
        for bad in ["", "{}", &good.replace("\"version\":1", "\"version\":2"), &good.replace("\"a\"", "\"../x\"")] {
            fs::write(folder.path().join(FILE), bad).unwrap();
            assert!(matches!(Plan::read(folder.path()), Err(PlanError::Malformed { .. })), "{bad}");
        }
    }
}
