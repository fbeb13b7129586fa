//! Whose data directory this is.
//!
//! `identity.json` says to which cluster the directory belongs, as which node. `nonce` tells the directory from every
//! other one, before it belongs to a cluster: a node that asks to join twice, because the answer was lost, is known by
//! it. Both are written beside, synced, renamed and the directory synced: they are there whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pelton_env::Chance;
use pelton_log::Identity;
use serde::{Deserialize, Serialize};

use crate::cluster::Nonce;
use crate::node::OpenError;

/// The file that says whose directory it is.
pub(crate) const FILE: &str = "identity.json";

/// The file that tells the directory from every other one.
pub(crate) const NONCE: &str = "nonce";

/// The registry's applied state.
pub(crate) const REGISTRY_STORE: &str = "registry.sled";

/// What a node is told whose nonce is gone.
const NONCE_MISSING: &str = "it is missing; restore the file from a backup";

/// The layout of the data directory.
const FORMAT: u32 = 1;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The layout of the directory.
    format: u32,
    /// The cluster, 32 hexadecimal digits.
    cluster: String,
    /// The node's id in the cluster, from 1 on.
    node: u64,
    /// Whether there has to be a log. Not said in directories from before there were clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<LogMark>,
    /// The cluster that the log was made in, when the directory has become another's since ([`crate::Recovery`]): the
    /// log keeps the name that is in each of its segments.
    #[serde(default, rename = "log-cluster", skip_serializing_if = "Option::is_none")]
    log_cluster: Option<String>,
    /// The cluster that it is to become, while that is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovering: Option<String>,
}

/// Whether a log was ever made in the directory. A node whose log is gone has forgotten what it voted for and what it
/// acknowledged: it must not go on under its id.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LogMark {
    NotYet,
    Made,
}

/// What a data directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directory {
    /// It belongs to nobody yet.
    New,
    /// It belongs to a node.
    Known {
        /// Which.
        identity: Identity,
        /// From before there were clusters: the node is one by itself.
        alone: bool,
    },
}

/// Finds out whose directory it is; makes the directory when there is none.
///
/// # Errors
/// The directory cannot be read or written, is of another layout, or lacks what it must have.
pub(crate) fn examine(data: &Path) -> Result<Directory, OpenError> {
    make_durable(data).map_err(|error| refuse(data.to_owned(), error.to_string()))?;
    let Some(stored) = read_checked(data)? else { return Ok(Directory::New) };
    let path = data.join(FILE);
    if stored.recovering.is_some() {
        let why = "a recovery was begun in this directory and is not finished: run `pelton recover` again";
        return Err(refuse(path, why.to_owned()));
    }
    let alone = stored.log.is_none();
    if has_entries(&data.join("log")) && stored.log == Some(LogMark::NotYet) {
        log_was_made(data)?;
    }
    Ok(Directory::Known { identity: identity_of(&stored).map_err(|why| refuse(path, why))?, alone })
}

/// What the directory says of itself, if it has all that belongs to that; `None` in a new one.
fn read_checked(data: &Path) -> Result<Option<Stored>, OpenError> {
    let path = data.join(FILE);
    let log = data.join("log");
    let stored = match std::fs::read(&path) {
        Ok(bytes) => parse(&bytes).map_err(|why| refuse(path.clone(), why))?,
        // A log without its identity is not adopted: nobody knows whose it is.
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_entries(&log) => {
            return Err(refuse(path, "it is missing, and there is a log; restore the file from a backup".into()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(path, error.to_string())),
    };
    // The registry's store is made after the log: with it and without a log, something took the log away.
    if !has_entries(&log) && (stored.log == Some(LogMark::Made) || data.join(REGISTRY_STORE).exists()) {
        let why = "it is missing or empty, and there was a log; restore it from a backup, or start with an empty data \
                   directory: in a cluster that is a new node";
        return Err(refuse(log, why.to_owned()));
    }
    if stored.log.is_some() && !data.join(NONCE).exists() {
        return Err(refuse(data.join(NONCE), NONCE_MISSING.to_owned()));
    }
    Ok(Some(stored))
}

fn identity_of(stored: &Stored) -> Result<Identity, String> {
    Ok(Identity { cluster: parse_cluster(&stored.cluster)?, node: stored.node })
}

fn log_identity_of(stored: &Stored) -> Result<Identity, String> {
    let cluster = parse_cluster(stored.log_cluster.as_ref().unwrap_or(&stored.cluster))?;
    Ok(Identity { cluster, node: stored.node })
}

fn parse_cluster(text: &str) -> Result<u128, String> {
    u128::from_str_radix(text, 16).map_err(|error| damaged(&error))
}

fn cluster_text(cluster: u128) -> String {
    format!("{cluster:032x}")
}

/// Under which name the log of a directory with an identity is opened.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn of_log(data: &Path) -> Result<Identity, OpenError> {
    let path = data.join(FILE);
    let bytes = std::fs::read(&path).map_err(|error| refuse(path.clone(), error.to_string()))?;
    parse(&bytes).and_then(|stored| log_identity_of(&stored)).map_err(|why| refuse(path, why))
}

/// A directory that is to become a cluster of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recoverable {
    /// Whose it is.
    pub(crate) identity: Identity,
    /// Under which name its log is opened.
    pub(crate) log: Identity,
    /// The cluster that it is to become, if that was begun before.
    pub(crate) recovering: Option<u128>,
}

/// Looks at a directory and changes nothing.
///
/// # Errors
/// As [`examine`], and when it belongs to nobody.
pub(crate) fn recoverable(data: &Path) -> Result<Recoverable, OpenError> {
    let path = data.join(FILE);
    let nobody = || refuse(path.clone(), "it is missing: this is no node's data directory".to_owned());
    let stored = read_checked(data)?.ok_or_else(nobody)?;
    let read = || -> Result<Recoverable, String> {
        let recovering = stored.recovering.as_deref().map(parse_cluster).transpose()?;
        Ok(Recoverable { identity: identity_of(&stored)?, log: log_identity_of(&stored)?, recovering })
    };
    read().map_err(|why| refuse(path.clone(), why))
}

/// Remembers which cluster the directory is to become. Until [`finish_recovery`] no node starts in it: half of a
/// recovery is a second cluster under the name of the first.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn begin_recovery(data: &Path, chance: &dyn Chance) -> Result<u128, OpenError> {
    let begun = recoverable(data)?;
    let cluster = begun.recovering.unwrap_or_else(|| found(chance).cluster);
    change(data, |stored| Stored { recovering: Some(cluster_text(cluster)), ..stored })?;
    Ok(cluster)
}

/// The directory is that cluster's from now on.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn finish_recovery(data: &Path) -> Result<(), OpenError> {
    change(data, |stored| match stored.recovering {
        Some(cluster) => {
            let log_cluster = Some(stored.log_cluster.unwrap_or(stored.cluster));
            Stored { cluster, log_cluster, recovering: None, ..stored }
        }
        None => stored,
    })
}

fn change(data: &Path, change: impl FnOnce(Stored) -> Stored) -> Result<(), OpenError> {
    let path = data.join(FILE);
    let bytes = std::fs::read(&path).map_err(|error| refuse(path.clone(), error.to_string()))?;
    let stored = parse(&bytes).map_err(|why| refuse(path, why))?;
    store(data, &change(stored))
}

/// Reads what tells the directory from others, or makes it, durably.
///
/// # Errors
/// The file cannot be read or written, or holds something else.
pub(crate) fn nonce(data: &Path, chance: &dyn Chance) -> Result<Nonce, OpenError> {
    let path = data.join(NONCE);
    make_durable(data).map_err(|error| refuse(data.to_owned(), error.to_string()))?;
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim_end().parse().map_err(|error| refuse(path, damaged(&error))),
        // A node that has an identity is known by its nonce; another one makes it a stranger.
        Err(error) if error.kind() == io::ErrorKind::NotFound && had_nonce(data) => {
            Err(refuse(path, NONCE_MISSING.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let nonce = Nonce::random(chance);
            write(data, NONCE, format!("{nonce}\n").as_bytes()).map_err(|error| refuse(path, error.to_string()))?;
            Ok(nonce)
        }
        Err(error) => Err(refuse(path, error.to_string())),
    }
}

/// Gives a new directory its identity. The log comes after it.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn take(data: &Path, identity: Identity) -> Result<(), OpenError> {
    let cluster = cluster_text(identity.cluster);
    let (log, node) = (Some(LogMark::NotYet), identity.node);
    store(data, &Stored { format: FORMAT, cluster, node, log, log_cluster: None, recovering: None })
}

/// Remembers that there is a log now. Without it the node never starts again. To be called before the node votes or
/// acknowledges anything.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn log_was_made(data: &Path) -> Result<(), OpenError> {
    let path = data.join(FILE);
    let bytes = std::fs::read(&path).map_err(|error| refuse(path.clone(), error.to_string()))?;
    let stored = parse(&bytes).map_err(|why| refuse(path, why))?;
    match stored.log {
        Some(LogMark::NotYet) => store(data, &Stored { log: Some(LogMark::Made), ..stored }),
        Some(LogMark::Made) | None => Ok(()),
    }
}

/// The identity of a node by itself: the directory's, or a new cluster of one.
///
/// # Errors
/// As [`examine`].
pub(crate) fn read_or_make(data: &Path, chance: &dyn Chance) -> Result<Identity, OpenError> {
    match examine(data)? {
        Directory::Known { identity, .. } => Ok(identity),
        Directory::New => {
            nonce(data, chance)?;
            let identity = found(chance);
            take(data, identity)?;
            Ok(identity)
        }
    }
}

/// The first node of a new cluster.
pub(crate) fn found(chance: &dyn Chance) -> Identity {
    Identity { cluster: (u128::from(chance.bits()) << 64) | u128::from(chance.bits()), node: 1 }
}

/// Whether the directory has an identity of those that come with a nonce.
fn had_nonce(data: &Path) -> bool {
    let stored = std::fs::read(data.join(FILE)).ok().and_then(|bytes| parse(&bytes).ok());
    stored.is_some_and(|stored| stored.log.is_some())
}

fn refuse(path: PathBuf, why: String) -> OpenError {
    OpenError::Directory { path, why }
}

fn damaged(error: &dyn std::fmt::Display) -> String {
    format!("it is damaged: {error}")
}

fn parse(bytes: &[u8]) -> Result<Stored, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let format: Format = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
    if format.format != FORMAT {
        return Err(format!("the directory has format {}; this program reads format {FORMAT}", format.format));
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(&error))
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

fn store(data: &Path, stored: &Stored) -> Result<(), OpenError> {
    let mut text = serde_json::to_vec_pretty(stored).expect("texts and numbers always serialize");
    text.push(b'\n');
    write(data, FILE, &text).map_err(|error| refuse(data.join(FILE), error.to_string()))
}

/// Written beside, synced, renamed, and the directory synced: it is there whole or not at all.
fn write(data: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = data.join(format!("{name}.new"));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, data.join(name))?;
    std::fs::File::open(data)?.sync_all()
}

#[cfg(test)]
mod tests {
    use pelton_env::SeededChance;

    use super::*;

    fn make_log(data: &Path) {
        std::fs::create_dir_all(data.join("log")).unwrap();
        std::fs::write(data.join("log").join("x"), "").unwrap();
    }

    fn refusal(data: &Path) -> String {
        examine(data).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_keeps_its_identity_and_its_nonce() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new").join("deep");
        let made = read_or_make(&data, &SeededChance::new(1)).unwrap();
        assert_eq!(read_or_make(&data, &SeededChance::new(2)).unwrap(), made);
        let first = nonce(&data, &SeededChance::new(3)).unwrap();
        assert_eq!(nonce(&data, &SeededChance::new(4)).unwrap(), first);
        log_was_made(&data).unwrap_or_else(|error| panic!("{error}"));
        make_log(&data);
        assert_eq!(examine(&data).unwrap(), Directory::Known { identity: made, alone: false });
    }

    #[test]
    fn another_format_and_damage_are_refused() {
        for (content, says) in [
            ("{\"format\": 2, \"whatever\": 1}", "format 2"),
            ("{\"format\": 1, \"cluster\": \"xyz\", \"node\": 1}", "damaged"),
            ("{\"format\": 1, \"cluster\": \"0\", \"node\": 1, \"log\": \"gone\"}", "damaged"),
            ("", "damaged"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), content).unwrap();
            let error = refusal(dir.path());
            assert!(error.contains(says), "{content}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NONCE), "abc\n").unwrap();
        let error = nonce(dir.path(), &SeededChance::new(1)).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains(NONCE), "{error}");
    }

    #[test]
    fn a_lost_identity_a_lost_nonce_and_a_lost_log_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        make_log(dir.path());
        assert!(refusal(dir.path()).contains("it is missing, and there is a log"));

        let dir = tempfile::tempdir().unwrap();
        read_or_make(dir.path(), &SeededChance::new(1)).unwrap();
        read_or_make(dir.path(), &SeededChance::new(1)).expect("a start that ended before there was a log is repeated");
        std::fs::remove_file(dir.path().join(NONCE)).unwrap();
        assert!(refusal(dir.path()).contains("restore the file"));
        let error = nonce(dir.path(), &SeededChance::new(1)).unwrap_err().to_string();
        assert!(error.contains("restore the file"), "no other one is made: {error}");

        let dir = tempfile::tempdir().unwrap();
        read_or_make(dir.path(), &SeededChance::new(1)).unwrap();
        make_log(dir.path());
        examine(dir.path()).expect("that there is a log now is remembered");
        std::fs::remove_dir_all(dir.path().join("log")).unwrap();
        let error = refusal(dir.path());
        assert!(error.contains("there was a log") && error.contains("new node"), "{error}");
    }

    /// As version 0.1.0 wrote it: without a nonce and without a word of the log.
    #[test]
    fn a_recovery_is_begun_once_keeps_nodes_out_and_leaves_the_logs_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(recoverable(dir.path()).unwrap_err().to_string().contains("no node's data directory"));
        let made = read_or_make(dir.path(), &SeededChance::new(1)).unwrap();
        make_log(dir.path());
        for round in 1..3 {
            let before = recoverable(dir.path()).unwrap();
            assert_eq!((before.log, before.recovering), (made, None), "the log keeps its name, round {round}");
            let cluster = begin_recovery(dir.path(), &SeededChance::new(2 * round)).unwrap();
            assert_ne!(cluster, before.identity.cluster);
            assert!(refusal(dir.path()).contains("run `pelton recover` again"));
            let again = begin_recovery(dir.path(), &SeededChance::new(99)).unwrap();
            assert_eq!(again, cluster, "what was begun goes on");
            finish_recovery(dir.path()).unwrap();
            finish_recovery(dir.path()).expect("doing it again changes nothing");
            let known = Directory::Known { identity: Identity { cluster, ..made }, alone: false };
            assert_eq!(examine(dir.path()).unwrap(), known);
            assert_eq!(of_log(dir.path()).unwrap(), made);
        }
    }

    #[test]
    fn a_directory_from_before_there_were_clusters_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{{\"format\": 1, \"cluster\": \"{:032x}\", \"node\": 1}}\n", 0xab);
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let known = Directory::Known { identity: Identity { cluster: 0xab, node: 1 }, alone: true };
        assert_eq!(examine(dir.path()).unwrap(), known);
        make_log(dir.path());
        nonce(dir.path(), &SeededChance::new(1)).unwrap();
        assert_eq!(examine(dir.path()).unwrap(), known);
        std::fs::create_dir(dir.path().join(REGISTRY_STORE)).unwrap();
        std::fs::remove_dir_all(dir.path().join("log")).unwrap();
        assert!(refusal(dir.path()).contains("there was a log"));
    }
}
