//! Nodes that die, stand still, and are stopped.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, scenario};
use crate::load::{Answer, Target};
use crate::one_at_a_time;
use crate::support::TestEvent;
use crate::support::event::TYPE_A;
use crate::support::http::call;

/// Longer than any election takes to begin: 1.4 s, and the checks that come before it.
const LONGER_THAN_AN_ELECTION: Duration = Duration::from_secs(3);

/// F1. Each node leads its share, so whichever dies is a leader.
#[test]
fn a_node_that_is_killed_is_done_without_and_comes_back() {
    scenario("kill one", |scene, round| {
        for machine in 0..3 {
            scene.cluster.kill(machine);
            scene.all_take(&format!("without node {machine}, in round {round}"));
            scene.cluster.restart(&[machine]);
            scene.all_take(&format!("with node {machine} again, in round {round}"));
        }
    });
}

/// F2, as far as processes go: the system keeps what they had written.
#[test]
fn nodes_that_are_killed_at_once_come_back_with_everything() {
    scenario("kill all", |scene, _| {
        scene.cluster.kill_all();
        scene.cluster.restart(&[0, 1, 2]);
    });
}

/// F5. A leader that slept through an election finds out before it acknowledges anything.
#[test]
fn a_node_that_stands_still_is_done_without_and_goes_on() {
    scenario("pause one", |scene, round| {
        for machine in 0..3 {
            scene.cluster.pause(machine);
            let since = Instant::now();
            let others: Vec<_> = (0..3).filter(|other| *other != machine).collect();
            while since.elapsed() < LONGER_THAN_AN_ELECTION {
                scene.take(&others, &format!("while node {machine} stands still, in round {round}"));
            }
            scene.cluster.resume(machine);
            scene.all_take(&format!("with node {machine} awake, in round {round}"));
        }
    });
}

/// After so long a node has noticed that the others are gone: its leaders serve no more after half a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// The longest that it may take until the one that is left refuses. It is about a second; a producer's node is ten seconds
/// patient with an election.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

/// F19: one of three can promise nothing, and says so at once. What the others knew is there when they are back.
#[test]
fn a_lost_quorum_refuses_events_until_it_is_back() {
    scenario("lost quorum", |scene, round| {
        let left = round % 3;
        let lost: Vec<_> = (0..3).filter(|machine| *machine != left).collect();
        lost.iter().for_each(|machine| scene.cluster.kill(*machine));
        let since = Instant::now();
        // What its groups took before they missed the others has to wait: nobody knows what becomes of it.
        std::thread::sleep(NOTICED_WITHIN.saturating_sub(since.elapsed()));
        for _ in 0..10 {
            let begun = Instant::now();
            let mut patient = Target::patient(left, scene.cluster.node(left).ingress);
            let answer = scene.ledger.try_once(&mut patient);
            let took = begun.elapsed();
            let Answer::ComeAgain(why) = answer else { panic!("an event without a quorum: {answer:?}") };
            assert!(why.contains("has no quorum: 1 of 3 replicas can be reached"), "{why}");
            assert!(took < REFUSED_WITHIN, "an event without a quorum was refused after {took:?}: {why}");
        }
        let stale = scene.ledger.stale(left, since, Instant::now());
        assert!(stale.is_empty(), "without a quorum it acknowledged {stale:?}");
        scene.cluster.restart(&lost);
    });
}

/// F18, with one version: a producer that tries again sees every event acknowledged.
#[test]
fn a_rolling_restart_loses_nothing_and_refuses_nobody_for_long() {
    scenario("rolling restart", |scene, round| {
        for machine in 0..3 {
            scene.cluster.stop(machine);
            scene.all_take(&format!("without node {machine}, in round {round}"));
            scene.cluster.restart(&[machine]);
            scene.all_take(&format!("with node {machine} again, in round {round}"));
        }
    });
}

/// A Broker that was made while a node was down is not unknown to it when it is ready.
#[test]
fn a_node_that_comes_back_knows_what_it_missed() {
    let _one = one_at_a_time();
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
