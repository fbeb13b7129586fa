//! Why a request was not acknowledged, and the answer that says so: RFC 9457 problem details.
//!
//! A status of 4xx tells a producer to stop, so only its own mistakes get one; what is our fault, or may pass, is 5xx
//! or 429 and carries `Retry-After` (Knative Eventing data plane, "Event Acknowledgement and Delivery Retry").

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use pelton_client::AppendError;
use pelton_event::http::{DecodeError, DecodeReason};
use pelton_event::{InvalidEvent, Rule};
use serde::Serialize;

use crate::admission::Busy;
use crate::body::BodyError;
use crate::metrics::Reason;
use crate::route::BadPath;

/// Why a request was refused. [`Refusal::verdict`] gives each its status.
#[derive(Debug)]
pub(crate) enum Refusal {
    Method,
    Path(BadPath),
    UnknownBroker,
    TooManyHeaders {
        limit: usize,
    },
    ContentEncoding,
    /// Content-Length and Transfer-Encoding in one request.
    TwoLengths,
    BodyTooLarge {
        limit_bytes: usize,
    },
    Body(BodyError),
    Busy(Busy),
    Decode(DecodeError),
    HopCount {
        index: Option<usize>,
    },
    /// An event of a batch or in structured mode has no room for the attribute that we add.
    Stamp {
        index: Option<usize>,
        invalid: InvalidEvent,
    },
    Append(AppendError),
    AppendDeadline,
}

/// What to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: StatusCode,
    pub(crate) reason: Reason,
    title: &'static str,
    retry_after: Option<Duration>,
}

const SOON: Duration = Duration::from_secs(1);
/// Room on a disk comes back by deliveries and retention, not at once.
const ROOM: Duration = Duration::from_secs(5);

impl Verdict {
    const fn new(status: StatusCode, reason: Reason, title: &'static str) -> Self {
        Self { status, reason, title, retry_after: None }
    }

    const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl Refusal {
    /// Status, reason and `Retry-After`: the one place that decides them.
    pub(crate) fn verdict(&self) -> Verdict {
        use StatusCode as S;
        match self {
            Self::Method => Verdict::new(S::METHOD_NOT_ALLOWED, Reason::Method, "Method not allowed"),
            Self::Path(BadPath::Root) => Verdict::new(S::NOT_FOUND, Reason::Root, "No Broker named"),
            Self::Path(BadPath::Segments) => Verdict::new(S::BAD_REQUEST, Reason::Path, "Not the path of a Broker"),
            Self::Path(BadPath::Name) => Verdict::new(S::BAD_REQUEST, Reason::BrokerName, "Not the name of a Broker"),
            Self::UnknownBroker => Verdict::new(S::NOT_FOUND, Reason::UnknownBroker, "No such Broker"),
            Self::TooManyHeaders { .. } => {
                Verdict::new(S::REQUEST_HEADER_FIELDS_TOO_LARGE, Reason::HeadersTooLarge, "Too many headers")
            }
            Self::ContentEncoding => {
                Verdict::new(S::UNSUPPORTED_MEDIA_TYPE, Reason::ContentEncoding, "Content encoding not supported")
            }
            Self::TwoLengths => Verdict::new(S::BAD_REQUEST, Reason::BodyBroken, "The body is badly framed"),
            Self::BodyTooLarge { .. } | Self::Body(BodyError::TooLarge) => too_large(),
            Self::Body(BodyError::TooSlow) => {
                Verdict::new(S::REQUEST_TIMEOUT, Reason::BodyTooSlow, "The body came too slowly")
            }
            Self::Body(BodyError::Broken) => {
                Verdict::new(S::BAD_REQUEST, Reason::BodyBroken, "The body broke off or was badly framed")
            }
            Self::Body(BodyError::Busy(busy)) | Self::Busy(busy) => match busy {
                Busy::Broker => Verdict::new(S::TOO_MANY_REQUESTS, Reason::BrokerBusy, "The Broker's quota is used up")
                    .retry_after(SOON),
                Busy::Node => {
                    Verdict::new(S::SERVICE_UNAVAILABLE, Reason::NodeBusy, "Too much at once").retry_after(SOON)
                }
            },
            Self::Decode(error) => decode_verdict(error),
            Self::HopCount { .. } => Verdict::new(S::BAD_REQUEST, Reason::HopCount, "No hops left"),
            Self::Stamp { .. } => Verdict::new(S::BAD_REQUEST, Reason::InvalidAttribute, "Not a valid CloudEvent"),
            Self::Append(error) => append_verdict(error),
            Self::AppendDeadline => outcome_unknown(),
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Method => "events are sent with POST".into(),
            Self::Path(BadPath::Root | BadPath::Segments) => "events are sent to /{namespace}/{broker}".into(),
            Self::Path(BadPath::Name) => {
                "namespace and name of a Broker have 1 to 63 lower-case letters, digits and hyphens, with no hyphen at \
                 either end"
                    .into()
            }
            Self::UnknownBroker => "there is no Broker of that namespace and name".into(),
            Self::TooManyHeaders { limit } => format!("a request may have {limit} headers").into(),
            Self::ContentEncoding => "send the body without Content-Encoding".into(),
            Self::TwoLengths => "a request has either Content-Length or Transfer-Encoding".into(),
            Self::BodyTooLarge { limit_bytes } => format!("the body may have {limit_bytes} B").into(),
            Self::Body(BodyError::TooLarge) => "the body is larger than allowed".into(),
            Self::Body(BodyError::TooSlow) => "the body did not arrive in time".into(),
            Self::Body(BodyError::Broken) => "the body ended early or its framing is wrong".into(),
            Self::Body(BodyError::Busy(busy)) | Self::Busy(busy) => match busy {
                Busy::Broker => "too many bytes of this Broker are being written; nothing was stored".into(),
                Busy::Node => "too many bytes are being written; nothing was stored".into(),
            },
            Self::Decode(error) => error.to_string().into(),
            Self::HopCount { .. } => "knativebrokerttl is used up: the event has passed Brokers too often".into(),
            Self::Stamp { invalid, .. } => invalid.to_string().into(),
            Self::Append(error) => format!("{error}{}", after_append(error)).into(),
            Self::AppendDeadline => "the log did not answer in time: the event may or may not be stored".into(),
        }
    }

    /// The place of the bad event in its batch.
    fn index(&self) -> Option<usize> {
        match self {
            Self::Decode(error) => error.batch_index(),
            Self::HopCount { index } | Self::Stamp { index, .. } => *index,
            _ => None,
        }
    }

    fn attribute(&self) -> Option<&str> {
        match self {
            Self::Decode(error) => error.attribute(),
            Self::HopCount { .. } => Some("knativebrokerttl"),
            Self::Stamp { invalid, .. } => Some(invalid.attribute()),
            _ => None,
        }
    }

    fn rule(&self) -> Option<&'static str> {
        match self {
            Self::Decode(error) => Some(error.code()),
            Self::HopCount { .. } => Some("no_hops_left"),
            Self::Stamp { invalid, .. } => Some(invalid.code()),
            _ => None,
        }
    }

    /// The answer. `headers` already hold what every answer has.
    pub(crate) fn respond(&self, verdict: &Verdict, mut headers: HeaderMap) -> Response<Full<Bytes>> {
        let problem = Problem {
            kind: format!("urn:pelton:problem:{}", verdict.reason.as_str()),
            title: verdict.title,
            status: verdict.status.as_u16(),
            detail: &self.detail(),
            attribute: self.attribute(),
            rule: self.rule(),
            index: self.index(),
        };
        let body = serde_json::to_vec(&problem).expect("a struct of texts and numbers becomes JSON");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = verdict.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = verdict.status;
        *response.headers_mut() = headers;
        response
    }
}

/// `Retry-After` has whole seconds; less than one would mean at once.
fn whole_seconds(span: Duration) -> u64 {
    (span.as_secs() + u64::from(span.subsec_nanos() > 0)).max(1)
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

fn too_large() -> Verdict {
    Verdict::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::TooLarge, "Too large")
}

fn outcome_unknown() -> Verdict {
    let title = "It is not known whether the event was stored";
    Verdict::new(StatusCode::SERVICE_UNAVAILABLE, Reason::OutcomeUnknown, title).retry_after(SOON)
}

fn decode_verdict(error: &DecodeError) -> Verdict {
    let (reason, title) = match error.reason() {
        DecodeReason::NotAnEvent | DecodeReason::RepeatedContentType => (Reason::NotAnEvent, "Not a CloudEvent"),
        DecodeReason::UnsupportedFormat { .. } | DecodeReason::UnsupportedCharset { .. } => {
            (Reason::UnsupportedFormat, "Event format not supported")
        }
        DecodeReason::EventTooLarge { .. } | DecodeReason::BatchTooLarge { .. } => (Reason::TooLarge, "Too large"),
        DecodeReason::TooManyEvents { .. } => (Reason::TooManyEvents, "Too many events in one batch"),
        DecodeReason::Json { .. } => (Reason::MalformedJson, "Not an event in JSON format"),
        DecodeReason::Invalid(invalid) if invalid.rule() == Rule::TooLarge => (Reason::TooLarge, "Too large"),
        DecodeReason::Invalid(_) => (Reason::InvalidAttribute, "Not a valid CloudEvent"),
        // The enum may grow; whatever it grows is something wrong with what was sent.
        _ => (Reason::NotAnEvent, "Not a CloudEvent"),
    };
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    Verdict::new(status, reason, title)
}

fn append_verdict(error: &AppendError) -> Verdict {
    const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        AppendError::Overloaded { retry_after } => {
            Verdict::new(BUSY, Reason::Overloaded, "Too much at once").retry_after(*retry_after)
        }
        AppendError::StorageFull => Verdict::new(BUSY, Reason::StorageFull, "The disk is full").retry_after(ROOM),
        AppendError::Damaged => Verdict::new(BUSY, Reason::Damaged, "The log is damaged").retry_after(ROOM),
        AppendError::TooLarge { .. } => too_large(),
        AppendError::NotLeader { .. } | AppendError::Unavailable => {
            Verdict::new(BUSY, Reason::Unavailable, "The log takes no events now").retry_after(SOON)
        }
        AppendError::NoQuorum { .. } => {
            Verdict::new(BUSY, Reason::NoQuorum, "Too few replicas can be reached").retry_after(SOON)
        }
        AppendError::OutcomeUnknown => outcome_unknown(),
    }
}

fn after_append(error: &AppendError) -> &'static str {
    match error {
        AppendError::Overloaded { .. }
        | AppendError::StorageFull
        | AppendError::Damaged
        | AppendError::TooLarge { .. }
        | AppendError::NotLeader { .. }
        | AppendError::Unavailable
        | AppendError::NoQuorum { .. } => "; nothing was stored",
        AppendError::OutcomeUnknown => ": the event may or may not be stored",
    }
}

#[cfg(test)]
mod tests {
    use pelton_client::GroupId;

    use super::*;

    /// Our fault is 5xx, theirs is 4xx; what may pass says when to ask again.
    #[test]
    fn append_errors_have_their_status() {
        let later = |retry_after| AppendError::Overloaded { retry_after };
        for (error, status, retry_after) in [
            (later(Duration::ZERO), 503, Some(1)),
            (later(Duration::from_millis(20)), 503, Some(1)),
            (later(Duration::from_millis(2_001)), 503, Some(3)),
            (AppendError::StorageFull, 503, Some(5)),
            (AppendError::Damaged, 503, Some(5)),
            (AppendError::NotLeader { leader: None }, 503, Some(1)),
            (AppendError::Unavailable, 503, Some(1)),
            (AppendError::NoQuorum { group: GroupId(3), reached: 1, voters: 3 }, 503, Some(1)),
            (AppendError::OutcomeUnknown, 503, Some(1)),
            (AppendError::TooLarge { size_bytes: 2, limit_bytes: 1 }, 413, None),
        ] {
            let verdict = Refusal::Append(error.clone()).verdict();
            assert_eq!(verdict.status.as_u16(), status, "{error}");
            assert_eq!(verdict.retry_after.map(whole_seconds), retry_after, "{error}");
            assert_eq!(verdict.retry_after.is_some(), error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn a_problem_is_json_with_what_a_program_needs() {
        let refusal = Refusal::HopCount { index: Some(3) };
        let response = refusal.respond(&refusal.verdict(), HeaderMap::new());
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = serde_json::to_value(Problem {
            kind: "urn:pelton:problem:hop-count".into(),
            title: "No hops left",
            status: 400,
            detail: &refusal.detail(),
            attribute: refusal.attribute(),
            rule: refusal.rule(),
            index: refusal.index(),
        })
        .unwrap();
        assert_eq!(body["index"], 3);
        assert_eq!(body["attribute"], "knativebrokerttl");
        assert_eq!(body["rule"], "no_hops_left");
    }
}
