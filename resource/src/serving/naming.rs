//! How Revisions and hosts are named.

use super::labels::Visibility;
use crate::limits::{MAX_DOMAIN_BYTES, MAX_NAME_BYTES};
use crate::meta::is_dns_label;

/// The domain of hosts when none is configured. Every resolver takes what is below it for this machine.
pub const DEFAULT_DOMAIN: &str = "localhost";
/// The domain of cluster-local hosts.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// The name of the Revision that a Configuration makes of a generation of its template: the Configuration's name, a
/// hyphen, and the generation in at least five digits. A name that would have more than 63 bytes keeps the beginning
/// of the Configuration's name, and a hash of the whole stands for the rest.
#[must_use]
pub fn revision_name(configuration: &str, generation: i64) -> String {
    child_name(configuration, &format!("-{generation:05}"))
}

/// `parent` and `suffix` together, as one DNS label.
fn child_name(parent: &str, suffix: &str) -> String {
    const HASH_DIGITS: usize = 16;
    if parent.len() + suffix.len() <= MAX_NAME_BYTES {
        return format!("{parent}{suffix}");
    }
    let kept = parent.floor_char_boundary(MAX_NAME_BYTES.saturating_sub(HASH_DIGITS + suffix.len()));
    format!("{}{:016x}{suffix}", &parent[..kept], fnv1a(parent.as_bytes()))
}

/// FNV-1a with 64 bits: the same for all time, as a name must be.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a name that a template gives its Revision itself can be one of that Configuration: it must begin with the
/// Configuration's name and a hyphen, so that no two Configurations make the same, and be a DNS label that begins with
/// a letter.
#[must_use]
pub fn is_revision_name_of(configuration: &str, name: &str) -> bool {
    let rest = name.strip_prefix(configuration).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| !rest.is_empty()) && is_dns_1035_label(name)
}

/// Whether a text is a lower-case DNS label that begins with a letter (RFC 1035), 1 to 63 bytes. Services, their tags
/// and all that is made for them have such names, because a host begins with them.
#[must_use]
pub fn is_dns_1035_label(text: &str) -> bool {
    is_dns_label(text) && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

/// Whether a text is a lower-case domain name of at least two labels, with no dot at its end, at most 253 bytes.
#[must_use]
pub fn is_domain_name(text: &str) -> bool {
    text.len() <= MAX_DOMAIN_BYTES && text.contains('.') && text.split('.').all(is_dns_label)
}

/// The first label of the hosts of a traffic target with that tag: `{tag}-{name}`.
#[must_use]
pub fn tagged_name(tag: &str, route: &str) -> String {
    format!("{tag}-{route}")
}

/// The host by which a Route, or one of its tags, is reached from outside: `{name}.{namespace}.{domain}`.
#[must_use]
pub fn external_host(name: &str, namespace: &str, domain: &str) -> String {
    format!("{name}.{namespace}.{domain}")
}

/// The longest of [`cluster_local_hosts`], which `status.address` has.
#[must_use]
pub fn cluster_local_host(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.{CLUSTER_DOMAIN}")
}

/// The hosts by which a Route, or one of its tags, is reached from within: `{name}.{namespace}`, with `.svc`, and with
/// `.svc.cluster.local`.
#[must_use]
pub fn cluster_local_hosts(name: &str, namespace: &str) -> [String; 3] {
    let short = format!("{name}.{namespace}");
    [short.clone(), format!("{short}.svc"), cluster_local_host(name, namespace)]
}

/// Every host by which a Route is reached, or with `tag`, the traffic target of that tag. The one for people is first.
#[must_use]
pub fn hosts(route: &str, namespace: &str, tag: Option<&str>, domain: &str, visibility: Visibility) -> Vec<String> {
    let name = tag.map_or_else(|| route.to_owned(), |tag| tagged_name(tag, route));
    let [short, svc, full] = cluster_local_hosts(&name, namespace);
    match visibility {
        Visibility::External => vec![external_host(&name, namespace, domain), short, svc, full],
        Visibility::ClusterLocal => vec![full, short, svc],
    }
}

#[cfg(test)]
mod tests;
