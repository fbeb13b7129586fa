//! `pelton edit`

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use pelton_resource::parse_value;
use serde_json::{Map, Value};

use super::objects::{ObjectName, Objects};
use super::output::{WriteForm, yaml};
use super::print_error;
use super::target::ApiArgs;
use super::written::{Done, report};
use crate::exit::Failure;
use crate::kube::object::{text, wanted, without_managed_fields};
use crate::kube::{KubeApi, Write};

/// How often a change is sent again when only the status was written meanwhile.
const TRIES: usize = 5;

/// Above an object that is edited.
const HEAD: &str = "# Change what is to be otherwise, save and leave the editor. Lines that begin with # are left out.\n\
                    # What is unchanged is not sent; an empty file ends it.\n";

/// What `pelton edit` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The editor is $VISUAL, else $EDITOR, else vi. When the change is refused, or somebody else changed the same \
                        object meanwhile, the file stays and its name is told.\n\n\
                        Examples:\n  pelton edit trigger orders\n  EDITOR=nano pelton edit broker/default -n shop"
)]
pub struct EditArgs {
    /// KIND NAME or KIND/NAME
    #[arg(value_name = "KIND", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// The namespace of a name that has none
    #[arg(short, long)]
    namespace: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
}

/// Has an object edited, and sends what was changed.
pub async fn run(args: EditArgs) -> Result<(), Failure> {
    let (mut api, at) = args.api.kube(args.namespace.as_deref())?;
    let object = match Objects::read(&args.words, &at)? {
        Objects::Named(mut names) if names.len() == 1 => names.remove(0),
        _ => return Err(Failure::Usage("name one object, as KIND NAME".to_owned())),
    };
    let before = without_managed_fields(api.get(object.row, &object.namespace, &object.name).await?);
    let drafted = format!("{HEAD}{}", yaml(&before)?);
    let file = draft(&object, &drafted)?;
    let outcome = edited(&mut api, &object, &before, &file).await;
    match outcome {
        Ok(Some(after)) => {
            remove(&file);
            report(&after, Done::Edited, false, WriteForm::Text)
        }
        Ok(None) => {
            remove(&file);
            print_error("Edit cancelled, no changes made.");
            Ok(())
        }
        // Nobody wrote anything, as when the editor cannot be started.
        Err(failure) if std::fs::read_to_string(&file).is_ok_and(|text| text == drafted) => {
            remove(&file);
            Err(failure)
        }
        Err(failure) => {
            let add = |text: String| format!("{text}\nwhat you wrote is in {}", file.display());
            Err(match failure {
                Failure::Usage(text) => Failure::Usage(add(text)),
                Failure::Failed(text) => Failure::Failed(add(text)),
                Failure::NoAnswer(text) => Failure::NoAnswer(add(text)),
            })
        }
    }
}

/// A file to edit, for its owner alone.
fn draft(object: &ObjectName, text: &str) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| Failure::failed("cannot write a file to edit", &error);
    let prefix =
        format!("pelton-edit-{}-", object.name.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>());
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(".yaml").tempfile().map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.into_temp_path().keep().map_err(|error| failed(error.error))
}

fn remove(file: &PathBuf) {
    if let Err(error) = std::fs::remove_file(file) {
        tracing::debug!(%error, "a file that was edited stays");
    }
}

/// The object as it is after what was done in the editor. `None` when nothing was.
async fn edited(
    api: &mut KubeApi,
    object: &ObjectName,
    before: &Value,
    file: &PathBuf,
) -> Result<Option<Value>, Failure> {
    let editing = file.clone();
    // On a thread of its own: the connection is kept, and is to hear when the server ends it.
    let edited = tokio::task::spawn_blocking(move || open_editor(&editing)).await;
    edited.map_err(|error| Failure::failed("the editor was given up", &error))??;
    let text = std::fs::read_to_string(file).map_err(|error| Failure::failed("cannot read what was edited", &error))?;
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Ok(None);
    }
    let after = parse_value(&text).map_err(|why| Failure::Usage(format!("what was written is no object: {why}")))?;
    for at in ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"] {
        if before.pointer(at) != after.pointer(at) {
            return Err(Failure::Usage(format!("{} cannot be changed", at[1..].replace('/', "."))));
        }
    }
    let Some(patch) = difference(before, &after) else { return Ok(None) };
    send(api, object, before, patch).await.map(Some)
}

/// Runs the editor, which may be a command with words of its own, as git does.
fn open_editor(file: &PathBuf) -> Result<(), Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
    let mut script: OsString = editor.clone();
    script.push(" \"$1\"");
    let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Failed(format!("the editor {} ended with {status}", editor.display()))),
        Err(error) => Err(Failure::failed("cannot run the editor", &error)),
    }
}

/// Sends a change of the object as it was, and no other: what somebody else changed meanwhile is not undone. The status is
/// none of what was edited, and controllers write it all the time.
async fn send(api: &mut KubeApi, object: &ObjectName, before: &Value, patch: Value) -> Result<Value, Failure> {
    let ObjectName { row, namespace, name } = object;
    let mut version = text(before, "/metadata/resourceVersion").to_owned();
    let mut tries = 1;
    loop {
        let mut patch = patch.clone();
        let metadata = patch
            .as_object_mut()
            .expect("a difference is an object")
            .entry("metadata")
            .or_insert_with(|| Map::new().into());
        metadata["resourceVersion"] = version.as_str().into();
        match api.patch(row, namespace, name, &patch, Write::default()).await {
            Err(error) if error.has_code(409) && tries < TRIES => {
                let now = api.get(row, namespace, name).await?;
                if wanted(&now) != wanted(before) {
                    return Err(error.into());
                }
                text(&now, "/metadata/resourceVersion").clone_into(&mut version);
                tries += 1;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// What makes `after` of `before`, as a merge patch (RFC 7396). `None` when they are the same.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(old) => patch.extend(difference(old, value).map(|value| (key.clone(), value))),
            None => drop(patch.insert(key.clone(), value.clone())),
        }
    }
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then(|| patch.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_changed_is_sent() {
        let before = json!({"a": {"b": 1, "c": [1, 2], "d": "x"}, "e": null, "f": {"g": 1}});
        for (after, want) in [
            (before.clone(), None),
            (json!({"a": {"b": 2, "c": [1, 2], "d": "x"}, "e": null, "f": {"g": 1}}), Some(json!({"a": {"b": 2}}))),
            (json!({"a": {"b": 1, "c": [1], "d": "x"}, "e": null, "f": {"g": 1}}), Some(json!({"a": {"c": [1]}}))),
            (json!({"a": {"b": 1, "c": [1, 2]}, "e": null, "f": {"g": 1}}), Some(json!({"a": {"d": null}}))),
            (json!({"a": {"b": 1, "c": [1, 2], "d": "x"}, "e": null, "f": 5, "h": {}}), Some(json!({"f": 5, "h": {}}))),
        ] {
            assert_eq!(difference(&before, &after), want, "{after}");
        }
    }
}
