//! The file by which kubectl and others find the API.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What it is called in the data directory.
const FILE: &str = "kubeconfig";

/// What one says that leads to the API at `server`.
///
/// It names a user, without whom clients of Go ask for one where there is TLS.
#[must_use]
pub fn text(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: pelton\nclusters:\n- name: pelton\n  cluster:\n    server: {server}\n\
         contexts:\n- name: pelton\n  context:\n    cluster: pelton\n    user: pelton\n    namespace: default\nusers:\n\
         - name: pelton\n  user: {{}}\n"
    )
}

/// Writes one beside the data, as a whole, for its owner alone. Gives where it is.
///
/// # Errors
/// Those of the file system.
pub fn write(data: &Path, server: &str) -> io::Result<PathBuf> {
    let path = std::path::absolute(data)?.join(FILE);
    let mut file = tempfile::NamedTempFile::new_in(data)?;
    file.write_all(text(server).as_bytes())?;
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_for_its_owner_and_leads_to_the_server() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        for server in ["http://127.0.0.1:1", "http://127.0.0.1:22"] {
            let path = write(folder.path(), server).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let text = std::fs::read_to_string(&path).unwrap();
            let read: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(read.pointer("/clusters/0/cluster/server").unwrap(), server);
            assert_eq!(read.pointer("/contexts/0/context/namespace").unwrap(), "default");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }
}
