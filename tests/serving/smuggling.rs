//! What a client may send so that two readers of one connection see different requests. Each row says what must happen, and
//! in none does more than one request reach the instance, or is what follows taken for a request that nobody sent.

use std::time::Duration;

use super::service::{Client, get, node_with, service};
use super::support::Node;
use super::support::http::Message;
use super::support::wait::DEADLINE;

const HOST: &str = "hello.default.localhost";

/// What another reader might find behind a request.
const SMUGGLED: &str = "GET /seen?smuggled HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n";

/// What must happen.
#[derive(Debug, Clone, Copy)]
enum Want {
    /// That answer, the connection ends, and the instance has seen no request.
    Refused(u16),
    /// That answer, of the gateway's own, and the connection goes on.
    Answered(u16),
    /// The instance has seen one request, framed like this, with this body; the connection goes on.
    Passed(Framed, &'static str),
    /// The same, and the connection ends.
    PassedLast(Framed, &'static str),
    /// It waits for what does not come, and when the client has said that it sends no more, the connection ends.
    Unfinished,
}

/// How a request says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framed {
    Length,
    Chunked,
    Nothing,
}

use Framed::{Chunked, Length, Nothing};
use Want::{Answered, Passed, PassedLast, Refused, Unfinished};

/// Fields after `Host`, an empty line and a body, of a POST.
const FIELDS: &[(&str, Want)] = &[
    // Content-Length and Transfer-Encoding (RFC 9112, section 6.3).
    ("content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG", Refused(400)),
    ("transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("Content-Length: 5\r\nx: y\r\nTRANSFER-ENCODING: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\ncontent-length: x\r\n\r\n0\r\n\r\n", Refused(400)),
    ("content-length: 5\r\ntransfer-encoding: identity\r\n\r\nhello", Refused(400)),
    ("content-length: 5\r\ntransfer-encoding:\r\n\r\nhello", Refused(400)),
    // Several codings, or one that is not quite it (RFC 9112, section 6.1).
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(Chunked, "hello")),
    ("transfer-encoding:CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(Chunked, "hello")),
    ("transfer-encoding:\tchunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(Chunked, "hello")),
    ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: , chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding\r\n: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding : chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("transfer_encoding: chunked\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("x: y\r\n transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    // Content-Length (RFC 9110, section 8.6).
    ("content-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("content-length: 05\r\n\r\nhello", Passed(Length, "hello")),
    ("content-length: 5\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("content-length: 5\r\ncontent-length: 6\r\n\r\nhello", Refused(400)),
    ("content-length: 5, 5\r\n\r\nhello", Refused(400)),
    ("content-length: 5,6\r\n\r\nhello", Refused(400)),
    ("content-length: +5\r\n\r\nhello", Refused(400)),
    ("content-length: -5\r\n\r\nhello", Refused(400)),
    ("content-length: 0x5\r\n\r\nhello", Refused(400)),
    ("content-length: 5 5\r\n\r\nhello", Refused(400)),
    ("content-length: 5.0\r\n\r\nhello", Refused(400)),
    ("content-length:\r\n\r\nhello", Refused(400)),
    ("content-length: 18446744073709551615\r\n\r\nhello", Refused(431)),
    ("content-length: 18446744073709551616\r\n\r\nhello", Refused(400)),
    ("content-length: 18446744073709551621\r\n\r\nhello", Refused(400)),
    ("content-length: 9223372036854775807\r\n\r\nhello", Unfinished),
    ("content-length : 5\r\n\r\nhello", Refused(400)),
    ("content-length\r\n\r\nhello", Refused(400)),
    (" content-length: 5\r\n\r\nhello", Refused(400)),
    ("content_length: 100\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("connection: content-length\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    (
        "connection: transfer-encoding, host\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Passed(Chunked, "hi"),
    ),
    ("\r\n", Passed(Nothing, "")),
    // Chunks (RFC 9112, section 7.1).
    ("transfer-encoding: chunked\r\n\r\n5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", Passed(Chunked, "hello")),
    ("transfer-encoding: chunked\r\n\r\n005 \r\nhello\r\n00\r\n\r\n", Passed(Chunked, "hello")),
    ("transfer-encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n5 5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", Refused(400)),
    ("transfer-encoding: chunked\r\n\r\n7fffffffffffffff\r\nhello", Unfinished),
    ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", Unfinished),
    // Trailers that would say something else about the message (RFC 9110, section 6.5.1).
    (
        "trailer: content-length, transfer-encoding, host, x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
         content-length: 100\r\ntransfer-encoding: chunked\r\nhost: evil\r\nx-sum: 1\r\n\r\n",
        Passed(Chunked, "hello"),
    ),
    // Lines that end, or do not (RFC 9112, section 2.2).
    ("x: a\ncontent-length: 5\n\nhello", Passed(Length, "hello")),
    ("x: a\rcontent-length: 5\r\n\r\nhello", Refused(400)),
    ("x: a\r\n b\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("x: a\0b\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("x\0: a\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    (": a\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("x: a\x7fb\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    // Whom it is for (RFC 9112, section 3.2).
    ("host: other.default.localhost\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("Host: hello.default.localhost\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("host : other.default.localhost\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    // Expectations and changes of the protocol.
    ("expect: 100-continue\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("expect: y 100-continue\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    ("connection: upgrade\r\nupgrade: lines\r\ncontent-length: 5\r\n\r\nhello", Refused(400)),
    ("upgrade: lines\r\ncontent-length: 5\r\n\r\nhello", Passed(Length, "hello")),
    (
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 5\r\n\r\nhello",
        Passed(Length, "hello"),
    ),
];

/// Whole requests.
const REQUESTS: &[(&str, Want)] = &[
    ("\r\n\r\nGET /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Passed(Nothing, "")),
    ("GET /what HTTP/1.1\nhost: hello.default.localhost\n\n", Passed(Nothing, "")),
    ("GET /what HTTP/1.1\r\nhost: hello.default.localhost\r\ncontent-length: 2\r\n\r\nhi", Passed(Length, "hi")),
    (
        "GET /what HTTP/1.1\r\nhost: hello.default.localhost\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Passed(Chunked, "hi"),
    ),
    ("POST /what HTTP/1.0\r\nhost: hello.default.localhost\r\ncontent-length: 2\r\n\r\nhi", PassedLast(Length, "hi")),
    (
        "POST /what HTTP/1.0\r\nhost: hello.default.localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(400),
    ),
    ("GET /what HTTP/1.1\r\n\r\n", Refused(400)),
    ("GET /what HTTP/1.1\r\nhost:\r\n\r\n", Answered(404)),
    ("GET /what HTTP/1.1\r\nhost: hello.default.localhost, other\r\n\r\n", Answered(400)),
    ("GET /what HTTP/1.1\r\nhost: x@hello.default.localhost\r\n\r\n", Answered(400)),
    ("GET /what HTTP/1.1\r\nhost: hello.default.localhost/\r\n\r\n", Answered(400)),
    ("GET /what HTTP/1.1\r\nhost: hello.default.localhost:80:80\r\n\r\n", Answered(400)),
    ("GET /what HTTP/1.1\r\nhost: hello.default.localhost:8 1\r\n\r\n", Answered(400)),
    ("GET http://hello.default.localhost/what HTTP/1.1\r\nhost: other\r\n\r\n", Passed(Nothing, "")),
    ("GET http://other/what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Answered(404)),
    ("GET http://x@hello.default.localhost/what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Answered(400)),
    ("GET http://hello.default.localhost/what HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Refused(400)),
    ("CONNECT hello.default.localhost:80 HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(405)),
    ("GET  /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what  HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /wh at HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET\t/what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what\tHTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what HTTP/1.1 \r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    (" GET /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /wh\0at HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GE\0T /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what HTTP/1.2\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what HTTP/2.0\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what http/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET /what\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("GET what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("\r\rGET /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    ("\0GET /what HTTP/1.1\r\nhost: hello.default.localhost\r\n\r\n", Refused(400)),
    // Two requests that the client did send.
    (
        "POST /echo HTTP/1.1\r\nhost: hello.default.localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
         POST /echo HTTP/1.1\r\nhost: hello.default.localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        PassedLast(Chunked, "x"),
    ),
];

#[test]
fn no_request_is_seen_that_nobody_sent() {
    let folder = tempfile::tempdir().unwrap();
    let one = [("autoscaling.knative.dev/min-scale", "1"), ("autoscaling.knative.dev/max-scale", "1")];
    let node = node_with(folder.path(), &service("hello", &[], &one, ""));
    let of_fields =
        FIELDS.iter().map(|(fields, want)| (format!("POST /what HTTP/1.1\r\nhost: {HOST}\r\n{fields}"), *want));
    let of_requests = REQUESTS.iter().map(|(request, want)| ((*request).to_owned(), *want));
    for (bytes, want) in of_fields.chain(of_requests).chain(large()) {
        let shown = if bytes.len() > 500 { &bytes[..100] } else { &*bytes };
        let before = seen(&node);
        check(&node, &bytes, want, shown);
        // The question itself was seen as well.
        let reached = seen(&node) - before - 1;
        let want = match want {
            Refused(_) | Answered(_) | Unfinished => 0,
            // The one, and what was asked on the same connection.
            Passed(..) => 2,
            PassedLast(..) => 1,
        };
        assert_eq!(reached, want, "requests that reached the instance: {shown:?}");
    }
}

/// Rows too long to be written out.
fn large() -> Vec<(String, Want)> {
    let chunked =
        |body: &str| format!("POST /what HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let zeros = "0".repeat(4_000);
    vec![
        (chunked(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(17 * 1024))), Refused(400)),
        (chunked(&format!("{zeros}5\r\nhello\r\n{zeros}\r\n\r\n")), Passed(Chunked, "hello")),
        (chunked(&format!("0\r\nx: {}\r\n\r\n", "y".repeat(70 * 1024))), Refused(400)),
        (format!("GET /what HTTP/1.1\r\nhost: {HOST}\r\nx: {}\r\n\r\n", "y".repeat(1024 * 1024)), Refused(431)),
    ]
}

fn seen(node: &Node) -> u64 {
    get(node, HOST, "/seen").text().parse().unwrap()
}

/// The next answer that is not an interim one.
fn answer(client: &mut Client) -> Option<Message> {
    std::iter::from_fn(|| client.answer().ok()).find(|answer| answer.status() / 100 != 1)
}

fn check(node: &Node, bytes: &str, want: Want, shown: &str) {
    let mut client = Client::of(node, HOST);
    match want {
        Refused(status) => {
            // What cannot be taken in any more need not be sent.
            let _ = client.connection().write(format!("{bytes}{SMUGGLED}").as_bytes());
            // A head that is far too long is cut before it was read, which may cost the answer.
            match answer(&mut client) {
                Some(answer) => assert_eq!(answer.status(), status, "{shown:?}: {}", answer.text()),
                None => assert!(bytes.len() > 100_000, "{shown:?}: no answer"),
            }
            assert!(answer(&mut client).is_none(), "{shown:?}: a second answer");
            assert!(client.connection().ends_within(DEADLINE), "{shown:?}: the connection goes on");
        }
        Answered(status) => {
            client.connection().write(bytes.as_bytes()).unwrap();
            let got = answer(&mut client).unwrap();
            assert_eq!(got.status(), status, "{shown:?}: {}", got.text());
            client.connection().write(b"GET / HTTP/1.1\r\nhost: nobody\r\n\r\n").unwrap();
            assert_eq!(answer(&mut client).unwrap().status(), 404, "{shown:?}: the next request");
        }
        Passed(framed, body) => {
            client.connection().write(bytes.as_bytes()).unwrap();
            assert_saw(answer(&mut client), framed, body, shown);
            assert_eq!(client.get("/seen").status(), 200, "{shown:?}: the next request");
        }
        PassedLast(framed, body) => {
            client.connection().write(bytes.as_bytes()).unwrap();
            let first = answer(&mut client);
            if bytes.contains("/echo") {
                assert_eq!(first.unwrap().text(), body, "{shown:?}");
                assert_eq!(answer(&mut client).unwrap().status(), 400, "{shown:?}: the second");
            } else {
                assert_saw(first, framed, body, shown);
            }
            assert!(client.connection().ends_within(DEADLINE), "{shown:?}: the connection goes on");
        }
        Unfinished => {
            client.connection().write(bytes.as_bytes()).unwrap();
            assert!(!client.connection().ends_within(Duration::from_millis(1)), "{shown:?}: it could still come");
            client.connection().finish();
            assert!(client.connection().ends_within(DEADLINE), "{shown:?}: the connection goes on");
        }
    }
}

/// The instance has told what it saw.
#[track_caller]
fn assert_saw(answer: Option<Message>, framed: Framed, body: &str, shown: &str) {
    let answer = answer.unwrap_or_else(|| panic!("{shown:?}: no answer"));
    assert_eq!(answer.status(), 200, "{shown:?}: {}", answer.text());
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let values = |part: &str, name: &str| {
        let all = told[part].as_array().unwrap().iter().filter(|pair| pair[0] == name);
        all.map(|pair| pair[1].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let lengths = values("headers", "content-length");
    let codings = values("headers", "transfer-encoding");
    let got = match (lengths.len(), codings.len()) {
        (0, 0) => Nothing,
        (1, 0) => Length,
        (0, 1) => Chunked,
        _ => panic!("{shown:?}: {told:#}"),
    };
    // Without a body either way of saying so is right.
    assert!(got == framed || (body.is_empty() && lengths.iter().all(|length| length == "0")), "{shown:?}: {told:#}");
    assert_eq!(told["body"], body, "{shown:?}");
    assert_eq!(values("headers", "host"), [HOST], "{shown:?}");
    assert!(told["first"].as_str().unwrap().ends_with(" /what HTTP/1.1"), "{shown:?}: {told:#}");
    for name in ["content-length", "transfer-encoding", "host"] {
        assert!(values("trailers", name).is_empty(), "{shown:?}: {told:#}");
    }
}
