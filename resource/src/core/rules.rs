//! What must hold of objects of the core kinds, worded as Kubernetes words it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::CoreObject;
use crate::field_error::{FieldError, FieldErrors};
use crate::limits::{MAX_CORE_DATA_BYTES, MAX_DOMAIN_BYTES};
use crate::meta::{Kind, is_dns_label, is_dns_subdomain};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                     end with an alphanumeric character";
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";

/// Every mistake of the object.
pub(super) fn check(object: &CoreObject, errors: &mut FieldErrors) {
    names(object, errors);
    object.metadata.validate_rest(errors);
    match object.kind {
        Kind::ConfigMap => config_map(object, errors),
        Kind::Secret => data(object, "data", true, errors),
        Kind::CoreService => service(object, errors),
        Kind::Event => event(object, errors),
        _ => {}
    }
}

fn names(object: &CoreObject, errors: &mut FieldErrors) {
    let name = object.metadata.name.as_str();
    let (is_good, rule) = match object.kind {
        Kind::Namespace | Kind::CoreService => (is_dns_label(name), LABEL),
        _ => (is_dns_subdomain(name), SUBDOMAIN),
    };
    if name.is_empty() {
        errors.push(FieldError::new("Required value: name or generateName is required", "metadata.name"));
    } else if !is_good {
        errors.push(FieldError::invalid(name, "metadata.name").with_details(rule));
    }
    let namespace = object.metadata.namespace.as_str();
    if object.kind.is_namespaced() && !is_dns_label(namespace) {
        errors.push(FieldError::invalid(namespace, "metadata.namespace").with_details(LABEL));
    }
}

fn config_map(object: &CoreObject, errors: &mut FieldErrors) {
    data(object, "data", false, errors);
    data(object, "binaryData", true, errors);
    let keys = |field: &str| object.content.get(field).and_then(Value::as_object).map(Map::keys);
    for key in keys("binaryData").into_iter().flatten() {
        if keys("data").is_some_and(|mut keys| keys.any(|other| other == key)) {
            errors.push(
                FieldError::invalid(key, format!("data[{key}]")).with_details("duplicate of key present in binaryData"),
            );
        }
    }
}

/// The keys and values of one map of data.
fn data(object: &CoreObject, field: &str, is_base64: bool, errors: &mut FieldErrors) {
    let Some(map) = object.content.get(field).and_then(Value::as_object) else { return };
    let mut bytes = 0;
    for (key, value) in map {
        let path = format!("{field}[{key}]");
        if !is_key(key) {
            errors.push(FieldError::invalid(key, path.as_str()).with_details(KEY));
        }
        let text = value.as_str().unwrap_or_default();
        bytes += key.len() + text.len();
        if is_base64 && STANDARD.decode(text).is_err() {
            // The value is not repeated: it may be half of a secret.
            errors.push(FieldError::new("illegal base64 data", path));
        }
    }
    if bytes > MAX_CORE_DATA_BYTES {
        let why = format!("Too long: may not be more than {MAX_CORE_DATA_BYTES} bytes");
        errors.push(FieldError::new(why, field));
    }
}

fn is_key(key: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !key.is_empty() && key.len() <= MAX_DOMAIN_BYTES && key.bytes().all(good) && key != "." && !key.starts_with("..")
}

/// Only another name for a host is of use here: there are no Pods to choose from.
fn service(object: &CoreObject, errors: &mut FieldErrors) {
    let ty = object.text("/spec/type").unwrap_or_default();
    if ty != "ExternalName" {
        let why = format!("Unsupported value: {ty:?}: supported values: \"ExternalName\"");
        errors.push(FieldError::new(why, "spec.type"));
        return;
    }
    let name = object.text("/spec/externalName").unwrap_or_default();
    // A name with a dot at its end is the same one.
    let bare = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::new("Required value", "spec.externalName"));
    } else if !is_dns_subdomain(bare) {
        errors.push(FieldError::invalid(name, "spec.externalName").with_details(SUBDOMAIN));
    }
    let ports = object.content.get("spec").and_then(|spec| spec.get("ports")).and_then(Value::as_array);
    for (i, port) in ports.into_iter().flatten().enumerate() {
        let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            let path = format!("spec.ports[{i}].port");
            errors.push(FieldError::invalid(number, path).with_details("must be between 1 and 65535, inclusive"));
        }
    }
}

fn event(object: &CoreObject, errors: &mut FieldErrors) {
    let of = object.text("/involvedObject/namespace").unwrap_or_default();
    // What has no namespace is told of in `default`.
    let is_right = of == object.metadata.namespace || (of.is_empty() && object.metadata.namespace == "default");
    if !is_right {
        let error = FieldError::invalid(of, "involvedObject.namespace");
        errors.push(error.with_details("does not match event.namespace"));
    }
}
