//! What the verbs of `kn`'s manner share: create, list, describe, update, delete of one kind.

use clap::Args;
use pelton_resource::{Kind, ResourceKey};
use serde_json::Value;

use super::apply::make_namespace;
use super::delete;
use super::describe;
use super::get::listing::Style;
use super::get::show;
use super::objects::{ObjectName, SelectArgs, Within};
use super::output::{ListForm, WriteForm};
use super::target::Name;
use super::written::{Done, report};
use crate::contexts::Target;
use crate::exit::Failure;
use crate::kube::{KubeApi, Write, kinds};

/// One by its name.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// NAME or NAMESPACE/NAME
    pub name: Name,
    /// The namespace of a name that has none [default: that of the context, else default]
    #[arg(short, long)]
    pub namespace: Option<String>,
}

impl Which {
    /// Its namespace and its name.
    pub fn within(&self, target: &Target) -> (String, String) {
        let namespace = target.namespace(self.namespace.as_deref());
        let (namespace, name) = self.name.within(&namespace);
        (namespace.to_owned(), name.to_owned())
    }

    /// The resource of that kind.
    pub fn key(&self, kind: Kind, target: &Target) -> ResourceKey {
        let (namespace, name) = self.within(target);
        ResourceKey::new(kind, namespace, name)
    }
}

/// What lists take.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub within: Within,
    #[command(flatten)]
    pub select: SelectArgs,
    /// How to print: table, wide, json, yaml, name, or jsonpath={.path}
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    pub output: ListForm,
}

/// What is shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    which: Which,
}

/// What is deleted.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// NAME or NAMESPACE/NAME
    #[arg(required = true)]
    names: Vec<Name>,
    /// The namespace of names that have none [default: that of the context, else default]
    #[arg(short, long)]
    namespace: Option<String>,
    /// Be content when one is not there
    #[arg(long)]
    ignore_not_found: bool,
}

/// Makes an object, and its namespace when that is missing.
pub async fn create(
    api: &mut KubeApi,
    kind: Kind,
    namespace: &str,
    object: &Value,
    form: WriteForm,
) -> Result<(), Failure> {
    let (row, write) = (kinds::row(kind), Write::default());
    let made = match api.create(row, namespace, object, write).await {
        Err(error) if error.misses("namespaces") => {
            make_namespace(api, namespace, write).await?;
            api.create(row, namespace, object, write).await?
        }
        outcome => outcome?,
    };
    report(&made, Done::Created, false, form)
}

/// Lists them.
pub async fn list(target: &Target, kind: Kind, args: &ListArgs) -> Result<(), Failure> {
    let row = kinds::row(kind);
    let place = args.within.place(&target.namespace(args.within.namespace.as_deref()));
    let items = target.kube().list(row, &place, &args.select.selection()).await?.items;
    let style = Style { form: args.output.clone(), shows_namespace: args.within.all_namespaces };
    show(vec![(row, items)], &style, &place)
}

/// Shows one.
pub async fn describe(target: &Target, kind: Kind, args: &ShowArgs) -> Result<(), Failure> {
    let (namespace, name) = args.which.within(target);
    describe::show(&mut target.kube(), &ObjectName { row: kinds::row(kind), namespace, name }).await
}

/// Changes one by a merge patch.
pub async fn update(
    api: &mut KubeApi,
    kind: Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
    form: WriteForm,
) -> Result<(), Failure> {
    let updated = api.patch(kinds::row(kind), namespace, name, patch, Write::default()).await?;
    report(&updated, Done::Updated, false, form)
}

/// Deletes some, and waits until they are gone.
pub async fn delete(target: &Target, kind: Kind, args: &DeleteArgs) -> Result<(), Failure> {
    let namespace = target.namespace(args.namespace.as_deref());
    let objects = args.names.iter().map(|name| {
        let (namespace, name) = name.within(&namespace);
        ObjectName { row: kinds::row(kind), namespace: namespace.to_owned(), name: name.to_owned() }
    });
    let how = delete::How { ignores_missing: args.ignore_not_found, ..delete::How::default() };
    delete::all(&mut target.kube(), objects.collect(), &how, Vec::new()).await
}

/// Nothing was said that would change anything.
pub fn nothing_to_change() -> Failure {
    Failure::Usage("nothing is to be changed: see --help for what can be".to_owned())
}
