//! The file that says where a process really listens.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The node's name, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The node's identity, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Where events come in, when they do.
    pub ingress: Option<SocketAddr>,
    /// Where requests to services come in, when they do.
    pub gateway: Option<SocketAddr>,
    /// Where the administration API is.
    pub api: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    /// What other nodes dial, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Where the data is kept, when any is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The process.
    pub pid: u32,
    /// Its version.
    pub version: &'static str,
}

/// The file, for as long as the process is ready. Removed on drop, so that it never speaks of a process that is gone
/// in good order.
#[derive(Debug)]
pub struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the file as a whole: whoever finds it can read all of it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write<T: Serialize>(path: &Path, ready: &T) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, ready)?;
        file.write_all(b"\n")?;
        file.persist(path)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_replaces_an_old_one_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        std::fs::write(&path, "an old one that is longer than the new one could be".repeat(20)).unwrap();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let ready = Ready {
            name: Some("a".into()),
            node: Some(1),
            ingress: Some(address),
            gateway: None,
            api: address,
            metrics: address,
            peer: None,
            data: Some("d".into()),
            pid: 7,
            version: "1",
        };
        let file = ReadyFile::write(&path, &ready).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((read["ingress"].as_str(), read["pid"].as_u64()), (Some("127.0.0.1:1"), Some(7)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        drop(file);
        assert!(!path.exists());
    }
}
