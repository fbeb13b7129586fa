use super::*;

fn reference(kind: &str, api_version: &str) -> KReference {
    KReference {
        kind: kind.into(),
        namespace: "default".into(),
        name: "b".into(),
        api_version: api_version.into(),
        ..KReference::default()
    }
}

fn broker() -> KReference {
    reference("Broker", "eventing.knative.dev/v1")
}

fn errors_of(destination: &Destination) -> Vec<String> {
    let mut errors = FieldErrors::new();
    destination.validate("spec.subscriber", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

/// Knative Eventing, "Destination Resolution"; what the duck type's own tests refuse.
#[test]
fn destinations_that_cannot_work_are_refused() {
    const ABSOLUTE: &str = "Absolute URI is not allowed when Ref or [apiVersion, kind, name] is present: \
                            spec.subscriber.ref, spec.subscriber.uri";
    const RELATIVE: &str = "Relative URI is not allowed when Ref and [apiVersion, kind, name] is absent";
    let uri = |uri: &str| Destination::from_uri(uri);
    let both = |uri: &str| Destination { reference: Some(broker()), ..Destination::from_uri(uri) };
    let rows = [
        (
            Destination::default(),
            "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri".to_owned(),
        ),
        (uri(""), "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri".to_owned()),
        (both("http://a/b"), ABSOLUTE.to_owned()),
        (both("mailto:a"), ABSOLUTE.to_owned()),
        (both("//a/b"), "invalid value: //a/b: spec.subscriber.uri\nexpected a path, such as /orders".to_owned()),
        (uri("/orders"), format!("invalid value: /orders: spec.subscriber.uri\n{RELATIVE}")),
        (uri("orders"), format!("invalid value: orders: spec.subscriber.uri\n{RELATIVE}")),
        (uri("//host/orders"), format!("invalid value: //host/orders: spec.subscriber.uri\n{RELATIVE}")),
        (uri("http:"), "invalid value: http:: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (uri("http://"), "invalid value: http://: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (uri("http:///a"), "invalid value: http:///a: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (uri("http:a"), "invalid value: http:a: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (uri("http://:80/a"), "invalid value: http://:80/a: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (uri("http://u@/a"), "invalid value: http://u@/a: spec.subscriber.uri\nthe URI has no host".to_owned()),
        (
            uri("ftp://a/b"),
            "invalid value: ftp://a/b: spec.subscriber.uri\nthe scheme must be http or https".to_owned(),
        ),
        (uri("http://a:99999/"), "invalid value: http://a:99999/: spec.subscriber.uri\ninvalid port number".to_owned()),
        (
            uri("https://a/b"),
            "invalid value: https://a/b: spec.subscriber.uri\nhttps subscribers are not supported yet".to_owned(),
        ),
    ];
    for (destination, want) in rows {
        assert_eq!(errors_of(&destination), [want], "{destination:?}");
    }
}

/// A dead letter names the URI it was sent to, so the length is bounded; the message does not repeat it.
#[test]
fn a_uri_has_a_longest_length() {
    let long = |head: &str, length: usize| head.to_owned() + &"x".repeat(length - head.len());
    let relative = |uri: String| Destination { reference: Some(broker()), ..Destination::from_uri(uri) };
    let want = "invalid value: spec.subscriber.uri\nat most 2048 bytes";
    for (made, head) in [(Destination::from_uri as fn(String) -> _, "http://a/"), (relative as _, "/")] {
        assert_eq!(errors_of(&made(long(head, MAX_URI_BYTES))), Vec::<String>::new(), "{head}");
        assert_eq!(errors_of(&made(long(head, MAX_URI_BYTES + 1))), [want], "{head}");
    }
}

#[test]
fn destinations_that_can_work_are_taken() {
    let with = |reference: KReference, uri: Option<&str>| Destination {
        reference: Some(reference),
        uri: uri.map(str::to_owned),
        ..Destination::default()
    };
    let rows = [
        Destination::from_uri("http://127.0.0.1:8080/orders?a=b"),
        Destination::from_uri("HTTP://host"),
        Destination::from_uri("http://[::1]:80/"),
        Destination::from_uri("http://user:secret@host/"),
        with(broker(), None),
        with(broker(), Some("/path")),
        with(broker(), Some("path?x=1")),
        with(reference("Pod", "v1"), None),
        with(reference("Service", "serving.knative.dev/v1"), None),
    ];
    for destination in rows {
        assert_eq!(errors_of(&destination), Vec::<String>::new(), "{destination:?}");
    }
}

#[test]
fn a_reference_needs_kind_name_and_api_version() {
    let empty = Destination { reference: Some(KReference::default()), ..Destination::default() };
    let want = "missing field(s): spec.subscriber.ref.name, spec.subscriber.ref.apiVersion, spec.subscriber.ref.kind";
    assert_eq!(errors_of(&empty), [want]);
    // Knative does not look at the reference when there is a relative uri. It can be resolved no better then.
    let with_uri = Destination { uri: Some("/a".into()), ..empty };
    assert_eq!(errors_of(&with_uri), [want]);
    let group = Destination {
        reference: Some(KReference { group: "eventing.knative.dev".into(), ..broker() }),
        ..Destination::default()
    };
    assert_eq!(errors_of(&group), ["must not set the field(s): spec.subscriber.ref.group"]);
}

#[test]
fn ca_certificates_must_be_pem() {
    // SEQUENCE { INTEGER 1 }: not a certificate that could be trusted, but framed as one.
    let framed = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let long = STANDARD.encode([&[0x30, 0x82, 0x01, 0x00][..], &[0; 256]].concat());
    let good = [framed("MAMCAQE="), framed("MAMC\r\n  AQE="), framed("MAMCAQE=") + &framed("MAMCAQE="), framed(&long)];
    for pem in good {
        assert_eq!(check_pem(&pem), Ok(()), "{pem}");
    }
    let bad = [
        (String::new(), "expected certificates in PEM"),
        ("garbage".to_owned(), "expected certificates in PEM"),
        (framed("MAMCAQE=").replace("CERTIFICATE", "PRIVATE KEY"), "expected certificates in PEM"),
        ("-----BEGIN CERTIFICATE-----\nMAMCAQE=".to_owned(), "certificate 1 has no end line"),
        (framed("not base64!"), "certificate 1 is not base64"),
        (framed(""), "certificate 1 is not an X.509 certificate"),
        (framed("MAQCAQE="), "certificate 1 is not an X.509 certificate"),
        (framed("MAMCAQE=") + &framed("AAAA"), "certificate 2 is not an X.509 certificate"),
    ];
    for (pem, why) in bad {
        let destination = Destination { ca_certs: Some(pem.clone()), ..Destination::from_uri("http://a") };
        assert_eq!(errors_of(&destination), [format!("invalid value: spec.subscriber.CACerts\n{why}")], "{pem}");
    }
}

/// Knative Eventing, "Destination Resolution".
#[test]
fn destinations_resolve_to_a_url() {
    let with = |uri: Option<&str>| Destination {
        reference: Some(broker()),
        uri: uri.map(str::to_owned),
        ..Destination::default()
    };
    let address = |key: &ResourceKey| {
        assert_eq!(key, &ResourceKey::new(Kind::Broker, "default", "b"));
        Some("http://127.0.0.1:8080/default/b".to_owned())
    };
    let rows = [
        (Destination::from_uri("http://host/x?y=1"), "http://host/x?y=1"),
        (with(None), "http://127.0.0.1:8080/default/b"),
        (with(Some("")), "http://127.0.0.1:8080/default/b"),
        (with(Some("/path")), "http://127.0.0.1:8080/path"),
        (with(Some("c?q=1")), "http://127.0.0.1:8080/default/c?q=1"),
    ];
    for (destination, want) in rows {
        assert_eq!(destination.resolve(address).as_deref(), Ok(want), "{destination:?}");
    }
}

#[test]
fn what_cannot_be_resolved_says_why() {
    let missing = Destination { reference: Some(broker()), ..Destination::default() };
    let foreign = Destination { reference: Some(reference("Pod", "v1")), ..Destination::default() };
    let rows = [
        (missing, "ReferenceNotFound", "Broker default/b does not exist or has no address"),
        (foreign, "ReferenceKindUnsupported", "references to Pod (v1) cannot be resolved here; use a uri"),
        (Destination::from_uri("/a"), "InvalidURI", "\"/a\" is no URL that events can be sent to"),
        (Destination::default(), "InvalidURI", "\"\" is no URL that events can be sent to"),
    ];
    for (destination, reason, message) in rows {
        let why = destination.resolve(|_| None).unwrap_err();
        assert_eq!((why.reason(), why.to_string().as_str()), (reason, message), "{destination:?}");
    }
}
