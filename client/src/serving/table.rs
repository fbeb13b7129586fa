//! Which revision a request is for: the routing table of a gateway.
//!
//! Built anew when the resources change, and only read by requests: a lookup allocates nothing.

use std::collections::HashMap;
use std::sync::Arc;

use pelton_resource::ObjectMeta;
use pelton_resource::limits::MAX_DOMAIN_BYTES;
use pelton_resource::serving::labels::{self, Visibility};
use pelton_resource::serving::{Revision, Route, naming};

use super::hosts::{claims, route_of_mapping};
use super::rollout::Rollout;
use crate::Resources;

/// The hosts of all Routes and DomainMappings, and the revisions behind them.
#[derive(Debug, Default)]
pub struct RoutingTable {
    hosts: HashMap<Box<str>, Host>,
    routes: Vec<RouteEntry>,
}

/// What a host means.
#[derive(Debug)]
struct Host {
    /// Its place in `routes`.
    route: usize,
    /// The tag, for the host of one.
    tag: Option<Box<str>>,
    /// The host of the Route, for a domain that is mapped to it.
    original: Option<Box<str>>,
    visibility: Visibility,
}

#[derive(Debug)]
struct RouteEntry {
    namespace: Box<str>,
    name: Box<str>,
    own: Splits,
    tags: HashMap<Box<str>, Splits>,
}

/// Revisions and how much each gets.
#[derive(Debug, Default)]
struct Splits {
    revisions: Vec<(Arc<Revision>, u32)>,
    total: u64,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The namespace of the Route and its revisions.
    pub namespace: &'a str,
    /// The Route.
    pub route: &'a str,
    /// The revision that was chosen.
    pub revision: &'a Arc<Revision>,
    /// The tag that was asked for, by host or by header.
    pub tag: Option<&'a str>,
    /// The host by which the Route knows itself, when the request came by a domain that is mapped to it.
    pub rewrite_host: Option<&'a str>,
    /// From where the host may be asked.
    pub visibility: Visibility,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unroutable {
    /// No Route and no DomainMapping has that host.
    #[error("no route has this host")]
    UnknownHost,
    /// The Route has no revision yet.
    #[error("the route has no revision that is ready")]
    NoRevision,
}

impl RoutingTable {
    /// The table of the Routes, DomainMappings and Revisions there are, for gateways below `domain`.
    ///
    /// A host that several could have goes to a Route before a tag of another, to either before a DomainMapping, and
    /// among equals to the first by namespace and name.
    #[must_use]
    pub fn new(resources: &Resources, domain: &str) -> Self {
        let mut table = Self::default();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for (place, route) in resources.routes.values().enumerate() {
            places.insert((&route.metadata.namespace, &route.metadata.name), place);
            table.routes.push(RouteEntry::of(route, resources));
            table.add_route(place, None, &route.metadata, domain);
        }
        for (place, route) in resources.routes.values().enumerate() {
            for target in route.status.traffic.iter().filter(|target| !target.tag.is_empty()) {
                table.add_route(place, Some(&target.tag), &route.metadata, domain);
            }
        }
        for (name, mapping) in claims(resources) {
            let Some(route) = route_of_mapping(mapping, resources) else { continue };
            let meta = &route.metadata;
            let route = places[&(meta.namespace.as_str(), meta.name.as_str())];
            let original = hosts(meta, None, domain).next().map(|(host, _)| host.into());
            table.add(name, Host { route, tag: None, original, visibility: Visibility::External });
        }
        table
    }

    fn add_route(&mut self, route: usize, tag: Option<&str>, meta: &ObjectMeta, domain: &str) {
        for (host, visibility) in hosts(meta, tag, domain) {
            self.add(&host, Host { route, tag: tag.map(Into::into), original: None, visibility });
        }
    }

    /// Gives a host to the first who asks for it.
    fn add(&mut self, host: &str, meaning: Host) {
        self.hosts.entry(host.into()).or_insert(meaning);
    }

    /// Where a request to `host` goes. The host may have a port, a dot at its end and letters of any case. `tag` is the
    /// value of the header `Knative-Serving-Tag` where that is heeded; a tag that the Route does not have, or the host
    /// of another, counts as none. `dice` chooses among revisions: each of 100 numbers in a row falls to a revision as
    /// often as its percent says.
    ///
    /// # Errors
    /// See [`Unroutable`].
    pub fn resolve(&self, host: &str, tag: Option<&str>, dice: u64) -> Result<Target<'_>, Unroutable> {
        let (host, route) = self.find(host).ok_or(Unroutable::UnknownHost)?;
        let asked = host.tag.as_deref().or(tag).and_then(|tag| route.tags.get_key_value(tag));
        let (tag, splits) = asked.map_or((None, &route.own), |(tag, splits)| (Some(tag.as_ref()), splits));
        Ok(Target {
            namespace: &route.namespace,
            route: &route.name,
            revision: splits.choose(dice).ok_or(Unroutable::NoRevision)?,
            tag,
            rewrite_host: host.original.as_deref(),
            visibility: host.visibility,
        })
    }

    /// The revisions among which requests to `host` are divided, with the percent of each. None when nobody has the host.
    #[must_use]
    pub fn shares(&self, host: &str) -> &[(Arc<Revision>, u32)] {
        let Some((host, route)) = self.find(host) else { return &[] };
        let splits = host.tag.as_deref().and_then(|tag| route.tags.get(tag)).unwrap_or(&route.own);
        &splits.revisions
    }

    fn find(&self, host: &str) -> Option<(&Host, &RouteEntry)> {
        let mut buffer = [0; MAX_DOMAIN_BYTES];
        let host = self.hosts.get(normal(host, &mut buffer)?)?;
        Some((host, &self.routes[host.route]))
    }
}

/// The hosts of a Route or of a tag of it. Only the first may be for everybody.
fn hosts(meta: &ObjectMeta, tag: Option<&str>, domain: &str) -> impl Iterator<Item = (String, Visibility)> {
    let first = Visibility::of(meta);
    let visibilities = std::iter::once(first).chain(std::iter::repeat(Visibility::ClusterLocal));
    naming::hosts(&meta.name, &meta.namespace, tag, domain, first).into_iter().zip(visibilities)
}

/// A host without its port and the dot at its end, in lower case; `None` when it is no host that could be in a table.
fn normal<'a>(host: &str, buffer: &'a mut [u8; MAX_DOMAIN_BYTES]) -> Option<&'a str> {
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    let lower = buffer.get_mut(..host.len())?;
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

impl RouteEntry {
    fn of(route: &Route, resources: &Resources) -> Self {
        let namespace = &route.metadata.namespace;
        let rollout = route.status.annotations.get(labels::ROLLOUT).and_then(|text| Rollout::from_annotation(text));
        let mut own = Splits::default();
        let mut tags: HashMap<Box<str>, Splits> = HashMap::new();
        for target in &route.status.traffic {
            let found = resources.revision(namespace, &target.revision_name);
            let percent = target.percent.and_then(|percent| u32::try_from(percent).ok()).unwrap_or(0);
            own.add(found, percent);
            if target.tag.is_empty() {
                continue;
            }
            let splits = tags.entry(target.tag.as_str().into()).or_default();
            *splits = Splits::default();
            match rollout.as_ref().and_then(|rollout| rollout.of_tag(&target.tag)) {
                Some(rollout) => {
                    for share in &rollout.revisions {
                        splits.add(resources.revision(namespace, &share.revision_name), u32::from(share.percent));
                    }
                }
                // Of several entries with one tag the last has the newest revision.
                None => splits.add(found, 100),
            }
        }
        Self { namespace: namespace.as_str().into(), name: route.metadata.name.as_str().into(), own, tags }
    }
}

impl Splits {
    /// A revision that somebody deleted gets nothing; the others share what it had.
    fn add(&mut self, revision: Option<&Arc<Revision>>, percent: u32) {
        let Some(revision) = revision.filter(|_| percent > 0) else { return };
        self.total += u64::from(percent);
        match self.revisions.iter_mut().find(|(known, _)| Arc::ptr_eq(known, revision)) {
            Some((_, share)) => *share += percent,
            None => self.revisions.push((Arc::clone(revision), percent)),
        }
    }

    fn choose(&self, dice: u64) -> Option<&Arc<Revision>> {
        let mut at = dice.checked_rem(self.total)?;
        self.revisions.iter().find_map(|(revision, percent)| {
            let here = at < u64::from(*percent);
            at = at.saturating_sub(u64::from(*percent));
            here.then_some(revision)
        })
    }
}

#[cfg(test)]
mod tests;
