//! What a node of a cluster is told about itself and the others.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pelton_client::Role;
use pelton_peer::{PeerAddress, Security, TlsFiles};
use pelton_resource::is_dns_label;

use super::settings::{Reader, address, at_least, non_empty_path, truth};
use super::{Source, parse_duration};

/// Most replicas that can be asked for: a majority of more than these costs more than it saves.
const MAX_REPLICAS: u32 = 7;

/// Most addresses of other nodes. More nodes may be members; these are those that are asked at a start.
const MAX_JOIN: usize = 64;

/// A node that is silent for less than this may only be restarting.
const MIN_LOST_AFTER: Duration = Duration::from_secs(5);

/// The node's part in its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its name: a DNS label.
    pub name: String,
    /// What fails together with it.
    pub zone: String,
    /// What it does: at least one.
    pub roles: BTreeSet<Role>,
    /// Where it listens for other nodes, when it keeps replicas.
    pub peer_listen: SocketAddr,
    /// What other nodes dial; `None` is what was really bound.
    pub peer_advertise: Option<PeerAddress>,
    /// The cluster's nodes, in the order that says who forms it. Empty is a cluster of one.
    pub join: Vec<PeerAddress>,
    /// The files of TLS between nodes; `None` is no TLS.
    pub tls: Option<TlsFiles>,
    /// How long a node may be silent before its replicas are made anew elsewhere.
    pub node_lost_after: Duration,
    /// How many nodes keep each event, as far as there are so many.
    pub replicas: u32,
}

impl ClusterSettings {
    /// Reads the keys of `pelton server`, and checks how they go together. `None` means that there were mistakes.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let name = match reader.is_given("name") {
            true => reader.one("name", node_name),
            false => own_name(reader),
        };
        let zone = reader.one("zone", zone);
        let roles: BTreeSet<Role> = reader.list("role", role).into_iter().collect();
        let peer_listen = reader.one("peer-listen", address);
        let peer_advertise = reader.optional("peer-advertise", peer);
        let join = reader.list("join", peer);
        let insecure = reader.one("peer-insecure", truth);
        let tls = tls(reader, insecure == Some(true));
        let node_lost_after = reader.one("node-lost-after", lost_after);
        let replicas = reader.one("replicas", replicas);
        distinct(reader, &join);
        if let (Some(listen), Some(insecure)) = (peer_listen, insecure) {
            let place = Place { listen, advertise: peer_advertise.as_ref(), join: &join, roles: &roles };
            place.check(reader, insecure, tls.is_some());
        }
        Some(Self {
            name: name?,
            zone: zone?,
            roles,
            peer_listen: peer_listen?,
            peer_advertise,
            join,
            tls,
            node_lost_after: node_lost_after?,
            replicas: replicas?,
        })
    }

    /// Whether it takes requests to services in.
    #[must_use]
    pub fn runs_services(&self) -> bool {
        self.roles.contains(&Role::Gateway)
    }

    /// Whether it keeps replicas, and so is a member that others connect to.
    #[must_use]
    pub fn keeps_replicas(&self) -> bool {
        self.roles.contains(&Role::Broker)
    }
}

/// Where a node is and whom it talks to.
struct Place<'a> {
    listen: SocketAddr,
    advertise: Option<&'a PeerAddress>,
    join: &'a [PeerAddress],
    roles: &'a BTreeSet<Role>,
}

impl Place<'_> {
    fn check(&self, reader: &mut Reader<'_>, insecure: bool, tls: bool) {
        if !self.roles.contains(&Role::Broker) && !self.roles.is_empty() {
            if self.join.is_empty() {
                let why = "without the role broker the node keeps nothing itself; name nodes of the cluster";
                reader.mistake("join", why.into());
            }
        } else {
            if let Err(error) = Security::Plaintext.check_listen(self.listen, insecure || tls) {
                reader.mistake("peer-listen", error.to_string());
            }
            if self.listen.ip().is_unspecified() && self.advertise.is_none() {
                let why = format!("{} is no address that other nodes can dial; say peer-advertise", self.listen.ip());
                reader.mistake("peer-listen", why);
            }
        }
        if !insecure && !tls {
            for address in self.join.iter().filter(|address| !is_loopback(address)) {
                let why = format!(
                    "{address} is on another machine, and there is no TLS: configure peer-ca, peer-cert and peer-key, \
                     or set peer-insecure if the network protects itself"
                );
                reader.mistake("join", why);
            }
        }
    }
}

/// The name of the host, up to its first dot.
fn own_name(reader: &mut Reader<'_>) -> Option<String> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let label = host.split('.').next().unwrap_or("").to_ascii_lowercase();
    if is_dns_label(&label) {
        return Some(label);
    }
    reader.mistake("name", format!("this host is called {host:?}, which is no DNS label; give the node a name"));
    None
}

/// All three files or none, and none with `peer-insecure`.
fn tls(reader: &mut Reader<'_>, insecure: bool) -> Option<TlsFiles> {
    const KEYS: [&str; 3] = ["peer-ca", "peer-cert", "peer-key"];
    let files = KEYS.map(|key| reader.optional(key, non_empty_path));
    if files.iter().all(Option::is_none) {
        return None;
    }
    for (key, file) in KEYS.iter().zip(&files) {
        if file.is_none() && !reader.is_given(key) {
            reader.mistake(key, "TLS between nodes needs peer-ca, peer-cert and peer-key".into());
        }
    }
    if insecure {
        reader.mistake("peer-insecure", "there are certificates; one of both is not meant".into());
    }
    let [Some(ca), Some(certificate), Some(key)] = files else { return None };
    Some(TlsFiles { ca, certificate, key })
}

fn distinct(reader: &mut Reader<'_>, join: &[PeerAddress]) {
    for (i, address) in join.iter().enumerate() {
        if join[..i].contains(address) {
            reader.mistake("join", format!("{address} is named twice"));
        }
    }
    if join.len() > MAX_JOIN {
        reader.mistake("join", format!("at most {MAX_JOIN} addresses are taken"));
    }
}

fn is_loopback(address: &PeerAddress) -> bool {
    let host = address.host();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn node_name(text: &str) -> Result<String, String> {
    let shape = "expected a DNS label: 1 to 63 lower-case letters, digits and hyphens, no hyphen at either end";
    if is_dns_label(text) { Ok(text.to_owned()) } else { Err(format!("{shape}, got {text:?}")) }
}

fn zone(text: &str) -> Result<String, String> {
    let good = text.len() <= 63 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if good { Ok(text.to_owned()) } else { Err(format!("expected 1 to 63 visible ASCII characters, got {text:?}")) }
}

fn role(text: &str) -> Result<Role, String> {
    match text {
        "broker" => Ok(Role::Broker),
        "ingress" => Ok(Role::Ingress),
        "dispatcher" => Ok(Role::Dispatcher),
        "gateway" => Ok(Role::Gateway),
        _ => Err(format!("expected broker, ingress, dispatcher or gateway, got {text:?}")),
    }
}

fn peer(text: &str) -> Result<PeerAddress, String> {
    text.parse().map_err(|error: pelton_peer::BadAddress| error.to_string())
}

fn lost_after(text: &str) -> Result<Duration, String> {
    at_least(MIN_LOST_AFTER, "5s", parse_duration(text)?)
}

fn replicas(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_REPLICAS).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {MAX_REPLICAS}, got {text:?}"))
}

impl Reader<'_> {
    /// Whether somebody said it, rather than a default.
    fn is_given(&self, key: &str) -> bool {
        self.find(key).is_some_and(|given| given.source != Source::Default)
    }
}
