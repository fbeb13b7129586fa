//! Where events go and how often they are tried, as `kn` has one say it.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use pelton_resource::Kind;
use serde_json::{Map, Value, json};

use crate::config::parse_duration;
use crate::kube::kinds;

/// How events are delivered.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Delivery")]
pub struct DeliveryArgs {
    /// Where events go that could not be delivered: URL, or ksvc:NAME, broker:NAME or svc:NAME, each with :NAMESPACE where it is another one
    #[arg(long, value_name = "SINK")]
    dl_sink: Option<Sink>,
    /// Attempts after the first
    #[arg(long, value_name = "COUNT")]
    retry: Option<u32>,
    /// The longest that one attempt may take, such as 10s or PT10S
    #[arg(long, value_name = "DURATION", value_parser = iso_duration)]
    timeout: Option<String>,
    /// How the wait grows from attempt to attempt
    #[arg(long, value_enum)]
    backoff_policy: Option<Backoff>,
    /// The wait before the second attempt, such as 200ms or PT0.2S
    #[arg(long, value_name = "DURATION", value_parser = iso_duration)]
    backoff_delay: Option<String>,
    /// The longest Retry-After of an answer that is honoured; 0s ignores it
    #[arg(long, value_name = "DURATION", value_parser = iso_duration)]
    retry_after_max: Option<String>,
}

/// How the wait grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backoff {
    /// d, 2d, 3d, ...
    Linear,
    /// d, 2d, 4d, ...
    Exponential,
}

impl DeliveryArgs {
    /// `spec.delivery` with what was said, for an object in that namespace. `None` when nothing was.
    pub fn spec(&self, namespace: &str) -> Option<Value> {
        let mut spec = Map::new();
        let mut set = |field: &str, value: Option<Value>| spec.extend(value.map(|value| (field.to_owned(), value)));
        let text = |text: &Option<String>| text.clone().map(Value::from);
        set("deadLetterSink", self.dl_sink.as_ref().map(|sink| sink.destination(namespace)));
        set("retry", self.retry.map(Value::from));
        set("timeout", text(&self.timeout));
        set(
            "backoffPolicy",
            self.backoff_policy.map(|policy| match policy {
                Backoff::Linear => json!("linear"),
                Backoff::Exponential => json!("exponential"),
            }),
        );
        set("backoffDelay", text(&self.backoff_delay));
        set("retryAfterMax", text(&self.retry_after_max));
        (!spec.is_empty()).then(|| spec.into())
    }
}

/// A duration as Knative writes it (ISO 8601), of one as people write it.
fn iso_duration(text: &str) -> Result<String, String> {
    let duration = parse_duration(text)?;
    if text.starts_with('P') {
        return Ok(text.to_owned());
    }
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if duration == Duration::ZERO || millis == 0 {
        return Ok(format!("PT{seconds}S"));
    }
    Ok(format!("PT{seconds}.{}S", format!("{millis:03}").trim_end_matches('0')))
}

/// Where events go: a URL, or an object that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// There.
    Uri(String),
    /// Wherever that is.
    Object {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its namespace, if it is another than that of who names it.
        namespace: Option<String>,
    },
}

impl FromStr for Sink {
    type Err = String;

    /// `http://host/path`, `ksvc:name`, `ksvc:name:namespace`, `broker:name`, `svc:name`; a name alone is that of a Service.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (kind, name, namespace) = match parts.as_slice() {
            [name] => (Kind::Service, *name, None),
            [prefix, name, rest @ ..] if rest.len() < 2 => {
                let kind = match *prefix {
                    "ksvc" | "service" => Kind::Service,
                    "broker" => Kind::Broker,
                    "svc" => Kind::CoreService,
                    _ => return Err(format!("{prefix:?} is none of ksvc, broker and svc, and no URL begins so")),
                };
                (kind, *name, rest.first().map(|namespace| (*namespace).to_owned()))
            }
            _ => return Err("expected a URL or KIND:NAME[:NAMESPACE]".to_owned()),
        };
        if name.is_empty() || namespace.as_deref() == Some("") {
            return Err("a name is missing".to_owned());
        }
        Ok(Self::Object { kind, name: name.to_owned(), namespace })
    }
}

impl Sink {
    /// The destination of an object in that namespace. What it may have been before is taken away, so that it is a merge patch
    /// as well.
    pub fn destination(&self, at: &str) -> Value {
        match self {
            Self::Uri(uri) => json!({"uri": uri, "ref": null, "CACerts": null, "audience": null}),
            Self::Object { kind, name, namespace } => {
                let row = kinds::row(*kind);
                let namespace = namespace.as_deref().unwrap_or(at);
                let reference =
                    json!({"apiVersion": row.api_version(), "kind": row.kind, "name": name, "namespace": namespace});
                json!({"uri": null, "ref": reference, "CACerts": null, "audience": null})
            }
        }
    }
}

/// A merge patch as an object that is new: what it takes away is not there.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let present = fields.into_iter().filter(|(_, value)| !value.is_null());
            present.map(|(key, value)| (key, without_nulls(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        delivery: DeliveryArgs,
    }

    #[test]
    fn sinks_are_named_as_to_kn() {
        let reference = |api_version: &str, kind: &str, name: &str, namespace: &str| json!({"ref": {"apiVersion": api_version, "kind": kind, "name": name, "namespace": namespace}});
        for (text, want) in [
            ("http://x/y?z", json!({"uri": "http://x/y?z"})),
            ("https://x", json!({"uri": "https://x"})),
            ("hello", reference("serving.knative.dev/v1", "Service", "hello", "at")),
            ("ksvc:hello", reference("serving.knative.dev/v1", "Service", "hello", "at")),
            ("ksvc:hello:shop", reference("serving.knative.dev/v1", "Service", "hello", "shop")),
            ("broker:b", reference("eventing.knative.dev/v1", "Broker", "b", "at")),
            ("svc:old:shop", reference("v1", "Service", "old", "shop")),
        ] {
            assert_eq!(without_nulls(text.parse::<Sink>().unwrap().destination("at")), want, "{text}");
        }
        for bad in ["", "ksvc:", "ksvc:a:", "ksvc:a:b:c", "channel:x", "ftp://x"] {
            assert!(bad.parse::<Sink>().is_err(), "{bad}");
        }
    }

    /// Each row: flags, and the delivery that they make.
    #[test]
    fn flags_become_a_delivery() {
        for (flags, want) in [
            ("", None),
            ("--retry 0", Some(json!({"retry": 0}))),
            ("--timeout 10s --backoff-delay 200ms", Some(json!({"timeout": "PT10S", "backoffDelay": "PT0.2S"}))),
            ("--timeout PT1M30S --retry-after-max 0s", Some(json!({"timeout": "PT1M30S", "retryAfterMax": "PT0S"}))),
            ("--backoff-policy linear", Some(json!({"backoffPolicy": "linear"}))),
            ("--backoff-delay 1m", Some(json!({"backoffDelay": "PT60S"}))),
            ("--dl-sink http://d", Some(json!({"deadLetterSink": {"uri": "http://d"}}))),
        ] {
            let line = Line::try_parse_from(format!("x {flags}").split_whitespace()).unwrap();
            assert_eq!(line.delivery.spec("at").map(without_nulls), want, "{flags}");
        }
        for bad in ["--retry -1", "--retry many", "--timeout soon", "--backoff-policy never", "--dl-sink a:b:c:d"] {
            assert!(Line::try_parse_from(format!("x {bad}").split_whitespace()).is_err(), "{bad}");
        }
    }
}
