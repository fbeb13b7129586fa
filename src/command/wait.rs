//! `pelton wait`

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::objects::{ObjectName, Objects, SelectArgs, Within};
use super::output::FieldPath;
use super::print_line;
use super::target::ApiArgs;
use crate::config::parse_duration;
use crate::exit::Failure;
use crate::kube::object::{name, namespace, text};
use crate::kube::{Change, Follow, KubeApi, Place, Selection};

/// How long the last looks may take, when the time is over.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// What `pelton wait` takes.
#[derive(Debug, Args)]
#[command(after_help = "Nothing is asked again and again: the server tells each change.\n\n\
                        Examples:\n  pelton wait --for=condition=Ready trigger/orders\n  \
                        pelton wait --for=condition=Ready triggers --all --timeout 2m\n  \
                        pelton wait --for=condition=Ready=False broker default\n  \
                        pelton wait --for=jsonpath={.status.url}=http://hello.default.localhost ksvc/hello\n  \
                        pelton wait --for=delete trigger/orders")]
pub struct WaitArgs {
    /// KIND NAME..., KIND/NAME..., or a KIND with --all or -l
    #[arg(value_name = "KIND", required = true)]
    words: Vec<String>,
    /// condition=NAME[=STATUS], jsonpath={.path}[=VALUE], create or delete
    #[arg(long = "for", value_name = "WHAT")]
    what: What,
    #[command(flatten)]
    within: Within,
    #[command(flatten)]
    select: SelectArgs,
    /// All of the kind in the namespace that there are now
    #[arg(long)]
    all: bool,
    /// How long to wait at most; 0s looks once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    api: ApiArgs,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A condition has that status.
    Condition {
        /// Which.
        name: String,
        /// The status.
        status: String,
    },
    /// A field has that value, or any.
    Field {
        /// Where it is.
        path: FieldPath,
        /// The value.
        value: Option<String>,
    },
    /// It is there.
    Creation,
    /// It is gone.
    Deletion,
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (what, rest) = text.split_once('=').unwrap_or((text, ""));
        match what {
            "delete" if rest.is_empty() => Ok(Self::Deletion),
            "create" if rest.is_empty() => Ok(Self::Creation),
            "condition" if !rest.is_empty() => {
                let (name, status) = rest.split_once('=').unwrap_or((rest, "True"));
                Ok(Self::Condition { name: name.to_owned(), status: status.to_owned() })
            }
            "jsonpath" => {
                // The path may have `==` in it, so that it ends with its brace where it has one.
                let (path, value) = match rest.rfind('}') {
                    Some(end) if rest.starts_with('{') => (&rest[..=end], rest[end + 1..].strip_prefix('=')),
                    _ => rest.split_once('=').map_or((rest, None), |(path, value)| (path, Some(value))),
                };
                Ok(Self::Field { path: path.parse()?, value: value.map(str::to_owned) })
            }
            _ => Err("expected condition=NAME[=STATUS], jsonpath={.path}[=VALUE], create or delete".to_owned()),
        }
    }
}

impl What {
    /// Whether an object that is there is as it is waited for.
    fn is_true_of(&self, object: &Value) -> bool {
        match self {
            Self::Creation => true,
            Self::Deletion => false,
            Self::Field { path, value } => match (path.look_up(object), value) {
                (Some(found), Some(value)) => found == *value,
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            },
            Self::Condition { name, status } => {
                let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
                let has = |condition: &Value| {
                    text(condition, "/type").eq_ignore_ascii_case(name)
                        && text(condition, "/status").eq_ignore_ascii_case(status)
                };
                is_observed(object) && conditions.into_iter().flatten().any(has)
            }
        }
    }
}

/// Whether its status is about what it is wanted to be now.
fn is_observed(object: &Value) -> bool {
    let number = |pointer| object.pointer(pointer).and_then(Value::as_i64);
    match (number("/status/observedGeneration"), number("/metadata/generation")) {
        (Some(observed), Some(generation)) => observed >= generation,
        _ => true,
    }
}

/// The condition, as the line that says it was not met calls it.
impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Condition { name, status } => write!(f, "condition {name}={status}"),
            Self::Field { path, value: Some(value) } => write!(f, "{path}={value}"),
            Self::Field { path, value: None } => write!(f, "{path}"),
            Self::Creation => f.write_str("creation"),
            Self::Deletion => f.write_str("deletion"),
        }
    }
}

/// Waits for each object, one after the other, within the same time.
pub async fn run(args: WaitArgs) -> Result<(), Failure> {
    let (mut api, at) = args.api.kube(args.within.namespace.as_deref())?;
    let deadline = Instant::now() + args.timeout;
    let last_look = deadline + LAST_LOOK;
    let mut failures = Vec::new();
    for object in objects(&args, &mut api, &at).await? {
        let outcome = match timeout_at(deadline, until(&mut api, &object, &args.what)).await {
            Ok(outcome) => outcome.map(|()| true),
            // One before it may have taken all the time.
            Err(_) => timeout_at(last_look, is_so(&mut api, &object, &args.what)).await.unwrap_or(Ok(false)),
        };
        match outcome {
            Ok(true) => print_line(&format!("{object} condition met"))?,
            Ok(false) => failures.push(Failure::Failed(format!(
                "timed out waiting for the {} of {object} within {:?}",
                args.what, args.timeout
            ))),
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

async fn objects(args: &WaitArgs, api: &mut KubeApi, at: &str) -> Result<Vec<ObjectName>, Failure> {
    let selects = args.all || !args.select.is_empty();
    match Objects::read(&args.words, at)? {
        Objects::Named(names) if !selects && !args.within.all_namespaces => Ok(names),
        Objects::OfKinds(rows) if selects => {
            let mut objects = Vec::new();
            for row in rows {
                let list = api.list(row, &args.within.place(at), &args.select.selection()).await?;
                objects.extend(list.items.iter().map(|item| ObjectName {
                    row,
                    namespace: namespace(item).to_owned(),
                    name: name(item).to_owned(),
                }));
            }
            // What is not there is gone already.
            if objects.is_empty() && args.what != What::Deletion {
                return Err(Failure::Failed("no matching resources found".to_owned()));
            }
            Ok(objects)
        }
        Objects::Named(_) => {
            Err(Failure::Usage("a name is waited for by itself, without --all, a selector or -A".to_owned()))
        }
        Objects::OfKinds(_) => Err(Failure::Usage("name what is waited for, or say --all or -l".to_owned())),
    }
}

/// Whether it is so now.
async fn is_so(api: &mut KubeApi, object: &ObjectName, what: &What) -> Result<bool, Failure> {
    match api.get(object.row, &object.namespace, &object.name).await {
        Err(error) if error.has_code(404) && matches!(what, What::Creation | What::Deletion) => {
            Ok(*what == What::Deletion)
        }
        outcome => Ok(what.is_true_of(&outcome?)),
    }
}

async fn until(api: &mut KubeApi, object: &ObjectName, what: &What) -> Result<(), Failure> {
    let ObjectName { row, namespace, name } = object;
    // Who waits for something of an object that is not there has its name wrong, as a rule.
    match api.get(row, namespace, name).await {
        Err(error) if error.has_code(404) && *what == What::Deletion => return Ok(()),
        Err(error) if error.has_code(404) && *what == What::Creation => {}
        outcome => drop(outcome?),
    }
    let mut follow = Follow::new(api, row, Place::Namespace(namespace.clone()), Selection::named(name));
    let mut is_first = true;
    loop {
        let changes = follow.next().await?;
        let is_gone = (is_first && changes.is_empty()) || matches!(changes.last(), Some(Change::Gone(_)));
        match what {
            What::Deletion if is_gone => return Ok(()),
            What::Creation | What::Deletion => {}
            What::Condition { .. } | What::Field { .. } if is_gone => {
                return Err(Failure::Failed(format!("{object} is gone")));
            }
            What::Condition { .. } | What::Field { .. } => {}
        }
        if changes.iter().any(|change| matches!(change, Change::Is(it) if what.is_true_of(it))) {
            return Ok(());
        }
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each row: what is waited for, and whether it is true of the object below.
    #[test]
    fn what_is_waited_for_is_read_and_looked_at() {
        let object = json!({
            "metadata": {"generation": 2},
            "status": {"observedGeneration": 2, "url": "http://x?a=b", "conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        for (text, want) in [
            ("condition=Ready", true),
            ("condition=ready=true", true),
            ("condition=Ready=False", false),
            ("condition=Other=False", true),
            ("condition=None", false),
            ("jsonpath={.status.url}=http://x?a=b", true),
            ("jsonpath=.status.url=http://x?a=b", true),
            ("jsonpath={.status.url}", true),
            ("jsonpath={.status.none}", false),
            (r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}=True"#, true),
            ("jsonpath={.metadata.generation}=2", true),
            ("create", true),
            ("delete", false),
        ] {
            assert_eq!(text.parse::<What>().unwrap().is_true_of(&object), want, "{text}");
        }
        for bad in ["", "condition", "condition=", "delete=now", "jsonpath=", "jsonpath={.a[*]}=x", "ready"] {
            assert!(bad.parse::<What>().is_err(), "{bad}");
        }
        let mut behind = object;
        behind["metadata"]["generation"] = 3.into();
        assert!(!"condition=Ready".parse::<What>().unwrap().is_true_of(&behind), "the status is of an older spec");
    }
}
