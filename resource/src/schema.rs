//! Which fields a manifest may have, and of which type each is.
//!
//! Reading straight into the types would stop at the first mistake. This pass finds all of them, with their paths.

use serde_json::Value;

use crate::field_error::{FieldError, FieldErrors, child};
use crate::meta::Kind;

mod core;
mod serving;

/// What is said of a field that is not known.
pub(crate) const UNKNOWN_FIELD: &str = "unknown field";

/// What may stand at one place.
enum Shape {
    Text,
    /// True or false.
    Bool,
    /// A whole number of that many bits, signed.
    Int(u32),
    /// A whole number of 32 bits, or text.
    IntOrText,
    /// A map from text to text.
    Texts,
    /// A map from text to amounts, which YAML may have read as numbers. They are made texts.
    Quantities,
    List(&'static Self),
    /// An object with these fields.
    Object(&'static [(&'static str, Self)]),
    /// Anything, kept as it is.
    Any,
    /// A field that is taken out before the manifest is read.
    Ignored,
    /// A field that Kubernetes knows and that has no meaning here: the reason is a sentence.
    Refused(&'static str),
    /// Another shape, so that shapes can contain themselves.
    Same(&'static Self),
}

use Shape::{Any, Bool, Ignored, Int, IntOrText, List, Object, Quantities, Refused, Same, Text, Texts};

static REFERENCE: Shape = Object(&[
    ("kind", Text),
    ("namespace", Text),
    ("name", Text),
    ("apiVersion", Text),
    ("group", Text),
    ("address", Text),
]);
static DESTINATION: Shape = Object(&[("ref", Same(&REFERENCE)), ("uri", Text), ("CACerts", Text), ("audience", Text)]);
static DELIVERY: Shape = Object(&[
    ("deadLetterSink", Same(&DESTINATION)),
    ("retry", Int(32)),
    ("timeout", Text),
    ("backoffPolicy", Text),
    ("backoffDelay", Text),
    ("retryAfterMax", Text),
    ("format", Text),
]);
static FILTER: Shape = Object(&[
    ("all", List(&FILTER)),
    ("any", List(&FILTER)),
    ("not", Same(&FILTER)),
    ("exact", Texts),
    ("prefix", Texts),
    ("suffix", Texts),
    ("cesql", Text),
]);
static OWNER: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("name", Text),
    ("uid", Text),
    ("controller", Bool),
    ("blockOwnerDeletion", Bool),
]);
static METADATA: Shape = Object(&[
    ("name", Text),
    ("generateName", Text),
    ("namespace", Text),
    ("labels", Texts),
    ("annotations", Texts),
    ("uid", Text),
    ("generation", Int(64)),
    ("resourceVersion", Text),
    ("creationTimestamp", Text),
    ("deletionTimestamp", Text),
    ("deletionGracePeriodSeconds", Int(64)),
    ("finalizers", List(&Text)),
    ("ownerReferences", List(&OWNER)),
    ("managedFields", Ignored),
    ("selfLink", Ignored),
]);
static BROKER_SPEC: Shape = Object(&[("config", Same(&REFERENCE)), ("delivery", Same(&DELIVERY))]);
static BROKER: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("spec", Same(&BROKER_SPEC)),
    ("status", Ignored),
]);
static TRIGGER_SPEC: Shape = Object(&[
    ("broker", Text),
    ("brokerRef", Same(&REFERENCE)),
    ("filter", Object(&[("attributes", Texts)])),
    ("filters", List(&FILTER)),
    ("subscriber", Same(&DESTINATION)),
    ("delivery", Same(&DELIVERY)),
]);
static TRIGGER: Shape = Object(&[
    ("apiVersion", Text),
    ("kind", Text),
    ("metadata", Same(&METADATA)),
    ("spec", Same(&TRIGGER_SPEC)),
    ("status", Ignored),
]);

/// The dotted paths of the fields that a manifest of that kind may have and that are kept: `spec.delivery.retry`,
/// `spec.traffic.tag`. Of a shape within itself only the name is told.
#[must_use]
pub fn field_names(kind: Kind) -> Vec<String> {
    let mut names = Vec::new();
    collect(shape_of(kind), "", &mut Vec::new(), &mut names);
    names
}

fn collect(shape: &'static Shape, path: &str, around: &mut Vec<&'static Shape>, names: &mut Vec<String>) {
    match shape {
        Same(inner) | List(inner) if !around.iter().any(|shape| std::ptr::eq(*shape, *inner)) => {
            around.push(inner);
            collect(inner, path, around, names);
            around.pop();
        }
        Object(fields) => {
            for (name, shape) in fields.iter().filter(|(_, shape)| !matches!(shape, Ignored | Refused(_))) {
                let path = child(path, name);
                names.push(path.clone());
                collect(shape, &path, around, names);
            }
        }
        _ => {}
    }
}

/// All mistakes of shape in a manifest. Takes out nulls and ignored fields on the way.
pub(crate) fn check(kind: Kind, manifest: &mut Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    walk(shape_of(kind), manifest, "", &mut errors);
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if let Some(text) = manifest.pointer(&format!("/metadata/{field}")).and_then(Value::as_str)
            && crate::time::Time::parse(text).is_none()
        {
            let error = FieldError::invalid(text, format!("metadata.{field}"));
            errors.push(error.with_details("expected an RFC 3339 time"));
        }
    }
    errors
}

const fn shape_of(kind: Kind) -> &'static Shape {
    match kind {
        Kind::Broker => &BROKER,
        Kind::Trigger => &TRIGGER,
        Kind::Service => &serving::SERVICE,
        Kind::Configuration => &serving::CONFIGURATION,
        Kind::Revision => &serving::REVISION,
        Kind::Route => &serving::ROUTE,
        Kind::DomainMapping => &serving::DOMAIN_MAPPING,
        Kind::Namespace => &core::NAMESPACE,
        Kind::ConfigMap => &core::CONFIG_MAP,
        Kind::Secret => &core::SECRET,
        Kind::ServiceAccount => &core::SERVICE_ACCOUNT,
        Kind::CoreService => &core::CORE_SERVICE,
        Kind::Event => &core::EVENT,
    }
}

fn walk(shape: &Shape, value: &mut Value, path: &str, errors: &mut FieldErrors) {
    match (shape, value) {
        (Same(shape), value) => walk(shape, value, path, errors),
        (Text | IntOrText, Value::String(_)) | (Bool, Value::Bool(_)) | (Ignored | Any, _) => {}
        (Refused(why), _) => errors.push(FieldError::disallowed(path).with_details(*why)),
        (Int(bits), Value::Number(number)) => check_int(*bits, number, path, errors),
        (IntOrText, Value::Number(number)) => check_int(32, number, path, errors),
        (Quantities, Value::Object(map)) => {
            map.retain(|_, value| !value.is_null());
            for (key, value) in map {
                if let Value::Number(number) = value {
                    *value = Value::String(number.to_string());
                }
                walk(&Text, value, &format!("{path}[{key}]"), errors);
            }
        }
        (Texts, Value::Object(map)) => {
            map.retain(|_, value| !value.is_null());
            for (key, value) in map {
                walk(&Text, value, &format!("{path}[{key}]"), errors);
            }
        }
        (List(shape), Value::Array(items)) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(shape, item, &format!("{path}[{i}]"), errors);
            }
        }
        (Object(fields), Value::Object(map)) => {
            map.retain(|key, value| {
                let shape = fields.iter().find(|(name, _)| name == key).map(|(_, shape)| shape);
                if shape.is_none() {
                    let is_known = |shape: &Shape| !matches!(shape, Refused(_));
                    let known: Vec<_> = fields.iter().filter(|(_, s)| is_known(s)).map(|(name, _)| *name).collect();
                    let why = format!("known here: {}", known.join(", "));
                    errors.push(FieldError::new(UNKNOWN_FIELD, child(path, key)).with_details(why));
                }
                !value.is_null() && !matches!(shape, Some(Ignored) | None)
            });
            for (name, shape) in *fields {
                if let Some(value) = map.get_mut(*name) {
                    walk(shape, value, &child(path, name), errors);
                }
            }
        }
        (shape, value) => errors.push(FieldError::invalid(brief(value), path).with_details(expected(shape, value))),
    }
}

fn check_int(bits: u32, number: &serde_json::Number, path: &str, errors: &mut FieldErrors) {
    let bound = 1i128 << (bits - 1);
    if !number.as_i128().is_some_and(|n| (-bound..bound).contains(&n)) {
        let why = format!("expected a whole number of at most {}", bound - 1);
        errors.push(FieldError::invalid(number, path).with_details(why));
    }
}

fn expected(shape: &Shape, value: &Value) -> String {
    match shape {
        Same(shape) => expected(shape, value),
        // YAML reads 1, true and 1e3 as something else than text.
        Text if value.is_number() || value.is_boolean() => "expected a string; put it in quotes".to_owned(),
        Text => "expected a string".to_owned(),
        Bool => "expected true or false, without quotes".to_owned(),
        Int(_) => "expected a whole number".to_owned(),
        IntOrText => "expected a whole number or a string".to_owned(),
        Quantities => "expected a map of quantities, such as memory: 512Mi".to_owned(),
        Texts => "expected a map of strings".to_owned(),
        List(_) => "expected a list".to_owned(),
        Object(_) | Ignored | Any | Refused(_) => "expected an object".to_owned(),
    }
}

/// A value in an error: scalars as they are, anything larger by its type.
fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
