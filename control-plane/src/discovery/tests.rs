use std::collections::BTreeSet;

use super::*;

/// Section 3, `/version`: "gitVersion must be semver, else `kubectl version` fails".
#[test]
fn the_version_is_a_release_of_kubernetes_under_our_name() {
    let found = version("pelton");
    assert_eq!(
        (&found["major"], &found["minor"], &found["gitVersion"]),
        (&json!("1"), &json!("33"), &json!("v1.33.0+pelton"))
    );
    let fields = ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    assert!(fields.iter().all(|field| found[field].is_string()), "{found}");
    assert_eq!(version("pelton-0.1.0")["gitVersion"], "v1.33.0+pelton-0.1.0");
    for wrong in ["", "a b", "a..b", "a+b", "a_b"] {
        assert!(std::panic::catch_unwind(|| version(wrong)).is_err(), "{wrong:?}");
    }
}

/// Section 3, `/api`, `/apis`, `/apis/G`.
#[test]
fn groups_name_their_versions_and_the_one_to_use() {
    let core = core_versions("127.0.0.1:8080");
    assert_eq!((&core["kind"], &core["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    assert_eq!(core["serverAddressByClientCIDRs"][0]["serverAddress"], "127.0.0.1:8080");

    let all = groups();
    assert_eq!((&all["kind"], &all["apiVersion"]), (&json!("APIGroupList"), &json!("v1")));
    let names: Vec<_> = all["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    let want = [
        "events.k8s.io",
        "eventing.knative.dev",
        "serving.knative.dev",
        "apiextensions.k8s.io",
        "authorization.k8s.io",
        "authentication.k8s.io",
    ];
    assert_eq!(names, want);

    let v1 = json!({"groupVersion": "serving.knative.dev/v1", "version": "v1"});
    let v1beta1 = json!({"groupVersion": "serving.knative.dev/v1beta1", "version": "v1beta1"});
    assert_eq!(
        group("serving.knative.dev"),
        Some(json!({
            "kind": "APIGroup",
            "apiVersion": "v1",
            "name": "serving.knative.dev",
            "versions": [v1, v1beta1],
            "preferredVersion": v1,
        }))
    );
    assert_eq!((group(""), group("apps")), (None, None));
}

/// Section 3, `/api/v1`, `/apis/G/V`.
#[test]
fn resources_are_listed_with_their_subresources() {
    let find = |group, version, name: &str| {
        let list = resources(group, version).unwrap();
        list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned()
    };
    let rows = [
        (
            "serving.knative.dev",
            "v1",
            "services",
            json!({
                "name": "services",
                "singularName": "service",
                "namespaced": true,
                "kind": "Service",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "shortNames": ["kservice", "ksvc"],
                "categories": ["all", "knative", "serving"],
            }),
        ),
        (
            "eventing.knative.dev",
            "v1",
            "brokers/status",
            json!({
                "name": "brokers/status",
                "singularName": "",
                "namespaced": true,
                "kind": "Broker",
                "verbs": ["get", "patch", "update"],
            }),
        ),
        (
            "",
            "v1",
            "serviceaccounts/token",
            json!({
                "name": "serviceaccounts/token",
                "singularName": "",
                "namespaced": true,
                "group": "authentication.k8s.io",
                "version": "v1",
                "kind": "TokenRequest",
                "verbs": ["create"],
            }),
        ),
        (
            "authentication.k8s.io",
            "v1",
            "selfsubjectreviews",
            json!({
                "name": "selfsubjectreviews",
                "singularName": "selfsubjectreview",
                "namespaced": false,
                "kind": "SelfSubjectReview",
                "verbs": ["create"],
            }),
        ),
    ];
    for (group, version, name, want) in rows {
        assert_eq!(find(group, version, name), Some(want), "{name}");
    }
    assert_eq!(find("", "v1", "configmaps/status"), None);
    assert_eq!(resources("", "v1").unwrap()["groupVersion"], "v1");
    assert_eq!(resources("serving.knative.dev", "v1beta1").unwrap()["groupVersion"], "serving.knative.dev/v1beta1");
    assert_eq!((resources("", "v2"), resources("apps", "v1")), (None, None));
}

/// What discovery says of each resource as a line, so that its two forms can be compared.
fn flat(group: &str, version: &str) -> BTreeSet<String> {
    let list = resources(group, version).unwrap();
    let resources = list["resources"].as_array().unwrap().iter();
    let or = |value: &Value, other: &str| value.as_str().unwrap_or(other).to_owned();
    resources
        .map(|r| {
            let (of, at) = (or(&r["group"], group), or(&r["version"], version));
            line(group, version, &or(&r["name"], ""), [&of, &at, &or(&r["kind"], "")], r)
        })
        .collect()
}

fn flat_aggregated(list: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let kind =
        |r: &Value| ["group", "version", "kind"].map(|field| r["responseKind"][field].as_str().unwrap().to_owned());
    for group in list["items"].as_array().unwrap() {
        let name = group["metadata"]["name"].as_str().unwrap();
        for version in group["versions"].as_array().unwrap() {
            let at = version["version"].as_str().unwrap();
            assert_eq!(version["freshness"], "Current");
            for resource in version["resources"].as_array().unwrap() {
                let plural = resource["resource"].as_str().unwrap();
                lines.insert(line(name, at, plural, kind(resource).each_ref().map(String::as_str), resource));
                for sub in resource["subresources"].as_array().into_iter().flatten() {
                    let mut described = sub.clone();
                    described["scope"] = resource["scope"].clone();
                    let path = format!("{plural}/{}", sub["subresource"].as_str().unwrap());
                    lines.insert(line(name, at, &path, kind(sub).each_ref().map(String::as_str), &described));
                }
            }
        }
    }
    lines
}

fn line(group: &str, version: &str, name: &str, kind: [&str; 3], described: &Value) -> String {
    let is_namespaced = described["namespaced"] == true || described["scope"] == "Namespaced";
    // One form has an empty singular where the other has none.
    let singular =
        [&described["singularName"], &described["singularResource"]].iter().find_map(|s| s.as_str()).unwrap_or("");
    let others = ["verbs", "shortNames", "categories"].map(|field| &described[field]);
    format!("{group} {version} {name} {kind:?} {is_namespaced} {singular} {others:?}")
}

#[test]
fn both_forms_of_discovery_say_the_same() {
    for form in [Aggregated::V2, Aggregated::V2Beta1] {
        let (core, others) = (aggregated_core(form), aggregated_groups(form));
        let want: BTreeSet<_> =
            group_versions().into_iter().flat_map(|(group, version)| flat(group, version)).collect();
        let found: BTreeSet<_> = flat_aggregated(&core).into_iter().chain(flat_aggregated(&others)).collect();
        assert_eq!(found, want);
        assert!(found.len() > ROWS.len());
        let names = |list: &Value| -> Vec<_> {
            list["items"].as_array().unwrap().iter().map(|g| g["metadata"]["name"].clone()).collect()
        };
        assert_eq!(names(&core), [""]);
        assert_eq!(names(&others), group_names());
        let serving =
            others["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "serving.knative.dev");
        let versions: Vec<_> = serving.unwrap()["versions"].as_array().unwrap().iter().map(|v| &v["version"]).collect();
        assert_eq!(versions, ["v1", "v1beta1"]);
    }
}

/// Section 3: "Content-Type must repeat g=;v=;as="; "the two bodies are the same but for apiVersion".
#[test]
fn the_two_aggregated_forms_differ_in_name_only() {
    let mut new = aggregated_groups(Aggregated::V2);
    let mut old = aggregated_groups(Aggregated::V2Beta1);
    assert_eq!((&new["kind"], &old["kind"]), (&json!("APIGroupDiscoveryList"), &json!("APIGroupDiscoveryList")));
    for (form, document) in [(Aggregated::V2, &mut new), (Aggregated::V2Beta1, &mut old)] {
        let api_version = document["apiVersion"].take();
        let (group, version) = api_version.as_str().unwrap().split_once('/').unwrap();
        let want = format!("application/json;g={group};v={version};as=APIGroupDiscoveryList");
        assert_eq!(form.content_type(), want);
    }
    assert_eq!(new, old);
}
