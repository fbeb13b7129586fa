//! `pelton delete`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::objects::{ObjectName, Objects, SelectArgs, Within};
use super::target::ApiArgs;
use super::{print_error, print_line};
use crate::config::parse_duration;
use crate::exit::Failure;
use crate::kube::object::{name, namespace, text};
use crate::kube::{Change, Follow, KubeApi, Place, Selection};
use crate::manifests;

/// What `pelton delete` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pelton delete trigger orders\n  pelton delete broker shop/default --ignore-not-found\n  \
                        pelton delete triggers -l team=shop\n  pelton delete triggers --all -n shop\n  \
                        pelton delete -f triggers.yaml --cascade=orphan"
)]
pub struct DeleteArgs {
    /// KIND NAME..., or KIND/NAME...; a NAME may be NAMESPACE/NAME
    #[arg(value_name = "KIND", required_unless_present = "files")]
    words: Vec<String>,
    /// What stands in a manifest, a folder of manifests, or - for standard input
    #[arg(short, long = "file", visible_alias = "filename", value_name = "FILE_OR_DIR", conflicts_with_all = ["words", "selector", "field_selector", "all", "all_namespaces"])]
    files: Vec<PathBuf>,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    select: SelectArgs,
    /// All of the kind in the namespace
    #[arg(long)]
    all: bool,
    /// Be content when it is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// What becomes of what belongs to it
    #[arg(long, value_enum, default_value_t = Cascade::Background)]
    cascade: Cascade,
    /// Return once it is gone, not when that was asked for
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: bool,
    /// How long to wait for that [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Print names alone
    #[arg(short, long, value_enum)]
    output: Option<NameForm>,
    #[command(flatten)]
    api: ApiArgs,
}

/// What becomes of what belongs to an object that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cascade {
    /// It is deleted as well
    Background,
    /// It stays
    Orphan,
}

/// The only other form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NameForm {
    /// trigger.eventing.knative.dev/orders
    Name,
}

/// How objects are deleted.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// What belongs to them stays.
    pub orphans: bool,
    /// One that is not there is as good as deleted.
    pub ignores_missing: bool,
    /// Whether to wait until they are gone.
    pub waits: bool,
    /// How long, if not for ever.
    pub timeout: Option<Duration>,
    /// Only names are printed.
    pub prints_names: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { orphans: false, ignores_missing: false, waits: true, timeout: None, prints_names: false }
    }
}

/// An object that is to be gone, with the uid that it has.
struct Leaving {
    object: ObjectName,
    uid: String,
}

/// Deletes objects, and waits until they are gone.
pub async fn run(args: DeleteArgs) -> Result<(), Failure> {
    let (mut api, namespace) = args.api.kube(args.within.namespace.as_deref())?;
    let mut failures = Vec::new();
    let objects = objects(&args, &mut api, &namespace, &mut failures).await?;
    let how = How {
        orphans: args.cascade == Cascade::Orphan,
        ignores_missing: args.ignore_not_found,
        waits: args.wait,
        timeout: args.timeout,
        prints_names: args.output == Some(NameForm::Name),
    };
    all(&mut api, objects, &how, failures).await
}

/// Deletes these. Those that can be are, whatever the others are.
///
/// # Errors
/// `failures`, and why some could not be deleted.
pub async fn all(
    api: &mut KubeApi,
    objects: Vec<ObjectName>,
    how: &How,
    mut failures: Vec<Failure>,
) -> Result<(), Failure> {
    let mut leaving = Vec::new();
    for object in objects {
        match delete(api, &object, how).await {
            Ok(stays) => leaving.extend(stays.map(|uid| Leaving { object, uid })),
            // Nobody would answer for the others either.
            Err(failure @ Failure::NoAnswer(_)) => {
                failures.push(failure);
                return Failure::all(failures);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let deadline = how.timeout.map(|timeout| Instant::now() + timeout);
    for Leaving { object, uid } in leaving.into_iter().filter(|_| how.waits) {
        let gone = until_gone(api, &object, &uid);
        let outcome = match deadline {
            None => gone.await,
            Some(deadline) => timeout_at(deadline, gone).await.unwrap_or_else(|_| {
                let why = format!("timed out waiting for {object} to be gone: see its metadata.finalizers");
                Err(Failure::Failed(why))
            }),
        };
        match outcome {
            Err(failure @ Failure::NoAnswer(_)) => {
                failures.push(failure);
                break;
            }
            outcome => failures.extend(outcome.err()),
        }
    }
    Failure::all(failures)
}

/// What is to be deleted. What cannot be is among the failures.
async fn objects(
    args: &DeleteArgs,
    api: &mut KubeApi,
    at: &str,
    failures: &mut Vec<Failure>,
) -> Result<Vec<ObjectName>, Failure> {
    if !args.files.is_empty() {
        let mut objects = Vec::new();
        for document in manifests::read_documents(&args.files)? {
            match ObjectName::of_manifest(&document.object, at, args.within.namespace.is_some()) {
                Ok(object) => objects.push(object),
                Err(failure) => failures.push(Failure::Failed(format!("{}: {failure}", document.place))),
            }
        }
        return Ok(objects);
    }
    let selects = args.all || !args.select.is_empty();
    match Objects::read(&args.words, at)? {
        Objects::Named(_) if selects || args.within.all_namespaces => {
            Err(Failure::Usage("a name is deleted by itself, without --all, a selector or -A".to_owned()))
        }
        Objects::Named(names) => Ok(names),
        Objects::OfKinds(_) if !selects => {
            Err(Failure::Usage("name what is to be deleted, or say --all, -l or --field-selector".to_owned()))
        }
        Objects::OfKinds(rows) => {
            let mut objects = Vec::new();
            for row in rows {
                let list = api.list(row, &args.within.place(at), &args.select.selection()).await?;
                objects.extend(list.items.iter().map(|item| ObjectName {
                    row,
                    namespace: namespace(item).to_owned(),
                    name: name(item).to_owned(),
                }));
            }
            if objects.is_empty() {
                print_error("No resources found.");
            }
            Ok(objects)
        }
    }
}

/// Deletes one, and says so. Gives its uid when it stays for now.
async fn delete(api: &mut KubeApi, object: &ObjectName, how: &How) -> Result<Option<String>, Failure> {
    let policy = if how.orphans { "Orphan" } else { "Background" };
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    let stays = match api.delete(object.row, &object.namespace, &object.name, &options).await {
        Ok(stays) => stays,
        Err(error) if how.ignores_missing && error.has_code(404) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    print_line(&if how.prints_names { object.to_string() } else { format!("{object} deleted") })?;
    Ok(stays.map(|object: Value| text(&object, "/metadata/uid").to_owned()))
}

/// Waits until it is gone. Another of its name is another one.
async fn until_gone(api: &mut KubeApi, object: &ObjectName, uid: &str) -> Result<(), Failure> {
    let place = Place::Namespace(object.namespace.clone());
    let mut follow = Follow::new(api, object.row, place, Selection::named(&object.name));
    let mut is_first = true;
    loop {
        let changes = follow.next().await?;
        let is_it = |change: &Change| matches!(change, Change::Is(it) if text(it, "/metadata/uid") == uid);
        let is_gone = |change: &Change| matches!(change, Change::Gone(it) if text(it, "/metadata/uid") == uid);
        if changes.iter().any(is_gone) || (is_first && !changes.iter().any(is_it)) {
            return Ok(());
        }
        is_first = false;
    }
}
