//! The access file: roles, tokens and issuers, in YAML or JSON. Every mistake is reported together.
//!
//! ```yaml
//! bindings:
//! - role: editor                 # viewer, editor or admin
//!   namespaces: [shop]           # left out: the whole cluster
//!   users: [ada]
//!   groups: [ops]
//!   serviceAccounts: [shop/robot]
//!   processes: true              # may write Services that run as processes of Pelton's own user
//! tokens:
//! - user: ci
//!   groups: [builders]
//!   sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//!   expires: 2027-01-01T00:00:00Z
//! issuers:
//! - url: https://login.example.com
//!   clientId: pelton
//!   usernameClaim: email
//!   groupsClaim: groups
//!   ca: /etc/ssl/certs/ca-certificates.crt
//! ```

use std::fmt;

use pelton_resource::{Time, is_dns_label, parse_value};
use serde_json::{Map, Value};

use crate::attributes::SYSTEM_NAMESPACE;
use crate::identity::{Identity, MASTERS, RESERVED, is_name};
use crate::issuer::Issuer;
use crate::limits::{MAX_FILE_BYTES, MAX_ISSUERS};
use crate::policy::Policy;
use crate::role::{Grant, Role};
use crate::static_token::{DIGEST_BYTES, StaticToken};

/// Every mistake of a file, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the access file has {count} mistake{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

/// Reads a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str) -> Result<Policy, Mistakes> {
    if text.len() > MAX_FILE_BYTES {
        return Err(Mistakes(vec![format!("it has {} bytes, and {MAX_FILE_BYTES} are allowed", text.len())]));
    }
    let value = match text.trim().is_empty() {
        true => Value::Null,
        false => parse_value(text).map_err(|why| Mistakes(vec![why]))?,
    };
    let (mut policy, mut mistakes) = (Policy::default(), Vec::new());
    if let Some(mut file) = Member::of(value, String::new(), &mut mistakes) {
        for (at, value) in file.list("bindings", &mut mistakes) {
            binding(value, at, &mut policy, &mut mistakes);
        }
        for (at, value) in file.list("tokens", &mut mistakes) {
            token(value, at, &mut policy, &mut mistakes);
        }
        for (at, value) in file.list("issuers", &mut mistakes) {
            issuer(value, at, &mut policy, &mut mistakes);
        }
        file.end(&mut mistakes);
    }
    if policy.issuers.len() > MAX_ISSUERS {
        mistakes.push(format!("issuers: at most {MAX_ISSUERS} can be named"));
    }
    if mistakes.is_empty() { Ok(policy) } else { Err(Mistakes(mistakes)) }
}

fn binding(value: Value, at: String, policy: &mut Policy, mistakes: &mut Vec<String>) {
    let before = mistakes.len();
    let Some(mut member) = Member::of(value, at, mistakes) else { return };
    let role = member.required("role", mistakes).and_then(|text| {
        let role = text.parse::<Role>().ok();
        if role.is_none() {
            mistakes.push(format!("{}: expected viewer, editor or admin, got {text:?}", member.path("role")));
        }
        role
    });
    let processes = member.truth("processes", mistakes);
    let has_namespaces = member.has("namespaces");
    let namespaces = member.texts("namespaces", mistakes);
    for name in &namespaces {
        if name == SYSTEM_NAMESPACE {
            let why = "is the cluster's own: only roles for the whole cluster reach it";
            mistakes.push(format!("{}: {SYSTEM_NAMESPACE} {why}", member.path("namespaces")));
        } else if !is_dns_label(name) {
            mistakes.push(format!("{}: {name:?} is no name of a namespace", member.path("namespaces")));
        }
    }
    if has_namespaces && namespaces.is_empty() {
        mistakes.push(format!("{}: it is empty; leave it out for the whole cluster", member.path("namespaces")));
    }
    let users = member.names("users", mistakes);
    let groups = member.names("groups", mistakes);
    let accounts = accounts(&mut member, mistakes);
    if users.is_empty() && groups.is_empty() && accounts.is_empty() && mistakes.len() == before {
        mistakes.push(format!("{}: it names no users, groups or serviceAccounts", member.at));
    }
    member.end(mistakes);
    let (Some(role), true) = (role, mistakes.len() == before) else { return };
    let everywhere = (!has_namespaces).then_some(None);
    for namespace in everywhere.into_iter().chain(namespaces.into_iter().map(Some)) {
        let grant = Grant { role, namespace, processes };
        for user in &users {
            policy.users.entry(user.clone()).or_default().push(grant.clone());
        }
        for group in &groups {
            policy.groups.entry(group.clone()).or_default().push(grant.clone());
        }
        for (namespace, name) in &accounts {
            policy.grant_account(namespace, name, grant.clone());
        }
    }
}

fn accounts(member: &mut Member, mistakes: &mut Vec<String>) -> Vec<(String, String)> {
    let mut accounts = Vec::new();
    for text in member.texts("serviceAccounts", mistakes) {
        match text.split_once('/') {
            Some((namespace, name)) if is_dns_label(namespace) && is_name(name) && !name.contains('/') => {
                accounts.push((namespace.to_owned(), name.to_owned()));
            }
            _ => mistakes.push(format!("{}: expected NAMESPACE/NAME, got {text:?}", member.path("serviceAccounts"))),
        }
    }
    accounts
}

fn token(value: Value, at: String, policy: &mut Policy, mistakes: &mut Vec<String>) {
    let Some(mut member) = Member::of(value, at, mistakes) else { return };
    let user = member.required("user", mistakes);
    let groups = member.names("groups", mistakes);
    for group in groups.iter().filter(|group| group.starts_with(RESERVED) && *group != MASTERS) {
        mistakes.push(format!("{}: {group:?} is a group that nobody is put into", member.path("groups")));
    }
    let sha256 = member.required("sha256", mistakes).and_then(|text| {
        let digest = digest(&text);
        if digest.is_none() {
            // Never the text: somebody may have written the token itself.
            mistakes
                .push(format!("{}: expected 64 hexadecimal digits, the SHA-256 of the token", member.path("sha256")));
        }
        digest
    });
    let expires = member.text("expires", mistakes).and_then(|text| {
        let time = Time::parse(&text);
        if time.is_none() {
            let path = member.path("expires");
            mistakes.push(format!("{path}: expected a time such as 2027-01-01T00:00:00Z, got {text:?}"));
        }
        time.map(Time::unix_millis)
    });
    member.end(mistakes);
    let (Some(user), Some(sha256)) = (user, sha256) else { return };
    match Identity::of_outside(user.clone(), groups, true) {
        Ok(identity) => policy.tokens.0.push(StaticToken { sha256, identity, expires }),
        Err(_) => mistakes.push(format!("{}: {user:?} is no name that can be given", member.path("user"))),
    }
}

fn digest(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|it| u8::try_from(it).ok())).collect::<Option<_>>()?;
    if digits.len() != 2 * DIGEST_BYTES {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair[0] << 4 | pair[1];
    }
    Some(digest)
}

fn issuer(value: Value, at: String, policy: &mut Policy, mistakes: &mut Vec<String>) {
    let Some(mut member) = Member::of(value, at, mistakes) else { return };
    let url = member.required("url", mistakes);
    if let Some(url) = url.as_ref().filter(|url| !is_https(url)) {
        mistakes.push(format!("{}: expected a URL such as https://login.example.com, got {url:?}", member.path("url")));
    }
    let client_id = member.required("clientId", mistakes);
    let username_claim = member.text("usernameClaim", mistakes).unwrap_or_else(|| "sub".to_owned());
    let username_prefix = member.text_or_empty("usernamePrefix", mistakes);
    let groups_claim = member.text("groupsClaim", mistakes);
    let groups_prefix = member.text_or_empty("groupsPrefix", mistakes).unwrap_or_default();
    let ca = member.required("ca", mistakes);
    if groups_claim.is_none() && !groups_prefix.is_empty() {
        mistakes.push(format!("{}: there is no groupsClaim that it could be for", member.path("groupsPrefix")));
    }
    member.end(mistakes);
    let (Some(url), Some(client_id), Some(ca)) = (url, client_id, ca) else { return };
    if policy.issuers.iter().any(|issuer| issuer.url == url) {
        mistakes.push(format!("{}: {url} is named twice", member.path("url")));
        return;
    }
    // As Kubernetes does: subjects of two issuers may be the same, and an address is one everywhere.
    let username_prefix =
        username_prefix.unwrap_or_else(|| if username_claim == "email" { String::new() } else { format!("{url}#") });
    policy.issuers.push(Issuer { url, client_id, username_claim, username_prefix, groups_claim, groups_prefix, ca });
}

/// A URL that can be compared as text: no query, no fragment, no user.
fn is_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    !host.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.contains(['?', '#', '@'])
}

/// A mapping that is read member by member, so that what nobody has read is a mistake.
struct Member {
    at: String,
    left: Map<String, Value>,
}

impl Member {
    fn of(value: Value, at: String, mistakes: &mut Vec<String>) -> Option<Self> {
        match value {
            Value::Object(left) => Some(Self { at, left }),
            Value::Null if at.is_empty() => Some(Self { at, left: Map::new() }),
            _ => {
                let what = if at.is_empty() { "the file" } else { at.as_str() };
                mistakes.push(format!("{what}: expected a mapping"));
                None
            }
        }
    }

    fn path(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn list(&mut self, name: &str, mistakes: &mut Vec<String>) -> Vec<(String, Value)> {
        let path = self.path(name);
        match self.left.remove(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                items.into_iter().enumerate().map(|(number, item)| (format!("{path}[{number}]"), item)).collect()
            }
            Some(_) => {
                mistakes.push(format!("{path}: expected a list"));
                Vec::new()
            }
        }
    }

    fn texts(&mut self, name: &str, mistakes: &mut Vec<String>) -> Vec<String> {
        let mut texts = Vec::new();
        for (at, item) in self.list(name, mistakes) {
            match item {
                Value::String(text) => texts.push(text),
                _ => mistakes.push(format!("{at}: expected a text")),
            }
        }
        texts
    }

    /// Names of users or groups.
    fn names(&mut self, name: &str, mistakes: &mut Vec<String>) -> Vec<String> {
        let texts = self.texts(name, mistakes);
        for text in texts.iter().filter(|text| !is_name(text)) {
            mistakes.push(format!("{}: {text:?} is no name", self.path(name)));
        }
        texts
    }

    fn text_or_empty(&mut self, name: &str, mistakes: &mut Vec<String>) -> Option<String> {
        match self.left.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                mistakes.push(format!("{}: expected a text", self.path(name)));
                None
            }
        }
    }

    fn text(&mut self, name: &str, mistakes: &mut Vec<String>) -> Option<String> {
        let text = self.text_or_empty(name, mistakes)?;
        if text.is_empty() {
            mistakes.push(format!("{}: it is empty", self.path(name)));
            return None;
        }
        Some(text)
    }

    fn required(&mut self, name: &str, mistakes: &mut Vec<String>) -> Option<String> {
        if !self.has(name) {
            mistakes.push(format!("{}: it is missing", self.path(name)));
        }
        self.text(name, mistakes)
    }

    fn truth(&mut self, name: &str, mistakes: &mut Vec<String>) -> bool {
        match self.left.remove(name) {
            None => false,
            Some(Value::Bool(truth)) => truth,
            Some(_) => {
                mistakes.push(format!("{}: expected true or false", self.path(name)));
                false
            }
        }
    }

    fn end(&self, mistakes: &mut Vec<String>) {
        for name in self.left.keys() {
            mistakes.push(format!("{}: nobody knows it", self.path(name)));
        }
    }
}

#[cfg(test)]
mod tests;
