//! Routes: where their traffic goes, and where they are reached.

use std::time::Duration;

use pelton_resource::serving::labels::{self, Visibility};
use pelton_resource::serving::{RouteStatus, naming, parse_go_duration};
use pelton_resource::{Addressable, ConditionStatus, Route, conditions};

use super::world::World;
use crate::serving::rollout::{Rollout, Terms};
use crate::serving::traffic::{TrafficError, assign, goals, in_status};

/// Says where each Route's traffic goes, and what is true of it.
pub(super) fn mark(world: &mut World<'_>) {
    for route in world.routes() {
        let mut status = route.status.clone();
        status.observed_generation = route.metadata.generation;
        mark_addresses(&mut status, &route, world);
        let (assigned, rollout) = match mark_traffic(&mut status, &route, world) {
            Ok(rollout) => (Ok(()), rollout),
            // What it sent requests to before is better than nothing.
            Err(why) => (Err(why), Rollout::default()),
        };
        world.wake(rollout.wake_at().filter(|_| world.facts.gateway.is_some()));
        mark_conditions(&mut status, &assigned, &rollout, world);
        if status != route.status {
            world.put(Route { status, ..Route::clone(&route) });
        }
    }
}

fn mark_addresses(status: &mut RouteStatus, route: &Route, world: &World<'_>) {
    let Some(gateway) = world.facts.gateway else { return };
    let hosts = hosts(route, None, &gateway.domain);
    status.url = hosts.first().map(|host| gateway.url(host));
    status.address = Some(Addressable { url: status.url.clone(), ..Addressable::default() });
}

fn hosts(route: &Route, tag: Option<&str>, domain: &str) -> Vec<String> {
    let meta = &route.metadata;
    naming::hosts(&meta.name, &meta.namespace, tag, domain, Visibility::of(meta))
}

fn mark_traffic(status: &mut RouteStatus, route: &Route, world: &World<'_>) -> Result<Rollout, TrafficError> {
    let assigned = assign(route, &world.is)?;
    let before = status.annotations.get(labels::ROLLOUT).and_then(|text| Rollout::from_annotation(text));
    let terms = Terms {
        duration: rollout_duration(route).unwrap_or(world.facts.policy.rollout_duration),
        is_served: world.facts.gateway.is_some(),
        exists: &|name| world.is.revision(&route.metadata.namespace, name).is_some(),
        now: world.facts.now,
    };
    let rollout = before.unwrap_or_default().next(&goals(&assigned), terms);
    let url_of = |tag: &str| match world.facts.gateway {
        Some(gateway) => hosts(route, Some(tag), &gateway.domain).first().map(|host| gateway.url(host)),
        None => route.status.traffic.iter().find(|known| known.tag == tag).map(|known| known.url.clone()),
    };
    let url_of = |tag: &str| url_of(tag).unwrap_or_default();
    status.traffic = in_status(&assigned, &rollout, &url_of);
    if rollout.iter().next().is_some() {
        status.annotations.insert(labels::ROLLOUT.to_owned(), rollout.to_annotation());
    } else {
        status.annotations.remove(labels::ROLLOUT);
    }
    Ok(rollout)
}

/// What the Route itself says of how long a rollout takes.
fn rollout_duration(route: &Route) -> Option<Duration> {
    let text = route.metadata.annotation(labels::ROLLOUT_DURATION)?;
    parse_go_duration(text).ok().filter(|duration| duration.subsec_nanos() == 0)
}

fn mark_conditions(
    status: &mut RouteStatus,
    assigned: &Result<(), TrafficError>,
    rollout: &Rollout,
    world: &World<'_>,
) {
    const INGRESS: &str = conditions::INGRESS_READY;
    let has_traffic = !status.traffic.is_empty();
    let was_served = status.conditions.status(INGRESS) == ConditionStatus::True;
    let mut write = status.write_conditions(world.now());
    write.initialize();
    write.mark_true_because(conditions::CERTIFICATE_PROVISIONED, "TLSNotEnabled", "there is no TLS");
    match assigned {
        Ok(()) => write.mark_true(conditions::ALL_TRAFFIC_ASSIGNED),
        Err(why) if why.is_waiting() => {
            write.mark_unknown(conditions::ALL_TRAFFIC_ASSIGNED, why.reason(), &why.to_string())
        }
        Err(why) => write.mark_false(conditions::ALL_TRAFFIC_ASSIGNED, why.reason(), &why.to_string()),
    };
    if rollout.is_active() {
        write.mark_unknown(INGRESS, "RolloutInProgress", "traffic moves to a new revision step by step");
    } else if !has_traffic {
        write.mark_unknown(INGRESS, "IngressNotConfigured", "no traffic is assigned yet");
    } else if was_served || world.facts.gateway.is_some() {
        write.mark_true(INGRESS);
    } else {
        write.mark_unknown(INGRESS, "IngressNotConfigured", "no gateway has an address yet");
    }
}
