//! `pelton service`

pub mod describe;

use clap::{Args, Subcommand};
use pelton_resource::conditions::CONTAINER_HEALTHY;
use pelton_resource::serving::labels::SERVICE;
use pelton_resource::serving::{Revision, Service};
use pelton_resource::{ConditionStatus, Kind, ResourceKey};
use serde::Serialize;

use self::describe::Described;
use super::output::{Form, json, yaml};
use super::print;
use super::target::ApiArgs;
use super::verbs::{self, ListArgs, Which};
use crate::admin::{Admin, AdminError, LogsQuery, NOT_HERE};
use crate::api::serving_view::{InstancesView, LogRecord};
use crate::contexts::Target;
use crate::exit::Failure;
use crate::kube::{Place, Selection, kinds, object};

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

/// What is described.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    pub which: Which,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
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
    let target = args.api.target()?;
    match args.verb {
        Verb::List(list) => verbs::list(&target, Kind::Service, &list).await,
        Verb::Describe(described) => {
            let value = ask(&target, described.which.key(Kind::Service, &target)).await?;
            show(&value, described.output, || describe::text(&value, describe::now()))
        }
    }
}

/// Everything about one Service.
async fn ask(target: &Target, key: ResourceKey) -> Result<Described, Failure> {
    let (mut api, mut admin) = (target.kube(), target.admin());
    let service: Service = object::typed(api.get(kinds::row(Kind::Service), &key.namespace, &key.name).await?)?;
    let instances = instances(&mut admin, &key).await?;
    let (place, own) = (Place::Namespace(key.namespace.clone()), format!("{SERVICE}={}", key.name));
    let selection = Selection { labels: Some(own), fields: None };
    let mut revisions = Vec::new();
    for item in api.list(kinds::row(Kind::Revision), &place, &selection).await?.items {
        let revision: Revision = object::typed(item)?;
        let here = instances.iter().flatten().find(|here| here.revision == revision.metadata.name).cloned();
        let last_lines = if is_crash_loop(&revision) { last_lines(&admin, &revision).await? } else { Vec::new() };
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
