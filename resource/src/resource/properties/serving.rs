//! Resources of Knative Serving, of every shape that the types allow.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Resource, meta, name, text, texts};
use crate::serving::{
    Configuration, ConfigurationSpec, Container, ContainerPort, DomainMapping, EnvVar, ExecAction, GrpcAction,
    HttpGetAction, Probe, ProbePort, ResourceRequirements, Revision, RevisionSpec, RevisionTemplateSpec, Route,
    Service, TcpSocketAction, TemplateMeta, TrafficTarget,
};
use crate::{Addressable, KReference};

fn port() -> BoxedStrategy<ProbePort> {
    prop_oneof![any::<i32>().prop_map(ProbePort::Number), text().prop_map(ProbePort::Name)].boxed()
}

fn probe() -> BoxedStrategy<Probe> {
    let get = (text(), port(), text(), text()).prop_map(|(path, port, host, scheme)| HttpGetAction {
        path,
        port,
        host,
        scheme,
    });
    let actions = (
        option::of(get),
        option::of(port().prop_map(|port| TcpSocketAction { port })),
        option::of((any::<i32>(), text()).prop_map(|(port, service)| GrpcAction { port, service })),
        option::of(vec(text(), 0..3).prop_map(|command| ExecAction { command })),
    );
    (actions, [-1i32..3, -1i32..3, -1i32..3, -1i32..3, -1i32..3])
        .prop_map(|((http_get, tcp_socket, grpc, exec), [initial, period, timeout, success, failure])| Probe {
            http_get,
            tcp_socket,
            grpc,
            exec,
            initial_delay_seconds: initial,
            period_seconds: period,
            timeout_seconds: timeout,
            success_threshold: success,
            failure_threshold: failure,
        })
        .boxed()
}

fn container() -> BoxedStrategy<Container> {
    let env = (text(), text()).prop_map(|(name, value)| EnvVar { name, value });
    let port = (text(), any::<i32>(), text()).prop_map(|(name, container_port, protocol)| ContainerPort {
        name,
        container_port,
        protocol,
    });
    let quantities = || btree_map(select(vec!["cpu", "memory", "x"]).prop_map(str::to_owned), text(), 0..3);
    let resources =
        (quantities(), quantities()).prop_map(|(limits, requests)| ResourceRequirements { limits, requests });
    let program = (text(), text(), vec(text(), 0..3), vec(text(), 0..3), text(), text());
    let around = (vec(env, 0..3), vec(port, 0..3), resources, option::of(probe()), option::of(probe()));
    (program, around)
        .prop_map(|((name, image, command, args, working_dir, policy), (env, ports, resources, ready, live))| {
            Container {
                name,
                image,
                command,
                args,
                env,
                working_dir,
                ports,
                readiness_probe: ready,
                startup_probe: live.clone(),
                liveness_probe: live,
                resources,
                image_pull_policy: policy,
            }
        })
        .boxed()
}

/// Annotations that have a meaning, with and without sense.
fn annotations() -> BoxedStrategy<std::collections::BTreeMap<String, String>> {
    let keys = vec![
        "pelton.dev/runtime",
        "pelton.dev/idle-pause",
        "pelton.dev/activation-timeout",
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/maxScale",
        "autoscaling.knative.dev/class",
        "autoscaling.knative.dev/window",
    ];
    let values = prop_oneof![select(vec!["process", "docker", "5s", "1", "never"]).prop_map(str::to_owned), text()];
    btree_map(select(keys).prop_map(str::to_owned), values, 0..4).boxed()
}

fn spec() -> BoxedStrategy<RevisionSpec> {
    let number = || option::of(prop_oneof![any::<i64>(), 0i64..700]);
    (vec(container(), 0..3), number(), number(), number(), number())
        .prop_map(|(containers, concurrency, timeout, start, idle)| RevisionSpec {
            containers,
            container_concurrency: concurrency,
            timeout_seconds: timeout,
            response_start_timeout_seconds: start,
            idle_timeout_seconds: idle,
        })
        .boxed()
}

fn template() -> BoxedStrategy<RevisionTemplateSpec> {
    (text(), texts(), annotations(), spec())
        .prop_map(|(name, labels, annotations, spec)| RevisionTemplateSpec {
            metadata: TemplateMeta { name, labels, annotations },
            spec,
        })
        .boxed()
}

fn traffic() -> BoxedStrategy<Vec<TrafficTarget>> {
    let target = (text(), text(), text(), option::of(any::<bool>()), option::of(any::<i64>()), text()).prop_map(
        |(tag, revision_name, configuration_name, latest_revision, percent, url)| TrafficTarget {
            tag,
            revision_name,
            configuration_name,
            latest_revision,
            percent,
            url,
        },
    );
    vec(target, 0..4).boxed()
}

/// A Service, Configuration, Revision, Route or DomainMapping.
pub(super) fn resource() -> BoxedStrategy<Resource> {
    let service = (meta(), template(), traffic()).prop_map(|(metadata, template, traffic)| {
        let mut service = Service { metadata, ..Service::default() };
        (service.spec.template, service.spec.traffic) = (template, traffic);
        Resource::Service(service)
    });
    let configuration = (meta(), template()).prop_map(|(metadata, template)| {
        let spec = ConfigurationSpec { template };
        Resource::Configuration(Configuration { metadata, spec, ..Configuration::default() })
    });
    let revision = (meta(), annotations(), spec()).prop_map(|(mut metadata, annotations, spec)| {
        metadata.annotations.extend(annotations);
        Resource::Revision(Revision { metadata, spec, ..Revision::default() })
    });
    let route = (meta(), traffic()).prop_map(|(metadata, traffic)| {
        let mut route = Route { metadata, ..Route::default() };
        route.spec.traffic = traffic;
        Resource::Route(route)
    });
    let mapping = (meta(), text(), text(), name()).prop_map(|(metadata, kind, api_version, name)| {
        let mut mapping = DomainMapping { metadata, ..DomainMapping::default() };
        mapping.spec.reference = KReference { kind, api_version, name, ..KReference::default() };
        Resource::DomainMapping(mapping)
    });
    prop_oneof![service, configuration, revision, route, mapping].boxed()
}

/// The same with a status, as only the registry keeps it.
pub(super) fn with_status() -> BoxedStrategy<Resource> {
    (resource(), option::of(text()), traffic(), text(), option::of(any::<i32>()))
        .prop_map(|(mut resource, url, traffic, revision, replicas)| {
            let address = url.clone().map(|url| Addressable { url: Some(url), ..Addressable::default() });
            match &mut resource {
                Resource::Service(it) => {
                    (it.status.url, it.status.address, it.status.traffic) = (url, address, traffic);
                    it.status.latest_ready_revision_name = revision;
                }
                Resource::Configuration(it) => it.status.latest_created_revision_name = revision,
                Resource::Revision(it) => (it.status.log_url, it.status.actual_replicas) = (url, replicas),
                Resource::Route(it) => {
                    (it.status.url, it.status.address, it.status.traffic) = (url, address, traffic);
                }
                Resource::DomainMapping(it) => (it.status.url, it.status.address) = (url, address),
                Resource::Broker(_) | Resource::Trigger(_) | Resource::Core(_) => {}
            }
            resource
        })
        .boxed()
}
