//! How commands tell what they have written.

use serde_json::Value;

use super::output::{WriteForm, json, yaml};
use super::{print, print_line};
use crate::exit::Failure;
use crate::kube::kinds;
use crate::kube::object::{called, name, text, without_managed_fields};
use crate::terminal::escape;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is new.
    Created,
    /// It is otherwise than it was.
    Configured,
    /// It was so already.
    Unchanged,
    /// It was changed by hand.
    Edited,
    /// It has other labels.
    Labeled,
    /// It has other annotations.
    Annotated,
    /// It has other values in the fields that were named.
    Updated,
}

impl Done {
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Edited => "edited",
            Self::Labeled => "labeled",
            Self::Annotated => "annotated",
            Self::Updated => "updated",
        }
    }
}

/// Says what was done to an object, in kubectl's words: `trigger.eventing.knative.dev/orders created`.
///
/// # Errors
/// Those of standard output.
pub fn report(object: &Value, done: Done, is_dry_run: bool, form: WriteForm) -> Result<(), Failure> {
    let what = match kinds::of_manifest(text(object, "/apiVersion"), text(object, "/kind")) {
        Some(row) => called(row, name(object)),
        None => name(object).to_owned(),
    };
    let what = escape(&what);
    match form {
        WriteForm::Text if is_dry_run => print_line(&format!("{what} {} (server dry run)", done.word())),
        WriteForm::Text => print_line(&format!("{what} {}", done.word())),
        WriteForm::Name => print_line(&what),
        WriteForm::Json => print(&json(&without_managed_fields(object.clone()))?),
        WriteForm::Yaml => print(&format!("---\n{}", yaml(&without_managed_fields(object.clone()))?)),
    }
}
