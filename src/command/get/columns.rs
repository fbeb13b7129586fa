//! What the columns of `pelton get` are for each kind, and what stands in them.

use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_resource::annotations::PAUSED;
use pelton_resource::conditions::{READY, Severity};
use pelton_resource::serving::TrafficTarget;
use pelton_resource::{ConditionStatus, Conditions, CoreObject, Kind, ObjectMeta, Resource, Trigger};

use crate::table::{age, or_dash};

/// The heads of the columns of a kind behind the name.
pub fn head(kind: Kind, wide: bool) -> Vec<&'static str> {
    let own: &[&str] = match kind {
        Kind::Broker => &["URL"],
        Kind::Trigger => &["BROKER", "SUBSCRIBER"],
        Kind::Service => &["URL", "LATEST CREATED", "LATEST READY"],
        Kind::Configuration => &["LATEST CREATED", "LATEST READY"],
        Kind::Revision => &["CONFIGURATION", "GENERATION", "ACTUAL", "DESIRED"],
        Kind::Route => &["URL", "TRAFFIC"],
        Kind::DomainMapping => &["URL", "TARGET"],
        Kind::Namespace => &["STATUS"],
        Kind::ConfigMap => &["DATA"],
        Kind::Secret => &["TYPE", "DATA"],
        Kind::ServiceAccount => &[],
        Kind::CoreService => &["EXTERNAL NAME"],
        Kind::Event => &["TYPE", "REASON", "OBJECT", "MESSAGE"],
    };
    let more: &[&str] = match kind {
        Kind::Broker => &["DEAD LETTER SINK"],
        Kind::Trigger => &["FILTER", "PAUSED", "DEAD LETTER SINK"],
        Kind::Service => &["RUNTIME", "TRAFFIC"],
        Kind::Configuration => &["RUNTIME"],
        Kind::Revision => &["RUNTIME", "ROUTING STATE", "RUNS"],
        Kind::Route | Kind::DomainMapping => &["ADDRESS"],
        _ => &[],
    };
    let common: &[&str] = if has_conditions(kind) { &["READY", "REASON"] } else { &[] };
    let warnings: &[&str] = if has_conditions(kind) { &["WARNINGS"] } else { &[] };
    let more = more.iter().chain(warnings).filter(|_| wide);
    common.iter().chain(own).chain(&["AGE"]).chain(more).copied().collect()
}

/// What stands in the columns behind the name for one resource.
pub fn row(item: &Resource, wide: bool, now: UnixMillis) -> Vec<String> {
    let has_conditions = has_conditions(item.kind());
    let mut row = if has_conditions { readiness(item.conditions()) } else { Vec::new() };
    row.extend(own(item));
    row.push(age_of(item.meta(), now));
    if wide {
        row.extend(more(item));
        row.extend(has_conditions.then(|| warnings(item.conditions())));
    }
    row
}

/// Whether its status says what holds of it: all kinds of Knative do, and no core kind.
fn has_conditions(kind: Kind) -> bool {
    kind.api_version() != "v1"
}

fn own(item: &Resource) -> Vec<String> {
    match item {
        Resource::Broker(it) => vec![or_dash(it.status.address.as_ref().and_then(|address| address.url.as_deref()))],
        Resource::Trigger(it) => {
            let subscriber = it.status.subscriber_uri.as_deref().or(it.spec.subscriber.uri.as_deref());
            vec![it.broker_name().to_owned(), or_dash(subscriber)]
        }
        Resource::Service(it) => vec![
            or_dash(it.status.url.as_deref()),
            or_dash(Some(&it.status.latest_created_revision_name)),
            or_dash(Some(&it.status.latest_ready_revision_name)),
        ],
        Resource::Configuration(it) => vec![
            or_dash(Some(&it.status.latest_created_revision_name)),
            or_dash(Some(&it.status.latest_ready_revision_name)),
        ],
        Resource::Revision(it) => {
            let generation = it.metadata.labels.get(pelton_resource::serving::labels::CONFIGURATION_GENERATION);
            let count = |replicas: Option<i32>| replicas.map_or_else(|| "-".to_owned(), |count| count.to_string());
            vec![
                or_dash(it.configuration_name()),
                or_dash(generation.map(String::as_str)),
                count(it.status.actual_replicas),
                count(it.status.desired_replicas),
            ]
        }
        Resource::Route(it) => vec![or_dash(it.status.url.as_deref()), traffic(&it.status.traffic)],
        Resource::DomainMapping(it) => {
            let target = &it.spec.reference;
            vec![or_dash(it.status.url.as_deref()), format!("{} {}", target.kind, target.name)]
        }
        Resource::Core(it) => core(it),
    }
}

fn core(it: &CoreObject) -> Vec<String> {
    let text = |at| or_dash(it.text(at));
    let count = |field: &str| it.content.get(field).and_then(|data| data.as_object()).map_or(0, |data| data.len());
    match it.kind {
        Kind::Namespace => vec![text("/status/phase")],
        Kind::ConfigMap => vec![(count("data") + count("binaryData")).to_string()],
        Kind::Secret => vec![text("/type"), count("data").to_string()],
        Kind::CoreService => vec![text("/spec/externalName")],
        Kind::Event => {
            let object = format!("{}/{}", text("/involvedObject/kind"), text("/involvedObject/name"));
            vec![text("/type"), text("/reason"), object.to_lowercase(), text("/message")]
        }
        _ => Vec::new(),
    }
}

fn more(item: &Resource) -> Vec<String> {
    let address = |address: &Option<pelton_resource::Addressable>| {
        vec![or_dash(address.as_ref().and_then(|address| address.url.as_deref()))]
    };
    match item {
        Resource::Broker(it) => vec![or_dash(it.status.dead_letter_sink_uri.as_deref())],
        Resource::Trigger(it) => vec![
            filter(it),
            it.metadata.annotation(PAUSED).unwrap_or("false").to_owned(),
            or_dash(it.status.dead_letter_sink_uri.as_deref()),
        ],
        Resource::Service(it) => {
            vec![it.spec.template.runtime().as_str().to_owned(), traffic(&it.status.traffic)]
        }
        Resource::Configuration(it) => vec![it.spec.template.runtime().as_str().to_owned()],
        Resource::Revision(it) => {
            let container = it.spec.serving_container();
            let runs = container.map(|c| if c.image.is_empty() { c.command.join(" ") } else { c.image.clone() });
            vec![
                it.runtime().as_str().to_owned(),
                or_dash(it.routing_state().map(pelton_resource::serving::RoutingState::as_str)),
                or_dash(runs.as_deref()),
            ]
        }
        Resource::Route(it) => address(&it.status.address),
        Resource::DomainMapping(it) => address(&it.status.address),
        Resource::Core(_) => Vec::new(),
    }
}

fn readiness(conditions: &Conditions) -> Vec<String> {
    let ready = status(conditions.status(READY)).to_owned();
    let reason = conditions.find(READY).map_or("", |ready| ready.reason.as_str());
    vec![ready, or_dash(Some(reason))]
}

/// The status of a condition, as its YAML says it.
pub fn status(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

/// How long ago it was created.
pub fn age_of(meta: &ObjectMeta, now: UnixMillis) -> String {
    let created = meta.creation_timestamp.map(|time| UnixMillis(time.unix_millis()));
    created.map_or_else(|| "-".to_owned(), |created| age(Duration::max(now.since(created), Duration::ZERO)))
}

/// Who gets which share: `orders-00002=90%,orders-00001=10%,next:orders-00003`.
fn traffic(targets: &[TrafficTarget]) -> String {
    let text = |target: &TrafficTarget| {
        let tag = if target.tag.is_empty() { String::new() } else { format!("{}:", target.tag) };
        let percent = target.percent.map_or_else(String::new, |percent| format!("={percent}%"));
        format!("{tag}{}{percent}", target.revision_name)
    };
    or_dash(Some(&targets.iter().map(text).collect::<Vec<_>>().join(",")))
}

/// The filter as its YAML would say it, on one line.
fn filter(trigger: &Trigger) -> String {
    let older = trigger.spec.filter.as_ref().filter(|filter| !filter.attributes.is_empty());
    let json = match (trigger.spec.filters.as_slice(), older) {
        ([], None) => return "-".into(),
        ([], Some(filter)) => serde_json::to_string(filter),
        (filters, _) => serde_json::to_string(filters),
    };
    json.unwrap_or_else(|_| "-".into())
}

fn warnings(conditions: &Conditions) -> String {
    let warnings: Vec<&str> =
        conditions.iter().filter(|c| c.severity == Severity::Warning).map(|c| c.reason.as_str()).collect();
    or_dash(Some(&warnings.join(",")))
}

#[cfg(test)]
mod tests {
    use pelton_resource::Time;
    use serde_json::json;

    use super::*;

    /// What `kubectl get` shows of these kinds is here as well: URL, latest Revisions, READY and REASON.
    #[test]
    fn a_service_shows_where_it_is_and_what_answers() {
        let service = json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": "hello", "namespace": "shop", "creationTimestamp": Time::from_unix_millis(0)},
            "status": {
                "url": "http://hello.shop.localhost", "latestCreatedRevisionName": "hello-00002",
                "latestReadyRevisionName": "hello-00001",
                "conditions": [{"type": "Ready", "status": "Unknown", "reason": "RolloutInProgress"}],
                "traffic": [
                    {"revisionName": "hello-00001", "percent": 100}, {"revisionName": "hello-00002", "tag": "next"},
                ],
            },
        });
        let service: Resource = serde_json::from_value(service).unwrap();
        let now = UnixMillis(65_000);
        let short =
            ["Unknown", "RolloutInProgress", "http://hello.shop.localhost", "hello-00002", "hello-00001", "1m5s"];
        assert_eq!(row(&service, false, now), short);
        let more = ["process", "hello-00001=100%,next:hello-00002", "-"];
        assert_eq!(row(&service, true, now)[short.len()..], more);
    }

    #[test]
    fn every_kind_has_a_cell_for_each_column() {
        for kind in Kind::ALL {
            let item = json!({"apiVersion": kind.api_version(), "kind": kind.as_str(), "metadata": {"name": "x"}});
            let item: Resource = serde_json::from_value(item).unwrap();
            for wide in [false, true] {
                assert_eq!(row(&item, wide, UnixMillis(0)).len(), head(kind, wide).len(), "{kind} {wide}");
            }
        }
    }
}
