//! One request: from its head to its answer.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use pelton_client::{Client, Hops};
use pelton_env::Clock;
use pelton_event::Event;
use pelton_event::http::{ContentMode, DecodeOptions, DecodeReason, Decoded, peek_mode};
use pelton_event::limits::MAX_HEADER_COUNT;
use pelton_http_front::{Budget, OpenRequest, Pace};
use tokio::time::Instant;

use crate::admission::Charge;
use crate::body;
use crate::brokers::{Brokers, Entry};
use crate::metrics::Metrics;
use crate::problem::Refusal;
use crate::stamp::{self, StampError};
use crate::{OnAppend, Options, route};

const ALLOWED: HeaderValue = HeaderValue::from_static("POST, OPTIONS");
const ANY: HeaderValue = HeaderValue::from_static("*");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// What all connections share.
pub(crate) struct Shared<C> {
    pub(crate) client: C,
    pub(crate) on_append: Option<OnAppend>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) brokers: Brokers,
    /// Shared with the connections, which count heads that are not complete.
    pub(crate) node: Arc<Budget>,
    pub(crate) metrics: Metrics,
}

/// A request that was not refused.
enum Answer {
    /// These events are durable.
    Stored { entry: Arc<Entry>, events: u64 },
    /// CloudEvents webhook validation.
    Handshake,
}

/// A refusal and how many events it hit.
struct Refused {
    refusal: Refusal,
    events: u64,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, events: 1 }
    }
}

/// Answers one request. Never fails: what goes wrong is an answer.
pub(crate) async fn answer<C: Client>(
    open: OpenRequest<Shared<C>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let started = Instant::now();
    let (parts, mut body) = request.into_parts();
    let mut headers = parts.headers;
    let outcome = if open.has_two_lengths() {
        Err(Refusal::TwoLengths.into())
    } else {
        open.handler().handle(&parts.method, &parts.uri, &mut headers, &mut body).await
    };
    // The request's header map becomes the answer's: hyper lent it, and gets it back for the next request.
    headers.clear();
    headers.insert(ALLOW, ALLOWED);
    let metrics = &open.handler().metrics;
    let response = match outcome {
        Ok(Answer::Stored { entry, events }) => {
            metrics.accepted(&entry.accepted, events);
            empty(StatusCode::ACCEPTED, headers)
        }
        Ok(Answer::Handshake) => {
            headers.insert(ALLOWED_ORIGIN, ANY);
            headers.insert(ALLOWED_RATE, ANY);
            empty(StatusCode::OK, headers)
        }
        Err(Refused { refusal, events }) => {
            let verdict = refusal.verdict();
            metrics.refused(verdict.reason, events);
            tracing::debug!(path = ?parts.uri.path(), ?refusal, "request refused");
            if !body::discard(&mut body).await && parts.version < Version::HTTP_2 {
                // What is left of the body stands between us and the next request.
                open.leave_body_unread();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            refusal.respond(&verdict, headers)
        }
    };
    metrics.request_seconds.record(started.elapsed());
    Ok(response)
}

fn empty(status: StatusCode, headers: HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

impl<C: Client> Shared<C> {
    /// The checks, cheapest first; nothing of the body is read before it is known where it goes and that it fits.
    async fn handle(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        body: &mut Incoming,
    ) -> Result<Answer, Refused> {
        if method == Method::OPTIONS {
            return Ok(Answer::Handshake);
        }
        if method != Method::POST {
            return Err(Refusal::Method.into());
        }
        let entry = self.find_broker(uri.path())?;
        let events = self.store(&entry, head_bytes(uri, headers), headers, body).await?;
        Ok(Answer::Stored { entry, events })
    }

    /// Reads, checks and appends what a request to `entry` carries. Gives the number of events.
    async fn store(
        &self,
        entry: &Entry,
        head_bytes: usize,
        headers: &mut HeaderMap,
        body: &mut Incoming,
    ) -> Result<u64, Refused> {
        let (mode, limit_bytes) = self.check_head(headers, body, entry.header_encoding)?;
        let held = head_bytes.saturating_add(announced_bytes(body));
        let mut charge = Charge::take(&self.node, &entry.budget, held).map_err(Refusal::Busy)?;
        let data = body::read(body, limit_bytes, self.pace(), &mut charge).await.map_err(Refusal::Body)?;
        match self.decode(headers, data, mode, entry)? {
            Stamped::Single(event, hops) => self.append(entry, std::slice::from_ref(&event), hops).await,
            // An empty batch is legal, and done.
            Stamped::Batch(events, _) if events.is_empty() => Ok(0),
            Stamped::Batch(events, hops) => self.append(entry, &events, hops).await,
        }
    }

    fn find_broker(&self, path: &str) -> Result<Arc<Entry>, Refusal> {
        if let Some(entry) = self.brokers.find(route::key(path)) {
            return Ok(entry);
        }
        let key = route::resolve(path).map_err(Refusal::Path)?;
        self.brokers.find_now(&key).ok_or(Refusal::UnknownBroker)
    }

    /// What can be told without the body. Gives the content mode and the largest body to read.
    fn check_head(
        &self,
        headers: &HeaderMap,
        body: &Incoming,
        header_encoding: pelton_event::http::HeaderEncoding,
    ) -> Result<(ContentMode, usize), Refusal> {
        // HTTP/1 has this limit in the parser, HTTP/2 has it here.
        if headers.len() > MAX_HEADER_COUNT {
            return Err(Refusal::TooManyHeaders { limit: MAX_HEADER_COUNT });
        }
        // Data that is stored without its Content-Encoding would be other data for who reads it.
        if headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::ContentEncoding);
        }
        let mode = peek_mode(headers).ok_or_else(|| Refusal::Decode(DecodeReason::NotAnEvent.into()))?;
        let limit_bytes = self.decode_options(header_encoding).max_body_bytes(mode);
        if announced_bytes(body) > limit_bytes {
            return Err(Refusal::BodyTooLarge { limit_bytes });
        }
        Ok((mode, limit_bytes))
    }

    fn decode(
        &self,
        headers: &mut HeaderMap,
        data: Bytes,
        mode: ContentMode,
        entry: &Entry,
    ) -> Result<Stamped, Refusal> {
        let now = self.clock.now();
        let mut hops = Hops::FULL;
        if mode == ContentMode::Binary {
            hops = stamp::headers(headers, now).map_err(|stamp::NoHopsLeft| Refusal::HopCount { index: None })?;
        }
        let decoded = pelton_event::http::decode(headers, data, &self.decode_options(entry.header_encoding))
            .map_err(Refusal::Decode)?;
        match decoded {
            Decoded::Single(event) if mode == ContentMode::Binary => Ok(Stamped::Single(event, hops)),
            Decoded::Single(event) => {
                let (event, hops) = stamp::event(event, now).map_err(|error| refuse_stamp(error, None))?;
                Ok(Stamped::Single(event, hops))
            }
            Decoded::Batch(events) => {
                let mut stamped = Vec::with_capacity(events.len());
                for (index, event) in events.into_iter().enumerate() {
                    let (event, its_hops) =
                        stamp::event(event, now).map_err(|error| refuse_stamp(error, Some(index)))?;
                    // A batch is appended as one unit and has one count: the lowest, so that no loop gets longer.
                    hops = if its_hops.0 < hops.0 { its_hops } else { hops };
                    stamped.push(event);
                }
                Ok(Stamped::Batch(stamped, hops))
            }
        }
    }

    async fn append(&self, entry: &Entry, events: &[Event], hops: Hops) -> Result<u64, Refused> {
        let count = events.len() as u64;
        let appended = self.client.append(&entry.name, events, hops);
        if let Some(on_append) = &self.on_append {
            on_append(&entry.name, events);
        }
        let refusal = match tokio::time::timeout(self.options.append_deadline, appended).await {
            Ok(Ok(_)) => return Ok(count),
            Ok(Err(error)) => Refusal::Append(error),
            Err(_elapsed) => Refusal::AppendDeadline,
        };
        Err(Refused { refusal, events: count })
    }

    fn pace(&self) -> Pace {
        Pace { grace: self.options.body_grace, min_bytes_per_second: self.options.body_min_bytes_per_second }
    }

    fn decode_options(&self, header_encoding: pelton_event::http::HeaderEncoding) -> DecodeOptions {
        DecodeOptions {
            header_encoding,
            max_event_bytes: self.options.max_event_bytes,
            max_batch_events: self.options.max_batch_events,
            max_batch_bytes: self.options.max_batch_bytes,
        }
    }
}

/// Events ready for the log.
enum Stamped {
    Single(Event, Hops),
    Batch(Vec<Event>, Hops),
}

fn refuse_stamp(error: StampError, index: Option<usize>) -> Refusal {
    match error {
        StampError::NoHopsLeft => Refusal::HopCount { index },
        StampError::Invalid(invalid) => Refusal::Stamp { index, invalid },
    }
}

/// What the head of a request holds of memory, as HTTP/2 counts it: 32 bytes a header besides its text.
fn head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    uri.path().len() + uri.query().map_or(0, str::len) + headers
}

/// The length that a body was announced with; 0 when it was not.
fn announced_bytes(body: &Incoming) -> usize {
    body.size_hint().exact().map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX))
}
