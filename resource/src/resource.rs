//! A resource of any kind.

use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use crate::broker::Broker;
use crate::conditions::Conditions;
use crate::core::{CoreObject, NO_CONDITIONS};
use crate::defaults::Defaults;
use crate::field_error::{FieldError, FieldErrors};
use crate::meta::{Kind, ObjectMeta, ResourceKey};
use crate::schema;
use crate::serving::{Configuration, DomainMapping, Revision, Route, Service};
use crate::trigger::Trigger;

/// A resource of any kind. In JSON and YAML it begins with `apiVersion` and `kind`.
///
/// Its serde form is for what we wrote ourselves (the registry, answers of the API): it takes unknown fields, so that
/// an older version can read what a newer one stored. What people write is read by [`Resource::from_manifest`] and
/// [`crate::parse_documents`], which refuse them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "every kind is large, and resources are few")]
pub enum Resource {
    /// A Broker.
    Broker(Broker),
    /// A Trigger.
    Trigger(Trigger),
    /// A Service.
    Service(Service),
    /// A Configuration.
    Configuration(Configuration),
    /// A Revision.
    Revision(Revision),
    /// A Route.
    Route(Route),
    /// A DomainMapping.
    DomainMapping(DomainMapping),
    /// An object of a core kind.
    Core(CoreObject),
}

/// The same for every kind of Knative: all have `metadata`, `spec`, `status` and methods of the same names. Something else
/// for core kinds.
macro_rules! of_any {
    ($resource:expr, $it:ident => $do:expr, core($core:pat) => $else:expr) => {
        match $resource {
            Resource::Broker($it) => $do,
            Resource::Trigger($it) => $do,
            Resource::Service($it) => $do,
            Resource::Configuration($it) => $do,
            Resource::Revision($it) => $do,
            Resource::Route($it) => $do,
            Resource::DomainMapping($it) => $do,
            Resource::Core($core) => $else,
        }
    };
}

/// The same for every two resources of one kind, and something else for two of different kinds.
macro_rules! of_same {
    ($new:expr, $old:expr, ($a:ident, $b:ident) => $do:expr, else $other:expr) => {
        match ($new, $old) {
            (Resource::Broker($a), Resource::Broker($b)) => $do,
            (Resource::Trigger($a), Resource::Trigger($b)) => $do,
            (Resource::Service($a), Resource::Service($b)) => $do,
            (Resource::Configuration($a), Resource::Configuration($b)) => $do,
            (Resource::Revision($a), Resource::Revision($b)) => $do,
            (Resource::Route($a), Resource::Route($b)) => $do,
            (Resource::DomainMapping($a), Resource::DomainMapping($b)) => $do,
            _ => $other,
        }
    };
}

/// Why a document is no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not an object, or has no `apiVersion` or `kind`.
    #[error("a resource is an object with apiVersion and kind")]
    NotAResource,
    /// Its `apiVersion` and `kind` name nothing that is known here.
    #[error(
        "unknown kind: {kind:?} of apiVersion {api_version:?}; there are {kinds}",
        kinds = Kind::ALL.map(|kind| format!("{kind} ({})", kind.api_version())).join(", ")
    )]
    UnknownKind {
        /// The `apiVersion` found.
        api_version: String,
        /// The `kind` found.
        kind: String,
    },
    /// Fields that are unknown or of the wrong type; all of them.
    #[error(transparent)]
    Fields(FieldErrors),
}

impl Resource {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Broker(_) => Kind::Broker,
            Self::Trigger(_) => Kind::Trigger,
            Self::Service(_) => Kind::Service,
            Self::Configuration(_) => Kind::Configuration,
            Self::Revision(_) => Kind::Revision,
            Self::Route(_) => Kind::Route,
            Self::DomainMapping(_) => Kind::DomainMapping,
            Self::Core(object) => object.kind,
        }
    }

    /// What names it.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        let meta = self.meta();
        ResourceKey::new(self.kind(), meta.namespace.clone(), meta.name.clone())
    }

    /// Its metadata.
    #[must_use]
    pub const fn meta(&self) -> &ObjectMeta {
        of_any!(self, it => &it.metadata, core(it) => &it.metadata)
    }

    /// Its metadata, to be changed.
    pub const fn meta_mut(&mut self) -> &mut ObjectMeta {
        of_any!(self, it => &mut it.metadata, core(it) => &mut it.metadata)
    }

    /// Its conditions.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        of_any!(self, it => &it.status.conditions, core(_) => &NO_CONDITIONS)
    }

    /// The generation that its conditions are about. Core kinds have none.
    #[must_use]
    pub const fn observed_generation(&self) -> Option<i64> {
        of_any!(self, it => it.status.observed_generation, core(_) => None)
    }

    /// Whether `spec` is another than that of `old`, so that `metadata.generation` must grow. Core kinds have no generation.
    #[must_use]
    pub fn spec_differs(&self, old: &Self) -> bool {
        of_same!(self, old, (new, old) => new.spec != old.spec, else !self.kind().is_core())
    }

    /// Takes the `status` of `old`, as when a manifest is applied: only controllers write `status`.
    pub fn keep_status_of(&mut self, old: &Self) {
        if let (Self::Core(new), Self::Core(old)) = (&mut *self, old) {
            new.keep_status_of(old);
            return;
        }
        of_same!(self, old, (new, old) => new.status = old.status.clone(), else ());
    }

    /// Fills in what is missing. Doing it again changes nothing.
    pub fn set_defaults(&mut self, defaults: &Defaults) {
        of_any!(self, it => it.set_defaults(defaults), core(it) => it.set_defaults());
    }

    /// Checks a resource that has its defaults and is to be created.
    ///
    /// # Errors
    /// All mistakes, with the paths of their fields.
    pub fn validate(&self, defaults: &Defaults) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        self.collect(defaults, &mut errors);
        errors.into_result()
    }

    /// Checks a resource that has its defaults and is to take the place of `old`.
    ///
    /// # Errors
    /// All mistakes, and all changes of fields that may not change.
    pub fn validate_update(&self, old: &Self, defaults: &Defaults) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::new();
        self.collect(defaults, &mut errors);
        let (is, was) = (self.key(), old.key());
        if is != was {
            errors.push(FieldError::immutable("metadata", &was.to_string(), &is.to_string()));
        }
        match (self, old) {
            (Self::Broker(new), Self::Broker(old)) => new.validate_change(old, &mut errors),
            (Self::Trigger(new), Self::Trigger(old)) => new.validate_change(old, &mut errors),
            (Self::Service(new), Self::Service(old)) => new.validate_change(old, &mut errors),
            (Self::Configuration(new), Self::Configuration(old)) => new.validate_change(old, &mut errors),
            (Self::Revision(new), Self::Revision(old)) => new.validate_change(old, &mut errors),
            (Self::Core(new), Self::Core(old)) => new.validate_change(old, &mut errors),
            // The others may be changed as one likes, and what has become another kind is refused above.
            _ => {}
        }
        errors.into_result()
    }

    fn collect(&self, defaults: &Defaults, errors: &mut FieldErrors) {
        match self {
            Self::Broker(broker) => broker.validate(errors),
            Self::Trigger(trigger) => trigger.validate(errors),
            Self::Service(service) => service.validate(defaults, errors),
            Self::Configuration(configuration) => configuration.validate(defaults, errors),
            Self::Revision(revision) => revision.validate(defaults, errors),
            Self::Route(route) => route.validate(errors),
            Self::DomainMapping(mapping) => mapping.validate(errors),
            Self::Core(object) => object.validate(errors),
        }
    }

    /// Reads what somebody wrote: unknown fields and wrong types are refused, all of them together. A null is the
    /// same as a field left out. `status` and `metadata.managedFields` are ignored: servers write them, and manifests
    /// taken from a cluster have them.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_manifest(manifest: Value) -> Result<Self, ManifestError> {
        let (known, manifest, errors) = Self::checked(manifest)?;
        if !errors.is_empty() {
            return Err(ManifestError::Fields(errors));
        }
        Self::of_checked(known, manifest)
    }

    /// As [`from_manifest`](Self::from_manifest), but unknown fields are left out. They are given as well: whoever sent
    /// them is told, or refused.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_object(object: Value) -> Result<(Self, Vec<String>), ManifestError> {
        let (known, object, found) = Self::checked(object)?;
        let (mut unknown, mut errors) = (Vec::new(), FieldErrors::new());
        for error in found {
            if error.message == schema::UNKNOWN_FIELD { unknown.extend(error.paths) } else { errors.push(error) }
        }
        if !errors.is_empty() {
            return Err(ManifestError::Fields(errors));
        }
        Ok((Self::of_checked(known, object)?, unknown))
    }

    /// This resource with another `status`, as whoever keeps it true by the API writes it. Fields that are not known are
    /// left out.
    ///
    /// # Errors
    /// It is no status of this kind.
    pub fn with_status(&self, status: Value) -> Result<Self, serde_json::Error> {
        let mut object = serde_json::to_value(self)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("status".to_owned(), status);
        }
        let mut with = Self::of_kind(self.kind(), object)?;
        // Nobody but the server says whether a Namespace is to go.
        if let Self::Core(namespace) = &mut with
            && namespace.kind == Kind::Namespace
        {
            namespace.tell_phase();
        }
        Ok(with)
    }

    /// The kind of an object, the object without what is ignored in it, and its mistakes of shape.
    fn checked(mut manifest: Value) -> Result<(Kind, Value, FieldErrors), ManifestError> {
        let text = |field: &str| manifest.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
            return Err(ManifestError::NotAResource);
        };
        let Some(known) = Kind::of(&api_version, &kind) else {
            return Err(ManifestError::UnknownKind { api_version, kind });
        };
        let errors = schema::check(known, &mut manifest);
        Ok((known, manifest, errors))
    }

    fn of_checked(known: Kind, manifest: Value) -> Result<Self, ManifestError> {
        // The schema has let pass what the types take; a difference between them is still an answer, no panic.
        Self::of_kind(known, manifest).map_err(|why| {
            let mut errors = FieldErrors::new();
            errors.push(FieldError::new(why.to_string(), "spec"));
            ManifestError::Fields(errors)
        })
    }

    /// The resource as YAML, one document, as `parse_documents` reads it.
    ///
    /// # Errors
    /// When a text holds what YAML cannot carry.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(self)
    }

    fn of_kind(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            Kind::Broker => Self::Broker(serde_json::from_value(value)?),
            Kind::Trigger => Self::Trigger(serde_json::from_value(value)?),
            Kind::Service => Self::Service(serde_json::from_value(value)?),
            Kind::Configuration => Self::Configuration(serde_json::from_value(value)?),
            Kind::Revision => Self::Revision(serde_json::from_value(value)?),
            Kind::Route => Self::Route(serde_json::from_value(value)?),
            Kind::DomainMapping => Self::DomainMapping(serde_json::from_value(value)?),
            Kind::Namespace
            | Kind::ConfigMap
            | Kind::Secret
            | Kind::ServiceAccount
            | Kind::CoreService
            | Kind::Event => Self::Core(CoreObject::of_value(kind, value)?),
        })
    }
}

macro_rules! from_kinds {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Resource {
            fn from(it: $kind) -> Self {
                Self::$kind(it)
            }
        }
    )*};
}

from_kinds!(Broker, Trigger, Service, Configuration, Revision, Route, DomainMapping);

impl From<CoreObject> for Resource {
    fn from(it: CoreObject) -> Self {
        Self::Core(it)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn parts<S: Serializer, P: Serialize, T: Serialize>(
            serializer: S,
            resource: &Resource,
            spec: &P,
            status: Option<&T>,
        ) -> Result<S::Ok, S::Error> {
            let mut out = serializer.serialize_struct("Resource", 4 + usize::from(status.is_some()))?;
            out.serialize_field("apiVersion", resource.kind().api_version())?;
            out.serialize_field("kind", resource.kind().as_str())?;
            out.serialize_field("metadata", resource.meta())?;
            out.serialize_field("spec", spec)?;
            match status {
                Some(status) => out.serialize_field("status", status)?,
                None => out.skip_field("status")?,
            }
            out.end()
        }
        fn core<S: Serializer>(serializer: S, object: &CoreObject) -> Result<S::Ok, S::Error> {
            let mut out = serializer.serialize_map(Some(3 + object.content.len()))?;
            out.serialize_entry("apiVersion", object.kind.api_version())?;
            out.serialize_entry("kind", object.kind.as_str())?;
            out.serialize_entry("metadata", &object.metadata)?;
            object.content.iter().try_for_each(|(field, value)| out.serialize_entry(field, value))?;
            out.end()
        }
        of_any!(
            self,
            it => parts(serializer, self, &it.spec, Some(&it.status).filter(|s| **s != Default::default())),
            core(it) => core(serializer, it)
        )
    }
}

impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let known = Kind::of(&api_version, &kind)
            .ok_or_else(|| de::Error::custom(ManifestError::UnknownKind { api_version, kind }))?;
        Self::of_kind(known, value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
