//! What happens to a resource before it is stored: defaults, rules, identity. One place for every way in.

use std::collections::BTreeSet;

use pelton_resource::{Defaults, FieldErrors, RawJson, Resource, Time};

use crate::version::CHANGES_PER_ENTRY;
use crate::write::check_room;
use crate::{ApplyError, Resources};

/// Makes `incoming` ready to be stored over `current`: fills in defaults, checks every rule, gives uid, generation and
/// creation time, keeps the status that is there. Pure: `now` and `new_uid` come in.
///
/// # Errors
/// The first resource that is not valid, or was changed since it was read. Then nothing may be stored.
pub fn admit(
    current: &Resources,
    incoming: Vec<Resource>,
    now: Time,
    new_uid: &mut dyn FnMut() -> String,
) -> Result<Vec<Resource>, ApplyError> {
    if incoming.len() as u64 > CHANGES_PER_ENTRY {
        let errors = format!("{} resources at once; at most {CHANGES_PER_ENTRY}: apply them in parts", incoming.len());
        return Err(ApplyError::Invalid { kind: "List".to_owned(), name: "(all)".to_owned(), errors });
    }
    let mut keys = BTreeSet::new();
    let mut invalid = Vec::new();
    let mut admitted = Vec::with_capacity(incoming.len());
    for mut resource in incoming {
        resource.set_defaults(&Defaults::default());
        let key = resource.key();
        let (kind, name) = (key.kind.to_string(), format!("{}/{}", key.namespace, key.name));
        if !keys.insert(key.clone()) {
            invalid.push((kind, name, "it is given more than once".to_owned()));
            continue;
        }
        let old = current.find(&key);
        if let Some(old) = &old {
            keep_of_others(&mut resource, old);
        } else if current.namespace(&key.namespace).is_some_and(|namespace| namespace.is_terminating()) {
            invalid.push((kind, name, format!("namespace {} is being deleted", key.namespace)));
            continue;
        }
        match admit_one(old.as_ref(), resource.clone(), now, new_uid) {
            Err(errors) => invalid.push((kind, name, errors_of(&errors))),
            Ok(ready) => {
                check_version(&resource, old.as_ref(), kind, name)?;
                admitted.push(Box::new(ready));
            }
        }
    }
    refuse(invalid)?;
    check_room(&admitted, current)?;
    Ok(admitted.into_iter().map(|resource| *resource).collect())
}

/// Makes one resource ready to be stored in the place of `old`: defaults, rules, and what the server writes in its
/// metadata. The `status` that is there is kept. Whether `old` is what the resource was made from is not looked at.
///
/// # Errors
/// Every mistake.
pub fn admit_one(
    old: Option<&Resource>,
    mut resource: Resource,
    now: Time,
    new_uid: &mut dyn FnMut() -> String,
) -> Result<Resource, FieldErrors> {
    let defaults = Defaults::default();
    resource.set_defaults(&defaults);
    let has_generation = !resource.kind().is_core();
    match old {
        None => {
            resource.validate(&defaults)?;
            let meta = resource.meta_mut();
            meta.uid = Some(new_uid());
            meta.generation = has_generation.then_some(1);
            meta.creation_timestamp = Some(now);
            (meta.deletion_timestamp, meta.deletion_grace_period_seconds) = (None, None);
        }
        Some(old) => {
            resource.validate_update(old, &defaults)?;
            resource.keep_status_of(old);
            let grown = old.meta().generation.unwrap_or(0) + i64::from(resource.spec_differs(old));
            let (is, meta) = (old.meta(), resource.meta_mut());
            meta.uid.clone_from(&is.uid);
            meta.generation = has_generation.then_some(grown);
            meta.creation_timestamp = is.creation_timestamp;
            meta.deletion_timestamp = is.deletion_timestamp;
            meta.deletion_grace_period_seconds = is.deletion_grace_period_seconds;
            meta.generate_name.clone_from(&is.generate_name);
            if meta.managed_fields.is_none() {
                meta.managed_fields.clone_from(&is.managed_fields);
            }
        }
    }
    resource.meta_mut().resource_version = old.and_then(|old| old.meta().resource_version.clone());
    Ok(resource)
}

/// All invalid resources as one error, so that a user mends them in one go.
fn refuse(mut invalid: Vec<(String, String, String)>) -> Result<(), ApplyError> {
    match invalid.len() {
        0 => Ok(()),
        1 => {
            let (kind, name, errors) = invalid.remove(0);
            Err(ApplyError::Invalid { kind, name, errors })
        }
        _ => {
            let (kind, name, first) = invalid.remove(0);
            let mut errors = first;
            for (kind, name, more) in invalid {
                errors.push_str(&format!("; {kind} {name} is not valid: {more}"));
            }
            Err(ApplyError::Invalid { kind, name, errors })
        }
    }
}

fn errors_of(errors: &FieldErrors) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What a manifest does not speak of and others have set stays. Who owns which field is known no longer once it is
/// changed past the API that keeps account of it.
fn keep_of_others(resource: &mut Resource, old: &Resource) {
    let (is, was) = (resource.meta(), old.meta());
    let is_changed = resource.spec_differs(old) || is.labels != was.labels || is.annotations != was.annotations;
    let managed = was.managed_fields.clone().filter(|_| !is_changed);
    let none = || RawJson::from(&serde_json::Value::Array(Vec::new()));
    let meta = resource.meta_mut();
    meta.managed_fields = was.managed_fields.as_ref().map(|_| managed.unwrap_or_else(none));
    if meta.finalizers.is_empty() {
        meta.finalizers.clone_from(&was.finalizers);
    }
    if meta.owner_references.is_empty() {
        meta.owner_references.clone_from(&was.owner_references);
    }
}

/// A resource that says which one it was made from is made from the one that is there.
fn check_version(given: &Resource, old: Option<&Resource>, kind: String, name: String) -> Result<(), ApplyError> {
    let given = given.meta();
    let Some(is) = old.map(Resource::meta) else {
        return if given.resource_version.is_some() { Err(ApplyError::NotFound { kind, name }) } else { Ok(()) };
    };
    let version_differs = given.resource_version.is_some() && given.resource_version != is.resource_version;
    let uid_differs = given.uid.is_some() && given.uid != is.uid;
    if version_differs || uid_differs {
        let current = is.resource_version.clone().unwrap_or_default();
        return Err(ApplyError::Conflict { kind, name, current });
    }
    Ok(())
}

/// A random (version 4) uid out of 128 random bits.
#[must_use]
pub fn uid_from_bits(high: u64, low: u64) -> String {
    let bits = (u128::from(high) << 64) | u128::from(low);
    let marked = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    crate::TriggerId(marked).to_string()
}

#[cfg(test)]
mod tests {
    use pelton_resource::parse_documents;

    use super::*;
    use crate::TriggerId;

    fn resources(text: &str) -> Vec<Resource> {
        parse_documents(text, "test").unwrap()
    }

    fn admit_all(current: &Resources, text: &str) -> Result<Vec<Resource>, ApplyError> {
        let mut next = 0;
        admit(current, resources(text), Time::from_unix_millis(1_000), &mut || {
            next += 1;
            uid_from_bits(next, next)
        })
    }

    const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a}\n";

    fn trigger(name: &str, uri: &str) -> String {
        format!(
            "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {{broker: a, \
             subscriber: {{uri: '{uri}'}}}}\n"
        )
    }

    #[test]
    fn a_new_resource_gets_an_identity_and_a_changed_one_keeps_it() {
        let first = admit_all(&Resources::default(), &trigger("t", "http://a.example/")).unwrap();
        let meta = first[0].meta();
        assert_eq!(meta.generation, Some(1));
        assert!(TriggerId::parse(meta.uid.as_deref().unwrap()).is_some());
        let current = Resources::default().with(first.clone(), 7);
        let same = admit_all(&current, &trigger("t", "http://a.example/")).unwrap();
        assert_eq!((same[0].meta().generation, &same[0].meta().uid), (Some(1), &meta.uid));
        let changed = admit_all(&current, &trigger("t", "http://b.example/")).unwrap();
        assert_eq!((changed[0].meta().generation, &changed[0].meta().uid), (Some(2), &meta.uid));
    }

    #[test]
    fn every_invalid_resource_is_told_at_once() {
        let text = format!("{}---\n{}", trigger("t1", "not a url"), trigger("t2", "ftp://x.example"));
        let error = admit_all(&Resources::default(), &text).unwrap_err().to_string();
        assert!(error.contains("default/t1") && error.contains("default/t2"), "{error}");
        assert!(error.contains("spec.subscriber.uri"), "{error}");
        let twice = admit_all(&Resources::default(), &format!("{BROKER}---\n{BROKER}")).unwrap_err().to_string();
        assert!(twice.contains("more than once"), "{twice}");
    }

    #[test]
    fn a_resource_changed_since_it_was_read_is_a_conflict() {
        let current = Resources::default().with(admit_all(&Resources::default(), BROKER).unwrap(), 7);
        let stale =
            "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: a, resourceVersion: '60000'}\n";
        assert!(matches!(admit_all(&current, stale), Err(ApplyError::Conflict { .. })));
        assert!(admit_all(&current, &stale.replace("'60000'", "'70000'")).is_ok());
        assert!(matches!(admit_all(&Resources::default(), stale), Err(ApplyError::NotFound { .. })));
    }
}
