//! Whose a host is: Routes have theirs by their names, DomainMappings claim the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_resource::serving::labels::Visibility;
use pelton_resource::serving::{DomainMapping, Route, naming};
use pelton_resource::{ConditionStatus, Kind, Time, conditions};

use super::owner::is_owned;
use crate::Resources;

/// The DomainMapping that has each claimed domain: the one that has it already, else the oldest, and of equally old ones the
/// first by namespace. A later one cannot take the requests of an earlier one away, whatever the clock says, which in
/// resources counts whole seconds.
#[must_use]
pub fn claims(resources: &Resources) -> BTreeMap<&str, &Arc<DomainMapping>> {
    let mut claims: BTreeMap<&str, &Arc<DomainMapping>> = BTreeMap::new();
    for mapping in resources.domain_mappings.values() {
        let holder = claims.entry(&mapping.metadata.name).or_insert(mapping);
        if seniority(mapping) < seniority(holder) {
            *holder = mapping;
        }
    }
    claims
}

fn seniority(mapping: &DomainMapping) -> (bool, Option<Time>, &str) {
    let has_it = mapping.status.conditions.status(conditions::DOMAIN_CLAIMED) == ConditionStatus::True;
    (!has_it, mapping.metadata.creation_timestamp, &mapping.metadata.namespace)
}

/// The Route that answers to a mapping: the one that it refers to, or that of the Service that it refers to.
#[must_use]
pub fn route_of_mapping<'a>(mapping: &DomainMapping, resources: &'a Resources) -> Option<&'a Arc<Route>> {
    let key = mapping.spec.reference.key().filter(|key| key.namespace == mapping.metadata.namespace)?;
    let route = resources.route(&key.namespace, &key.name)?;
    match key.kind {
        Kind::Route => Some(route),
        Kind::Service => {
            let service = resources.service(&key.namespace, &key.name)?;
            is_owned(&route.metadata, &service.metadata, Kind::Service).then_some(route)
        }
        _ => None,
    }
}

/// The Route that has `host` by its name or that of one of its tags, among Routes below `domain`.
#[must_use]
pub fn route_of_host<'a>(host: &str, domain: &str, resources: &'a Resources) -> Option<&'a Arc<Route>> {
    let below = |suffix: &str| host.strip_suffix(suffix)?.strip_suffix('.');
    let outside = below(domain).and_then(|name| route_named(name, resources));
    let outside = outside.filter(|route| Visibility::of(&route.metadata) == Visibility::External);
    let cluster = format!("svc.{}", naming::CLUSTER_DOMAIN);
    let local = [below(&cluster), below("svc"), Some(host)].into_iter().flatten();
    outside.or_else(|| local.into_iter().find_map(|name| route_named(name, resources)))
}

/// The Route that `{name}.{namespace}` or `{tag}-{name}.{namespace}` means.
fn route_named<'a>(text: &str, resources: &'a Resources) -> Option<&'a Arc<Route>> {
    let (label, namespace) = text.split_once('.')?;
    let has_tag = |route: &&Arc<Route>, tag: &str| route.status.traffic.iter().any(|target| target.tag == tag);
    resources.route(namespace, label).or_else(|| {
        label.match_indices('-').find_map(|(at, _)| {
            resources.route(namespace, &label[at + 1..]).filter(|route| has_tag(route, &label[..at]))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::testing::{resources, route};

    #[test]
    fn a_host_belongs_to_the_route_that_it_names() {
        let mut hidden = route("hidden", "default", &[("", "r", 100)]);
        hidden.metadata.labels.insert("networking.knative.dev/visibility".to_owned(), "cluster-local".to_owned());
        let all = resources([route("hello", "default", &[("", "r", 100), ("v-1", "r", 0)]).into(), hidden.into()]);
        let rows = [
            ("hello.default.example.com", Some("hello")),
            ("v-1-hello.default.example.com", Some("hello")),
            ("1-hello.default.example.com", None),
            ("hello.default", Some("hello")),
            ("hello.default.svc", Some("hello")),
            ("v-1-hello.default.svc.cluster.local", Some("hello")),
            ("hidden.default.example.com", None),
            ("hidden.default.svc", Some("hidden")),
            ("hello.other.example.com", None),
            ("hello.default.example.org", None),
            ("a.hello.default.example.com", None),
            ("example.com", None),
            ("", None),
        ];
        for (host, want) in rows {
            let found = route_of_host(host, "example.com", &all).map(|route| route.metadata.name.as_str());
            assert_eq!(found, want, "{host}");
        }
    }
}
