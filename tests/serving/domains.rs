//! Custom domains.

use super::service::{get, node_with, service, wait_ready};
use super::support::resources::collection;
use super::support::{Node, wait_for};

const DOMAIN: &str = "www.example.org";

fn mapping(namespace: &str, service: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1beta1\nkind: DomainMapping\nmetadata: {{name: {DOMAIN}, namespace: {namespace}}}\n\
         spec: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: {service}}}}}\n---\n"
    )
}

/// A condition of a DomainMapping: its status and message.
fn condition(node: &Node, namespace: &str, of: &str) -> (String, String) {
    let mapping = node.get(&format!("{}/{DOMAIN}", collection("domainmappings", namespace)));
    let conditions = mapping["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == of);
    let text = |part: &str| found.and_then(|found| found[part].as_str()).unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

#[test]
fn of_two_services_that_claim_one_domain_the_first_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &service("hello", &[], &[], ""));
    let in_another = service("other", &[], &[], "").replace("{name: other}", "{name: other, namespace: another}");
    node.store(&format!("{}{in_another}", mapping("default", "hello")));
    wait_ready(&node, "hello");
    wait_for("the domain to lead somewhere", || {
        let answer = get(&node, DOMAIN, "/");
        if answer.text() == "hello-00001" { Ok(()) } else { Err(answer.text()) }
    });
    assert_eq!(condition(&node, "default", "DomainClaimed").0, "True");

    node.store(&mapping("another", "other"));
    let message = wait_for("the second to be refused", || match condition(&node, "another", "DomainClaimed") {
        (status, message) if status == "False" => Ok(message),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(message, format!("the domain {DOMAIN:?} belongs to DomainMapping default/{DOMAIN}"));
    assert_eq!(condition(&node, "another", "Ready"), ("False".to_owned(), message));
    for _ in 0..20 {
        assert_eq!(get(&node, DOMAIN, "/").text(), "hello-00001");
    }
    let told: serde_json::Value = serde_json::from_slice(&get(&node, DOMAIN, "/what").body).unwrap();
    let headers = told["headers"].as_array().unwrap();
    assert!(headers.contains(&serde_json::json!(["host", "hello.default.localhost"])), "{told:#}");
    assert!(headers.contains(&serde_json::json!(["k-original-host", DOMAIN])), "{told:#}");

    node.delete("domainmappings", DOMAIN);
    wait_for("the second to have it", || {
        let answer = get(&node, DOMAIN, "/");
        if answer.text() == "other-00001" { Ok(()) } else { Err(format!("{}: {}", answer.status(), answer.text())) }
    });
}

/// A name that a Route has by itself is nobody's to claim.
#[test]
fn the_host_of_a_service_cannot_be_claimed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let node = node_with(folder.path(), &[service("hello", &[], &[], ""), service("thief", &[], &[], "")].concat());
    let claim = mapping("default", "thief").replace(DOMAIN, "hello.default.localhost");
    node.store(&claim);
    wait_for("it to be refused", || {
        let mapping = node.resource("domainmappings", "hello.default.localhost");
        let text = mapping["status"].to_string();
        if text.contains("belongs to Route default/hello") { Ok(()) } else { Err(text) }
    });
    assert_eq!(get(&node, "hello.default.localhost", "/").text(), "hello-00001");
}
