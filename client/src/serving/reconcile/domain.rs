//! DomainMappings: whether the domain is theirs, and who answers.

use std::collections::BTreeMap;

use pelton_resource::serving::DomainMappingStatus;
use pelton_resource::{Addressable, ConditionStatus, DomainMapping, conditions};

use super::world::World;
use crate::serving::hosts::{claims, route_of_host, route_of_mapping};

/// Says what is true of each DomainMapping.
pub(super) fn mark(world: &mut World<'_>) {
    let holders = claims(&world.is).into_iter();
    let holders: BTreeMap<_, _> =
        holders.map(|(name, one)| (name.to_owned(), one.metadata.namespace.clone())).collect();
    for mapping in world.domain_mappings() {
        let meta = &mapping.metadata;
        let mut status = mapping.status.clone();
        status.observed_generation = meta.generation;
        if let Some(gateway) = world.facts.gateway {
            status.url = Some(gateway.url(&meta.name));
            status.address = Some(Addressable { url: status.url.clone(), ..Addressable::default() });
        }
        let other = holders.get(&meta.name).filter(|namespace| **namespace != meta.namespace);
        let other = other.map(|namespace| format!("DomainMapping {namespace}/{}", meta.name));
        let holder = route_with(&meta.name, world).or(other);
        mark_conditions(&mut status, &mapping, holder.as_deref(), world);
        if status != mapping.status {
            world.put(DomainMapping { status, ..DomainMapping::clone(&mapping) });
        }
    }
}

/// The Route that has the domain by its own name.
fn route_with(domain: &str, world: &World<'_>) -> Option<String> {
    let route = route_of_host(domain, &world.facts.gateway?.domain, &world.is)?;
    Some(format!("Route {}/{}", route.metadata.namespace, route.metadata.name))
}

/// `holder` has the domain, if it is not this mapping.
fn mark_conditions(status: &mut DomainMappingStatus, mapping: &DomainMapping, holder: Option<&str>, world: &World<'_>) {
    const CLAIMED: &str = conditions::DOMAIN_CLAIMED;
    const RESOLVED: &str = conditions::REFERENCE_RESOLVED;
    const INGRESS: &str = conditions::INGRESS_READY;
    let was_served = status.conditions.status(INGRESS) == ConditionStatus::True;
    let route = route_of_mapping(mapping, &world.is);
    let has_address = route.is_some_and(|route| route.status.address.is_some());
    let mut write = status.write_conditions(world.now());
    write.initialize();
    write.mark_true_because(conditions::CERTIFICATE_PROVISIONED, "TLSNotEnabled", "there is no TLS");
    if let Some(holder) = holder {
        let why = format!("the domain {:?} belongs to {holder}", mapping.metadata.name);
        write.mark_false(CLAIMED, "DomainAlreadyClaimed", &why);
    } else if world.facts.gateway.is_some() {
        // Before, nobody knows which hosts Routes have.
        write.mark_true(CLAIMED);
    }
    let reference = &mapping.spec.reference;
    match route {
        Some(_) if has_address => write.mark_true(RESOLVED),
        Some(route) => {
            let why = format!("Route {:?} has no address yet", route.metadata.name);
            write.mark_unknown(RESOLVED, "AddressNotSet", &why)
        }
        None => {
            let why = format!("{} {:?} does not exist or has no Route", reference.kind, reference.name);
            write.mark_false(RESOLVED, "ResolveFailed", &why)
        }
    };
    if holder.is_some() || !has_address {
        write.mark_unknown(INGRESS, "IngressNotConfigured", "nobody answers at the domain yet");
    } else if was_served || world.facts.gateway.is_some() {
        write.mark_true(INGRESS);
    } else {
        write.mark_unknown(INGRESS, "IngressNotConfigured", "no gateway has an address yet");
    }
}
