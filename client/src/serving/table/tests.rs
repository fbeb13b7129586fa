//! The routing table, host by host (section 5.3).

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_env::UnixMillis;
use pelton_resource::{DomainMapping, KReference, Kind, Resource, Time};

use super::*;
use crate::serving::rollout::{Goal, Terms};
use crate::serving::testing::{meta, resources, revision, route};

fn mapping(domain: &str, namespace: &str, route: &str, created: u64) -> DomainMapping {
    let mut mapping = DomainMapping { metadata: meta(domain, namespace), ..DomainMapping::default() };
    mapping.metadata.creation_timestamp = Some(Time::from_unix_millis(created * 1000));
    mapping.spec.reference = KReference {
        kind: Kind::Route.as_str().to_owned(),
        api_version: Kind::Route.api_version().to_owned(),
        namespace: namespace.to_owned(),
        name: route.to_owned(),
        ..KReference::default()
    };
    mapping
}

/// Two Routes that are seen from outside, one that is not, one without traffic, and mappings.
fn all() -> Resources {
    let mut hidden = route("hidden", "default", &[("", "r1", 100), ("old", "r2", 0)]);
    hidden.metadata.labels.insert(labels::VISIBILITY.to_owned(), labels::CLUSTER_LOCAL.to_owned());
    resources([
        Resource::from(revision("r1", "default")),
        revision("r2", "default").into(),
        revision("r1", "shop").into(),
        route("hello", "default", &[("", "r1", 90), ("", "r2", 10), ("new", "r2", 0)]).into(),
        route("empty", "default", &[]).into(),
        route("hello", "shop", &[("", "r1", 100)]).into(),
        hidden.into(),
        mapping("www.example.org", "shop", "hello", 1).into(),
        mapping("hidden.example.org", "default", "hidden", 1).into(),
        // Claimed twice: the older one has it.
        mapping("twice.example.org", "shop", "hello", 7).into(),
        mapping("twice.example.org", "default", "hello", 8).into(),
        // Claimed at the same moment: the first by namespace has it.
        mapping("tie.example.org", "shop", "hello", 7).into(),
        mapping("tie.example.org", "default", "hello", 7).into(),
        // A Route has it already.
        mapping("hello.shop.example.com", "default", "hello", 1).into(),
        mapping("nothing.example.org", "default", "none", 1).into(),
    ])
}

/// What a host leads to, in few words: namespace/route/revision, the tag, and how the host is seen.
fn words(table: &RoutingTable, host: &str, tag: Option<&str>, dice: u64) -> String {
    match table.resolve(host, tag, dice) {
        Err(why) => format!("{why:?}"),
        Ok(target) => {
            let tag = target.tag.map_or(String::new(), |tag| format!(" tag {tag}"));
            let host = target.rewrite_host.map_or(String::new(), |host| format!(" as {host}"));
            let local = if target.visibility == Visibility::ClusterLocal { " local" } else { "" };
            let revision = &target.revision.metadata;
            assert_eq!(revision.namespace, target.namespace);
            format!("{}/{}/{}{tag}{host}{local}", target.namespace, target.route, revision.name)
        }
    }
}

#[test]
fn every_host_leads_to_its_route() {
    let rows = [
        ("hello.default.example.com", "default/hello/r1"),
        ("hello.default", "default/hello/r1 local"),
        ("hello.default.svc", "default/hello/r1 local"),
        ("hello.default.svc.cluster.local", "default/hello/r1 local"),
        ("new-hello.default.example.com", "default/hello/r2 tag new"),
        ("new-hello.default", "default/hello/r2 tag new local"),
        ("new-hello.default.svc", "default/hello/r2 tag new local"),
        ("new-hello.default.svc.cluster.local", "default/hello/r2 tag new local"),
        ("hello.shop.example.com", "shop/hello/r1"),
        ("hello.shop.svc.cluster.local", "shop/hello/r1 local"),
        ("hidden.default.example.com", "UnknownHost"),
        ("hidden.default.svc.cluster.local", "default/hidden/r1 local"),
        ("old-hidden.default.example.com", "UnknownHost"),
        ("old-hidden.default.svc", "default/hidden/r2 tag old local"),
        ("www.example.org", "shop/hello/r1 as hello.shop.example.com"),
        ("hidden.example.org", "default/hidden/r1 as hidden.default.svc.cluster.local"),
        ("twice.example.org", "shop/hello/r1 as hello.shop.example.com"),
        ("tie.example.org", "default/hello/r1 as hello.default.example.com"),
        ("nothing.example.org", "UnknownHost"),
        ("empty.default.example.com", "NoRevision"),
        // How clients write a host.
        ("Hello.Default.EXAMPLE.com:8081", "default/hello/r1"),
        ("hello.default.example.com.", "default/hello/r1"),
        ("hello.default.example.com.:80", "default/hello/r1"),
        ("hello.default.example.com:", "default/hello/r1"),
        // None of ours.
        ("old-hello.default.example.com", "UnknownHost"),
        ("hello.other.example.com", "UnknownHost"),
        ("hello.default.example.org", "UnknownHost"),
        ("example.com", "UnknownHost"),
        ("hello.default.example.com..", "UnknownHost"),
        ("[::1]:8081", "UnknownHost"),
        ("häuser.example.com", "UnknownHost"),
        (":80", "UnknownHost"),
        ("", "UnknownHost"),
        (&"a".repeat(254), "UnknownHost"),
        (&"a".repeat(100_000), "UnknownHost"),
    ];
    let table = RoutingTable::new(&all(), "example.com");
    for (host, want) in rows {
        assert_eq!(words(&table, host, None, 0), want, "{host:.60}");
    }
}

/// Section 5.3, "Tag by header".
#[test]
fn a_tag_by_header_counts_at_the_routes_own_host() {
    let table = RoutingTable::new(&all(), "example.com");
    let rows = [
        ("hello.default.example.com", "new", "default/hello/r2 tag new"),
        ("hello.default.example.com", "other", "default/hello/r1"),
        ("hello.default.example.com", "", "default/hello/r1"),
        ("new-hello.default.example.com", "other", "default/hello/r2 tag new"),
        ("hello.shop.example.com", "new", "shop/hello/r1"),
    ];
    for (host, tag, want) in rows {
        assert_eq!(words(&table, host, Some(tag), 0), want, "{host} {tag}");
    }
}

#[test]
fn percents_are_kept_exactly() {
    let rows: [&[(&str, i64)]; 6] = [
        &[("r1", 100)],
        &[("r1", 90), ("r2", 10)],
        &[("r1", 1), ("r2", 99)],
        &[("r1", 33), ("r2", 33), ("r3", 34)],
        &[("r1", 0), ("r2", 100)],
        &[("r1", 30), ("r2", 40), ("r1", 30)],
    ];
    for split in rows {
        let targets: Vec<_> = split.iter().map(|(revision, percent)| ("", *revision, *percent)).collect();
        let revisions = ["r1", "r2", "r3"].map(|name| Resource::from(revision(name, "default")));
        let all = resources(revisions.into_iter().chain([route("hello", "default", &targets).into()]));
        let table = RoutingTable::new(&all, "example.com");
        let mut want: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, percent) in split.iter().filter(|(_, percent)| *percent > 0) {
            *want.entry(name).or_default() += percent;
        }
        let shares = table.shares("hello.default:80").iter();
        let shares: BTreeMap<_, _> =
            shares.map(|(r, percent)| (r.metadata.name.as_str(), i64::from(*percent))).collect();
        assert_eq!(shares, want, "{split:?}");
        assert!(table.shares("nobody.default").is_empty());
        for start in [0, 1, 99, 12_345] {
            let mut got: BTreeMap<&str, i64> = BTreeMap::new();
            for dice in 0..100 {
                let target = table.resolve("hello.default", None, start + dice).unwrap();
                *got.entry(&target.revision.metadata.name).or_default() += 1;
            }
            assert_eq!(got, want, "{split:?} from {start}");
        }
    }
}

/// A host that two could have.
#[test]
fn a_route_goes_before_the_tag_of_another() {
    let all = resources([
        Resource::from(revision("r1", "default")),
        route("b-c", "default", &[("a", "r1", 100)]).into(),
        route("a-b-c", "default", &[("", "r1", 100)]).into(),
        route("c", "default", &[("a-b", "r1", 100), ("x-b", "r1", 0)]).into(),
    ]);
    let table = RoutingTable::new(&all, "example.com");
    assert_eq!(words(&table, "a-b-c.default", None, 0), "default/a-b-c/r1 local");
    assert_eq!(words(&table, "x-b-c.default", None, 0), "default/c/r1 tag x-b local");
}

#[test]
fn what_a_deleted_revision_had_goes_to_the_others() {
    let all = resources([
        Resource::from(revision("r2", "default")),
        route("hello", "default", &[("", "r1", 90), ("", "r2", 10), ("old", "r1", 0)]).into(),
    ]);
    let table = RoutingTable::new(&all, "example.com");
    for dice in 0..100 {
        assert_eq!(words(&table, "hello.default", None, dice), "default/hello/r2 local", "{dice}");
    }
    assert_eq!(words(&table, "old-hello.default", None, 0), "NoRevision");
}

#[test]
fn a_tag_that_rolls_out_divides_its_own_host() {
    let terms = Terms { duration: Duration::from_secs(60), is_served: false, exists: &|_| true, now: UnixMillis(1) };
    let goal = |revision_name| Goal { configuration_name: "c", tag: "live", percent: 100, revision_name };
    let rollout = Rollout::default().next(&[goal("r1")], terms).next(&[goal("r2")], terms);
    let mut hello = route("hello", "default", &[("live", "r2", 0), ("", "r1", 100)]);
    hello.status.annotations.insert(labels::ROLLOUT.to_owned(), rollout.to_annotation());
    let all = resources([Resource::from(revision("r1", "default")), revision("r2", "default").into(), hello.into()]);
    let table = RoutingTable::new(&all, "example.com");
    let got: Vec<_> = (0..100).map(|dice| words(&table, "live-hello.default", None, dice)).collect();
    assert_eq!(got.iter().filter(|words| *words == "default/hello/r2 tag live local").count(), 1);
    assert_eq!(got.iter().filter(|words| *words == "default/hello/r1 tag live local").count(), 99);
    assert_eq!(words(&table, "hello.default", None, 0), "default/hello/r1 local");
}
