//! Nodes that die, stand still, and are stopped.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Plan, Scene, planned};
use crate::load::{Answer, Target};
use crate::support::event::TYPE_A;
use crate::support::http::call;
use crate::support::{TestEvent, wait_for};

/// A leader stands still for as long at least, and until others lead what it led.
const A_SLEEP: Duration = Duration::from_secs(2);

/// Until a node has given up on its call, and two others have started.
const WITHOUT_A_QUORUM: Duration = Duration::from_secs(60);

/// Until three nodes have started that share two processors with others.
const ALL_START: Duration = Duration::from_secs(40);

/// Once for each node, in order.
const EACH: Plan = Plan { faults: 3, unavailable: crate::scene::FAILOVER };

/// F1. Each node leads its share, so whichever dies is a leader.
#[test]
fn a_node_that_is_killed_is_done_without_and_comes_back() {
    each("kill one", |scene, machine| {
        scene.cluster.kill(machine);
        scene.all_take(&format!("without node {machine}"));
        scene.cluster.restart(&[machine]);
    });
}

/// F2, as far as processes go: the system keeps what they had written.
#[test]
fn nodes_that_are_killed_at_once_come_back_with_everything() {
    let plan = Plan { faults: 1, unavailable: ALL_START };
    planned("kill all", plan, |scene, _| {
        scene.cluster.kill_all();
        scene.cluster.restart(&[0, 1, 2]);
    });
}

/// F5. A leader that slept through an election finds out before it acknowledges anything.
#[test]
fn a_node_that_stands_still_is_done_without_and_goes_on() {
    each("pause one", |scene, machine| {
        let others: Vec<_> = (0..3).filter(|other| *other != machine).collect();
        scene.sleeps(machine, A_SLEEP, |scene| scene.take(&others, &format!("while node {machine} stands still")));
    });
}

/// The longest that it may take until the one that is left refuses. It is about a second; a producer's node is ten seconds
/// patient with an election.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

/// F19: one of three can promise nothing, and says so at once. What the others knew is there when they are back.
#[test]
fn a_lost_quorum_refuses_events_until_it_is_back() {
    let plan = Plan { faults: 1, unavailable: WITHOUT_A_QUORUM };
    planned("lost quorum", plan, |scene, round| {
        let left = round % 3;
        let lost: Vec<_> = (0..3).filter(|machine| *machine != left).collect();
        lost.iter().for_each(|machine| scene.cluster.kill(*machine));
        let since = Instant::now();
        let mut patient = Target::patient(left, scene.cluster.node(left).ingress);
        // What its groups took before they missed the others has to wait: nobody knows what becomes of it.
        wait_for("the one that is left to miss the others", || refused(scene, &mut patient));
        for _ in 0..10 {
            let begun = Instant::now();
            refused(scene, &mut patient).unwrap();
            let took = begun.elapsed();
            assert!(took < REFUSED_WITHIN, "an event without a quorum was refused after {took:?}");
        }
        let stale = scene.ledger.stale(left, since, Instant::now());
        assert!(stale.is_empty(), "without a quorum it acknowledged {stale:?}");
        scene.cluster.restart(&lost);
    });
}

/// Sends an event that has to be refused for want of a quorum.
///
/// # Errors
/// It was not.
fn refused(scene: &Scene, target: &mut Target) -> Result<(), String> {
    let answer = scene.ledger.try_once(target);
    assert!(!matches!(answer, Answer::Taken), "an event without a quorum: {answer:?}");
    match answer {
        Answer::ComeAgain(why) if why.contains("has no quorum: 1 of 3 replicas can be reached") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// F18, with one version: a producer that tries again sees every event acknowledged, and does not wait longer than for a
/// leader that is lost.
#[test]
fn a_rolling_restart_loses_nothing_and_refuses_nobody_for_long() {
    each("rolling restart", |scene, machine| {
        scene.cluster.stop(machine);
        scene.all_take(&format!("without node {machine}"));
        scene.cluster.restart(&[machine]);
    });
}

/// A Broker that was made while a node was down is not unknown to it when it is ready.
#[test]
fn a_node_that_comes_back_knows_what_it_missed() {
    let mut cluster = Cluster::start(3, |_, start| start);
    for round in 0..3 {
        cluster.stop(round);
        let name = format!("missed-{round}");
        cluster.apply(&format!("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: {name}}}\n"));
        cluster.restart(&[round]);
        let event = TestEvent::sized(round as u64, TYPE_A, 10);
        let ingress = cluster.node(round).ingress;
        let answer = call(ingress, "POST", &format!("/default/{name}"), &event.headers(), &event.data);
        assert_eq!(answer.status(), 202, "{}", answer.text());
    }
}

/// A fault that strikes one node after the other.
#[track_caller]
fn each(what: &str, mut fault: impl FnMut(&mut Scene, usize)) {
    planned(what, EACH, |scene, nth| fault(scene, nth % 3));
}
