//! A Service as people read it: pure functions of what the API answered.

use std::fmt::Write as _;
use std::time::Duration;

use pelton_env::{Clock as _, SystemClock, UnixMillis};
use pelton_resource::conditions::READY;
use pelton_resource::serving::{Revision, Service, TrafficTarget};
use pelton_resource::{Addressable, Conditions};
use serde::Serialize;

use crate::api::serving_view::InstancesView;
use crate::command::get::columns::{age_of, status};
use crate::table::{Table, age, or_dash};
use crate::terminal::{escape, escape_block};

/// A Service with its Revisions.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// The Service as it is stored.
    pub service: Service,
    /// Whether Services run on the node that was asked.
    pub runs_here: bool,
    /// Its Revisions, the newest first.
    pub revisions: Vec<DescribedRevision>,
}

/// A Revision, and what it has on the node that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribedRevision {
    /// The Revision as it is stored.
    pub revision: Revision,
    /// What its instances are doing there, as far as the node tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstancesView>,
    /// What it printed last, when it ends again and again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

/// The present moment, for [`text`].
pub fn now() -> UnixMillis {
    SystemClock.now()
}

/// The Service for people.
pub fn text(described: &Described, now: UnixMillis) -> String {
    let Described { service, runs_here, revisions } = described;
    let mut out = format!("Service {}/{}\n", escape(&service.metadata.namespace), escape(&service.metadata.name));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<15} {}", escape(value));
    };
    line("URL", &or_dash(service.status.url.as_deref()));
    line("Address", &address(service.status.address.as_ref()));
    line("Latest created", &or_dash(Some(&service.status.latest_created_revision_name)));
    line("Latest ready", &or_dash(Some(&service.status.latest_ready_revision_name)));
    line("Runtime", service.spec.template.runtime().as_str());
    line("Age", &age_of(&service.metadata, now));
    let _ = write!(out, "\nTraffic\n{}", indented(&traffic(&service.status.traffic)));
    let _ = write!(out, "\nRevisions\n{}", indented(&table_of(revisions, &service.status.traffic, now).to_string()));
    if !runs_here {
        out.push_str("  (no Service runs on the node that was asked: instances are as far as they were told)\n");
    }
    let _ = write!(out, "\nConditions\n{}", indented(&conditions(&service.status.conditions, now)));
    for described in revisions.iter().filter(|it| !it.revision.status.conditions.is_ready()) {
        let name = escape(&described.revision.metadata.name).into_owned();
        let _ = write!(
            out,
            "\nConditions of {name}\n{}",
            indented(&conditions(&described.revision.status.conditions, now))
        );
        if !described.last_lines.is_empty() {
            let _ = write!(out, "\nLast lines of {name}\n{}", indented(&last_lines(&described.last_lines)));
        }
    }
    out
}

/// The cluster-local URL of an address.
pub fn address(address: Option<&Addressable>) -> String {
    or_dash(address.and_then(|address| address.url.as_deref()))
}

/// Each line further in.
pub fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Who gets which share, and by which tags.
pub fn traffic(targets: &[TrafficTarget]) -> String {
    if targets.is_empty() {
        return "none is assigned yet".to_owned();
    }
    let mut table = Table::new(&["REVISION", "PERCENT", "TAG", "LATEST", "URL OF TAG"]);
    for target in targets {
        table.row([
            or_dash(Some(&target.revision_name)),
            target.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
            or_dash(Some(&target.tag)),
            if target.latest_revision == Some(true) { "yes" } else { "no" }.to_owned(),
            or_dash(Some(&target.url)),
        ]);
    }
    table.to_string()
}

/// Conditions, each with why.
pub fn conditions(conditions: &Conditions, now: UnixMillis) -> String {
    if conditions.is_empty() {
        return "none yet".to_owned();
    }
    let mut table = Table::new(&["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"]);
    for condition in conditions.iter() {
        let since = condition.last_transition_time.map(|at| age(now.since(UnixMillis(at.unix_millis()))));
        table.row([
            condition.kind.clone(),
            status(condition.status).to_owned(),
            or_dash(since.as_deref()),
            or_dash(Some(&condition.reason)),
            or_dash(Some(&condition.message)),
        ]);
    }
    table.to_string()
}

fn last_lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", escape_block(line).replace('\n', "\\n"))).collect()
}

fn table_of(revisions: &[DescribedRevision], targets: &[TrafficTarget], now: UnixMillis) -> Table {
    let mut table = Table::new(&[
        "REVISION",
        "TRAFFIC",
        "READY",
        "STATE",
        "RUNNING",
        "PAUSED",
        "STARTING",
        "STOPPING",
        "DESIRED",
        "QUEUED",
        "LAST START",
        "AGE",
    ]);
    for described in revisions {
        let meta = &described.revision.metadata;
        let ready = status(described.revision.status.conditions.status(READY)).to_owned();
        let mut row = vec![meta.name.clone(), share(&meta.name, targets), ready];
        row.extend(instances(described));
        row.push(age_of(meta, now));
        table.row(row);
    }
    table
}

/// What a Revision gets of the traffic, and by which tags: `90% next`.
fn share(revision: &str, targets: &[TrafficTarget]) -> String {
    let own = || targets.iter().filter(|target| target.revision_name == revision);
    let percent: i64 = own().filter_map(|target| target.percent).sum();
    let percent = (percent > 0).then(|| format!("{percent}%"));
    let tags = own().map(|target| target.tag.as_str()).filter(|tag| !tag.is_empty());
    or_dash(Some(&percent.as_deref().into_iter().chain(tags).collect::<Vec<_>>().join(" ")))
}

/// The columns from STATE to LAST START.
fn instances(described: &DescribedRevision) -> Vec<String> {
    let Some(here) = &described.instances else {
        let told = &described.revision.status;
        let count = |replicas: Option<i32>| replicas.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let dash = || "-".to_owned();
        return vec![
            dash(),
            count(told.actual_replicas),
            dash(),
            dash(),
            dash(),
            count(told.desired_replicas),
            dash(),
            dash(),
        ];
    };
    let last_start = here.last_start_age_millis.map(|millis| format!("{} ago", age(Duration::from_millis(millis))));
    vec![
        state(here).to_owned(),
        here.running.to_string(),
        here.paused.to_string(),
        here.starting.to_string(),
        here.stopping.to_string(),
        here.desired.to_string(),
        here.queued.to_string(),
        or_dash(last_start.as_deref()),
    ]
}

/// On which rung of the ladder it stands.
pub fn state(here: &InstancesView) -> &'static str {
    match here {
        InstancesView { running: 1.., .. } => "running",
        InstancesView { starting: 1.., .. } => "starting",
        InstancesView { paused: 1.., .. } => "paused",
        InstancesView { stopping: 1.., .. } => "stopping",
        _ => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(name: &str, conditions: serde_json::Value) -> Revision {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "status": {"conditions": conditions, "actualReplicas": 3, "desiredReplicas": 4},
        }))
        .unwrap()
    }

    fn described() -> Described {
        let service = json!({
            "metadata": {"name": "hello", "namespace": "shop", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "status": {
                "url": "http://hello.shop.localhost", "address": {"url": "http://hello.shop.svc.cluster.local"},
                "latestCreatedRevisionName": "hello-00002", "latestReadyRevisionName": "hello-00001",
                "conditions": [{
                    "type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "hello-00002 failed",
                    "lastTransitionTime": "1970-01-01T00:01:00Z",
                }],
                "traffic": [
                    {"revisionName": "hello-00001", "percent": 90},
                    {"revisionName": "hello-00002", "percent": 10, "tag": "next", "url": "http://next-hello.shop.localhost"},
                ],
            },
        });
        let failed = json!([
            {"type": "ContainerHealthy", "status": "False", "reason": "CrashLoop", "message": "it ended with code 3"},
            {"type": "Ready", "status": "False", "reason": "CrashLoop", "message": "it ended with code 3"},
        ]);
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let here = InstancesView {
            revision: "hello-00001".to_owned(),
            running: 2,
            paused: 1,
            desired: 3,
            queued: 7,
            last_start_age_millis: Some(65_000),
            ..InstancesView::default()
        };
        Described {
            service: serde_json::from_value(service).unwrap(),
            runs_here: true,
            revisions: vec![
                DescribedRevision {
                    revision: revision("hello-00002", failed),
                    instances: None,
                    last_lines: vec!["no database \x1b[31mhere".to_owned()],
                },
                DescribedRevision {
                    revision: revision("hello-00001", ready),
                    instances: Some(here),
                    last_lines: Vec::new(),
                },
            ],
        }
    }

    #[test]
    fn a_service_is_shown_with_what_answers_and_what_is_wrong() {
        let shown = text(&described(), UnixMillis(120_000));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = shown.lines().map(words).collect();
        for want in [
            "Service shop/hello",
            "URL http://hello.shop.localhost",
            "Address http://hello.shop.svc.cluster.local",
            "Latest created hello-00002",
            "Latest ready hello-00001",
            "hello-00001 90% - no -",
            "hello-00002 10% next no http://next-hello.shop.localhost",
            "hello-00002 10% next False - 3 - - - 4 - - 2m",
            "hello-00001 90% True running 2 1 0 0 3 7 1m5s ago 2m",
            "Ready False 1m RevisionFailed hello-00002 failed",
            "Conditions of hello-00002",
            "ContainerHealthy False - CrashLoop it ended with code 3",
            "Last lines of hello-00002",
            "no database \\u{1b}[31mhere",
        ] {
            assert!(lines.contains(&words(want)), "{want:?} is not in\n{shown}");
        }
        assert!(!shown.contains("Conditions of hello-00001"), "{shown}");
        let elsewhere = text(&Described { runs_here: false, ..described() }, UnixMillis(0));
        assert!(elsewhere.contains("no Service runs on the node that was asked"), "{elsewhere}");
    }

    #[test]
    fn machines_get_all_of_it() {
        let value = serde_json::to_value(described()).unwrap();
        assert_eq!(value["service"]["status"]["latestReadyRevisionName"], "hello-00001");
        assert_eq!(value["revisions"][1]["instances"]["queued"], 7);
        assert_eq!(value["revisions"][0]["lastLines"][0], "no database \u{1b}[31mhere");
        assert_eq!(value["revisions"][0].get("instances"), None);
    }
}
