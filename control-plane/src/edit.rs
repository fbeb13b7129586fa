//! What a write makes of an object. Pure: the time and the dice come in, and what is to be stored goes out.

use pelton_client::admission::admit_one;
use pelton_client::objects::may_go;
use pelton_resource::limits::MAX_OBJECT_BYTES;
use pelton_resource::{RawJson, Resource, Time};
use serde_json::{Map, Value};

use crate::incoming::{self, meta_text, metadata};
use crate::kinds::Row;
use crate::object::shown;
use crate::options::{Validation, WriteOptions};
use crate::ownership::{
    self, ConflictOf, LAST_APPLIED, ManagedFields, PathSet, Writer, conflict_message, last_applied_text,
    paths_of_last_applied,
};
use crate::patch::{self, PatchError};
use crate::status::{ApiError, Cause, causes};
use crate::target::{Part, Target};

/// What is asked for, besides the object itself.
#[derive(Clone, Copy)]
pub struct Edit<'a> {
    /// Which object, and what of it.
    pub target: &'a Target,
    /// How.
    pub options: &'a WriteOptions,
    /// When.
    pub now: Time,
    /// A uid for an object that is made.
    pub uid: &'a str,
}

/// A form of patch, by the type of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// `application/merge-patch+json`
    Merge,
    /// `application/json-patch+json`
    Json,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// `application/apply-patch+yaml`
    Apply,
}

/// What is to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The object as it is to be. Its `resourceVersion` is that of the one in whose place it comes.
    pub resource: Resource,
    /// What is to be done about it.
    pub next: Next,
    /// What the client is to be told.
    pub warnings: Vec<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is so already.
    Nothing,
    /// It is stored.
    Store,
    /// It goes: it was marked, and nothing holds it any more.
    Delete,
}

impl Edit<'_> {
    fn row(&self) -> &'static Row {
        self.target.row
    }

    /// A new object.
    ///
    /// # Errors
    /// It cannot be.
    pub fn create(&self, mut object: Map<String, Value>) -> Result<Edited, ApiError> {
        // Zero is what clients write that know none.
        if meta_text(&object, "resourceVersion").is_some_and(|version| version != "0") {
            return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
        }
        incoming::place(&mut object, self.target)?;
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"] {
            metadata(&mut object).remove(field);
        }
        if self.row().has_status {
            object.remove("status");
        }
        let (new, warnings) = incoming::resource(self.row(), object, self.options.validation)?;
        let admitted = self.admitted(None, new)?;
        let (time, api_version) = (self.time(), self.row().api_version());
        let writer = self.writer(&time, &api_version);
        let managed = ownership::update(None, &self.shown(&admitted), &ManagedFields::default(), &writer);
        made(with_managed(admitted, &managed), warnings)
    }

    /// The object with another in its place.
    ///
    /// # Errors
    /// It cannot be, or was made from another version.
    pub fn replace(&self, old: &Resource, mut object: Map<String, Value>) -> Result<Edited, ApiError> {
        incoming::place(&mut object, self.target)?;
        if meta_text(&object, "resourceVersion").is_none() && !old.kind().is_core() {
            let why = "Invalid value: 0x0: must be specified for an update";
            let (reason, field) = ("FieldValueInvalid", "metadata.resourceVersion");
            return Err(ApiError::invalid_field(self.row(), &self.target.name, reason, field, why));
        }
        self.changed(old, object)
    }

    /// The object after a patch that is no apply.
    ///
    /// # Errors
    /// The patch cannot be read or does not fit, or what it makes cannot be.
    pub fn patch(&self, old: &Resource, how: PatchType, body: &Value) -> Result<Edited, ApiError> {
        let mut patched = self.shown(old);
        let of_patch = |error: PatchError| {
            let why = error.to_string();
            if error.is_malformed() { ApiError::bad_request(why) } else { ApiError::patch_failed(why) }
        };
        match how {
            PatchType::Merge if !body.is_object() => {
                return Err(ApiError::bad_request("a merge patch is a JSON object"));
            }
            PatchType::Merge => patch::merge(&mut patched, body),
            PatchType::Json => patch::json(&mut patched, body).map_err(of_patch)?,
            PatchType::Strategic => patch::strategic(&mut patched, body).map_err(of_patch)?,
            PatchType::Apply => return self.apply(Some(old), body),
        }
        let mut object = incoming::object_of(self.row(), patched)?;
        incoming::place(&mut object, self.target)?;
        self.changed(old, object)
    }

    /// The object after an apply, or a new one.
    ///
    /// # Errors
    /// Others own what would change, or what it makes cannot be.
    pub fn apply(&self, old: Option<&Resource>, body: &Value) -> Result<Edited, ApiError> {
        if !self.options.names_manager {
            return Err(ApiError::no_manager());
        }
        let mut object = incoming::object_of(self.row(), body.clone())?;
        incoming::place(&mut object, self.target)?;
        match object.get("metadata").and_then(|metadata| metadata.get("managedFields")) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => return Err(ApiError::bad_request("metadata.managedFields must be nil")),
        }
        match old {
            Some(old) => self.check_identity(old, &object)?,
            // It is the one that is gone that was meant.
            None => self.check_absent(&object)?,
        }
        // Mistakes are told of what was sent, not of what it is merged into.
        let warnings = incoming::resource(self.row(), object.clone(), self.options.validation)?.1;
        let applied = Value::Object(object);
        let (live, managed) = match old {
            Some(old) => (Some(self.shown(old)), managed_of(old)?),
            None => (None, ManagedFields::default()),
        };
        let (time, api_version) = (self.time(), self.row().api_version());
        let (anyway, writer) = (self.taken_over(live.as_ref()), self.writer(&time, &api_version));
        let merged = ownership::apply(live.as_ref(), &applied, &managed, &writer, self.options.force, &anyway);
        let (mut merged, managed) = merged.map_err(|conflicts| of_conflicts(&conflicts))?;
        self.renew_last_applied(&mut merged, &applied);
        let Some(old) = old else {
            let object = incoming::object_of(self.row(), merged)?;
            let (new, _) = incoming::resource(self.row(), object, Validation::Ignore)?;
            let admitted = self.admitted(None, new)?;
            return made(with_managed(admitted, &managed), warnings);
        };
        let new = match self.target.part {
            Part::Main => {
                let object = incoming::object_of(self.row(), merged)?;
                let (new, _) = incoming::resource(self.row(), object, Validation::Ignore)?;
                self.admitted(Some(old), new)?
            }
            Part::Status => self.with_status(old, &merged)?,
        };
        edited(old, with_managed(new, &managed), warnings)
    }

    /// What `object` makes of the one that is there, with who owns what then.
    fn changed(&self, old: &Resource, object: Map<String, Value>) -> Result<Edited, ApiError> {
        self.check_identity(old, &object)?;
        let object_value = Value::Object(object);
        let live = managed_of(old)?;
        let managed = ManagedFields::of_body(&object_value, &live, self.target.part.subresource())
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let (new, warnings) = match (self.target.part, object_value) {
            (Part::Main, Value::Object(object)) => {
                let (new, warnings) = incoming::resource(self.row(), object, self.options.validation)?;
                (self.admitted(Some(old), new)?, warnings)
            }
            (_, object) => (self.with_status(old, &object)?, Vec::new()),
        };
        let (time, api_version) = (self.time(), self.row().api_version());
        let writer = self.writer(&time, &api_version);
        let managed = ownership::update(Some(&self.shown(old)), &self.shown(&new), &managed, &writer);
        edited(old, with_managed(new, &managed), warnings)
    }

    /// Whether an object is of the one that is there, as far as it says.
    fn check_identity(&self, old: &Resource, object: &Map<String, Value>) -> Result<(), ApiError> {
        let (row, name, is) = (self.row(), self.target.name.as_str(), old.meta());
        if let Some(uid) = meta_text(object, "uid").filter(|uid| is.uid.as_deref() != Some(*uid)) {
            let is = is.uid.as_deref().unwrap_or_default();
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {is}");
            return Err(ApiError::conflict(row, name, &why));
        }
        // Zero is what clients write that know none.
        let given = meta_text(object, "resourceVersion").filter(|version| *version != "0");
        if given.is_some_and(|version| is.resource_version.as_deref() != Some(version)) {
            return Err(ApiError::modified(row, name));
        }
        Ok(())
    }

    /// Whether an object that is not there may be made of one that is applied.
    fn check_absent(&self, object: &Map<String, Value>) -> Result<(), ApiError> {
        let named = ["uid", "resourceVersion"].into_iter().find_map(|field| Some((field, meta_text(object, field)?)));
        let Some((field, value)) = named else { return Ok(()) };
        let why = format!(
            "{field} mismatch: the provided object specified {field} {value}, and no existing object was found"
        );
        Err(ApiError::conflict(self.row(), &self.target.name, &why))
    }

    fn admitted(&self, old: Option<&Resource>, new: Resource) -> Result<Resource, ApiError> {
        if let Some(old) = old.map(Resource::meta).filter(|old| old.deletion_timestamp.is_some())
            && let Some(added) = new.meta().finalizers.iter().find(|it| !old.finalizers.contains(it))
        {
            let (reason, field) = ("FieldValueForbidden", "metadata.finalizers");
            let why =
                format!("Forbidden: no new finalizers can be added if the object is being deleted, found {added:?}");
            return Err(ApiError::invalid_field(self.row(), &self.target.name, reason, field, &why));
        }
        let admitted = admit_one(old, new, self.now, &mut || self.uid.to_owned());
        admitted.map_err(|errors| ApiError::invalid(self.row(), &self.target.name, causes(&errors)))
    }

    fn with_status(&self, old: &Resource, object: &Value) -> Result<Resource, ApiError> {
        let status = object.get("status").filter(|status| !status.is_null());
        old.with_status(status.cloned().unwrap_or_else(|| Value::Object(Map::new()))).map_err(|error| {
            let (name, why) = (self.target.name.as_str(), error.to_string());
            ApiError::invalid_field(self.row(), name, "FieldValueTypeInvalid", "status", &why)
        })
    }

    /// What kubectl's own apply takes over from the one that it used before (kube-api.md, 10.5).
    fn taken_over(&self, live: Option<&Value>) -> PathSet {
        let annotation = live.and_then(|live| live.get("metadata")?.get("annotations")?.get(LAST_APPLIED)?.as_str());
        match (annotation, live) {
            (Some(annotation), Some(live)) if self.is_kubectl() => paths_of_last_applied(annotation, live),
            _ => PathSet::default(),
        }
    }

    fn renew_last_applied(&self, merged: &mut Value, applied: &Value) {
        let annotation =
            merged.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations")?.get_mut(LAST_APPLIED));
        if let Some(annotation) = annotation.filter(|_| self.is_kubectl()) {
            *annotation = Value::String(last_applied_text(applied));
        }
    }

    fn is_kubectl(&self) -> bool {
        self.options.manager == "kubectl" && self.target.part == Part::Main
    }

    fn shown(&self, resource: &Resource) -> Value {
        shown(self.row(), resource)
    }

    fn time(&self) -> String {
        self.now.to_string()
    }

    fn writer<'a>(&'a self, time: &'a str, api_version: &'a str) -> Writer<'a> {
        Writer { manager: &self.options.manager, api_version, subresource: self.target.part.subresource(), now: time }
    }
}

/// Whether an object is not too large to be kept.
///
/// # Errors
/// 413.
fn check_size(resource: &Resource) -> Result<(), ApiError> {
    let bytes = serde_json::to_vec(resource).expect("a resource has no map whose keys are no texts").len();
    if bytes <= MAX_OBJECT_BYTES { Ok(()) } else { Err(ApiError::too_large(bytes, MAX_OBJECT_BYTES)) }
}

/// What was not there is stored.
fn made(resource: Resource, warnings: Vec<String>) -> Result<Edited, ApiError> {
    check_size(&resource)?;
    Ok(Edited { resource, next: Next::Store, warnings })
}

fn edited(old: &Resource, new: Resource, warnings: Vec<String>) -> Result<Edited, ApiError> {
    let next = if may_go(&new) {
        Next::Delete
    } else if new == *old {
        Next::Nothing
    } else {
        Next::Store
    };
    if next == Next::Store {
        check_size(&new)?;
    }
    Ok(Edited { resource: new, next, warnings })
}

/// Who owns what of an object.
///
/// # Errors
/// What is stored cannot be read: a fault of ours.
fn managed_of(resource: &Resource) -> Result<ManagedFields, ApiError> {
    let Some(stored) = &resource.meta().managed_fields else { return Ok(ManagedFields::default()) };
    ManagedFields::parse(&stored.to_value()).map_err(|error| ApiError::internal(error.to_string()))
}

fn with_managed(mut resource: Resource, managed: &ManagedFields) -> Resource {
    let is_there = !managed.entries().is_empty();
    resource.meta_mut().managed_fields = is_there.then(|| RawJson::from(&managed.to_value()));
    resource
}

fn of_conflicts(conflicts: &[ConflictOf]) -> ApiError {
    let cause = |conflict: &ConflictOf| Cause {
        reason: "FieldManagerConflict",
        message: conflict.cause_message(),
        field: conflict.field.clone(),
    };
    ApiError::apply_conflict(conflict_message(conflicts), conflicts.iter().map(cause).collect())
}

#[cfg(test)]
mod tests;
