//! `metadata.managedFields`.

use std::fmt;

use pelton_resource::Time;
use serde_json::{Map, Value, json};

use super::Writer;
use super::fields_v1::FieldsV1Error;
use super::path::PathSet;

/// Why a `metadata.managedFields` cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// It is not a list.
    #[error("metadata.managedFields: expected a list")]
    NotAList,
    /// An entry is not an object.
    #[error("metadata.managedFields[{index}]: expected an object")]
    NotAnEntry {
        /// Which one.
        index: usize,
    },
    /// A field of an entry is not what it has to be.
    #[error("metadata.managedFields[{index}].{field}: expected {expected}")]
    Field {
        /// Which entry.
        index: usize,
        /// Which field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// The set of an entry cannot be read.
    #[error("metadata.managedFields[{index}].fieldsV1: {why}")]
    Fields {
        /// Which entry.
        index: usize,
        /// What is wrong with it.
        why: FieldsV1Error,
    },
}

/// How the fields came to be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        })
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub manager: String,
    /// How it came to own the fields.
    pub operation: Operation,
    /// The version in which it wrote them.
    pub api_version: String,
    /// When it last changed the set, RFC 3339.
    pub time: Option<String>,
    /// The subresource through which it wrote.
    pub subresource: Option<String>,
    /// The fields.
    pub fields: PathSet,
}

impl Entry {
    pub(crate) fn of(writer: &Writer<'_>, operation: Operation) -> Self {
        Self {
            manager: writer.manager.to_owned(),
            operation,
            api_version: writer.api_version.to_owned(),
            time: Some(writer.now.to_owned()),
            subresource: writer.subresource.map(str::to_owned),
            fields: PathSet::default(),
        }
    }

    /// Whether both are the same owner. An applier is, in whichever version it applies.
    pub(crate) fn is_same_owner(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// What tells owners apart, in the order in which Kubernetes names them.
    pub(crate) fn identity(&self) -> impl Ord + '_ {
        (&self.manager, self.operation, &self.api_version, &self.subresource)
    }

    /// As Kubernetes sorts them (apimachinery, `managedfields.go`, `sortEncodedManagedFields`).
    fn order(&self) -> impl Ord + '_ {
        (self.operation, &self.time, &self.manager, &self.api_version, &self.subresource)
    }

    fn parse(value: &Value, index: usize) -> Result<Self, OwnershipError> {
        let entry = value.as_object().ok_or(OwnershipError::NotAnEntry { index })?;
        let wrong = |field, expected| OwnershipError::Field { index, field, expected };
        let operation = match entry.get("operation").and_then(Value::as_str) {
            Some("Apply") => Operation::Apply,
            Some("Update") => Operation::Update,
            _ => return Err(wrong("operation", "Apply or Update")),
        };
        let text = |field| match entry.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(wrong(field, "a string")),
        };
        let time = text("time")?;
        // Clients read it into a type of their own; one that is wrong would keep them from reading the object at all.
        if time.as_deref().is_some_and(|time| Time::parse(time).is_none()) {
            return Err(wrong("time", "an RFC 3339 time"));
        }
        if text("fieldsType")?.as_deref() != Some("FieldsV1") {
            return Err(wrong("fieldsType", "FieldsV1"));
        }
        let fields = match entry.get("fieldsV1") {
            None | Some(Value::Null) => PathSet::default(),
            Some(fields) => PathSet::from_fields_v1(fields).map_err(|why| OwnershipError::Fields { index, why })?,
        };
        Ok(Self {
            manager: text("manager")?.unwrap_or_default(),
            operation,
            api_version: text("apiVersion")?.ok_or(wrong("apiVersion", "a version"))?,
            time,
            subresource: text("subresource")?,
            fields,
        })
    }

    fn to_value(&self) -> Value {
        let mut entry = Map::new();
        let texts = [
            ("manager", Some(&self.manager).filter(|name| !name.is_empty())),
            ("apiVersion", Some(&self.api_version)),
            ("time", self.time.as_ref()),
            ("subresource", self.subresource.as_ref()),
        ];
        for (field, text) in texts {
            if let Some(text) = text {
                entry.insert(field.to_owned(), json!(text));
            }
        }
        entry.insert("operation".to_owned(), json!(self.operation.to_string()));
        entry.insert("fieldsType".to_owned(), json!("FieldsV1"));
        entry.insert("fieldsV1".to_owned(), self.fields.fields_v1());
        Value::Object(entry)
    }
}

/// Who owns which fields of an object: no owner twice, and none that owns nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagedFields(Vec<Entry>);

impl ManagedFields {
    /// Reads `metadata.managedFields`. A null is an empty list.
    ///
    /// # Errors
    /// When it is not a list of entries, or a field of an entry cannot be read.
    pub fn parse(value: &Value) -> Result<Self, OwnershipError> {
        let entries = match value {
            Value::Null => &[],
            Value::Array(entries) => entries.as_slice(),
            _ => return Err(OwnershipError::NotAList),
        };
        let mut parsed: Vec<Entry> = Vec::new();
        for (index, value) in entries.iter().enumerate() {
            let entry = Entry::parse(value, index)?;
            match parsed.iter_mut().find(|there| there.is_same_owner(&entry)) {
                Some(there) => there.fields.extend(entry.fields.iter().cloned()),
                None => parsed.push(entry),
            }
        }
        parsed.retain(|entry| !entry.fields.is_empty());
        Ok(Self(parsed))
    }

    /// What a PUT or PATCH body says about the ownership, given what the live object has (kube-api, 10.4): nothing or
    /// `[]` keeps it, exactly `[{}]` resets it, any other list replaces it. On a subresource it is ignored.
    ///
    /// The write itself is accounted for afterwards, with [`update()`](super::update()).
    ///
    /// # Errors
    /// When the list of the body cannot be read.
    pub fn of_body(body: &Value, live: &Self, subresource: Option<&str>) -> Result<Self, OwnershipError> {
        match body.pointer("/metadata/managedFields") {
            _ if subresource.is_some() => Ok(live.clone()),
            None | Some(Value::Null) => Ok(live.clone()),
            Some(Value::Array(list)) if list.is_empty() => Ok(live.clone()),
            Some(list) if *list == json!([{}]) => Ok(Self::default()),
            Some(list) => Self::parse(list),
        }
    }

    /// As it stands in an object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.0.iter().map(Entry::to_value).collect()
    }

    /// The entries, in the order of the object.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Entries after a write. When they say what was said before, nothing moves.
    pub(crate) fn after(&self, mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| !entry.fields.is_empty());
        if entries.len() == self.0.len() && entries.iter().all(|entry| self.0.contains(entry)) {
            return self.clone();
        }
        entries.sort_by(|a, b| a.order().cmp(&b.order()));
        Self(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(change: impl FnOnce(&mut Value)) -> Value {
        let mut entry = json!({
            "manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "subresource": "status", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:url": {}}},
        });
        change(&mut entry);
        entry
    }

    #[test]
    fn what_is_read_is_written_again() {
        let list = json!([
            entry(|_| ()),
            entry(|e| e["manager"] = json!("n")),
            { "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}} },
        ]);
        assert_eq!(ManagedFields::parse(&list).unwrap().to_value(), list);
        assert_eq!(ManagedFields::parse(&Value::Null).unwrap().to_value(), json!([]));
    }

    #[test]
    fn an_owner_is_there_once_and_owns_something() {
        let more = json!({"f:status": {"f:more": {}}});
        let list = json!([
            entry(|_| ()),
            entry(|e| e["fieldsV1"] = more.clone()),
            entry(|e| e["apiVersion"] = json!("v2")),
            entry(|e| (e["manager"], e["fieldsV1"]) = (json!("nothing"), json!({}))),
        ]);
        let want = json!([
            entry(|e| e["fieldsV1"] = json!({"f:status": {"f:more": {}, "f:url": {}}})),
            entry(|e| e["apiVersion"] = json!("v2")),
        ]);
        assert_eq!(ManagedFields::parse(&list).unwrap().to_value(), want);
    }

    #[test]
    fn a_mistake_is_named() {
        let rows = [
            (json!({}), "metadata.managedFields: expected a list"),
            (json!([1]), "metadata.managedFields[0]: expected an object"),
            (json!([{}]), "metadata.managedFields[0].operation: expected Apply or Update"),
            (json!([entry(|e| e["manager"] = json!(1))]), "metadata.managedFields[0].manager: expected a string"),
            (
                json!([entry(|e| e["apiVersion"] = json!(""))]),
                "metadata.managedFields[0].apiVersion: expected a version",
            ),
            (json!([entry(|e| e["time"] = json!("now"))]), "metadata.managedFields[0].time: expected an RFC 3339 time"),
            (
                json!([entry(|e| e["fieldsType"] = json!("V2"))]),
                "metadata.managedFields[0].fieldsType: expected FieldsV1",
            ),
            (
                json!([entry(|_| ()), entry(|e| e["fieldsV1"] = json!({"spec": {}}))]),
                "metadata.managedFields[1].fieldsV1: the key \"spec\" has no meaning at \"\"",
            ),
        ];
        for (list, want) in rows {
            assert_eq!(ManagedFields::parse(&list).unwrap_err().to_string(), want, "{list}");
        }
    }

    /// kube-api, 10.4, last lines, and 14: `[]` was once taken for a reset.
    #[test]
    fn a_body_keeps_resets_or_replaces() {
        let live = ManagedFields::parse(&json!([entry(|_| ())])).unwrap();
        let other = json!([entry(|e| e["manager"] = json!("other"))]);
        let rows = [
            (json!({}), live.to_value()),
            (json!({"metadata": {}}), live.to_value()),
            (json!({"metadata": {"managedFields": null}}), live.to_value()),
            (json!({"metadata": {"managedFields": []}}), live.to_value()),
            (json!({"metadata": {"managedFields": [{}]}}), json!([])),
            (json!({"metadata": {"managedFields": other}}), other.clone()),
        ];
        for (body, want) in rows {
            assert_eq!(ManagedFields::of_body(&body, &live, None).unwrap().to_value(), want, "{body}");
            assert_eq!(ManagedFields::of_body(&body, &live, Some("status")).unwrap(), live, "{body}");
        }
        for list in [json!([{}, {}]), json!([null]), json!("x")] {
            let body = json!({"metadata": {"managedFields": list}});
            assert!(ManagedFields::of_body(&body, &live, None).is_err(), "{body}");
        }
    }
}
