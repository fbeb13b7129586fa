//! DomainMappings (section 5.6).

use super::*;

fn mapping(domain: &str, namespace: &str, kind: &str, name: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1beta1\nkind: DomainMapping\nmetadata: {{name: {domain}, namespace: \
         {namespace}}}\nspec: {{ref: {{apiVersion: serving.knative.dev/v1, kind: {kind}, name: {name}}}}}\n"
    )
}

fn words(house: &House, namespace: &str, domain: &str) -> Vec<String> {
    words_of(&house.mapping(namespace, domain).status.conditions)
}

const READY: [&str; 5] = [
    "CertificateProvisioned=True TLSNotEnabled",
    "DomainClaimed=True",
    "IngressReady=True",
    "Ready=True",
    "ReferenceResolved=True",
];

#[test]
fn a_domain_leads_to_a_service_or_route() {
    for kind in ["Service", "Route"] {
        let mut house = House::new();
        house.apply(&mapping("www.example.org", "default", kind, "hello"));
        let want = [
            "CertificateProvisioned=True TLSNotEnabled",
            "DomainClaimed=True",
            "IngressReady=Unknown IngressNotConfigured",
            "Ready=False ResolveFailed",
            "ReferenceResolved=False ResolveFailed",
        ];
        assert_eq!(words(&house, "default", "www.example.org"), want, "{kind}");
        house.apply(&service("hello", "run", "")).up("hello-00001");
        assert_eq!(words(&house, "default", "www.example.org"), READY, "{kind}");
        let status = &house.mapping("default", "www.example.org").status;
        assert_eq!(status.url.as_deref(), Some("http://www.example.org"));
        assert_eq!(status.address.as_ref().unwrap().url, status.url);
        let table = house.table();
        let target = table.resolve("www.example.org", None, 0).unwrap();
        assert_eq!(target.rewrite_host, Some("hello.default.example.com"), "{kind}");
    }
}

/// Though the other comes within the same second, or the clock was set back.
#[test]
fn a_domain_belongs_to_who_had_it_first() {
    for wait in [5, 0] {
        belongs_to_the_first(secs(wait));
    }
}

fn belongs_to_the_first(wait: Duration) {
    let mut house = House::new();
    house.apply(&service("hello", "run", "")).up("hello-00001");
    house.apply(&mapping("www.example.org", "default", "Service", "hello"));
    house.wait(wait).apply(&mapping("www.example.org", "another", "Service", "hello"));
    assert!(house.table().resolve("www.example.org", None, 0).is_ok_and(|target| target.namespace == "default"));
    assert_eq!(words(&house, "default", "www.example.org"), READY);
    let claimed = house.mapping("another", "www.example.org").status.conditions.find(conditions::DOMAIN_CLAIMED);
    assert_eq!(in_words(claimed), "False DomainAlreadyClaimed");
    let message = &claimed.unwrap().message;
    assert_eq!(message, "the domain \"www.example.org\" belongs to DomainMapping default/www.example.org");
    house.delete(Kind::DomainMapping, "www.example.org");
    let claimed = house.mapping("another", "www.example.org").status.conditions.find(conditions::DOMAIN_CLAIMED);
    assert_eq!(in_words(claimed), "True");
}

#[test]
fn the_hosts_of_routes_cannot_be_claimed() {
    let mut house = House::new();
    house.apply(&service("hello", "run", "  traffic: [{latestRevision: true, percent: 100, tag: t}]\n"));
    house.up("hello-00001");
    for domain in ["hello.default.example.com", "t-hello.default.example.com", "hello.default"] {
        house.apply(&mapping(domain, "another", "Service", "hello"));
        let claimed = house.mapping("another", domain).status.conditions.find(conditions::DOMAIN_CLAIMED);
        assert_eq!(in_words(claimed), "False DomainAlreadyClaimed", "{domain}");
        assert!(claimed.unwrap().message.ends_with("belongs to Route default/hello"), "{domain}");
        assert_eq!(house.table().resolve(domain, None, 0).unwrap().rewrite_host, None, "{domain}");
    }
    house.apply(&mapping("other.default.example.com", "default", "Service", "hello"));
    assert_eq!(words(&house, "default", "other.default.example.com"), READY);
}

#[test]
fn the_route_of_a_service_must_be_its_own() {
    let mut house = House::new();
    house.apply(&service("hello", "run", "")).up("hello-00001");
    house.apply(
        "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {name: mine}\nspec: {traffic: [{configurationName: \
         hello, percent: 100}]}\n",
    );
    house.apply(&service("mine", "run", "")).apply(&mapping("www.example.org", "default", "Service", "mine"));
    let resolved = house.mapping("default", "www.example.org").status.conditions.find(conditions::REFERENCE_RESOLVED);
    assert_eq!(in_words(resolved), "False ResolveFailed");
}
