//! `pelton service`

pub mod describe;

use clap::{Args, Subcommand};
use pelton_resource::conditions::CONTAINER_HEALTHY;
use pelton_resource::serving::Revision;
use pelton_resource::{ConditionStatus, Kind, Resource, ResourceKey};
use serde::Serialize;

use self::describe::Described;
use super::get;
use super::output::{Form, json, yaml};
use super::print;
use super::target::{ApiArgs, Name};
use crate::admin::{Admin, AdminError, LogsQuery, NOT_HERE};
use crate::api::serving_view::{InstancesView, LogRecord};
use crate::exit::Failure;

/// How many of its last lines are shown of a Revision that ends again and again.
const LAST_LINES: u64 = 10;

/// The reason of a condition of such a Revision.
const CRASH_LOOP: &str = "CrashLoop";

/// What `pelton service` takes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pelton service list -n shop -o wide\n  pelton service describe hello\n  \
                        pelton service describe shop/orders -o json")]
pub struct ServiceArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List Services
    List(ListArgs),
    /// Show one: where it is, who answers, its Revisions with their instances on the node that is asked, what is wrong
    Describe(DescribeArgs),
}

/// What lists take.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those of this namespace
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = get::Output::Table)]
    pub output: get::Output,
}

/// What is described.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// NAME or NAMESPACE/NAME
    pub name: Name,
    /// The namespace of a name that has none
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

impl DescribeArgs {
    /// The resource of that kind.
    pub fn key(&self, kind: Kind) -> ResourceKey {
        self.name.key(kind, self.namespace.as_deref())
    }
}

/// Prints a value for machines, or a text for people.
///
/// # Errors
/// As [`print()`].
pub fn show<T: Serialize>(value: &T, form: Form, text: impl FnOnce() -> String) -> Result<(), Failure> {
    print(&match form {
        Form::Text => text(),
        Form::Json => json(value)?,
        Form::Yaml => yaml(value)?,
    })
}

/// Lists or shows Services.
pub async fn run(args: ServiceArgs) -> Result<(), Failure> {
    let mut admin = args.api.admin()?;
    match args.verb {
        Verb::List(list) => {
            get::show(admin.list(Kind::Service, list.namespace.as_deref()).await?, Kind::Service, list.output)
        }
        Verb::Describe(described) => {
            let value = ask(&mut admin, described.key(Kind::Service)).await?;
            show(&value, described.output, || describe::text(&value, describe::now()))
        }
    }
}

/// Everything about one Service.
async fn ask(admin: &mut Admin, key: ResourceKey) -> Result<Described, Failure> {
    let Resource::Service(service) = admin.show(&key).await? else {
        return Err(Failure::Failed(format!("{key} is something else")));
    };
    let instances = instances(admin, &key).await?;
    let mut revisions = Vec::new();
    for item in admin.list(Kind::Revision, Some(&key.namespace)).await? {
        let Resource::Revision(revision) = item else { continue };
        if revision.service_name() != Some(key.name.as_str()) {
            continue;
        }
        let here = instances.iter().flatten().find(|here| here.revision == revision.metadata.name).cloned();
        let last_lines = if is_crash_loop(&revision) { last_lines(admin, &revision).await? } else { Vec::new() };
        revisions.push(describe::DescribedRevision { revision, instances: here, last_lines });
    }
    revisions.reverse();
    Ok(Described { service, runs_here: instances.is_some(), revisions })
}

/// What instances are doing on the node that is asked; `None` when none can be there.
async fn instances(admin: &mut Admin, key: &ResourceKey) -> Result<Option<Vec<InstancesView>>, Failure> {
    match admin.instances(key).await {
        Ok(here) => Ok(Some(here)),
        Err(AdminError::Refused(problem)) if problem.status == NOT_HERE => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_crash_loop(revision: &Revision) -> bool {
    let healthy = revision.status.conditions.find(CONTAINER_HEALTHY);
    healthy.is_some_and(|healthy| healthy.status == ConditionStatus::False && healthy.reason == CRASH_LOOP)
}

async fn last_lines(admin: &Admin, revision: &Revision) -> Result<Vec<String>, Failure> {
    let meta = &revision.metadata;
    let key = ResourceKey::new(Kind::Revision, meta.namespace.clone(), meta.name.clone());
    let query = LogsQuery { tail: Some(LAST_LINES), ..LogsQuery::default() };
    let mut lines = Vec::new();
    let mut stream = match admin.logs(&key, &query).await {
        Ok(stream) => stream,
        // It ran elsewhere, or printed nothing.
        Err(AdminError::Refused(_)) => return Ok(lines),
        Err(error) => return Err(error.into()),
    };
    while let Some(record) = stream.next().await? {
        if let LogRecord::Line { text, .. } = record {
            lines.push(text);
        }
    }
    Ok(lines)
}
