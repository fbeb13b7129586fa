//! Nodes that do not hear each other, while producers and the subscriber reach all of them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Plan, Scene, planned};
use crate::network::Network;
use crate::rounds;
use crate::scene::FAILOVER;
use crate::support::{Dice, skipped};

/// Terms that a group may go through because of one node that was cut off and came back: the election of another leader
/// and the way back are two, and more where votes are late because the machine is busy. One that asks for votes all the time
/// would need as many in ten seconds.
const MAX_TERMS: u64 = 15;

/// How often a link goes and comes.
const FLAPS: usize = 20;

/// The links of each node, one after the other.
const EACH: Plan = Plan { faults: 3, unavailable: FAILOVER };

/// One group may lose its leader several times in a row.
const WHILE_LINKS_FLAP: Duration = Duration::from_secs(30);

/// Nodes try for 10 s to do what they were asked. The first cut of a scenario outlasts that.
const LONGER_THAN_PATIENCE: Duration = Duration::from_secs(12);

/// What is taken while links flap, of what is taken in calm before and after, whichever is less. The aim is 60 %, which a
/// machine that others use at the same time cannot promise; a cluster that stands still until the links stay has nothing.
const LEAST_GOODPUT: f64 = 0.1;

/// So long calm is measured.
const A_CALM: Duration = Duration::from_secs(4);

/// So long a ring lasts: for more than one election.
const A_RING: Duration = Duration::from_secs(5);

/// What is lost around a node.
type Shape = fn(&Network, usize, usize);

/// F3: `shape` cuts a node off from each other. What was sent to it since, it must not have acknowledged when it is
/// healed; the others go on.
#[track_caller]
fn cut_off(what: &'static str, shape: Shape) {
    if let Err(why) = Network::new(1).can_cut() {
        return skipped(what, &why);
    }
    planned(what, EACH, |scene, nth| {
        let machine = nth % 3;
        let others: Vec<_> = (0..3).filter(|other| *other != machine).collect();
        let before = scene.cluster.status();
        others.iter().for_each(|other| shape(&scene.cluster.network, machine, *other));
        let since = Instant::now();
        scene.take(&others, &format!("by the others of node {machine}"));
        while nth == 0 && since.elapsed() < LONGER_THAN_PATIENCE {
            scene.take(&others, &format!("by the others of node {machine}, for long"));
        }
        let until = Instant::now();
        scene.cluster.network.heal();
        let stale = scene.ledger.stale(machine, since, until);
        assert!(stale.is_empty(), "{what}: node {machine} acknowledged {stale:?} on its own");
        scene.all_take(&format!("with node {machine} back"));
        let terms = scene.cluster.status().terms_since(&before);
        assert!(terms <= MAX_TERMS, "{what}: {terms} terms of one group while node {machine} was cut off");
    });
}

#[test]
fn a_node_that_nobody_hears_and_that_hears_nobody_acknowledges_nothing() {
    cut_off("cut off", |network, machine, other| {
        network.cut(machine, other);
        network.cut(other, machine);
    });
}

#[test]
fn a_node_that_sends_but_does_not_hear_acknowledges_nothing() {
    cut_off("does not hear", |network, machine, other| network.cut(other, machine));
}

#[test]
fn a_node_that_hears_but_is_not_heard_acknowledges_nothing() {
    cut_off("is not heard", |network, machine, other| network.cut(machine, other));
}

/// Two that do not reach each other, and one that reaches both: a quorum is there, whoever leads.
#[test]
fn a_broken_link_between_two_of_three_is_outlived() {
    if let Err(why) = Network::new(1).can_cut() {
        return skipped("a broken link", &why);
    }
    planned("broken link", EACH, |scene, nth| {
        let (one, other, bridge) = (nth % 3, (nth + 1) % 3, (nth + 2) % 3);
        scene.cluster.network.cut(one, other);
        scene.cluster.network.cut(other, one);
        scene.take(&[bridge], &format!("by the node between {one} and {other}"));
        scene.cluster.network.heal();
    });
}

/// F3, the ring: five nodes, of which each hears two others, and no two the same majority. Some of them can lead; those
/// that do not reach the leader say so, and a producer goes on to the next.
#[test]
fn a_ring_in_which_each_node_sees_another_majority_is_outlived() {
    if let Err(why) = Network::new(1).can_cut() {
        return skipped("a ring of majorities", &why);
    }
    let cluster = Cluster::start(5, |_, start| start.args(&["--replicas", "5"]));
    let mut scene = Scene::new(cluster, false);
    scene.may_be_unavailable = Some(FAILOVER);
    for round in 0..rounds() {
        scene.strike(round, |scene, _| {
            let before = scene.cluster.status();
            for node in 0..5 {
                scene.cluster.network.cut(node, (node + 2) % 5);
                scene.cluster.network.cut((node + 2) % 5, node);
            }
            let since = Instant::now();
            while since.elapsed() < A_RING {
                scene.some_take("in a ring");
            }
            scene.cluster.network.heal();
            scene.all_take("with the ring healed");
            let terms = scene.cluster.status().terms_since(&before);
            assert!(terms <= MAX_TERMS, "{terms} terms of one group in a ring");
        });
    }
    scene.ends("ring of majorities");
}

/// F4: links that come and go faster than an election takes. Some quorum is there most of the time, so events are taken
/// meanwhile as well, and when it stops all is well.
#[test]
fn links_that_come_and_go_are_outlived() {
    if let Err(why) = Network::new(1).can_cut() {
        return skipped("flapping links", &why);
    }
    let mut dice = Dice::from_env("flapping links");
    let plan = Plan { faults: 1, unavailable: WHILE_LINKS_FLAP };
    planned("flapping links", plan, |scene, _| {
        let before = calm(scene);
        let flapping = rate(scene, |scene| {
            for _ in 0..FLAPS {
                let from = dice.below(3) as usize;
                let to = (from + 1 + dice.below(2) as usize) % 3;
                scene.cluster.network.cut(from, to);
                // For a random time, which is the fault itself.
                let until = Instant::now() + Duration::from_millis(50 + dice.below(800));
                while Instant::now() < until {
                    std::thread::park_timeout(until - Instant::now());
                }
                scene.cluster.network.heal();
            }
        });
        scene.all_take("with all links there to stay");
        let least = before.min(calm(scene));
        let goodput = flapping / least;
        let _ = writeln!(std::io::stderr(), "figures: flapping links: goodput {:.0} % of calm", goodput * 100.0);
        assert!(goodput >= LEAST_GOODPUT, "{flapping:.0} events/s while links came and went, {least:.0} in calm");
    });
}

/// Events that were acknowledged in a second, while `during` went on.
fn rate(scene: &mut Scene, during: impl FnOnce(&mut Scene)) -> f64 {
    let (before, since) = (scene.ledger.count_all(), Instant::now());
    during(scene);
    (scene.ledger.count_all() - before) as f64 / since.elapsed().as_secs_f64()
}

/// The same, while nothing happens.
fn calm(scene: &mut Scene) -> f64 {
    rate(scene, |scene| {
        let since = Instant::now();
        while since.elapsed() < A_CALM {
            scene.all_take("in calm");
        }
    })
}
