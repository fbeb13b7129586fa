//! Settings that the Knative fields have no place for: the `pelton.dev/` annotations.
//!
//! | annotation | on | value | default |
//! | --- | --- | --- | --- |
//! | `pelton.dev/retention` | Broker | ISO-8601 duration | `PT24H` |
//! | `pelton.dev/deduplication-window` | Broker | ISO-8601 duration; `PT0S` is off | off |
//! | `pelton.dev/header-encoding` | Broker, Trigger | `percent`, `raw` | `percent` |
//! | `pelton.dev/max-in-flight` | Broker, Trigger | 1 to 10000 | 100 |
//! | `pelton.dev/backoff-max` | Broker, Trigger | ISO-8601 duration | `PT5M` |
//! | `pelton.dev/delivery-order` | Trigger | `ordered`, `unordered` | `unordered` |
//! | `pelton.dev/start` | Trigger | `latest`, `earliest`, `offset:N`, RFC 3339 time | `latest` |
//! | `pelton.dev/paused` | Trigger | `true`, `false` | `false` |
//! | `pelton.dev/runtime` | Revision | `process`, `docker`, `kubernetes` | as configured, else `process` |
//! | `pelton.dev/idle-pause` | Revision | `0s` to `24h`, `never` | `5s` |
//! | `pelton.dev/idle-stop` | Revision | `0s` to `24h`, `never` | when autoscaling says so |
//! | `pelton.dev/activation-timeout` | Revision | above `0s`, to `1h` | `60s` |
//! | `pelton.dev/timeout-mode` | Revision | `reset`, `truncate` | `reset` |
//! | `pelton.dev/socket-activation` | Revision | `true`, `false` | `false` |
//!
//! Those of a Revision stand under `spec.template.metadata.annotations` of its Service or Configuration, and their
//! durations are written as Go writes them, as those of Knative Serving are: `5s`, `1m30s`. Of Knative's own,
//! `serving.knative.dev/progress-deadline`, `serving.knative.dev/rollout-duration` and `serving.knative.dev/no-gc` are
//! checked; [`crate::serving::autoscaling`] has those that say how a Revision scales.
//!
//! Where both may have one, the Trigger's counts before its Broker's. `kafka.eventing.knative.dev/delivery.order` is
//! read when `pelton.dev/delivery-order` is absent. Any other annotation under `pelton.dev/` is refused, because a
//! misspelt setting that is silently ignored is found out too late.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::Broker;
use crate::duration::parse_duration;
use crate::field_error::{FieldError, FieldErrors, annotation_path_in};
use crate::limits::MAX_IN_FLIGHT;
use crate::meta::{Kind, ObjectMeta};
use crate::serving::labels::{NO_GC, PROGRESS_DEADLINE, ROLLOUT_DURATION};
use crate::serving::settings::{
    self, ACTIVATION_TIMEOUT, IDLE_PAUSE, IDLE_STOP, RUNTIME, SOCKET_ACTIVATION, TIMEOUT_MODE,
};
use crate::serving::{IdleTime, RuntimeKind, TimeoutMode};
use crate::time::Time;
use crate::trigger::Trigger;

/// The prefix of annotations that are ours.
pub const PELTON_PREFIX: &str = "pelton.dev/";
/// Which implementation a Broker asks for; Knative's.
pub const BROKER_CLASS: &str = "eventing.knative.dev/broker.class";
/// What a Trigger waits for, a JSON object reference; Knative's.
pub const DEPENDENCY: &str = "knative.dev/dependency";
/// Whether the default Broker is to be created; Knative's.
pub const INJECTION: &str = "eventing.knative.dev/injection";
/// Ordered delivery; Knative's for Kafka.
pub const KAFKA_DELIVERY_ORDER: &str = "kafka.eventing.knative.dev/delivery.order";
/// How long a Broker keeps events.
pub const RETENTION: &str = "pelton.dev/retention";
/// How long a Broker remembers `source` and `id` to drop repetitions.
pub const DEDUPLICATION_WINDOW: &str = "pelton.dev/deduplication-window";
/// How attribute values are written in HTTP headers.
pub const HEADER_ENCODING: &str = "pelton.dev/header-encoding";
/// How many events of a Trigger may be on their way at once.
pub const IN_FLIGHT: &str = "pelton.dev/max-in-flight";
/// The longest wait between two attempts.
pub const BACKOFF_MAX: &str = "pelton.dev/backoff-max";
/// Whether the events of one key are delivered one after the other.
pub const DELIVERY_ORDER: &str = "pelton.dev/delivery-order";
/// Where a new Trigger starts to read.
pub const START: &str = "pelton.dev/start";
/// Whether a Trigger rests. Its events wait.
pub const PAUSED: &str = "pelton.dev/paused";

/// `pelton.dev/retention` when it is missing.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// `pelton.dev/max-in-flight` when it is missing.
pub const DEFAULT_IN_FLIGHT: u32 = 100;

/// How attribute values are written in HTTP headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum HeaderEncoding {
    /// Percent-coded both ways (CloudEvents HTTP binding, section 3.1.3.2).
    #[default]
    Percent,
    /// As they are, for peers that neither encode nor decode.
    Raw,
}

impl HeaderEncoding {
    fn of(text: &str) -> Option<Self> {
        match text {
            "percent" => Some(Self::Percent),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

/// In which order the events of a Trigger are delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeliveryOrder {
    /// Many at once, in no order.
    #[default]
    Unordered,
    /// One at a time for each `partitionkey`, in the order of the log.
    Ordered,
}

impl DeliveryOrder {
    fn of(text: &str) -> Option<Self> {
        match text {
            "unordered" => Some(Self::Unordered),
            "ordered" => Some(Self::Ordered),
            _ => None,
        }
    }
}

/// Where a new Trigger starts to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum StartPosition {
    /// After what is there.
    #[default]
    Latest,
    /// At the oldest event that is kept.
    Earliest,
    /// At that offset of each log group.
    Offset(u64),
    /// At the first event that arrived then or later.
    Time(Time),
}

impl StartPosition {
    /// Reads `latest`, `earliest`, `offset:N` or an RFC 3339 time.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "latest" => Some(Self::Latest),
            "earliest" => Some(Self::Earliest),
            _ => match text.strip_prefix("offset:") {
                Some(digits) => whole_number(digits).map(Self::Offset),
                None => Time::parse(text).map(Self::Time),
            },
        }
    }
}

/// What the annotations of a Broker say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerSettings {
    /// How long events are kept.
    pub retention: Duration,
    /// How long repetitions of an event are dropped; `None` never drops.
    pub deduplication_window: Option<Duration>,
    /// How producers write attributes in headers, and, unless the Trigger says otherwise, subscribers read them.
    pub header_encoding: HeaderEncoding,
}

/// What the annotations of a Trigger, and after it its Broker, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TriggerSettings {
    /// In which order events are delivered.
    pub order: DeliveryOrder,
    /// How many events may be on their way at once, 1 to [`MAX_IN_FLIGHT`].
    pub max_in_flight: u32,
    /// How attributes are written in headers to the subscriber and read in its replies.
    pub header_encoding: HeaderEncoding,
    /// Where to begin when there is no cursor yet.
    pub start: StartPosition,
    /// Whether deliveries rest.
    pub paused: bool,
}

/// The settings of a Broker. A value that validation would have refused counts as missing.
#[must_use]
pub fn broker_settings(broker: &Broker) -> BrokerSettings {
    let value = |key| broker.metadata.annotation(key);
    let duration = |key| value(key).and_then(|text| parse_duration(text).ok()).filter(|d| !d.is_zero());
    BrokerSettings {
        retention: duration(RETENTION).unwrap_or(DEFAULT_RETENTION),
        deduplication_window: duration(DEDUPLICATION_WINDOW),
        header_encoding: value(HEADER_ENCODING).and_then(HeaderEncoding::of).unwrap_or_default(),
    }
}

/// The settings of a Trigger of a Broker. A value that validation would have refused counts as missing.
#[must_use]
pub fn effective_settings(trigger: &Trigger, broker: &Broker) -> TriggerSettings {
    let own = |key| trigger.metadata.annotation(key);
    let either = |key| effective(trigger, broker, key);
    let order = own(DELIVERY_ORDER).or_else(|| own(KAFKA_DELIVERY_ORDER));
    TriggerSettings {
        order: order.and_then(DeliveryOrder::of).unwrap_or_default(),
        max_in_flight: either(IN_FLIGHT).and_then(in_flight).unwrap_or(DEFAULT_IN_FLIGHT),
        header_encoding: either(HEADER_ENCODING).and_then(HeaderEncoding::of).unwrap_or_default(),
        start: own(START).and_then(StartPosition::of).unwrap_or_default(),
        paused: own(PAUSED) == Some("true"),
    }
}

/// The annotation of the Trigger, else of its Broker.
pub(crate) fn effective<'a>(trigger: &'a Trigger, broker: &'a Broker, key: &str) -> Option<&'a str> {
    trigger.metadata.annotation(key).or_else(|| broker.metadata.annotation(key))
}

/// Digits only: the standard parser would also take a sign.
fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn in_flight(text: &str) -> Option<u32> {
    let number = u32::try_from(whole_number(text)?).ok()?;
    (1..=MAX_IN_FLIGHT).contains(&number).then_some(number)
}

/// One annotation that is checked: on which kinds it may be, and what is wrong with a value, if anything.
struct Rule {
    key: &'static str,
    kinds: &'static [Kind],
    check: fn(&str) -> Result<(), String>,
}

const BOTH: &[Kind] = &[Kind::Broker, Kind::Trigger];
const REVISION: &[Kind] = &[Kind::Revision];
/// A Service hands its annotations on to its Configuration and Route.
const SERVING: &[Kind] = &[Kind::Service, Kind::Configuration, Kind::Revision, Kind::Route];
const RULES: &[Rule] = &[
    Rule { key: RETENTION, kinds: &[Kind::Broker], check: above_zero },
    Rule { key: DEDUPLICATION_WINDOW, kinds: &[Kind::Broker], check: any_duration },
    Rule { key: HEADER_ENCODING, kinds: BOTH, check: |v| known(HeaderEncoding::of(v), "percent or raw") },
    Rule { key: IN_FLIGHT, kinds: BOTH, check: |v| known(in_flight(v), "a whole number from 1 to 10000") },
    Rule { key: BACKOFF_MAX, kinds: BOTH, check: above_zero },
    Rule { key: DELIVERY_ORDER, kinds: &[Kind::Trigger], check: |v| known(DeliveryOrder::of(v), ORDERS) },
    Rule { key: KAFKA_DELIVERY_ORDER, kinds: BOTH, check: |v| known(DeliveryOrder::of(v), ORDERS) },
    Rule { key: START, kinds: &[Kind::Trigger], check: |v| known(StartPosition::of(v), STARTS) },
    Rule { key: PAUSED, kinds: &[Kind::Trigger], check: |v| known(v.parse::<bool>().ok(), BOOLS) },
    Rule { key: RUNTIME, kinds: REVISION, check: |v| known(RuntimeKind::of(v), "process, docker or kubernetes") },
    Rule { key: IDLE_PAUSE, kinds: REVISION, check: |v| known(IdleTime::of(v), IDLE) },
    Rule { key: IDLE_STOP, kinds: REVISION, check: |v| known(IdleTime::of(v), IDLE) },
    Rule { key: ACTIVATION_TIMEOUT, kinds: REVISION, check: |v| known(settings::activation(v), ACTIVATION) },
    Rule { key: TIMEOUT_MODE, kinds: REVISION, check: |v| known(TimeoutMode::of(v), "reset or truncate") },
    Rule { key: SOCKET_ACTIVATION, kinds: REVISION, check: |v| known(v.parse::<bool>().ok(), BOOLS) },
    Rule { key: PROGRESS_DEADLINE, kinds: SERVING, check: |v| known(settings::whole_seconds(v), SECONDS) },
    Rule { key: ROLLOUT_DURATION, kinds: SERVING, check: |v| known(settings::whole_seconds(v), SECONDS) },
    Rule { key: NO_GC, kinds: SERVING, check: |v| known(v.parse::<bool>().ok(), BOOLS) },
];
const ORDERS: &str = "ordered or unordered";
const STARTS: &str = "latest, earliest, offset:N or an RFC 3339 time";
const BOOLS: &str = "true or false";
const IDLE: &str = "never, or a duration from 0s to 24h such as 5s or 1m30s";
const ACTIVATION: &str = "a duration above 0s and up to 1h, such as 5s or 1m30s";
const SECONDS: &str = "a duration of whole seconds, such as 90s or 5m";

fn known<T>(value: Option<T>, expected: &str) -> Result<(), String> {
    value.map(|_| ()).ok_or_else(|| format!("expected {expected}"))
}

fn any_duration(text: &str) -> Result<(), String> {
    parse_duration(text).map(|_| ()).map_err(|why| why.to_string())
}

fn above_zero(text: &str) -> Result<(), String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("expected a duration above zero".to_owned()),
        Ok(_) => Ok(()),
        Err(why) => Err(why.to_string()),
    }
}

/// Checks the annotations of a resource that mean something here.
pub(crate) fn validate(kind: Kind, meta: &ObjectMeta, errors: &mut FieldErrors) {
    validate_at(kind, &meta.annotations, "metadata", errors);
}

/// Checks the annotations of a resource of that kind, or of the template of one, whose metadata stands at `meta_path`.
pub(crate) fn validate_at(
    kind: Kind,
    annotations: &BTreeMap<String, String>,
    meta_path: &str,
    errors: &mut FieldErrors,
) {
    for (key, value) in annotations {
        let path = annotation_path_in(meta_path, key);
        match RULES.iter().find(|rule| rule.key == key) {
            Some(rule) if rule.kinds.contains(&kind) => {
                if let Err(why) = (rule.check)(value) {
                    errors.push(FieldError::invalid(value, path).with_details(why));
                }
            }
            Some(rule) => errors.push(FieldError::disallowed(path).with_details(belongs(rule.kinds, kind))),
            None if key.starts_with(PELTON_PREFIX) => {
                let of_kind = RULES.iter().filter(|r| r.kinds.contains(&kind) && r.key.starts_with(PELTON_PREFIX));
                let known: Vec<_> = of_kind.map(|rule| rule.key).collect();
                let why = match known.as_slice() {
                    [] => format!("a {kind} has none of them"),
                    known => format!("a {kind} can have {}", known.join(", ")),
                };
                errors.push(FieldError::invalid_key(key, path).with_details(why));
            }
            None => {}
        }
    }
}

/// Where an annotation for `kinds` belongs that was found on a `found`.
fn belongs(kinds: &[Kind], found: Kind) -> String {
    if kinds == REVISION && matches!(found, Kind::Service | Kind::Configuration) {
        return "it must be put under spec.template.metadata.annotations to work".to_owned();
    }
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
    format!("it has a meaning on a {} only", kinds.join(" or "))
}

#[cfg(test)]
mod tests;
