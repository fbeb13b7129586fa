//! Three products as one cluster: `pelton server` processes of this very executable on loopback, each with a data
//! directory of its own.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{Child, address};
use super::error::{BenchError, Doing};
use super::http;
use super::manifest::Manifest;
use super::process::{Resident, processor_time, resident};

/// How long the cluster may take to form, and a node to come back.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How long the cluster may take to be as it should be again after something happened to it.
const HEAL_LIMIT: Duration = Duration::from_secs(180);

/// How often its status is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A cluster of three.
#[derive(Debug)]
pub struct Trio {
    directory: PathBuf,
    workers: usize,
    join: String,
    members: Vec<Member>,
}

/// One node.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where events go in.
    pub ingress: SocketAddr,
    /// Where other nodes reach it.
    peer: SocketAddr,
    api: SocketAddr,
    child: Child,
}

impl Trio {
    /// Starts three empty nodes in `directory` and waits until they are one cluster with a leader for every group.
    ///
    /// # Errors
    /// [`BenchError`] when they do not come up.
    pub async fn start(directory: &Path, workers: usize) -> Result<Self, BenchError> {
        let peers = free_addresses::<3>()?;
        let join = peers.map(|peer| peer.to_string()).join(",");
        let mut trio = Self { directory: directory.to_owned(), workers, join, members: Vec::new() };
        let mut starting = Vec::new();
        for (name, peer) in ["a", "b", "c"].into_iter().zip(peers) {
            starting.push((name, peer, trio.spawn(name, peer)?));
        }
        for (name, peer, child) in starting {
            let member = trio.ready(name, peer, child).await?;
            trio.members.push(member);
        }
        trio.healthy().await?;
        Ok(trio)
    }

    fn spawn(&self, name: &str, peer: SocketAddr) -> Result<Child, BenchError> {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory).doing(|| format!("making {}", directory.display()))?;
        let ready_file = directory.join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file).doing(|| "removing the last ready file".to_owned())?;
        }
        let mut arguments: Vec<OsString> = vec!["server".into(), "--data".into(), directory.join("data").into()];
        for (flag, value) in [
            ("--name", name.to_owned()),
            ("--join", self.join.clone()),
            ("--peer-listen", peer.to_string()),
            ("--ingress-listen", "127.0.0.1:0".to_owned()),
            ("--gateway-listen", "127.0.0.1:0".to_owned()),
            ("--api-listen", "127.0.0.1:0".to_owned()),
            ("--metrics-listen", "127.0.0.1:0".to_owned()),
            ("--workers", self.workers.to_string()),
        ] {
            arguments.extend([flag.into(), value.into()]);
        }
        arguments.extend(["--ready-file".into(), ready_file.into()]);
        Child::spawn("a node", arguments, &directory)
    }

    async fn ready(&self, name: &str, peer: SocketAddr, mut child: Child) -> Result<Member, BenchError> {
        let ready = child.ready(&self.directory.join(name).join("ready.json"), START_LIMIT).await?.json;
        Ok(Member {
            name: name.to_owned(),
            ingress: address(&ready, "ingress")?,
            api: address(&ready, "api")?,
            peer,
            child,
        })
    }

    /// Where events go in, of every node that runs.
    pub fn ingress(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.ingress).collect()
    }

    /// The nodes that run.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Applies every document of the manifest.
    ///
    /// # Errors
    /// [`BenchError`] when one is refused.
    pub async fn apply(&self, manifest: &Manifest) -> Result<(), BenchError> {
        manifest.apply(self.members[0].api).await
    }

    /// The status that the first running node gives.
    ///
    /// # Errors
    /// [`BenchError`] when it gives none.
    pub async fn status(&self) -> Result<serde_json::Value, BenchError> {
        let text = http::get(self.members[0].api, "/v1/cluster").await?;
        serde_json::from_str(&text)
            .map_err(|_| BenchError::Missing { place: "/v1/cluster".to_owned(), field: "JSON".to_owned() })
    }

    /// Waits until nothing is wrong with the cluster and the node that should lead a group does.
    ///
    /// # Errors
    /// [`BenchError::TooLate`].
    pub async fn healthy(&self) -> Result<(), BenchError> {
        let began = Instant::now();
        loop {
            let status = self.status().await?;
            if is_healthy(&status) {
                return Ok(());
            }
            if began.elapsed() > HEAL_LIMIT {
                let what = format!("a cluster in order (problems: {})", status["problems"]);
                return Err(BenchError::TooLate { what, limit: HEAL_LIMIT });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The groups that hold events, each with the node that leads it.
    ///
    /// # Errors
    /// As [`Trio::status`].
    pub async fn leaders(&self) -> Result<Vec<(u32, String)>, BenchError> {
        let status = self.status().await?;
        let groups = status["groups"].as_array().cloned().unwrap_or_default();
        let leader = |group: &serde_json::Value| {
            let number = group["name"].as_str()?.parse().ok()?;
            Some((number, group["leader"].as_str()?.to_owned()))
        };
        Ok(groups.iter().filter_map(leader).collect())
    }

    /// Has a group led by a node.
    ///
    /// # Errors
    /// [`BenchError`] when the change is refused.
    pub async fn lead(&self, group: u32, node: &str) -> Result<(), BenchError> {
        self.change(&serde_json::json!({"change": "lead", "group": group, "node": node})).await
    }

    /// Gives a node up that never comes back.
    ///
    /// # Errors
    /// [`BenchError`] when the change is refused.
    pub async fn remove(&self, node: &str) -> Result<(), BenchError> {
        self.change(&serde_json::json!({"change": "remove", "node": node, "lost": true})).await
    }

    async fn change(&self, change: &serde_json::Value) -> Result<(), BenchError> {
        http::post_json(self.members[0].api, "/v1/cluster/changes", change).await.map(drop)
    }

    /// Ends a node at once. Returns where it was, to start it again.
    ///
    /// # Errors
    /// [`BenchError::Missing`] when there is no such node.
    pub fn kill(&mut self, name: &str) -> Result<SocketAddr, BenchError> {
        let at = self.members.iter().position(|member| member.name == name);
        let at = at.ok_or_else(|| BenchError::Missing { place: "the cluster".to_owned(), field: name.to_owned() })?;
        let member = self.members.remove(at);
        member.child.kill();
        Ok(member.peer)
    }

    /// Starts a node on the data that it has, or as a new one.
    ///
    /// # Errors
    /// [`BenchError`] when it does not come up.
    pub async fn add(&mut self, name: &str, peer: SocketAddr) -> Result<(), BenchError> {
        let child = self.spawn(name, peer)?;
        let member = self.ready(name, peer, child).await?;
        self.members.push(member);
        Ok(())
    }

    /// The processor time of all nodes that run, where the system tells.
    pub fn processor_time(&self) -> Option<Duration> {
        self.members.iter().map(|member| processor_time(member.child.pid())).sum()
    }

    /// Ends all nodes in order.
    ///
    /// # Errors
    /// [`BenchError::Load`] when one had to be killed.
    pub async fn stop(self) -> Result<(), BenchError> {
        let mut all_ended = true;
        for member in self.members {
            all_ended &= member.child.stop().await;
        }
        if all_ended {
            return Ok(());
        }
        Err(BenchError::Load { reason: "a node did not end on SIGTERM and was killed".to_owned() })
    }
}

impl Member {
    /// The processor time that it has used, where the system tells.
    pub fn processor_time(&self) -> Option<Duration> {
        processor_time(self.child.pid())
    }

    /// Its resident memory.
    ///
    /// # Errors
    /// [`BenchError::Missing`] where the system does not tell.
    pub fn resident(&self) -> Result<Resident, BenchError> {
        resident(self.child.pid())
            .ok_or_else(|| BenchError::Missing { place: "/proc/PID/status".to_owned(), field: "VmRSS".to_owned() })
    }
}

fn is_healthy(status: &serde_json::Value) -> bool {
    let groups = status["groups"].as_array().map_or(&[][..], Vec::as_slice);
    let led = |group: &serde_json::Value| {
        group["leader"].is_string() && (group["preferred"].is_null() || group["leader"] == group["preferred"])
    };
    // The registry and a group for each node.
    groups.len() >= 4 && groups.iter().all(led) && status["problems"].as_array().is_some_and(Vec::is_empty)
}

/// Addresses that were free a moment ago. All are held until the last is found, so that they differ.
///
/// # Errors
/// [`BenchError::Io`].
pub fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], BenchError> {
    let doing = || "looking for free ports".to_owned();
    let mut held = Vec::with_capacity(N);
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut found {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(doing)?;
        *address = listener.local_addr().doing(doing)?;
        held.push(listener);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cluster_is_in_order_when_nothing_is_wrong_and_everybody_leads_what_they_should() {
        let group = |name: &str, leader: Option<&str>| json!({"name": name, "leader": leader, "preferred": "a"});
        let status = |leader, problems: &[&str]| {
            let groups = vec![json!({"name": "registry", "leader": "b"}), group("1", Some("a")), group("2", Some("a"))];
            let groups: Vec<_> = groups.into_iter().chain([group("3", leader)]).collect();
            json!({"groups": groups, "problems": problems})
        };
        assert!(is_healthy(&status(Some("a"), &[])));
        assert!(!is_healthy(&status(Some("b"), &[])), "led by another");
        assert!(!is_healthy(&status(None, &[])), "led by nobody");
        assert!(!is_healthy(&status(Some("a"), &["a node is gone"])));
        assert!(!is_healthy(&json!({"groups": [], "problems": []})), "not formed yet");
    }

    #[test]
    fn free_addresses_differ() {
        let [a, b, c] = free_addresses().unwrap();
        assert!(a != b && b != c && a != c);
    }
}
