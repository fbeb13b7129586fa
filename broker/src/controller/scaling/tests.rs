use pelton_client::serving::{RevisionFact, RevisionLoad};
use pelton_resource::serving::Revision;

use super::*;

const UID: &str = "r";

/// One revision, as it is stored.
fn stored(annotations: &[(&str, &str)]) -> Resources {
    let mut revision = Revision::default();
    revision.metadata.namespace = "default".to_owned();
    revision.metadata.name = "hello-00001".to_owned();
    revision.metadata.uid = Some(UID.to_owned());
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    revision.metadata.annotations = annotations.collect();
    revision.spec.container_concurrency = Some(1);
    let mut resources = Resources::default();
    resources.revisions.insert(pelton_client::ObjectName::new("default", "hello-00001"), Arc::new(revision));
    resources
}

/// Gateways that do at once what they are told.
struct World {
    resources: Resources,
    state: State,
    scales: watch::Sender<BTreeMap<String, Arc<Scales>>>,
    /// Whether the gateways know that the revision had its initial scale once.
    is_proved: bool,
    /// Those that have not been heard of lately.
    silent: BTreeSet<&'static str>,
    /// What is on its way at each gateway.
    load: BTreeMap<&'static str, u32>,
    now: Duration,
}

impl World {
    fn new(resources: Resources, is_proved: bool) -> Self {
        let load = [("a", 0), ("b", 0), ("c", 0)].into();
        Self {
            resources,
            state: State::default(),
            scales: watch::Sender::default(),
            is_proved,
            silent: BTreeSet::new(),
            load,
            now: Duration::ZERO,
        }
    }

    /// What each gateway is to have.
    fn desired(&self, gateway: &str) -> u32 {
        let scales = self.scales.borrow();
        scales.get(gateway).and_then(|scales| scales.shares.get(UID)).map_or(0, |share| share.desired)
    }

    fn all(&self) -> Vec<u32> {
        self.load.keys().map(|gateway| self.desired(gateway)).collect()
    }

    /// Lets time pass while each gateway tells what it has, every 100 ms.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            let told: Vec<_> = self.load.iter().map(|(gateway, load)| self.told(gateway, *load)).collect();
            let heard = self.load.keys().copied().filter(|gateway| !self.silent.contains(gateway)).collect();
            self.state.follow(self.now, &self.resources, &told.iter().collect::<Vec<_>>(), &heard);
            self.state.say(&self.scales, &told.iter().collect::<Vec<_>>());
        }
    }

    fn told(&self, gateway: &str, load: u32) -> RevisionsTold {
        let has = self.desired(gateway);
        let fact = RevisionFact {
            ready_replicas: has,
            desired_replicas: has,
            reached_initial_scale: self.is_proved,
            ..RevisionFact::default()
        };
        let load = RevisionLoad { in_flight: load.min(has), queued: load - load.min(has), ..RevisionLoad::default() };
        RevisionsTold {
            gateway: gateway.to_owned(),
            reached: Some(GatewayInfo {
                node: gateway.to_owned(),
                address: format!("{gateway}:1"),
                pass: gateway.to_owned(),
            }),
            revisions: [(UID.to_owned(), fact)].into(),
            loads: [(UID.to_owned(), load)].into(),
        }
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_new_revision_is_started_once_by_one_gateway() {
    let mut world = World::new(stored(&[]), false);
    world.pass(Duration::from_millis(100));
    assert_eq!(world.all().iter().sum::<u32>(), 1);
    world.pass(Duration::from_millis(200));
    let is_proved = |world: &World| world.scales.borrow()["b"].shares[UID].is_proved;
    assert!(is_proved(&world), "all of them are told");
    world.pass(s(120));
    assert_eq!((world.all(), is_proved(&world)), (vec![0, 0, 0], true));
}

#[test]
fn load_at_one_gateway_has_instances_on_all_of_them() {
    let mut world = World::new(stored(&[]), true);
    world.pass(s(1));
    assert_eq!(world.all(), [0, 0, 0]);
    world.load.insert("b", 6);
    world.pass(Duration::from_millis(300));
    // 70 % of one request for each instance: 9.
    assert_eq!(world.all(), [3, 3, 3]);
    let share = world.scales.borrow()["b"].shares[UID].clone();
    world.pass(Duration::from_millis(100));
    assert_eq!(world.scales.borrow()["b"].shares[UID].others, [("a".to_owned(), 3), ("c".to_owned(), 3)].into());
    assert_eq!(share.desired, 3);
    world.load.insert("b", 0);
    world.pass(s(150));
    assert_eq!(world.all(), [0, 0, 0]);
}

/// What was decided for a gateway that is not heard of any more is decided for another.
#[test]
fn the_share_of_a_gateway_that_is_gone_is_anothers() {
    let mut world = World::new(stored(&[("autoscaling.knative.dev/min-scale", "3")]), true);
    world.pass(s(1));
    assert_eq!(world.all(), [1, 1, 1]);
    world.load.remove("c");
    world.pass(Duration::from_millis(200));
    assert_eq!(world.all().iter().sum::<u32>(), 3);
}

/// One that is silent has its requests elsewhere by now: they count for a while, its instances do not.
#[test]
fn a_silent_gateway_is_given_nothing_to_do() {
    let mut world = World::new(stored(&[]), true);
    world.load.insert("c", 2);
    world.pass(s(2));
    assert_eq!(world.all(), [1, 1, 1]);
    world.silent.insert("c");
    world.pass(Duration::from_millis(200));
    assert_eq!((world.desired("a") + world.desired("b"), world.desired("c")), (3, 0));
}

/// The windows remember load for a minute; where idle instances have a time of their own, none is kept for that.
#[test]
fn nothing_is_kept_for_load_that_is_over_where_idle_instances_are_stopped() {
    let mut world = World::new(stored(&[("pelton.dev/idle-stop", "3s")]), true);
    world.load.insert("a", 6);
    world.pass(s(2));
    assert_eq!(world.all(), [3, 3, 3]);
    world.load.insert("a", 0);
    world.pass(Duration::from_millis(200));
    assert_eq!(world.all(), [0, 0, 0]);
}

/// A word is another only when it says something else, and no two leaders number theirs alike.
#[test]
fn what_is_the_same_is_not_said_again() {
    let scaling = Scaling::default();
    let resources = stored(&[("autoscaling.knative.dev/min-scale", "1")]);
    let world = World::new(resources.clone(), true);
    let mut told = AllTold::default();
    told.take(world.told("a", 0), Duration::ZERO);
    let version = |scaling: &Scaling| scaling.scales.borrow().get("a").map_or(0, |scales| scales.version);
    scaling.decide(Term(1), s(1), &resources, &told, &[]);
    let first = version(&scaling);
    scaling.decide(Term(1), s(2), &resources, &told, &[]);
    assert_eq!(version(&scaling), first);
    scaling.decide(Term(2), s(3), &resources, &told, &[]);
    assert!(first != 0 && version(&scaling) != first);
}

/// Whoever begins to lead knows of the gateway beside it first, and must not give it what the others have.
#[test]
fn a_new_leader_waits_until_all_have_told() {
    let scaling = Scaling::default();
    let resources = stored(&[("autoscaling.knative.dev/min-scale", "3")]);
    let world = World::new(resources.clone(), true);
    let names = ["a", "b", "c"];
    let expected = names.map(str::to_owned);
    let mut told = AllTold::default();
    for (gateway, at) in names.into_iter().zip([1, 2, 3]) {
        assert!(scaling.scales.borrow().is_empty(), "before {gateway} was heard of");
        told.take(world.told(gateway, 0), s(at));
        let due = scaling.decide(Term(1), s(at), &resources, &told, &expected);
        assert!(due.is_some());
    }
    let shares: Vec<_> = names.iter().map(|name| scaling.scales.borrow()[*name].shares[UID].desired).collect();
    assert_eq!(shares, [1, 1, 1]);
    // One that is gone is not waited for.
    scaling.decide(Term(2), s(100), &resources, &told, &expected);
    assert!(scaling.scales.borrow().is_empty());
    scaling.decide(Term(2), s(112), &resources, &told, &expected);
    assert!(scaling.scales.borrow().is_empty(), "nobody has told anything for so long");
    told.take(world.told("a", 0), s(113));
    scaling.decide(Term(2), s(113), &resources, &told, &expected);
    assert_eq!(scaling.scales.borrow()["a"].shares[UID].desired, 3);
}
