//! Services: a Configuration and a Route for each, and what is true of it because of them.

use pelton_resource::serving::labels;
use pelton_resource::{Configuration, Kind, ObjectMeta, Route, Service, conditions};

use super::mirror;
use super::world::{World, is_owned, uid};

/// What `kubectl apply` remembers of a manifest. It is the manifest of the Service, and not of what it is made of.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Makes the Configuration and the Route of each Service what it says.
pub(super) fn own(world: &mut World<'_>) {
    for service in world.services() {
        let metadata = child_meta(&service.metadata);
        let configuration = Configuration {
            metadata: metadata.clone(),
            spec: service.configuration_spec(),
            ..Configuration::default()
        };
        world.own(&service.metadata, Kind::Service, configuration.into());
        let route = Route { metadata, spec: service.route_spec(), ..Route::default() };
        world.own(&service.metadata, Kind::Service, route.into());
    }
}

/// Labels and annotations are handed on: the Route finds there from where it is seen and how long a rollout takes.
fn child_meta(service: &ObjectMeta) -> ObjectMeta {
    let mut meta = ObjectMeta {
        name: service.name.clone(),
        namespace: service.namespace.clone(),
        labels: service.labels.clone(),
        annotations: service.annotations.clone(),
        ..ObjectMeta::default()
    };
    meta.annotations.remove(LAST_APPLIED);
    meta.labels.insert(labels::SERVICE.to_owned(), service.name.clone());
    meta.labels.insert(labels::SERVICE_UID.to_owned(), uid(service).to_owned());
    meta
}

/// Says what is true of each Service.
pub(super) fn mark(world: &mut World<'_>) {
    for service in world.services() {
        let (namespace, name) = (&service.metadata.namespace, &service.metadata.name);
        let is_ours = |meta: &ObjectMeta| is_owned(meta, &service.metadata, Kind::Service);
        let configuration = world.is.configuration(namespace, name).filter(|one| is_ours(&one.metadata));
        let route = world.is.route(namespace, name).filter(|one| is_ours(&one.metadata));
        let mut status = service.status.clone();
        status.observed_generation = service.metadata.generation;
        if let Some(configuration) = configuration {
            let is = &configuration.status;
            status.latest_created_revision_name.clone_from(&is.latest_created_revision_name);
            status.latest_ready_revision_name.clone_from(&is.latest_ready_revision_name);
        }
        if let Some(route) = route {
            status.url.clone_from(&route.status.url);
            status.address.clone_from(&route.status.address);
            status.traffic.clone_from(&route.status.traffic);
        }
        let mut write = status.write_conditions(world.now());
        write.initialize();
        let of_configuration = configuration.map(|one| one.status.conditions.find(conditions::READY));
        let of_route = route.map(|one| one.status.conditions.find(conditions::READY));
        for (kind, condition, ready) in [
            (Kind::Configuration, conditions::CONFIGURATIONS_READY, of_configuration),
            (Kind::Route, conditions::ROUTES_READY, of_route),
        ] {
            match ready {
                Some(ready) => mirror(&mut write, condition, ready),
                None => {
                    let why = format!("{kind} {name:?} is there already and does not belong to this Service");
                    write.mark_false(condition, "NotOwned", &why);
                }
            }
        }
        if status != service.status {
            world.put(Service { status, ..Service::clone(&service) });
        }
    }
}
