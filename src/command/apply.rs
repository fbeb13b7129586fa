//! `pelton apply`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pelton_control_plane::kinds::Row;
use pelton_resource::{DEFAULT_NAMESPACE, Kind, Resource};
use serde_json::{Value, json};

use super::objects::ObjectName;
use super::output::WriteForm;
use super::print_error;
use super::target::ApiArgs;
use super::written::{Done, report};
use crate::exit::Failure;
use crate::kube::object::{name, namespace, typed, wanted};
use crate::kube::{KubeApi, KubeError, Write, kinds};
use crate::manifests::{self, Document};

/// What `pelton apply` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Objects are applied in the order of the text, each by itself: when one is refused, that is told, the others are \
                  applied, and the exit code is 1. A namespace that is missing is made. The fields that are applied belong to the \
                  field manager `pelton`: those that were applied before and are left out now are removed, and those that \
                  belong to somebody else are refused without --force-conflicts.\n\n\
                  Examples:\n  pelton apply -f triggers.yaml\n  pelton apply -f ./manifests -f extra.json --dry-run=server\n  \
                  sed s/old/new/ triggers.yaml | pelton apply -f -"
)]
pub struct ApplyArgs {
    /// A manifest, a folder of manifests, or - for standard input
    #[arg(short, long = "file", visible_alias = "filename", value_name = "FILE_OR_DIR", required = true)]
    files: Vec<PathBuf>,
    /// The namespace of objects that say none
    #[arg(short, long)]
    namespace: Option<String>,
    /// Take fields that belong to other field managers
    #[arg(long)]
    force_conflicts: bool,
    /// Have the server do everything but write. What is in a namespace that would be made first cannot be tried, which is told
    #[arg(long, value_enum, default_value_t = DryRun::None)]
    dry_run: DryRun,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = WriteForm::Text)]
    output: WriteForm,
    #[command(flatten)]
    api: ApiArgs,
}

/// Who tries what would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Nobody: it happens
    None,
    /// The server
    Server,
}

/// Applies every object, one after the other.
pub async fn run(args: ApplyArgs) -> Result<(), Failure> {
    let documents = manifests::read_documents(&args.files)?;
    let (mut api, namespace) = args.api.kube(args.namespace.as_deref())?;
    let write = Write { is_dry_run: args.dry_run == DryRun::Server, forces: args.force_conflicts };
    let mut failures = Vec::new();
    for document in documents {
        let place = document.place.clone();
        match apply(&mut api, document, &namespace, args.namespace.is_some(), write).await {
            Ok(Outcome::Stored(done, object)) => report(&object, done, write.is_dry_run, args.output)?,
            Ok(Outcome::Untried(namespace)) => print_error(&format!(
                "Warning: {place}: the namespace {namespace:?} would be made, and what is in it cannot be tried before"
            )),
            // Nobody would answer for the others either.
            Err(failure @ Failure::NoAnswer(_)) => {
                failures.push(failure);
                break;
            }
            Err(failure) => failures.push(Failure::Failed(format!("{place}: {failure}"))),
        }
    }
    Failure::all(failures)
}

/// What became of an object.
enum Outcome {
    /// It is, or would be, as it is here.
    Stored(Done, Value),
    /// At a dry run: this namespace would have to be there.
    Untried(String),
}

/// Applies an object. It is in the namespace `at` when it says none, and when it must be it may say no other.
async fn apply(
    api: &mut KubeApi,
    document: Document,
    at: &str,
    must_be: bool,
    write: Write,
) -> Result<Outcome, Failure> {
    let mut object = document.object;
    let ObjectName { row, namespace, name } = ObjectName::of_manifest(&object, at, must_be)?;
    if row.is_namespaced {
        object["metadata"]["namespace"] = namespace.as_str().into();
    }
    let before = match api.get(row, &namespace, &name).await {
        Ok(before) => Some(before),
        Err(error) if error.has_code(404) => None,
        Err(error) => return Err(error.into()),
    };
    let after = match store(api, row, &object, write).await {
        Err(error) if error.misses("namespaces") && write.is_dry_run => {
            make_namespace(api, &namespace, Write { forces: false, ..write }).await?;
            return Ok(Outcome::Untried(namespace));
        }
        outcome => outcome?,
    };
    let done = match before {
        None => Done::Created,
        Some(before) if wanted(&before) == wanted(&after) => Done::Unchanged,
        Some(_) => Done::Configured,
    };
    Ok(Outcome::Stored(done, after))
}

/// Applies an object that says where it is, and makes its namespace when that is missing; a dry run does not.
///
/// # Errors
/// [`KubeError`].
pub async fn store(api: &mut KubeApi, row: &Row, object: &Value, write: Write) -> Result<Value, KubeError> {
    let (namespace, name) = (namespace(object), name(object));
    match api.apply(row, namespace, name, object, write).await {
        Err(error) if error.misses("namespaces") && !write.is_dry_run => {
            make_namespace(api, namespace, Write::default()).await?;
            api.apply(row, namespace, name, object, write).await
        }
        outcome => outcome,
    }
}

/// Applies a resource of a manifest that goes with the program: its fields are taken from whoever has them.
///
/// # Errors
/// [`KubeError`].
pub async fn store_own(api: &mut KubeApi, resource: &Resource) -> Result<Resource, KubeError> {
    let mut object = serde_json::to_value(resource).expect("a resource is JSON");
    let row = kinds::row(resource.kind());
    if row.is_namespaced && namespace(&object).is_empty() {
        object["metadata"]["namespace"] = DEFAULT_NAMESPACE.into();
    }
    typed(store(api, row, &object, Write { is_dry_run: false, forces: true }).await?)
}

/// Makes a namespace, unless somebody else has meanwhile.
///
/// # Errors
/// It cannot be made.
pub async fn make_namespace(api: &mut KubeApi, namespace: &str, write: Write) -> Result<(), KubeError> {
    let row = kinds::row(Kind::Namespace);
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    match api.create(row, "", &object, write).await {
        Err(KubeError::Refused(status)) if status.reason == "AlreadyExists" => Ok(()),
        outcome => outcome.map(drop),
    }
}
