//! Traffic targets, row by row.

use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_resource::{Configuration, Resource, Time};

use super::*;
use crate::serving::rollout::Terms;
use crate::serving::testing::{START, meta, resources, revision};

fn now() -> Time {
    Time::from_unix_millis(START.0)
}

fn configuration(name: &str, latest_ready: &str) -> Configuration {
    let mut configuration = Configuration { metadata: meta(name, "default"), ..Configuration::default() };
    configuration.status.latest_ready_revision_name = latest_ready.to_owned();
    configuration
}

/// A Configuration `c` with revisions r1 and r2, one `empty` that has none, one `broken` whose revision failed, a revision
/// `slow` that is not ready yet and one `failed`.
fn all() -> Resources {
    let mut broken = configuration("broken", "");
    broken.status.write_conditions(now()).mark_false(conditions::READY, "RevisionFailed", "it ends");
    let mut failed = revision("failed", "default");
    failed.status.write_conditions(now()).mark_false(conditions::CONTAINER_HEALTHY, "CrashLoop", "it ends");
    let mut slow = revision("slow", "default");
    slow.status = Default::default();
    resources([
        Resource::from(configuration("c", "r2")),
        configuration("empty", "").into(),
        configuration("gone", "deleted").into(),
        broken.into(),
        failed.into(),
        slow.into(),
        revision("r1", "default").into(),
        revision("r2", "default").into(),
    ])
}

fn latest(tag: &str, configuration: &str, percent: i64) -> TrafficTarget {
    let (tag, configuration_name) = (tag.to_owned(), configuration.to_owned());
    let (latest_revision, percent) = (Some(true), Some(percent));
    TrafficTarget { tag, configuration_name, latest_revision, percent, ..TrafficTarget::default() }
}

fn pinned(tag: &str, revision: &str, percent: i64) -> TrafficTarget {
    let (tag, revision_name, percent) = (tag.to_owned(), revision.to_owned(), Some(percent));
    TrafficTarget { tag, revision_name, latest_revision: Some(false), percent, ..TrafficTarget::default() }
}

fn routed(traffic: Vec<TrafficTarget>) -> Route {
    let mut route = Route { metadata: meta("route", "default"), ..Route::default() };
    route.spec.traffic = traffic;
    route
}

/// Section 5.3, and the reasons of 5.1.
#[test]
fn a_target_that_cannot_be_served_says_why() {
    let rows = [
        (vec![pinned("", "none", 100)], "RevisionMissing", false, "Revision \"none\" does not exist"),
        (vec![pinned("", "slow", 100)], "RevisionMissing", true, "Revision \"slow\" is not ready yet"),
        (vec![pinned("", "failed", 100)], "RevisionMissing", false, "Revision \"failed\" failed: it ends"),
        (vec![latest("", "none", 100)], "ConfigurationMissing", false, "Configuration \"none\" does not exist"),
        (
            vec![latest("", "empty", 100)],
            "RevisionMissing",
            true,
            "the latest revision of Configuration \"empty\" is not ready yet",
        ),
        (
            vec![latest("", "broken", 100)],
            "RevisionMissing",
            false,
            "the latest revision of Configuration \"broken\" failed: it ends",
        ),
        (vec![latest("", "gone", 100)], "RevisionMissing", false, "Revision \"deleted\" does not exist"),
        // What fails is told before what waits, and the first before the second.
        (
            vec![pinned("", "slow", 50), latest("", "none", 50)],
            "ConfigurationMissing",
            false,
            "Configuration \"none\" does not exist",
        ),
        (
            vec![pinned("", "none", 50), latest("", "none", 50)],
            "RevisionMissing",
            false,
            "Revision \"none\" does not exist",
        ),
        (
            vec![pinned("t", "none", 0), latest("", "c", 100)],
            "RevisionMissing",
            false,
            "Revision \"none\" does not exist",
        ),
    ];
    let all = all();
    for (traffic, reason, is_waiting, message) in rows {
        let route = routed(traffic);
        let error = assign(&route, &all).expect_err(message);
        assert_eq!((error.reason(), error.is_waiting(), error.to_string().as_str()), (reason, is_waiting, message));
    }
}

#[test]
fn targets_that_say_the_same_become_one() {
    let route = routed(vec![
        pinned("", "r1", 20),
        latest("", "c", 10),
        pinned("t", "r1", 0),
        pinned("", "r1", 30),
        latest("", "c", 20),
        pinned("", "r2", 20),
    ]);
    let all = all();
    let got = assign(&route, &all).unwrap();
    let got: Vec<_> = got.iter().map(|one| (one.tag, one.latest_of, one.revision_name, one.percent)).collect();
    let want = [("", None, "r1", 50), ("", Some("c"), "r2", 30), ("t", None, "r1", 0), ("", None, "r2", 20)];
    assert_eq!(got, want);
}

#[test]
fn a_rollout_divides_what_follows_a_configuration_and_each_tag_by_itself() {
    let all = all();
    let route = routed(vec![latest("", "c", 30), latest("new", "c", 40), pinned("", "r1", 30), latest("top", "c", 0)]);
    let assigned = assign(&route, &all).unwrap();
    let goals = goals(&assigned);
    let got: Vec<_> = goals.iter().map(|goal| (goal.tag, goal.percent, goal.revision_name)).collect();
    assert_eq!(got, [("", 70, "r2"), ("new", 100, "r2"), ("top", 100, "r2")]);
    let begun = vec![Goal { configuration_name: "c", tag: "", percent: 70, revision_name: "r0" }];
    let terms = Terms { duration: Duration::from_secs(60), is_served: false, exists: &|_| true, now: UnixMillis(1) };
    let rollout = Rollout::default().next(&begun, terms).next(&goals, terms);
    let status = in_status(&assigned, &rollout, &|tag| format!("http://{tag}"));
    let got: Vec<_> = status.iter().map(|t| (t.tag.as_str(), t.revision_name.as_str(), t.percent)).collect();
    // 69 % r0 and 1 % r2 in all; a tag that is new has its host at once.
    let want = [
        ("", "r0", Some(30)),
        ("new", "r0", Some(39)),
        ("new", "r2", Some(1)),
        ("", "r1", Some(30)),
        ("top", "r2", None),
    ];
    assert_eq!(got, want);
    assert_eq!(
        status.iter().map(|t| t.url.as_str()).collect::<Vec<_>>(),
        ["", "http://new", "http://new", "", "http://top"]
    );
    assert_eq!(status.iter().map(|t| t.latest_revision).collect::<Vec<_>>(), [true, true, true, false, true].map(Some));
    let tags: Vec<_> = rollout.of_tag("new").unwrap().revisions.iter().map(|s| s.revision_name.as_str()).collect();
    assert_eq!(tags, ["r2"]);
}
