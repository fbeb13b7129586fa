//! S18: the API takes any request. It answers, never with a fault of its own, and does not panic.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use pelton_client::memory::MemoryClient;
use pelton_env::SeededChance;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Api, router};

const SEGMENTS: &[&str] = &[
    "v1",
    "apply",
    "brokers",
    "triggers",
    "dead-letters",
    "redrive",
    "discard",
    "rewind",
    "warning",
    "services",
    "revisions",
    "logs",
    "instances",
    "default",
    "t",
    "1",
    "0:1",
    "1/0",
    "18446744073709551616",
    "..",
    "%2e%2e",
    "%2F",
    "%ff",
    "%",
    "",
];

const QUERIES: &[&str] =
    &["", "trigger=", "trigger=default%2Ft", "limit=-1", "limit=1000", "after=x:1/2", "a=%zz", "&&=="];

const BODIES: &[&str] = &[
    "{}",
    "[]",
    "null",
    "{\"all\":true}",
    "{\"trigger\":\"default/t\",\"position\":\"1/2\"}",
    "{\"to\":\"offset:1\"}",
    "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n",
    "a: &a [*a]",
    "--- !!binary x",
    "\t",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_request_is_answered(
        method in select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH]),
        path in vec(select(SEGMENTS), 0..6),
        query in select(QUERIES),
        known in select(BODIES),
        noise in vec(any::<u8>(), 0..20),
        is_noise in any::<bool>(),
        content_type in select(vec!["application/json", "application/yaml", "text/plain"]),
    ) {
        let body = if is_noise { noise } else { known.as_bytes().to_vec() };
        let request = Request::builder()
            .method(method)
            .uri(format!("/{}?{query}", path.join("/")))
            .header(header::HOST, "127.0.0.1")
            .header(header::CONTENT_TYPE, content_type)
            .body(Bytes::from(body));
        let Ok(request) = request else { return Ok(()) };
        let client = MemoryClient::new();
        let api = Api::new(client.clone(), Arc::new(client.clock().clone()), Arc::new(SeededChance::new(1)), Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(router::answer(&api, request, &pelton_access::Caller::local()));
        prop_assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

const MANIFEST: &str = "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {name: t, annotations: {a: b}}\nspec:\n  \
    broker: b\n  filters: [{exact: {type: x}}, {not: {prefix: {id: 'y'}}}]\n  subscriber: {uri: 'http://s/'}\n---\n";

proptest! {
    /// A manifest of which pieces were moved, doubled and lost.
    #[test]
    fn any_manifest_is_read_or_refused(cuts in vec(any::<proptest::sample::Index>(), 0..8), noise in "[ -~]{0,12}") {
        let mut text = MANIFEST.repeat(2);
        for pair in cuts.chunks(2) {
            let (a, b) = (pair[0].index(text.len()), pair[pair.len() - 1].index(text.len()));
            let piece = text[a.min(b)..a.max(b)].to_owned();
            text.insert_str(a, if piece.len().is_multiple_of(3) { &noise } else { &piece });
            text.truncate(b.max(1));
        }
        if let Err(errors) = pelton_resource::parse_documents(&text, "x.yaml") {
            prop_assert!(!errors.is_empty());
        }
    }

    /// What a person types.
    #[test]
    fn any_word_is_read_or_refused(word in "\\PC{0,24}|[0-9]{1,22}(ms|s|m|h|d|KiB|TiB|/[0-9]{1,22})?|PT?[0-9.]{1,22}[DHMS]|http://[^/]{0,12}/?\\PC{0,8}") {
        let _ = crate::http::Url::parse(&word).map(|url| url.to_string());
        let _ = crate::config::units::parse_duration(&word);
        let _ = crate::config::units::parse_size(&word);
        let _ = word.parse::<pelton_client::Position>();
        prop_assert!(!crate::terminal::escape(&word).chars().any(char::is_control));
    }
}
