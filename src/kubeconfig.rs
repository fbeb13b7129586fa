//! The file by which kubectl and others find the API.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What it is called in the data directory.
const FILE: &str = "kubeconfig";

/// What a client shows, and whom it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The authority of the server's certificate, PEM; `None`: one that the machine trusts.
    pub authority: Option<String>,
    /// The token that is shown.
    pub token: String,
}

/// What one says that leads to the API at `server`.
///
/// It names a user, without whom clients of Go ask for one where there is TLS.
#[must_use]
pub fn text(server: &str, credentials: Option<&Credentials>) -> String {
    let authority = credentials
        .and_then(|it| it.authority.as_ref())
        .map_or_else(String::new, |pem| format!("\n    certificate-authority-data: {}", STANDARD.encode(pem)));
    let user = credentials.map_or_else(|| " {}".to_owned(), |it| format!("\n    token: {}", it.token));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: pelton\nclusters:\n- name: pelton\n  cluster:\n    server: {server}{authority}\n\
         contexts:\n- name: pelton\n  context:\n    cluster: pelton\n    user: pelton\n    namespace: default\nusers:\n\
         - name: pelton\n  user:{user}\n"
    )
}

/// The same file that leads to another server.
#[must_use]
pub fn at(text: &str, server: &str) -> String {
    let line = |line: &str| match line.strip_prefix("    server: ") {
        Some(_) => format!("    server: {server}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Where it is beside the data.
///
/// # Errors
/// Those of the file system.
pub fn path(data: &Path) -> io::Result<PathBuf> {
    Ok(std::path::absolute(data)?.join(FILE))
}

/// Writes one beside the data, as a whole, for its owner alone. Gives where it is.
///
/// # Errors
/// Those of the file system.
pub fn write(data: &Path, server: &str, credentials: Option<&Credentials>) -> io::Result<PathBuf> {
    let path = path(data)?;
    let mut file = tempfile::NamedTempFile::new_in(data)?;
    file.write_all(text(server, credentials).as_bytes())?;
    file.persist(&path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_json::Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn it_is_written_for_its_owner_and_leads_to_the_server() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        for server in ["http://127.0.0.1:1", "http://127.0.0.1:22"] {
            let path = write(folder.path(), server, None).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let read = read(&std::fs::read_to_string(&path).unwrap());
            assert_eq!(read.pointer("/clusters/0/cluster/server").unwrap(), server);
            assert_eq!(read.pointer("/contexts/0/context/namespace").unwrap(), "default");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn it_says_what_is_shown_and_who_is_trusted() {
        let credentials = Credentials { authority: Some("PEM".to_owned()), token: "a.b.c".to_owned() };
        let text = text("https://127.0.0.1:1", Some(&credentials));
        for (text, server) in [(text.clone(), "https://127.0.0.1:1"), (at(&text, "https://b:2"), "https://b:2")] {
            let read = read(&text);
            assert_eq!(read.pointer("/clusters/0/cluster/server").unwrap(), server);
            assert_eq!(read.pointer("/clusters/0/cluster/certificate-authority-data").unwrap(), "UEVN");
            assert_eq!(read.pointer("/users/0/user/token").unwrap(), "a.b.c");
        }
    }
}
