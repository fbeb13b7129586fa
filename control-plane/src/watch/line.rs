//! The lines that a watcher is told.

use bytes::Bytes;
use pelton_client::history::Change;
use pelton_resource::Resource;
use serde_json::{Value, json};

use crate::accept::Form;
use crate::kinds::{Row, Store};
use crate::object::{in_words_of, shown};
use crate::selection::Selection;
use crate::status::ApiError;
use crate::table::{self, Include};

/// Writes lines in the form that a watcher asked for.
#[derive(Debug)]
pub struct Lines {
    row: &'static Row,
    form: Form,
    include: Include,
    /// Whether columns were told: once is enough.
    told_columns: bool,
}

impl Lines {
    /// Lines about objects of a row.
    #[must_use]
    pub fn new(row: &'static Row, form: Form, include: Include) -> Self {
        Self { row, form, include, told_columns: false }
    }

    /// A resource is there.
    pub fn added(&mut self, resource: &Resource, now_unix_millis: u64, out: &mut Vec<u8>) {
        self.there(&shown(self.row, resource), now_unix_millis, out);
    }

    /// An object is there.
    pub fn there(&mut self, object: &Value, now_unix_millis: u64, out: &mut Vec<u8>) {
        let object = self.formed(object.clone(), now_unix_millis);
        write("ADDED", object.to_string().as_bytes(), out);
    }

    /// What a change is to whoever watches the selection: one that leaves it is gone, one that enters it is new.
    pub fn change(&mut self, change: &Change, selection: &Selection, now_unix_millis: u64, out: &mut Vec<u8>) {
        let key = &change.key;
        if !selection.may_mean(key.kind, &key.namespace, &key.name) {
            return;
        }
        let json = change.object();
        let is_plain = self.form == Form::Plain && self.row.store != Store::NewEvents;
        // The object is looked at only where that is needed.
        let object = match is_plain && selection.is_all() {
            true => Value::Null,
            false => serde_json::from_slice(&json).expect("the history holds objects"),
        };
        let what = match selection.meant(change, &object) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        if is_plain {
            write(what, &json, out);
        } else {
            let object = self.formed(in_words_of(self.row, object), now_unix_millis);
            write(what, object.to_string().as_bytes(), out);
        }
    }

    /// Everything up to a version was told.
    pub fn bookmark(&mut self, version: u64, is_initial_end: bool, out: &mut Vec<u8>) {
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if is_initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({"kind": self.row.kind, "apiVersion": self.row.api_version(), "metadata": metadata});
        let object = match self.form {
            Form::Plain => object,
            Form::Table => self.formed(object, 0),
            Form::Partial => table::partial(&object),
        };
        write("BOOKMARK", object.to_string().as_bytes(), out);
    }

    /// It ends because of an error.
    pub fn error(&self, error: &ApiError) -> Bytes {
        let mut out = Vec::new();
        write("ERROR", error.to_value().to_string().as_bytes(), &mut out);
        out.into()
    }

    fn formed(&mut self, object: Value, now_unix_millis: u64) -> Value {
        match self.form {
            Form::Plain => object,
            Form::Partial => table::partial(&object),
            Form::Table => {
                let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                let with_columns = !std::mem::replace(&mut self.told_columns, true);
                let metadata = json!({"resourceVersion": version});
                table::table(self.row, &[object], &metadata, self.include, with_columns, now_unix_millis)
            }
        }
    }
}

fn write(what: &str, object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(what.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}
