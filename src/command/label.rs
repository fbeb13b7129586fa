//! `pelton label` and `pelton annotate`

use clap::Args;
use serde_json::{Map, Value, json};

use super::objects::{ObjectName, Objects};
use super::once::once;
use super::output::WriteForm;
use super::target::ApiArgs;
use super::written::{Done, report};
use crate::exit::Failure;
use crate::kube::{KubeApi, Write};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// By which objects are selected.
    Labels,
    /// What is noted on objects.
    Annotations,
}

/// What `pelton label` and `pelton annotate` take.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pelton label trigger orders team=shop\n  pelton label trigger/orders team- stage=test --overwrite\n  \
                        pelton annotate trigger orders pelton.dev/delivery-order=ordered"
)]
pub struct LabelArgs {
    /// KIND NAME... or KIND/NAME..., and then KEY=VALUE to set or KEY- to remove
    #[arg(value_name = "KIND", required = true, num_args = 2..)]
    words: Vec<String>,
    /// Change those that have another value
    #[arg(long)]
    overwrite: bool,
    /// The namespace of a name that has none
    #[arg(short, long)]
    namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
    #[command(flatten)]
    api: ApiArgs,
}

/// A key, and the value that it is to have, if any.
type Change = (String, Option<String>);

/// Changes labels or annotations.
pub async fn run(args: LabelArgs, which: Which) -> Result<(), Failure> {
    let (names, changes) = split(&args.words)?;
    let (mut api, at) = args.api.kube(args.namespace.as_deref())?;
    let Objects::Named(objects) = Objects::read(&names, &at)? else {
        return Err(Failure::Usage("name an object, as KIND NAME".to_owned()));
    };
    let mut failures = Vec::new();
    for object in objects {
        match change(&mut api, &object, which, &changes, args.overwrite).await {
            Ok((done, after)) => report(&after, done, false, args.output)?,
            // Nobody would answer for the others either.
            Err(failure @ Failure::NoAnswer(_)) => {
                failures.push(failure);
                break;
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

/// What the words name, and what is to be changed. A key may have a slash, so that `a.b/c=d` is no object.
fn split(words: &[String]) -> Result<(Vec<String>, Vec<Change>), Failure> {
    let read = |word: &String| match (word.split_once('='), word.strip_suffix('-')) {
        (Some((key, value)), _) if !key.is_empty() => Some((key.to_owned(), Some(value.to_owned()))),
        (None, Some(key)) if !key.is_empty() => Some((key.to_owned(), None)),
        _ => None,
    };
    let first = words.iter().position(|word| read(word).is_some()).unwrap_or(words.len());
    let (names, changes) = words.split_at(first);
    let changes: Option<Vec<Change>> = changes.iter().map(read).collect();
    match changes {
        Some(changes) if !changes.is_empty() => {
            once("KEY=VALUE or KEY-", changes.iter().map(|(key, _)| key.as_str()))?;
            Ok((names.to_vec(), changes))
        }
        _ => Err(Failure::Usage("expected KEY=VALUE or KEY- behind the names".to_owned())),
    }
}

async fn change(
    api: &mut KubeApi,
    object: &ObjectName,
    which: Which,
    changes: &[Change],
    overwrite: bool,
) -> Result<(Done, Value), Failure> {
    let ObjectName { row, namespace, name } = object;
    let (field, done) = match which {
        Which::Labels => ("labels", Done::Labeled),
        Which::Annotations => ("annotations", Done::Annotated),
    };
    let before = api.get(row, namespace, name).await?;
    let empty = Map::new();
    let has = before.pointer(&format!("/metadata/{field}")).and_then(Value::as_object).unwrap_or(&empty);
    let mut patch = Map::new();
    for (key, value) in changes {
        match (has.get(key).and_then(Value::as_str), value) {
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(_)) if !overwrite => {
                let why = format!("{object} has {key}={old} already; --overwrite changes it");
                return Err(Failure::Failed(why));
            }
            (None, None) => {}
            (_, value) => drop(patch.insert(key.clone(), json!(value))),
        }
    }
    if patch.is_empty() {
        return Ok((Done::Unchanged, before));
    }
    let patch = json!({"metadata": {field: patch}});
    Ok((done, api.patch(row, namespace, name, &patch, Write::default()).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_first_and_changes_after_them() {
        for (line, names, changes) in [
            ("trigger a x=y", "trigger a", "x=y"),
            ("trigger/a trigger/b x- a.b/c=d=e", "trigger/a trigger/b", "x- a.b/c=d=e"),
            ("trigger a x=", "trigger a", "x="),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let (found, read) = split(&words).unwrap();
            assert_eq!(found.join(" "), names);
            let text =
                |(key, value): &Change| value.as_ref().map_or(format!("{key}-"), |value| format!("{key}={value}"));
            assert_eq!(read.iter().map(text).collect::<Vec<_>>().join(" "), changes);
        }
        for bad in ["trigger a", "trigger a x=y b", "trigger a =x", "trigger a x=y x=z", "trigger a x=y x-"] {
            let words: Vec<String> = bad.split(' ').map(str::to_owned).collect();
            assert!(split(&words).is_err(), "{bad}");
        }
    }
}
