//! A kubeconfig file.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use pelton_resource::parse_value;
use serde::Deserialize;
use serde_json::{Value, json};

/// The largest file that is read. One with a thousand clusters and their certificates has some 5 MiB.
const MAX_CONFIG_BYTES: u64 = 8 * 1024 * 1024;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// It cannot be read or written.
    #[error("{}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no kubeconfig.
    #[error("{} is no kubeconfig: {why}", .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
}

/// One kubeconfig, or several as one: what stands first counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Config {
    current_context: String,
    #[serde(deserialize_with = "present")]
    clusters: Vec<Named<Cluster>>,
    #[serde(deserialize_with = "present")]
    contexts: Vec<Named<Context>>,
    #[serde(deserialize_with = "present")]
    users: Vec<Named<User>>,
}

/// Something with its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound(deserialize = "T: Default + Deserialize<'de>"))]
pub struct Named<T> {
    /// Its name.
    pub name: String,
    /// What it is. Missing, it is empty.
    #[serde(alias = "cluster", alias = "context", alias = "user", default, deserialize_with = "present")]
    pub value: T,
}

/// A server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    /// Its URL.
    pub server: String,
    /// A file with the certificates of the authorities that it is trusted by.
    pub certificate_authority: String,
    /// These themselves, in base64.
    pub certificate_authority_data: String,
    /// The name that its certificate has.
    pub tls_server_name: String,
    /// Whether anybody is trusted. Refused.
    pub insecure_skip_tls_verify: bool,
    /// Through whom it is reached. Refused.
    pub proxy_url: String,
    /// The folder of the file that this is from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A server, a user and a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Context {
    /// The server, by name.
    pub cluster: String,
    /// The user, by name.
    pub user: String,
    /// The namespace that is meant when none is said.
    pub namespace: String,
}

/// What shows who one is.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    /// A bearer token.
    pub token: String,
    /// A file with one. Counts before `token`.
    #[serde(rename = "tokenFile")]
    pub token_file: String,
    /// A file with a certificate.
    pub client_certificate: String,
    /// The certificate itself, in base64.
    pub client_certificate_data: String,
    /// A file with its key.
    pub client_key: String,
    /// The key itself, in base64.
    pub client_key_data: String,
    /// A program that is to be run. Refused.
    pub exec: Option<Value>,
    /// Another way to get credentials. Refused.
    pub auth_provider: Option<Value>,
    /// A name that goes with a password. Refused.
    pub username: String,
    /// Whom to act as. Refused.
    #[serde(rename = "as")]
    pub act_as: Option<Value>,
    /// His uid. Refused.
    pub as_uid: Option<Value>,
    /// His groups. Refused.
    pub as_groups: Option<Value>,
    /// What else is known of him. Refused.
    pub as_user_extra: Option<Value>,
    /// The folder of the file that this is from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// It is full of secrets.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

/// `clusters: null` is as good as none: kubectl writes that.
fn present<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Config {
    /// Reads files as one. One that is not there is as good as empty.
    ///
    /// # Errors
    /// [`BadConfig`].
    pub fn read_all(files: &[PathBuf]) -> Result<Self, BadConfig> {
        let mut all = Self::default();
        for file in files {
            let Some(value) = read(file)? else { continue };
            let mut one: Self = serde_json::from_value(value)
                .map_err(|error| BadConfig::Malformed { file: file.clone(), why: error.to_string() })?;
            let folder = file.parent().unwrap_or(Path::new("")).to_owned();
            one.clusters.iter_mut().for_each(|cluster| cluster.value.folder.clone_from(&folder));
            one.users.iter_mut().for_each(|user| user.value.folder.clone_from(&folder));
            if all.current_context.is_empty() {
                all.current_context = one.current_context;
            }
            all.clusters.append(&mut one.clusters);
            all.contexts.append(&mut one.contexts);
            all.users.append(&mut one.users);
        }
        Ok(all)
    }

    /// The name of the context that is current.
    pub fn current(&self) -> Option<String> {
        Some(self.current_context.clone()).filter(|name| !name.is_empty())
    }

    /// The contexts, in the order of the files.
    pub fn contexts(&self) -> &[Named<Context>] {
        &self.contexts
    }

    /// The context of that name.
    pub fn context(&self, name: &str) -> Option<Context> {
        named(&self.contexts, name).cloned()
    }

    /// The server of that name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        named(&self.clusters, name)
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&User> {
        named(&self.users, name)
    }
}

fn named<'a, T>(all: &'a [Named<T>], name: &str) -> Option<&'a T> {
    all.iter().find(|one| one.name == name).map(|one| &one.value)
}

/// What a file says. `None` when it is not there or empty.
fn read(file: &Path) -> Result<Option<Value>, BadConfig> {
    let io = |source| BadConfig::Io { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    match std::fs::File::open(file) {
        Ok(open) => open.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let malformed = |why: String| BadConfig::Malformed { file: file.to_owned(), why };
    if bytes.len() as u64 > MAX_CONFIG_BYTES {
        return Err(malformed(format!("it has more than {MAX_CONFIG_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| malformed("it is no UTF-8 text".to_owned()))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    match parse_value(&text).map_err(malformed)? {
        value @ Value::Object(_) => Ok(Some(value)),
        _ => Err(malformed("it is no object".to_owned())),
    }
}

/// Changes a file, or makes it, for its owner alone. What it says besides stays; comments do not.
///
/// # Errors
/// [`BadConfig`].
pub fn change(file: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<(), BadConfig> {
    let io = |source| BadConfig::Io { file: file.to_owned(), source };
    let mut value = read(file)?.unwrap_or_else(|| json!({"apiVersion": "v1", "kind": "Config"}));
    change(value.as_object_mut().expect("what is read is an object"));
    let text = serde_saphyr::to_string(&value)
        .map_err(|error| BadConfig::Malformed { file: file.to_owned(), why: error.to_string() })?;
    // A link stays one: it is its target that is written.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(io)?;
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    new.write_all(text.as_bytes()).map_err(io)?;
    new.persist(&file).map_err(|error| io(error.error))?;
    Ok(())
}
