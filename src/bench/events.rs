//! The requests that the generator sends: built once, then stamped with fresh ids in place.

use std::net::SocketAddr;

use super::response::PLANNED_HEADER;

/// Bytes of `data` in every event of every workload.
pub const DATA_BYTES: usize = 1024;

/// The type that the one matching trigger asks for.
pub const MATCHING_TYPE: &str = "pelton.bench.matching";

/// Where the requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The broker `default/default`.
    DefaultBroker,
    /// The brokers `default/b00000` and on, in turn: this many, at most 100,000.
    Brokers(u32),
}

/// The name of the broker with this number. Five digits, so that a path can be stamped in place.
pub fn broker_name(number: u32) -> String {
    format!("b{number:05}")
}

/// One prebuilt request and the places in it that change from one sending to the next.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    ids: Vec<usize>,
    broker: Option<(usize, u32)>,
    planned: Option<usize>,
}

impl Template {
    /// One event in binary mode with [`DATA_BYTES`] of JSON.
    pub fn binary(server: SocketAddr, target: Target, event_type: &str) -> Self {
        let mut request = Self::start(server, target);
        request.text("content-type: application/json\r\nce-specversion: 1.0\r\nce-source: /pelton/bench\r\nce-type: ");
        request.text(event_type);
        request.text("\r\nce-id: ");
        request.id();
        request.text(&format!("\r\ncontent-length: {DATA_BYTES}\r\n\r\n"));
        request.text(&data());
        request
    }

    /// One event in binary mode with a `partitionkey`, so that it always goes to the same log group.
    pub fn keyed(server: SocketAddr, event_type: &str, key: &str) -> Self {
        let mut request = Self::start(server, Target::DefaultBroker);
        request.text(&format!("ce-partitionkey: {key}\r\n"));
        request.append(Self::binary(server, Target::DefaultBroker, event_type), server, Target::DefaultBroker);
        request
    }

    /// One event in binary mode that also carries its planned send time.
    pub fn timed(server: SocketAddr, target: Target, event_type: &str) -> Self {
        let mut request = Self::start(server, target);
        request.text(PLANNED_HEADER);
        request.text(": ");
        request.planned = Some(request.bytes.len());
        request.text("0000000000000000\r\n");
        request.append(Self::binary(server, target, event_type), server, target);
        request
    }

    /// `GET path` of a Service, with an id of its own so that it counts as one.
    pub fn get(host: &str, path: &str) -> Self {
        let mut request = Self { bytes: Vec::new(), ids: Vec::new(), broker: None, planned: None };
        request.text(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: "));
        request.id();
        request.text("\r\n\r\n");
        request
    }

    /// A JSON batch of `events` events, each with [`DATA_BYTES`] of JSON.
    pub fn batch(server: SocketAddr, target: Target, event_type: &str, events: usize) -> Self {
        let mut body = Self { bytes: Vec::new(), ids: Vec::new(), broker: None, planned: None };
        for n in 0..events {
            body.text(if n == 0 { "[" } else { "," });
            body.text(r#"{"specversion":"1.0","source":"/pelton/bench","type":""#);
            body.text(event_type);
            body.text(r#"","id":""#);
            body.id();
            body.text(r#"","datacontenttype":"application/json","data":"#);
            body.text(&data());
            body.text("}");
        }
        body.text("]");
        let mut request = Self::start(server, target);
        request.text("content-type: application/cloudevents-batch+json\r\n");
        request.text(&format!("content-length: {}\r\n\r\n", body.bytes.len()));
        let moved = request.bytes.len();
        request.bytes.extend_from_slice(&body.bytes);
        request.ids = body.ids.iter().map(|at| at + moved).collect();
        request
    }

    /// How many events one sending carries.
    pub fn events(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The bytes to stamp and send; each connection has its own copy.
    pub fn buffer(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Writes fresh ids from `first_id` on, the next broker in turn, and the planned time into a copy from
    /// [`buffer`](Self::buffer).
    pub fn stamp(&self, buffer: &mut [u8], first_id: u64, planned_nanos: u64) {
        for (id, at) in (first_id..).zip(&self.ids) {
            hexadecimal(&mut buffer[*at..*at + 16], id);
        }
        if let Some((at, brokers)) = self.broker {
            decimal(&mut buffer[at..at + 5], first_id % u64::from(brokers));
        }
        if let Some(at) = self.planned {
            decimal(&mut buffer[at..at + 16], planned_nanos);
        }
    }

    fn start(server: SocketAddr, target: Target) -> Self {
        let mut request = Self { bytes: Vec::new(), ids: Vec::new(), broker: None, planned: None };
        request.text("POST /default/");
        match target {
            Target::DefaultBroker => request.text("default"),
            Target::Brokers(count) => {
                request.broker = Some((request.bytes.len() + 1, count.clamp(1, 100_000)));
                request.text(&broker_name(0));
            }
        }
        request.text(&format!(" HTTP/1.1\r\nhost: {server}\r\n"));
        request
    }

    /// Adds what stands behind the first lines of another request for the same place.
    fn append(&mut self, rest: Self, server: SocketAddr, target: Target) {
        let skip = Self::start(server, target).bytes.len();
        let moved = self.bytes.len() - skip;
        self.bytes.extend_from_slice(&rest.bytes[skip..]);
        self.ids = rest.ids.iter().map(|at| at + moved).collect();
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn id(&mut self) {
        self.ids.push(self.bytes.len());
        self.text("0000000000000000");
    }
}

/// A JSON object of exactly [`DATA_BYTES`].
fn data() -> String {
    let (start, end) = (r#"{"fill":""#, r#""}"#);
    let fill: String = ('a'..='z').cycle().take(DATA_BYTES - start.len() - end.len()).collect();
    format!("{start}{fill}{end}")
}

fn hexadecimal(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn decimal(place: &mut [u8], mut value: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::super::response::{header, scan_request};
    use super::*;

    fn server() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8080))
    }

    fn head(bytes: &[u8]) -> &[u8] {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        &bytes[..end + 4]
    }

    #[test]
    fn every_template_has_the_length_that_it_says() {
        for (name, template, events) in [
            ("binary", Template::binary(server(), Target::DefaultBroker, MATCHING_TYPE), 1),
            ("timed", Template::timed(server(), Target::Brokers(10), MATCHING_TYPE), 1),
            ("batch", Template::batch(server(), Target::DefaultBroker, MATCHING_TYPE, 100), 100),
            ("get", Template::get("a.default.localhost", "/hold/5"), 1),
        ] {
            let bytes = template.buffer();
            let head = scan_request(&bytes).unwrap().unwrap();
            assert_eq!(head.total_bytes, bytes.len(), "{name}");
            assert_eq!(template.events(), events, "{name}");
        }
    }

    #[test]
    fn a_stamp_changes_id_broker_and_planned_time() {
        let template = Template::timed(server(), Target::Brokers(1000), "a.type");
        let mut bytes = template.buffer();
        template.stamp(&mut bytes, 0x3_0007, 1_234_567);
        assert!(bytes.starts_with(format!("POST /default/b{:05} HTTP/1.1\r\n", 0x3_0007 % 1000).as_bytes()));
        assert_eq!(header(head(&bytes), "ce-id"), Some(&b"0000000000030007"[..]));
        assert_eq!(header(head(&bytes), "ce-type"), Some(&b"a.type"[..]));
        assert_eq!(scan_request(&bytes).unwrap().unwrap().planned_nanos, Some(1_234_567));
    }

    #[test]
    fn a_batch_is_json_with_distinct_ids() {
        let template = Template::batch(server(), Target::DefaultBroker, MATCHING_TYPE, 100);
        let mut bytes = template.buffer();
        template.stamp(&mut bytes, 500, 0);
        let body = &bytes[head(&bytes).len()..];
        let events: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
        let ids: std::collections::BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), 100);
        assert!(events.iter().all(|event| event["type"] == MATCHING_TYPE && event["data"].is_object()));
    }

    #[test]
    fn data_is_one_kibibyte_of_json() {
        assert_eq!(data().len(), DATA_BYTES);
        assert!(serde_json::from_str::<serde_json::Value>(&data()).unwrap().is_object());
    }
}
