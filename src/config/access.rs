//! Who may use the API: whether anybody is asked, and by which files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::settings::{Reader, non_empty_path, truth};

/// The audit log in the data directory.
const AUDIT_FILE: &str = "audit.log";

/// Keys that count only where callers are asked who they are.
const ONLY_WITH_AUTH: [&str; 4] = ["api-access", "api-cert", "api-key", "api-client-ca"];

/// How callers of the API are asked who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// The file with roles, tokens and issuers.
    pub file: Option<PathBuf>,
    /// The certificate that the API shows, and its key; `None`: one is made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Further authorities whose certificates callers may show.
    pub client_ca: Option<PathBuf>,
}

/// Who may use the API, and what is written down of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiAccess {
    /// `None`: everybody who reaches it may do everything.
    pub access: Option<AccessSettings>,
    /// Where changes are written down.
    pub audit: Option<PathBuf>,
}

/// Reads the keys, and checks how they go together.
pub(super) fn read(reader: &mut Reader<'_>, listen: Option<SocketAddr>, data: Option<&Path>) -> ApiAccess {
    let auth = reader.one("api-auth", truth);
    let insecure = reader.one("api-insecure", truth);
    let [file, certificate, key, client_ca] = ONLY_WITH_AUTH.map(|key| reader.optional(key, non_empty_path));
    let audit = reader.optional("api-audit", non_empty_path);
    let (Some(auth), Some(insecure)) = (auth, insecure) else { return ApiAccess::default() };
    if let Some(listen) = listen.filter(|listen| !auth && !insecure && !listen.ip().to_canonical().is_loopback()) {
        let why = format!(
            "{listen} is no loopback address, and the API asks nobody who he is: set api-auth, or api-insecure if the \
             network protects itself"
        );
        reader.mistake("api-listen", why);
    }
    if auth && insecure {
        reader.mistake("api-insecure", "api-auth is set; one of both is not meant".into());
    }
    if !auth {
        for key in ONLY_WITH_AUTH {
            if reader.find(key).is_some() {
                reader.mistake(key, "counts only with api-auth".into());
            }
        }
        return ApiAccess { access: None, audit };
    }
    let certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            reader.mistake("api-cert", "needs api-key as well".into());
            None
        }
        (None, Some(_)) => {
            reader.mistake("api-key", "needs api-cert as well".into());
            None
        }
    };
    let audit = audit.or_else(|| data.map(|data| data.join(AUDIT_FILE)));
    ApiAccess { access: Some(AccessSettings { file, certificate, client_ca }), audit }
}
