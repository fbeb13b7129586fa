//! A change of one resource that was worked out from what it was.

use pelton_resource::{Defaults, Kind, Resource, ResourceKey};

use crate::{ApplyError, Resources};

/// Most bytes that objects of core kinds may take together: a checkpoint of the registry holds them twice, and a record of the
/// log has 28 MiB.
pub const MAX_CORE_BYTES: usize = 6 * 1024 * 1024;

/// A change of one resource. The registry's leader makes it only if the resource still is what it was worked out from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores one that is not there yet.
    Create(Box<Resource>),
    /// Stores one in the place of that of this `resourceVersion`.
    Replace {
        /// As it is to be.
        resource: Box<Resource>,
        /// That of the one that is there.
        version: String,
    },
    /// Deletes the one of this `resourceVersion`.
    Delete {
        /// What it is called.
        key: ResourceKey,
        /// That of the one that is there.
        version: String,
    },
}

impl Write {
    /// What is written.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        match self {
            Self::Create(resource) | Self::Replace { resource, .. } => resource.key(),
            Self::Delete { key, .. } => key.clone(),
        }
    }

    /// Whether it may be made of the resources as they are.
    ///
    /// # Errors
    /// It is there already, or is not there, or was changed since, or is not valid.
    pub fn check(&self, current: &Resources) -> Result<(), ApplyError> {
        let key = self.key();
        let (kind, name) = (key.kind.to_string(), format!("{}/{}", key.namespace, key.name));
        let found = current.find(&key);
        match (self, found) {
            (Self::Create(_), Some(_)) => return Err(ApplyError::AlreadyExists { kind, name }),
            (Self::Create(_), None) => {}
            (Self::Replace { .. } | Self::Delete { .. }, None) => return Err(ApplyError::NotFound { kind, name }),
            (Self::Replace { version, .. } | Self::Delete { version, .. }, Some(found)) => {
                let is = found.meta().resource_version.clone().unwrap_or_default();
                if is != *version {
                    return Err(ApplyError::Conflict { kind, name, current: is });
                }
            }
        }
        let resource = match self {
            Self::Create(resource) => {
                has_namespace(&key, current)?;
                resource
            }
            Self::Replace { resource, .. } => resource,
            Self::Delete { .. } => return Ok(()),
        };
        check_room(std::slice::from_ref(resource), current)?;
        let checked = resource.validate(&Defaults::default());
        checked.map_err(|errors| ApplyError::Invalid { kind, name, errors: errors.to_string() })
    }
}

/// A new object comes into a namespace that is there and stays.
fn has_namespace(key: &ResourceKey, current: &Resources) -> Result<(), ApplyError> {
    let stays = current.namespace(&key.namespace).is_some_and(|namespace| !namespace.is_terminating());
    if stays || !key.kind.is_namespaced() {
        return Ok(());
    }
    Err(ApplyError::NotFound { kind: Kind::Namespace.to_string(), name: format!("/{}", key.namespace) })
}

/// Whether objects of core kinds have room with `resources` among them: all of the registry is one record of the log now and
/// then, and these are the ones that do not get smaller there.
///
/// # Errors
/// [`ApplyError::TooMuch`].
pub(crate) fn check_room<'a>(
    resources: impl IntoIterator<Item = &'a Box<Resource>> + Clone,
    current: &Resources,
) -> Result<(), ApplyError> {
    let core = resources.into_iter().filter_map(|resource| match resource.as_ref() {
        Resource::Core(object) => Some(object),
        _ => None,
    });
    let (mut added, mut replaced) = (0, 0);
    for object in core {
        let (namespace, name) = (&object.metadata.namespace, &object.metadata.name);
        let before = current.core_object(object.kind, namespace, name).map_or(0, |before| before.size_bytes());
        let bytes = object.size_bytes();
        // What does not grow always has room.
        added += bytes.max(before);
        replaced += before;
    }
    if added == replaced {
        return Ok(());
    }
    let bytes = current.core_bytes() - replaced + added;
    if bytes <= MAX_CORE_BYTES {
        return Ok(());
    }
    Err(ApplyError::TooMuch { bytes: bytes as u64, limit: MAX_CORE_BYTES as u64 })
}

#[cfg(test)]
mod tests {
    use pelton_resource::CoreObject;

    use super::*;
    use crate::version::version_at;

    fn broker(name: &str) -> Box<Resource> {
        let text = format!("apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {{name: '{name}'}}\n");
        let mut broker = pelton_resource::parse_documents(&text, "test").unwrap().remove(0);
        broker.set_defaults(&Defaults::default());
        Box::new(broker)
    }

    #[test]
    fn a_write_is_made_of_what_it_was_worked_out_from() {
        let namespaces = [CoreObject::namespace("default").into()];
        let current = Resources::default().with(namespaces, 2).with([*broker("a")], 3);
        let (is, other) = (version_at(3, 0).to_string(), version_at(2, 0).to_string());
        let replace = |name, version: &str| Write::Replace { resource: broker(name), version: version.to_owned() };
        let delete = |name, version: &str| Write::Delete { key: broker(name).key(), version: version.to_owned() };
        let mut elsewhere = broker("b");
        elsewhere.meta_mut().namespace = "nowhere".to_owned();
        for (write, want) in [
            (Write::Create(elsewhere), "not there"),
            (Write::Create(broker("b")), "made"),
            (Write::Create(broker("a")), "there"),
            (Write::Create(broker("B")), "invalid"),
            (replace("a", &is), "made"),
            (replace("a", &other), "changed"),
            (replace("b", &is), "not there"),
            (delete("a", &is), "made"),
            (delete("a", &other), "changed"),
            (delete("b", &is), "not there"),
        ] {
            let got = match write.check(&current) {
                Ok(()) => "made",
                Err(ApplyError::AlreadyExists { .. }) => "there",
                Err(ApplyError::NotFound { .. }) => "not there",
                Err(ApplyError::Conflict { current, .. }) if current == is => "changed",
                Err(ApplyError::Invalid { .. }) => "invalid",
                Err(other) => panic!("{other}"),
            };
            assert_eq!(got, want, "{write:?}");
        }
    }

    #[test]
    fn objects_of_core_kinds_have_a_bound_together() {
        let secret = |name: &str, bytes: usize| {
            let text = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: '{}'}}\n",
                "x".repeat(bytes)
            );
            let mut secret = pelton_resource::parse_documents(&text, "test").unwrap().remove(0);
            secret.set_defaults(&Defaults::default());
            Box::new(secret)
        };
        const PART: usize = MAX_CORE_BYTES / 5;
        let namespace = CoreObject::namespace("default").into();
        let four = ["a", "b", "c", "d"].map(|name| *secret(name, PART));
        let current = Resources::default().with([namespace], 1).with(four, 2);
        assert!(Write::Create(secret("e", PART / 2)).check(&current).is_ok());
        assert!(matches!(Write::Create(secret("e", PART)).check(&current), Err(ApplyError::TooMuch { .. })));
        let replace = |bytes| Write::Replace { resource: secret("a", bytes), version: version_at(2, 0).to_string() };
        assert!(replace(PART).check(&current).is_ok() && replace(PART / 2).check(&current).is_ok());
        assert!(matches!(replace(2 * PART).check(&current), Err(ApplyError::TooMuch { .. })));
    }
}
