//! Requests that other clients send, by hand.

use std::net::SocketAddr;

use crate::command::Up;
use crate::support::http::call;

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "content-type: application/json\r\n";
const MERGE: &str = "content-type: application/merge-patch+json\r\n";
const JSON_PATCH: &str = "content-type: application/json-patch+json\r\n";
const APPLY: &str = "content-type: application/apply-patch+yaml\r\n";

/// kube-api.md, sections 4 to 6.
#[test]
fn bodies_are_taken_or_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let api: SocketAddr = up.address("api").parse().unwrap();
    for (method, path, headers, body, code, holds) in [
        ("POST", "", "", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#, 201, "\"name\":\"a\""),
        ("POST", "", JSON, r#"{"metadata":{"name":"a"}}"#, 409, "AlreadyExists"),
        (
            "POST",
            "?",
            JSON,
            r#"{"metadata":{"name":"b","uid":"7","generation":5,"creationTimestamp":null},"status":{}}"#,
            201,
            "uid",
        ),
        ("POST", "", "content-type: application/yaml\r\n", "metadata: {name: c}\n", 201, "\"name\":\"c\""),
        ("POST", "", "content-type: text/plain\r\n", r#"{"metadata":{"name":"d"}}"#, 415, "UnsupportedMediaType"),
        (
            "POST",
            "",
            JSON,
            r#"{"metadata":{"name":"d","resourceVersion":"3"}}"#,
            400,
            "resourceVersion should not be set",
        ),
        ("POST", "", JSON, r#"{"metadata":{"name":"d","namespace":"x"}}"#, 400, "does not match the namespace"),
        ("POST", "", JSON, r#"{"kind":"Secret","metadata":{"name":"d"}}"#, 400, "BadRequest"),
        (
            "POST",
            "",
            JSON,
            r#"{"apiVersion":"v2","metadata":{"name":"d"}}"#,
            400,
            "does not match the expected API version",
        ),
        ("POST", "", JSON, "[]", 400, "BadRequest"),
        ("POST", "", JSON, "", 400, "BadRequest"),
        (
            "POST",
            "?fieldValidation=Strict",
            JSON,
            r#"{"metadata":{"name":"d"},"data":{"a":"1","a":"2"}}"#,
            400,
            "BadRequest",
        ),
        ("PUT", "/missing", JSON, r#"{"metadata":{"name":"missing"}}"#, 404, "configmaps \\\"missing\\\" not found"),
        ("PUT", "/a", JSON, r#"{"data":{"k":"w"}}"#, 200, "\"k\":\"w\""),
        ("PATCH", "/a", MERGE, r#"{"metadata":null}"#, 200, "\"name\":\"a\""),
        ("PATCH", "/a", MERGE, r#"{"metadata":{"uid":null,"resourceVersion":null}}"#, 200, "\"k\":\"w\""),
        // As Go's library does; kube-rs' finalizers depend on it.
        (
            "PATCH",
            "/a",
            JSON_PATCH,
            r#"[{"op":"test","path":"/metadata/finalizers","value":null}]"#,
            200,
            "\"k\":\"w\"",
        ),
        ("PATCH", "/a", JSON_PATCH, r#"[{"op":"replace","path":"","value":{}}]"#, 200, "\"name\":\"a\""),
        ("PATCH", "/a", JSON_PATCH, r#"{"op":"test"}"#, 400, "BadRequest"),
        ("PATCH", "/a", JSON, "{}", 415, "application/merge-patch+json"),
        ("PATCH", "/new?fieldManager=m", APPLY, "data: {k: v}", 201, "\"operation\":\"Apply\""),
        ("PATCH", "/new?fieldManager=m", APPLY, "data: {k: w}", 200, "\"k\":\"w\""),
        ("PATCH", "/new", APPLY, "{}", 422, "fieldManager: Required value"),
        (
            "PATCH",
            "/new?fieldManager=m",
            APPLY,
            r#"{"metadata":{"managedFields":[{}]}}"#,
            400,
            "managedFields must be nil",
        ),
        ("DELETE", "/a", JSON, r#"{"preconditions":{"uid":"other"}}"#, 409, "Precondition failed: UID"),
        ("DELETE", "/a", "", "", 200, "\"status\":\"Success\""),
        ("DELETE", "?labelSelector=none=1", "", "", 200, "\"items\":[]"),
        ("DELETE", "", "", "", 200, "\"name\":\"b\""),
        ("GET", "?resourceVersion=99999999999", "", "", 504, "ResourceVersionTooLarge"),
        ("GET", "?continue=x", "", "", 400, "continue"),
        ("GET", "", "accept: application/vnd.kubernetes.protobuf\r\n", "", 406, "NotAcceptable"),
        ("GET", "", "accept: application/vnd.kubernetes.protobuf,application/json\r\n", "", 200, "\"items\":[]"),
        ("GET", "/", "", "", 200, "ConfigMapList"),
        ("GET", "", "origin: http://elsewhere.example\r\n", "", 403, "refused"),
    ] {
        let answer = call(api, method, &format!("{PATH}{path}"), headers, body.as_bytes());
        let row = format!("{method} {path} {headers}{body}: {}", answer.text());
        assert_eq!(answer.status(), code, "{row}");
        assert!(answer.text().contains(holds), "{holds:?} is not in {row}");
    }
}

/// An apply that names an object by its uid means that one, and makes no other.
#[test]
fn an_apply_to_an_object_that_is_gone_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let path = format!("{PATH}/gone?fieldManager=m");
    let body = r#"{"metadata":{"uid":"5f7f8a34-6a0c-4c53-b1f4-4a5b9f0d7c11"},"data":{"a":"b"}}"#;
    let answer = call(up.address("api").parse().unwrap(), "PATCH", &path, APPLY, body.as_bytes());
    assert_eq!(answer.status(), 409, "{}", answer.text());
}

/// Kubernetes lets it pass unless `Strict` is asked for; which of the two values was meant nobody can know.
#[test]
fn a_key_that_stands_twice_is_refused_whatever_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let api = up.address("api").parse().unwrap();
    for (validation, code) in [("Strict", 400), ("Warn", 400), ("Ignore", 400)] {
        let body = format!(
            "{{\"metadata\":{{\"name\":\"{}\"}},\"data\":{{\"a\":\"1\",\"a\":\"2\"}}}}",
            validation.to_lowercase()
        );
        let answer = call(api, "POST", &format!("{PATH}?fieldValidation={validation}"), JSON, body.as_bytes());
        assert_eq!(answer.status(), code, "{validation}: {}", answer.text());
    }
}
