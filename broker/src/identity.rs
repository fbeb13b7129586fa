//! Whose data directory this is.

use std::io::{self, Write};
use std::path::Path;

use pelton_env::Chance;
use pelton_log::Identity;
use serde::{Deserialize, Serialize};

use crate::node::OpenError;

/// The file that says whose directory it is.
pub(crate) const FILE: &str = "identity.json";

/// The registry's applied state.
pub(crate) const REGISTRY_STORE: &str = "registry.sled";

/// The layout of the data directory.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The layout of the directory.
    format: u32,
    /// The cluster, 32 hexadecimal digits.
    cluster: String,
    /// The node's id in the cluster, from 1 on.
    node: u64,
}

/// Reads the identity of a data directory, or gives a new directory one.
///
/// # Errors
/// The directory cannot be read or written, is of another layout, or holds a log without an identity.
pub(crate) fn read_or_make(data: &Path, chance: &dyn Chance) -> Result<Identity, OpenError> {
    let path = data.join(FILE);
    let refuse = |why: String| OpenError::Directory { path: path.clone(), why };
    make_durable(data).map_err(|error| OpenError::Directory { path: data.to_owned(), why: error.to_string() })?;
    match std::fs::read(&path) {
        Ok(bytes) => {
            let identity = parse(&bytes).map_err(&refuse)?;
            // The registry's store is made after the log: with it and without a log, something took the log away.
            if data.join(REGISTRY_STORE).exists() && !has_entries(&data.join("log")) {
                let path = data.join("log");
                let why =
                    "it is missing or empty, and there was a log; restore it from a backup, or start with an empty \
                           data directory"
                        .to_owned();
                return Err(OpenError::Directory { path, why });
            }
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A log without its identity is not adopted: nobody knows whose it is.
            if data.join("log").join(".").exists() && has_entries(&data.join("log")) {
                return Err(refuse("it is missing, and there is a log; restore the file from a backup".into()));
            }
            let cluster = (u128::from(chance.bits()) << 64) | u128::from(chance.bits());
            let identity = Identity { cluster, node: 1 };
            write(data, identity).map_err(|error| refuse(error.to_string()))?;
            Ok(identity)
        }
        Err(error) => Err(refuse(error.to_string())),
    }
}

fn parse(bytes: &[u8]) -> Result<Identity, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let format: Format = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
    if format.format != FORMAT {
        return Err(format!("the directory has format {}; this program reads format {FORMAT}", format.format));
    }
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
    let cluster = u128::from_str_radix(&stored.cluster, 16).map_err(|error| format!("it is damaged: {error}"))?;
    Ok(Identity { cluster, node: stored.node })
}

fn has_entries(log: &Path) -> bool {
    std::fs::read_dir(log).is_ok_and(|mut entries| entries.next().is_some())
}

/// Makes a directory, with those above it that are missing. Each is synced into the one that holds it: a log in a
/// directory that is gone after a loss of power is lost with it.
fn make_durable(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_durable(above)?;
    std::fs::create_dir(directory)?;
    std::fs::File::open(above)?.sync_all()
}

/// Written beside, synced, renamed, and the directory synced: it is there whole or not at all.
fn write(data: &Path, identity: Identity) -> io::Result<()> {
    let stored = Stored { format: FORMAT, cluster: format!("{:032x}", identity.cluster), node: identity.node };
    let beside = data.join("identity.json.new");
    let mut file = std::fs::File::create(&beside)?;
    serde_json::to_writer_pretty(&mut file, &stored)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&beside, data.join(FILE))?;
    std::fs::File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use pelton_env::SeededChance;

    use super::*;

    #[test]
    fn a_directory_keeps_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new").join("deep");
        let made = read_or_make(&data, &SeededChance::new(1)).unwrap();
        assert_eq!(read_or_make(&data, &SeededChance::new(2)).unwrap(), made);
    }

    #[test]
    fn another_format_damage_and_a_lost_identity_are_refused() {
        for (content, says) in [
            ("{\"format\": 2, \"whatever\": 1}", "format 2"),
            ("{\"format\": 1, \"cluster\": \"xyz\", \"node\": 1}", "damaged"),
            ("", "damaged"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), content).unwrap();
            let error = read_or_make(dir.path(), &SeededChance::new(1)).unwrap_err().to_string();
            assert!(error.contains(says), "{content}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        std::fs::write(dir.path().join("log").join("x"), "").unwrap();
        assert!(read_or_make(dir.path(), &SeededChance::new(1)).is_err());
        let dir = tempfile::tempdir().unwrap();
        read_or_make(dir.path(), &SeededChance::new(1)).unwrap();
        read_or_make(dir.path(), &SeededChance::new(1)).expect("a start that ended before there was a log is repeated");
        std::fs::create_dir(dir.path().join(REGISTRY_STORE)).unwrap();
        let error = read_or_make(dir.path(), &SeededChance::new(1)).unwrap_err().to_string();
        assert!(error.contains("there was a log"), "{error}");
    }
}
