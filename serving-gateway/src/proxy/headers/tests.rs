use super::*;

/// Fields as they are written.
type Fields = &'static [(&'static str, &'static str)];

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    headers
}

fn asked(host: &str) -> Asked<'_> {
    Asked { peer: Some("192.0.2.7".parse().unwrap()), host, rewritten: None }
}

/// RFC 9112, sections 3.2, 6.1 and 6.3.
#[test]
fn what_two_readers_could_take_differently_is_refused() {
    use BadRequest::{ChunkedHttp10, Host, TwoLengths, UnknownCoding};

    const HOST: (&str, &str) = ("host", "a");
    let (h10, h11, h2) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
    let rows: &[(Version, Fields, Result<(), BadRequest>)] = &[
        (h11, &[HOST], Ok(())),
        (h11, &[HOST, ("content-length", "5")], Ok(())),
        (h11, &[HOST, ("transfer-encoding", "chunked")], Ok(())),
        (h11, &[HOST, ("transfer-encoding", "Chunked")], Ok(())),
        (h11, &[HOST, ("content-length", "5"), ("transfer-encoding", "chunked")], Err(TwoLengths)),
        (h11, &[HOST, ("transfer-encoding", "chunked"), ("content-length", "5")], Err(TwoLengths)),
        (h11, &[HOST, ("transfer-encoding", "gzip, chunked")], Err(UnknownCoding)),
        (h11, &[HOST, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Err(UnknownCoding)),
        (h11, &[HOST, ("transfer-encoding", "xchunked")], Err(UnknownCoding)),
        (h11, &[HOST, ("transfer-encoding", "identity")], Err(UnknownCoding)),
        (h10, &[HOST, ("transfer-encoding", "chunked")], Err(ChunkedHttp10)),
        (h11, &[], Err(Host)),
        (h11, &[HOST, ("host", "b")], Err(Host)),
        (h10, &[], Ok(())),
        (h10, &[HOST, HOST], Err(Host)),
        (h2, &[], Ok(())),
    ];
    for (version, pairs, want) in rows {
        assert_eq!(check(*version, &headers(pairs)), *want, "{version:?} {pairs:?}");
    }
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let rows: &[(Version, Fields, Option<&str>)] = &[
        (Version::HTTP_11, &[("connection", "Upgrade"), ("upgrade", "websocket")], Some("websocket")),
        (Version::HTTP_11, &[("connection", "keep-alive, upgrade"), ("upgrade", "x/1")], Some("x/1")),
        (Version::HTTP_11, &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "H2C")], None),
        (Version::HTTP_11, &[("upgrade", "websocket")], None),
        (Version::HTTP_11, &[("connection", "upgrade")], None),
        (Version::HTTP_10, &[("connection", "upgrade"), ("upgrade", "websocket")], None),
    ];
    for (version, pairs, want) in rows {
        let got = upgrade(*version, &headers(pairs));
        assert_eq!(got.as_ref().and_then(|value| value.to_str().ok()), *want, "{version:?} {pairs:?}");
    }
}

#[test]
fn what_belongs_to_a_connection_and_what_only_parts_of_knative_say_end_here() {
    let mut seen = headers(&[
        ("host", "h.example"),
        ("connection", "close, X-Secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("te", "trailers, deflate"),
        ("knative-serving-revision", "other"),
        ("knative-serving-namespace", "other"),
        ("k-proxy-request", "activator"),
        ("k-original-host", "evil"),
        ("k-passthrough-lb", "true"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "17"),
        ("x-custom", "a"),
        ("x-custom", "b"),
        ("knative-serving-tag", "blue"),
    ]);
    for_instance(&mut seen, asked("h.example"));
    let mut names: Vec<_> = seen.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let want = [
        "forwarded",
        "host",
        "knative-serving-tag",
        "te",
        "traceparent",
        "x-custom",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, want);
    assert_eq!(seen["te"], "trailers");
    assert_eq!(seen.get_all("x-custom").iter().collect::<Vec<_>>(), ["a", "b"]);
}

/// RFC 7239, sections 4 and 6; spec/serving.md, 1.3.
#[test]
fn forwarded_says_what_x_forwarded_says() {
    let rows: &[(Fields, &str, &str)] = &[
        (&[], "192.0.2.7", "for=192.0.2.7;host=h.example;proto=http"),
        (
            &[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")],
            "198.51.100.1, 192.0.2.7",
            "for=198.51.100.1;host=h.example;proto=https, for=192.0.2.7",
        ),
        (
            &[("x-forwarded-for", "2001:db8::1"), ("x-forwarded-for", "[2001:db8::2]")],
            "2001:db8::1, [2001:db8::2], 192.0.2.7",
            "for=\"[2001:db8::1]\";host=h.example;proto=http, for=\"[2001:db8::2]\", for=192.0.2.7",
        ),
        (
            &[("x-forwarded-host", "h:8080"), ("x-forwarded-by", "me")],
            "192.0.2.7",
            "for=192.0.2.7;host=\"h:8080\";proto=http",
        ),
        (&[("forwarded", "for=unknown")], "192.0.2.7", "for=unknown"),
    ];
    for (pairs, for_, want) in rows {
        let mut seen = headers(pairs);
        for_instance(&mut seen, asked("h.example"));
        assert_eq!(seen["x-forwarded-for"], *for_, "{pairs:?}");
        assert_eq!(seen["forwarded"], *want, "{pairs:?}");
    }
}

#[test]
fn a_custom_domain_is_told_apart_from_the_host() {
    let mut seen = headers(&[("host", "shop.example")]);
    let asked = Asked { rewritten: Some("shop.default.svc.cluster.local"), ..asked("shop.example") };
    for_instance(&mut seen, asked);
    assert_eq!(seen[HOST], "shop.default.svc.cluster.local");
    assert_eq!(seen[ORIGINAL_HOST], "shop.example");
    assert_eq!(seen[X_FORWARDED_HOST], "shop.example");
}

#[test]
fn an_answer_keeps_the_names_of_its_trailers() {
    let mut seen = headers(&[
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("trailer", "grpc-status"),
        ("content-type", "text/plain"),
    ]);
    for_client(&mut seen);
    let mut names: Vec<_> = seen.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "trailer"]);
}

/// As Go's example of trailers has them.
#[test]
fn names_of_trailers_in_several_fields_all_go_on() {
    let mut answer = headers(&[("trailer", "a, b"), ("connection", "trailer, x"), ("trailer", "c"), ("x", "y")]);
    for_client(&mut answer);
    let trailers: Vec<_> = answer.get_all(TRAILER).iter().map(|names| names.to_str().unwrap()).collect();
    assert_eq!((trailers, answer.len()), (vec!["a, b", "c"], 2));
}

#[test]
fn cookies_in_fields_of_their_own_become_one() {
    let mut asks = headers(&[("cookie", "a=b"), ("x", "y"), ("cookie", "c=d; e=f")]);
    join_cookies(&mut asks);
    assert_eq!((asks.get_all(COOKIE).iter().count(), &asks[COOKIE]), (1, &HeaderValue::from_static("a=b; c=d; e=f")));
    join_cookies(&mut asks);
    assert_eq!(asks[COOKIE], "a=b; c=d; e=f");
}

/// An instance that says so is not another gateway.
#[test]
fn an_instance_does_not_say_that_a_request_was_not_taken() {
    let mut answer = headers(&[("pelton-gateway-not-taken", "true")]);
    for_client(&mut answer);
    assert!(answer.is_empty());
}
