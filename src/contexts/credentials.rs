//! What a context says, as it is used.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::config::{Cluster, Config, Context, User};
use super::{NoTarget, Target};
use crate::exit::with_causes;
use crate::http::{ClientTls, Endpoint, Identity, TlsParts, Url};

/// The largest file of certificates, key or token that is read.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The server of a context, by its URL.
///
/// # Errors
/// It is no URL, or has a path.
pub fn server(context: &str, url: &str) -> Result<Url, NoTarget> {
    let parsed = Url::parse(url)?;
    if !matches!(parsed.path.as_str(), "" | "/") {
        let why = format!("its server {url} has a path");
        return Err(NoTarget::Unusable { context: context.to_owned(), why });
    }
    Ok(parsed)
}

/// The server of a context, with the credentials of its user.
pub fn target(config: &Config, name: &str, context: &Context) -> Result<Target, NoTarget> {
    let missing = |what, missing: &str| NoTarget::Missing { context: name.to_owned(), what, name: missing.to_owned() };
    let unusable = |why: String| NoTarget::Unusable { context: name.to_owned(), why };
    let cluster = config.cluster(&context.cluster).ok_or_else(|| missing("cluster", &context.cluster))?;
    let user = match config.user(&context.user) {
        Some(user) => user.clone(),
        None if context.user.is_empty() => User::default(),
        None => return Err(missing("user", &context.user)),
    };
    refuse(cluster, &user).map_err(|why| unusable(why.to_owned()))?;
    if cluster.server.is_empty() {
        return Err(unusable(format!("the cluster {:?} has no server", context.cluster)));
    }
    let url = server(name, &cluster.server)?;
    let parts = parts(cluster, &user).map_err(unusable)?;
    // In the clear nothing is made of them.
    let tls =
        if url.is_tls { Some(ClientTls::new(&parts).map_err(|error| unusable(with_causes(&error)))?) } else { None };
    let authorization = token(&user).map_err(unusable)?.map(|token| bearer(&token)).transpose().map_err(unusable)?;
    let namespace = Some(context.namespace.clone()).filter(|namespace| !namespace.is_empty());
    Ok(Target { endpoint: Endpoint { url, tls, authorization }, namespace })
}

/// Whether it asks for something that is not done here.
fn refuse(cluster: &Cluster, user: &User) -> Result<(), &'static str> {
    let rows = [
        (
            cluster.insecure_skip_tls_verify,
            "insecure-skip-tls-verify trusts anybody; name its certificate-authority instead",
        ),
        (!cluster.proxy_url.is_empty(), "proxy-url is not supported"),
        (user.exec.is_some(), "its user runs a program to show who he is (exec), which is not supported; use a token"),
        (user.auth_provider.is_some(), "auth-provider is not supported; use a token"),
        (
            [&user.act_as, &user.as_uid, &user.as_groups, &user.as_user_extra].iter().any(|field| field.is_some()),
            "its user acts as somebody else (as, as-uid, as-groups), which is not supported",
        ),
        (!user.username.is_empty(), "a username with a password is not supported; use a token"),
    ];
    rows.into_iter().find(|(is_asked, _)| *is_asked).map_or(Ok(()), |(_, why)| Err(why))
}

fn parts(cluster: &Cluster, user: &User) -> Result<TlsParts, String> {
    let from_cluster = |data: &str, file: &str, what| either(data, file, &cluster.folder, what);
    let from_user = |data: &str, file: &str, what| either(data, file, &user.folder, what);
    let authorities =
        from_cluster(&cluster.certificate_authority_data, &cluster.certificate_authority, "certificate-authority")?;
    let certificates = from_user(&user.client_certificate_data, &user.client_certificate, "client-certificate")?;
    let key = from_user(&user.client_key_data, &user.client_key, "client-key")?;
    let identity = match (certificates, key) {
        (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
        (None, None) => None,
        (Some(_), None) => return Err("it has a client-certificate and no client-key".to_owned()),
        (None, Some(_)) => return Err("it has a client-key and no client-certificate".to_owned()),
    };
    let server_name = Some(cluster.tls_server_name.clone()).filter(|name| !name.is_empty());
    Ok(TlsParts { authorities, identity, server_name })
}

/// What stands in base64, or in a file; the former counts. Relative files are beside the kubeconfig.
fn either(data: &str, file: &str, folder: &Path, what: &str) -> Result<Option<Vec<u8>>, String> {
    if !data.is_empty() {
        return STANDARD.decode(data).map(Some).map_err(|error| format!("{what}-data is no base64: {error}"));
    }
    if file.is_empty() { Ok(None) } else { read(&folder.join(file)).map(Some) }
}

fn token(user: &User) -> Result<Option<String>, String> {
    if user.token_file.is_empty() {
        return Ok(Some(user.token.clone()).filter(|token| !token.is_empty()));
    }
    let file = user.folder.join(&user.token_file);
    let text = String::from_utf8(read(&file)?).map_err(|_| format!("{} is no text", file.display()))?;
    Ok(Some(text.trim().to_owned()))
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "its token has characters that no token has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let why = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(why)?;
    open.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{} has more than {MAX_FILE_BYTES} bytes", file.display()));
    }
    Ok(bytes)
}
