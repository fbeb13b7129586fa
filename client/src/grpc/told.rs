//! What gateways tell of revisions, on the wire.

use pelton_env::UnixMillis;
use pelton_proto::broker::v1 as wire;

use crate::serving::{GatewayInfo, RevisionFact, RevisionLoad, RevisionsTold};

/// As it is sent.
pub(super) fn told_to_wire(mut told: RevisionsTold) -> wire::TellRevisionsRequest {
    let revisions = told.revisions.into_iter().map(|(uid, fact)| wire::RevisionTold {
        load: told.loads.remove(&uid).map(|load| wire::RevisionLoad {
            in_flight: load.in_flight,
            queued: load.queued,
            arrivals: load.arrivals,
            starting: load.starting,
            events_milli: load.events_milli,
            delivering: load.delivering,
        }),
        uid,
        deployed: fact.deployed.as_ref().map(Result::is_ok),
        not_deployed: fact.deployed.and_then(Result::err).unwrap_or_default(),
        ready_replicas: fact.ready_replicas,
        desired_replicas: fact.desired_replicas,
        reached_initial_scale: fact.reached_initial_scale,
        crash_loop: fact.crash_loop,
        last_active_millis: fact.last_active.map(|at| at.0),
    });
    let revisions = revisions.collect();
    let reached = told.reached.map(|GatewayInfo { node, address, pass }| wire::GatewayInfo { node, address, pass });
    wire::TellRevisionsRequest { gateway: told.gateway, revisions, reached }
}

/// As it came.
pub(super) fn told_from_wire(told: wire::TellRevisionsRequest) -> RevisionsTold {
    let load_of = |told: &wire::RevisionTold| {
        let load = told.load?;
        let load = RevisionLoad {
            in_flight: load.in_flight,
            queued: load.queued,
            arrivals: load.arrivals,
            starting: load.starting,
            events_milli: load.events_milli,
            delivering: load.delivering,
        };
        Some((told.uid.clone(), load))
    };
    let loads = told.revisions.iter().filter_map(load_of).collect();
    let reached = told.reached.map(|wire::GatewayInfo { node, address, pass }| GatewayInfo { node, address, pass });
    let revisions = told.revisions.into_iter().map(|told| {
        let deployed = told.deployed.map(|deployed| if deployed { Ok(()) } else { Err(told.not_deployed) });
        let fact = RevisionFact {
            deployed,
            ready_replicas: told.ready_replicas,
            desired_replicas: told.desired_replicas,
            reached_initial_scale: told.reached_initial_scale,
            crash_loop: told.crash_loop,
            last_active: told.last_active_millis.map(UnixMillis),
        };
        (told.uid, fact)
    });
    RevisionsTold { gateway: told.gateway, reached, revisions: revisions.collect(), loads }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_comes_as_it_was() {
        let facts = [
            RevisionFact::default(),
            RevisionFact { deployed: Some(Ok(())), ready_replicas: 3, desired_replicas: 4, ..RevisionFact::default() },
            RevisionFact {
                deployed: Some(Err("no such image".to_owned())),
                reached_initial_scale: true,
                crash_loop: Some("it ended by itself with code 1".to_owned()),
                last_active: Some(UnixMillis(17)),
                ..RevisionFact::default()
            },
        ];
        let revisions = facts.into_iter().enumerate().map(|(at, fact)| (format!("uid-{at}"), fact)).collect();
        let load =
            RevisionLoad { in_flight: 3, queued: 4, arrivals: u64::MAX, starting: 5, events_milli: 6, delivering: 7 };
        let loads = [("uid-0".to_owned(), RevisionLoad::default()), ("uid-2".to_owned(), load)].into();
        let reached = Some(GatewayInfo { node: "a".to_owned(), address: "a:1".to_owned(), pass: "p".to_owned() });
        let told = RevisionsTold { gateway: "g".to_owned(), reached, revisions, loads };
        assert_eq!(told_from_wire(told_to_wire(told.clone())), told);
    }
}
