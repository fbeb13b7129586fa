//! `pelton get`

pub mod columns;
pub mod listing;

use clap::Args;
use pelton_control_plane::kinds::Row;
use pelton_env::{Clock as _, SystemClock};
use serde_json::Value;

use self::listing::{Listing, Style};
use super::objects::{ObjectName, Objects, SelectArgs, Within};
use super::output::ListForm;
use super::target::ApiArgs;
use super::{print, print_error, print_while_read};
use crate::exit::Failure;
use crate::kube::{Change, Follow, KubeApi, Place, Selection};

/// What `pelton get` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Kinds have their names of Knative and Kubernetes, singular, plural or short: brokers, triggers, services \
                        (ksvc), configurations, revisions, routes, domainmappings, namespaces, configmaps, secrets, \
                        serviceaccounts, svc (the core kind), events; all, knative, eventing and serving are several.\n\n\
                        Examples:\n  pelton get brokers\n  pelton get brokers,triggers -A\n  pelton get trigger orders -o yaml\n  \
                        pelton get ksvc -n shop -o wide\n  pelton get triggers -l team=shop -w\n  \
                        pelton get broker default -o jsonpath={.status.address.url}\n  pelton get triggers -o yaml > triggers.yaml"
)]
pub struct GetArgs {
    /// KIND or KIND,KIND, KIND NAME..., or KIND/NAME...; a NAME may be NAMESPACE/NAME
    #[arg(value_name = "KIND", required = true)]
    words: Vec<String>,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    select: SelectArgs,
    /// Go on with every change
    #[arg(short, long)]
    watch: bool,
    /// How to print: table, wide, json, yaml, name, or jsonpath={.path}
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: ListForm,
    #[command(flatten)]
    api: ApiArgs,
}

/// Lists objects, or shows them.
pub async fn run(args: GetArgs) -> Result<(), Failure> {
    let (mut api, namespace) = args.api.kube(args.within.namespace.as_deref())?;
    let place = args.within.place(&namespace);
    let objects = Objects::read(&args.words, &namespace)?.by_themselves(&args.within, &args.select)?;
    let style = Style { form: args.output.clone(), shows_namespace: args.within.all_namespaces };
    if args.watch {
        let (row, place, selection) = only(objects, place, args.select.selection())?;
        return watch(&mut api, row, place, selection, style).await;
    }
    match objects {
        Objects::OfKinds(rows) => {
            let mut found = Vec::new();
            for row in rows {
                found.push((row, api.list(row, &place, &args.select.selection()).await?.items));
            }
            show(found, &style, &place)
        }
        Objects::Named(names) => named(&mut api, &names, &style).await,
    }
}

/// What is watched: one kind, or one object.
fn only(objects: Objects, place: Place, selection: Selection) -> Result<(&'static Row, Place, Selection), Failure> {
    match objects {
        Objects::OfKinds(rows) if rows.len() == 1 => Ok((rows[0], place, selection)),
        Objects::Named(names) if names.len() == 1 => {
            let ObjectName { row, namespace, name } = &names[0];
            Ok((row, Place::Namespace(namespace.clone()), Selection::named(name)))
        }
        Objects::OfKinds(_) | Objects::Named(_) => {
            Err(Failure::Usage("one kind or one object can be watched at a time".to_owned()))
        }
    }
}

/// Prints what was listed of each kind; says so when there is nothing.
///
/// # Errors
/// As [`print()`].
pub fn show(found: Vec<(&'static Row, Vec<Value>)>, style: &Style, place: &Place) -> Result<(), Failure> {
    let is_table = matches!(style.form, ListForm::Table | ListForm::Wide);
    if is_table && found.iter().all(|(_, items)| items.is_empty()) {
        match place {
            Place::Namespace(namespace) if found.iter().all(|(row, _)| row.is_namespaced) => {
                print_error(&format!("No resources found in the namespace {namespace}."));
            }
            _ => print_error("No resources found."),
        }
        return Ok(());
    }
    let several = found.len() > 1;
    let found = found.into_iter().filter(|(_, items)| !items.is_empty());
    print(&listing::text(found.collect(), style, several, SystemClock.now())?)
}

/// Shows objects by their names. Those that are there are shown, whatever the others are.
async fn named(api: &mut KubeApi, names: &[ObjectName], style: &Style) -> Result<(), Failure> {
    let mut found: Vec<(&'static Row, Vec<Value>)> = Vec::new();
    let mut failures = Vec::new();
    for ObjectName { row, namespace, name } in names {
        match api.get(row, namespace, name).await.map_err(Failure::from) {
            Ok(item) => match found.last_mut().filter(|(last, _)| last == row) {
                Some((_, items)) => items.push(item),
                None => found.push((row, vec![item])),
            },
            // Nobody would answer for the others either.
            Err(failure @ Failure::NoAnswer(_)) => {
                failures.push(failure);
                break;
            }
            Err(failure) => failures.push(failure),
        }
    }
    match found.as_slice() {
        [] => {}
        [(row, items)] if names.len() == 1 && items.len() == 1 => print(&listing::one(row, &items[0], style)?)?,
        [_, others @ ..] => {
            let several = !others.is_empty();
            print(&listing::text(found, style, several, SystemClock.now())?)?;
        }
    }
    Failure::all(failures)
}

async fn watch(
    api: &mut KubeApi,
    row: &'static Row,
    place: Place,
    selection: Selection,
    style: Style,
) -> Result<(), Failure> {
    let mut listing = Listing::new(row, style, false);
    let mut follow = Follow::new(api, row, place, selection);
    loop {
        for change in follow.next().await? {
            let (Change::Is(item) | Change::Gone(item)) = change;
            listing.add(item);
        }
        if !print_while_read(&listing.take(SystemClock.now())?)? {
            return Ok(());
        }
    }
}
