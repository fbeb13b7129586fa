//! What tests of this module share: resources in few words, and a registry whose controller is asked until it is content.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_resource::serving::TrafficTarget;
use pelton_resource::{
    Condition, Configuration, DomainMapping, Kind, ObjectMeta, Resource, ResourceKey, Revision, Route, Service, Time,
    conditions, parse_documents,
};

use super::reconcile::{Changes, Facts, Policy, RevisionFact, reconcile};
use super::{GatewayAddress, RoutingTable};
use crate::Resources;
use crate::admission::{admit, uid_from_bits};

/// The moment at which tests begin.
pub(super) const START: UnixMillis = UnixMillis(1_700_000_000_000);

pub(super) fn resources(all: impl IntoIterator<Item = Resource>) -> Resources {
    let mut resources = Resources::default();
    all.into_iter().for_each(|one| resources.put(one));
    resources
}

pub(super) fn meta(name: &str, namespace: &str) -> ObjectMeta {
    let uid = Some(format!("{namespace}/{name}"));
    ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), uid, ..ObjectMeta::default() }
}

/// A Route whose status has these targets: tag, revision, percent.
pub(super) fn route(name: &str, namespace: &str, targets: &[(&str, &str, i64)]) -> Route {
    let mut route = Route { metadata: meta(name, namespace), ..Route::default() };
    route.status.traffic = targets
        .iter()
        .map(|(tag, revision, percent)| TrafficTarget {
            tag: (*tag).to_owned(),
            revision_name: (*revision).to_owned(),
            percent: Some(*percent),
            ..TrafficTarget::default()
        })
        .collect();
    route
}

/// A Revision that is ready.
pub(super) fn revision(name: &str, namespace: &str) -> Revision {
    let mut revision = Revision { metadata: meta(name, namespace), ..Revision::default() };
    let mut write = revision.status.write_conditions(Time::from_unix_millis(START.0));
    write.mark_true(conditions::RESOURCES_AVAILABLE).mark_true(conditions::CONTAINER_HEALTHY);
    revision
}

/// A registry and its controller.
#[derive(Debug)]
pub(super) struct House {
    pub(super) resources: Resources,
    pub(super) gateway: Option<GatewayAddress>,
    pub(super) told: BTreeMap<String, RevisionFact>,
    pub(super) policy: Policy,
    pub(super) now: UnixMillis,
    uids: u64,
}

impl House {
    pub(super) fn new() -> Self {
        Self {
            resources: Resources::default(),
            gateway: Some(GatewayAddress { domain: "example.com".to_owned(), port: 80 }),
            told: BTreeMap::new(),
            policy: Policy::default(),
            now: START,
            uids: 0,
        }
    }

    /// Applies a manifest and reconciles.
    pub(super) fn apply(&mut self, manifest: &str) -> &mut Self {
        assert!(self.store(manifest), "refused: {manifest}");
        self.settle();
        self
    }

    /// Stores a manifest unless admission refuses it.
    pub(super) fn store(&mut self, manifest: &str) -> bool {
        let incoming = parse_documents(manifest, "test").expect("a manifest");
        let uids = &mut self.uids;
        let admitted = admit(&self.resources, incoming, Time::from_unix_millis(self.now.0), &mut || {
            *uids += 1;
            uid_from_bits(0, *uids)
        });
        let Ok(admitted) = admitted else { return false };
        self.resources = self.resources.with(admitted, self.resources.version + 1);
        true
    }

    pub(super) fn delete(&mut self, kind: Kind, name: &str) -> &mut Self {
        self.resources = self.resources.without(&ResourceKey::new(kind, "default", name), self.resources.version + 1);
        self.settle();
        self
    }

    /// A gateway tells of a revision.
    pub(super) fn tell(&mut self, revision: &str, fact: RevisionFact) -> &mut Self {
        let uid = self.revision(revision).metadata.uid.clone().expect("a uid");
        self.told.insert(uid, fact);
        self.settle();
        self
    }

    /// A gateway tells that a revision came up with one instance.
    pub(super) fn up(&mut self, revision: &str) -> &mut Self {
        self.tell(revision, up())
    }

    pub(super) fn wait(&mut self, span: Duration) -> &mut Self {
        self.now = self.now.plus(span);
        self.settle();
        self
    }

    pub(super) fn changes(&self) -> Changes {
        let (gateway, revisions, policy) = (self.gateway.as_ref(), &self.told, &self.policy);
        reconcile(&self.resources, Facts { gateway, revisions, policy, now: self.now })
    }

    /// Makes the changes that the controller asks for. Then there are none left: one round is enough.
    pub(super) fn settle(&mut self) -> Changes {
        let changes = self.changes();
        let version = self.resources.version + 1;
        for key in &changes.delete {
            self.resources = self.resources.without(key, version);
        }
        for resource in &changes.put {
            let known = self.resources.find(&resource.key());
            let known = known.and_then(|known| known.meta().resource_version.clone());
            assert_eq!(resource.meta().resource_version, known, "{} was read before it is written", resource.key());
            assert!(resource.meta().uid.is_some() && resource.meta().generation.is_some(), "{}", resource.key());
        }
        self.resources = self.resources.with(changes.put.clone(), version);
        let again = self.changes();
        assert!(again.is_empty(), "a second round still changes {again:#?}");
        assert!(again.wake_at.is_none_or(|at| at > self.now), "it would be asked again at once");
        changes
    }

    pub(super) fn service(&self, name: &str) -> &Service {
        self.resources.service("default", name).expect("the Service")
    }

    pub(super) fn configuration(&self, name: &str) -> &Configuration {
        self.resources.configuration("default", name).expect("the Configuration")
    }

    pub(super) fn revision(&self, name: &str) -> &Revision {
        self.resources.revision("default", name).expect("the Revision")
    }

    pub(super) fn route(&self, name: &str) -> &Route {
        self.resources.route("default", name).expect("the Route")
    }

    pub(super) fn mapping(&self, namespace: &str, name: &str) -> &DomainMapping {
        self.resources.domain_mapping(namespace, name).expect("the DomainMapping")
    }

    /// The names of all resources of a kind in the namespace `default`.
    pub(super) fn names(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.resources.iter().filter(|one| one.kind() == kind);
        of_kind.map(|one| one.meta().name.clone()).collect()
    }

    /// `status.traffic` of a Route in few words: revision and percent.
    pub(super) fn traffic(&self, route: &str) -> Vec<(String, i64)> {
        let traffic = &self.route(route).status.traffic;
        traffic.iter().map(|target| (target.revision_name.clone(), target.percent.unwrap_or(0))).collect()
    }

    pub(super) fn table(&self) -> RoutingTable {
        RoutingTable::new(&self.resources, "example.com")
    }
}

pub(super) fn up() -> RevisionFact {
    RevisionFact {
        deployed: Some(Ok(())),
        ready_replicas: 1,
        desired_replicas: 1,
        reached_initial_scale: true,
        ..RevisionFact::default()
    }
}

/// A Service for the process runtime. `command` makes its template another; `more` is added to its `spec`.
pub(super) fn service(name: &str, command: &str, more: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  template: {{spec: \
         {{containers: [{{command: ['{command}']}}]}}}}\n{more}"
    )
}

/// A condition in few words: its status and reason, such as `False RevisionMissing`.
pub(super) fn in_words(condition: Option<&Condition>) -> String {
    let Some(condition) = condition else { return "absent".to_owned() };
    format!("{:?} {}", condition.status, condition.reason).trim_end().to_owned()
}
