//! What holds in every small world, whatever happens in it.

use std::collections::BTreeSet;

use pelton_env::UnixMillis;
use pelton_resource::Kind;
use pelton_resource::serving::labels;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::serving::gc::GcPolicy;
use crate::serving::owner::{is_owned, kind_of, owner, uid};
use crate::serving::testing::{House, in_words, service};

/// Two names, one of which is the host of a tag of the other.
const NAMES: [&str; 2] = ["hello", "t-hello"];
const TRAFFIC: [&str; 5] = [
    "",
    "  traffic: [{latestRevision: true, percent: 100, tag: t}]\n",
    "  traffic: [{latestRevision: true, percent: 40}, {revisionName: hello-00001, percent: 60, tag: old}]\n",
    "  traffic: [{revisionName: hello-00002, percent: 100}, {latestRevision: true, percent: 0, tag: t}]\n",
    "  traffic: [{latestRevision: true, percent: 1}, {revisionName: t-hello-named, percent: 99}]\n",
];

#[derive(Debug, Clone)]
enum Event {
    /// The Service, its command, a name for the revision, and its traffic.
    Service(usize, u8, bool, usize),
    /// A Configuration or a Route of one's own.
    Alone(bool, usize),
    /// A DomainMapping in one of two namespaces, for a Service or a Route.
    Mapping(bool, bool, usize),
    /// Any resource goes.
    Delete(prop::sample::Index),
    /// A gateway tells of any revision.
    Tell(prop::sample::Index, RevisionFact),
    /// Gateways know nothing any more.
    Forget,
    Wait(u64),
    Gateway(bool),
}

fn fact() -> impl Strategy<Value = RevisionFact> {
    let deployed = prop_oneof![1 => Just(None), 4 => Just(Some(Ok(()))), 1 => Just(Some(Err("refused".to_owned())))];
    let crash_loop = option::weighted(0.2, Just("exit code 1".to_owned()));
    (deployed, 0u32..3, 0u32..3, prop::bool::weighted(0.7), crash_loop, option::of(0u64..400)).prop_map(
        |(deployed, ready_replicas, desired_replicas, reached_initial_scale, crash_loop, last_active)| RevisionFact {
            deployed,
            ready_replicas,
            desired_replicas,
            reached_initial_scale,
            crash_loop,
            last_active: last_active.map(|seconds| UnixMillis(1_700_000_000_000 + seconds * 1000)),
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..NAMES.len(), 0u8..3, prop::bool::weighted(0.2), 0..TRAFFIC.len())
            .prop_map(|(name, command, is_named, traffic)| Event::Service(name, command, is_named, traffic)),
        1 => (any::<bool>(), 0..NAMES.len()).prop_map(|(is_route, name)| Event::Alone(is_route, name)),
        1 => (any::<bool>(), any::<bool>(), 0..3usize).prop_map(|(here, route, name)| Event::Mapping(here, route, name)),
        1 => any::<prop::sample::Index>().prop_map(Event::Delete),
        5 => (any::<prop::sample::Index>(), fact()).prop_map(|(at, fact)| Event::Tell(at, fact)),
        1 => Just(Event::Forget),
        2 => (0u64..200_000).prop_map(Event::Wait),
        1 => prop::bool::weighted(0.8).prop_map(Event::Gateway),
    ]
}

fn alone(is_route: bool, name: &str) -> String {
    if is_route {
        format!(
            "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {{name: {name}}}\nspec: {{traffic: \
             [{{configurationName: hello, percent: 100}}]}}\n"
        )
    } else {
        service(name, "alone", "").replace("kind: Service", "kind: Configuration")
    }
}

fn mapping(is_here: bool, is_route: bool, domain: usize) -> String {
    let namespace = if is_here { "default" } else { "another" };
    let domain = ["www.example.org", "t-hello.default.example.com", "hello.default"][domain];
    let kind = if is_route { "Route" } else { "Service" };
    format!(
        "apiVersion: serving.knative.dev/v1beta1\nkind: DomainMapping\nmetadata: {{name: {domain}, namespace: \
         {namespace}}}\nspec: {{ref: {{apiVersion: serving.knative.dev/v1, kind: {kind}, name: hello}}}}\n"
    )
}

impl House {
    /// Lets it happen. What admission refuses does not.
    fn happen(&mut self, event: &Event) {
        match event {
            Event::Service(name, command, is_named, traffic) => {
                let name = NAMES[*name];
                let mut manifest = service(name, &command.to_string(), TRAFFIC[*traffic]);
                if *is_named {
                    let given = format!("template: {{metadata: {{name: {name}-named}}, ");
                    manifest = manifest.replace("template: {", &given);
                }
                self.store(&manifest);
            }
            Event::Alone(is_route, name) => drop(self.store(&alone(*is_route, NAMES[*name]))),
            Event::Mapping(is_here, is_route, domain) => drop(self.store(&mapping(*is_here, *is_route, *domain))),
            Event::Delete(at) => {
                let keys: Vec<_> = self.resources.iter().map(|one| one.key()).collect();
                if !keys.is_empty() {
                    self.resources = self.resources.without(at.get(&keys), self.resources.version + 1);
                }
            }
            Event::Tell(at, fact) => {
                let revisions: Vec<_> = self.resources.iter().filter(|one| one.kind() == Kind::Revision).collect();
                if !revisions.is_empty() {
                    self.told.insert(uid(at.get(&revisions).meta()).to_owned(), fact.clone());
                }
            }
            Event::Forget => self.told.clear(),
            Event::Wait(millis) => self.now = self.now.plus(Duration::from_millis(*millis)),
            Event::Gateway(true) => self.gateway = House::new().gateway,
            Event::Gateway(false) => self.gateway = None,
        }
    }

    fn revision_names(&self) -> BTreeSet<String> {
        self.names(Kind::Revision).into_iter().collect()
    }
}

/// What is made for a Service is there, and nothing is there that was made for what is gone.
fn check_owners(house: &House) {
    for service in house.resources.services.values() {
        let (meta, status) = (&service.metadata, &service.status);
        for (kind, condition) in [(Kind::Configuration, "ConfigurationsReady"), (Kind::Route, "RoutesReady")] {
            let key = ResourceKey::new(kind, &meta.namespace, &meta.name);
            let made = house.resources.find(&key).unwrap_or_else(|| panic!("{key} is not there"));
            let is_refused = in_words(status.conditions.find(condition)) == "False NotOwned";
            assert_eq!(is_refused, !is_owned(made.meta(), meta, Kind::Service), "{key}");
        }
        assert_eq!(status.observed_generation, meta.generation);
    }
    for resource in house.resources.iter() {
        let Some(owner) = owner(resource.meta()) else { continue };
        let key = ResourceKey::new(kind_of(owner).unwrap(), &resource.meta().namespace, &owner.name);
        let found = house.resources.find(&key).unwrap_or_else(|| panic!("{} outlives {key}", resource.key()));
        assert_eq!(uid(found.meta()), owner.uid, "{}", resource.key());
    }
}

/// Traffic adds up, and what it goes to is what the table says.
fn check_routes(house: &House, before: &BTreeSet<String>, was_deleted: bool) {
    let table = house.table();
    for route in house.resources.routes.values() {
        let traffic = &route.status.traffic;
        let total: i64 = traffic.iter().filter_map(|target| target.percent).sum();
        assert_eq!(total, if traffic.is_empty() { 0 } else { 100 }, "{traffic:?}");
        for name in traffic.iter().map(|target| &target.revision_name).filter(|name| before.contains(*name)) {
            let revision = house.resources.revision("default", name);
            assert!(was_deleted || revision.is_some(), "{name} has traffic and was deleted");
            let state = revision.map(|revision| revision.metadata.labels[labels::ROUTING_STATE].as_str());
            assert!(state.is_none_or(|state| state == "active"), "{name}");
        }
        let host = format!("{}.default.example.com", route.metadata.name);
        let reached = (0..100).filter_map(|dice| table.resolve(&host, None, dice).ok());
        let reached: BTreeSet<_> = reached.map(|target| target.revision.metadata.name.as_str()).collect();
        let shared = traffic.iter().filter(|target| target.percent.is_some_and(|percent| percent > 0));
        let there = shared.filter(|target| house.resources.revision("default", &target.revision_name).is_some());
        assert_eq!(reached, there.map(|target| target.revision_name.as_str()).collect(), "{host}");
    }
}

/// The latest that is ready is there, and no older one than before.
fn check_latest(house: &House) {
    for configuration in house.resources.configurations.values() {
        let latest = &configuration.status.latest_ready_revision_name;
        assert!(latest.is_empty() || house.resources.revision("default", latest).is_some(), "{latest}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test] // `settle` makes sure that a round is enough, and that nothing is written over what was not read.
    fn every_world_comes_to_rest_after_one_round(
        events in vec(event(), 1..40),
        rollout_seconds in prop::sample::select(vec![0u64, 60]),
        max_non_active in option::of(0usize..3),
    ) {
        let mut house = House::new();
        house.policy.rollout_duration = Duration::from_secs(rollout_seconds);
        let hour = Some(Duration::from_secs(120));
        house.policy.gc = GcPolicy { retain_since_create: hour, retain_since_last_active: hour, min_non_active: 1, max_non_active };
        for event in events {
            let before = house.revision_names();
            house.happen(&event);
            house.settle();
            check_owners(&house);
            check_routes(&house, &before, matches!(event, Event::Delete(_)));
            check_latest(&house);
        }
    }
}
