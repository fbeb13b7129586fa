//! Which objects a command is about, as kubectl has one say it.

use clap::Args;
use pelton_control_plane::kinds::Row;
use serde_json::Value;

use crate::exit::Failure;
use crate::kube::object::{name, namespace, text};
use crate::kube::{Place, Selection, kinds};

/// In which namespace.
#[derive(Debug, Clone, Default, Args)]
pub struct Within {
    /// The namespace [default: that of the context, else default]
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
}

impl Within {
    /// Where to look, when `namespace` is the one that is meant without these.
    pub fn place(&self, namespace: &str) -> Place {
        if self.all_namespaces { Place::Everywhere } else { Place::Namespace(namespace.to_owned()) }
    }
}

/// Which of the objects of a kind.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectArgs {
    /// Only those with these labels: a=b, a!=b, a, !a, a in (b,c)
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Only those with these fields, such as metadata.name=x
    #[arg(long, value_name = "FIELDS")]
    pub field_selector: Option<String>,
}

impl SelectArgs {
    /// As the API is asked.
    pub fn selection(&self) -> Selection {
        Selection { labels: self.selector.clone(), fields: self.field_selector.clone() }
    }

    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.selector.is_none() && self.field_selector.is_none()
    }
}

/// One object by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    /// Its kind.
    pub row: &'static Row,
    /// Its namespace; of no account when its kind has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Which objects are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// Those of these kinds.
    OfKinds(Vec<&'static Row>),
    /// These.
    Named(Vec<ObjectName>),
}

impl Objects {
    /// Reads `KIND[,KIND]`, `KIND NAME...` or `KIND/NAME...`. A name may have its namespace before it: `shop/orders`; else it is
    /// in `namespace`.
    ///
    /// # Errors
    /// A kind is not known, or something has no name.
    pub fn read(words: &[String], namespace: &str) -> Result<Self, Failure> {
        let Some((first, names)) = words.split_first() else {
            return Err(Failure::Usage("name a kind, such as triggers".to_owned()));
        };
        if first.contains('/') {
            let mut named = Vec::new();
            for word in words {
                let (kind, name) = word
                    .split_once('/')
                    .ok_or_else(|| Failure::Usage(format!("{word:?} is not KIND/NAME as {first:?} is")))?;
                for row in kinds::find(kind)? {
                    named.push(ObjectName::read(row, name, namespace)?);
                }
            }
            return Ok(Self::Named(named));
        }
        let mut rows = Vec::new();
        for kind in first.split(',') {
            rows.extend(kinds::find(kind)?);
        }
        if names.is_empty() {
            return Ok(Self::OfKinds(rows));
        }
        let mut named = Vec::new();
        for row in rows {
            for name in names {
                named.push(ObjectName::read(row, name, namespace)?);
            }
        }
        Ok(Self::Named(named))
    }

    /// These, where a name is looked for by itself.
    ///
    /// # Errors
    /// There is a selector or `-A` beside a name.
    pub fn by_themselves(self, within: &Within, select: &SelectArgs) -> Result<Self, Failure> {
        if matches!(self, Self::Named(_)) && (!select.is_empty() || within.all_namespaces) {
            return Err(Failure::Usage("a name is looked for by itself, without a selector or -A".to_owned()));
        }
        Ok(self)
    }
}

impl ObjectName {
    /// Which object stands in a manifest. It is in the namespace `at` when it says none, and when it must be it may say no other.
    ///
    /// # Errors
    /// Its kind is not known, or it is in another namespace.
    pub fn of_manifest(object: &Value, at: &str, must_be: bool) -> Result<Self, Failure> {
        let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let Some(row) = kinds::of_manifest(api_version, kind) else {
            return Err(Failure::Failed(format!("no matches for kind {kind:?} in version {api_version:?}")));
        };
        let said = Some(namespace(object)).filter(|said| !said.is_empty());
        if let Some(said) = said.filter(|said| row.is_namespaced && must_be && *said != at) {
            return Err(Failure::Failed(format!("it is in the namespace {said:?}, and --namespace is {at:?}")));
        }
        Ok(Self { row, namespace: said.unwrap_or(at).to_owned(), name: name(object).to_owned() })
    }

    fn read(row: &'static Row, text: &str, namespace: &str) -> Result<Self, Failure> {
        let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err(Failure::Usage(format!("{text:?} is neither NAME nor NAMESPACE/NAME")));
        }
        Ok(Self { row, namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// `trigger.eventing.knative.dev/orders`.
impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", kinds::qualified(self.row), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row is what is typed, and which objects it means: `kind namespace/name`, or a kind alone.
    #[test]
    fn objects_are_named_as_to_kubectl() {
        for (line, want) in [
            ("triggers", "triggers"),
            ("brokers,trigger", "brokers triggers"),
            ("eventing", "brokers triggers"),
            ("trigger orders", "triggers at/orders"),
            ("trigger a shop/b", "triggers at/a|triggers shop/b"),
            ("broker,trigger x", "brokers at/x|triggers at/x"),
            ("broker/a trigger/shop/b", "brokers at/a|triggers shop/b"),
            ("ns shop", "namespaces at/shop"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let found = match Objects::read(&words, "at").unwrap() {
                Objects::OfKinds(rows) => rows.iter().map(|row| row.plural).collect::<Vec<_>>().join(" "),
                Objects::Named(names) => {
                    let names = names.iter().map(|it| format!("{} {}/{}", it.row.plural, it.namespace, it.name));
                    names.collect::<Vec<_>>().join("|")
                }
            };
            assert_eq!(found, want, "{line}");
        }
        for bad in
            ["channels", "trigger/", "trigger/a broker", "trigger a/", "trigger a/b/c", "trigger/a/b/c", "trigger,"]
        {
            let words: Vec<String> = bad.split(' ').map(str::to_owned).collect();
            assert!(matches!(Objects::read(&words, "at"), Err(Failure::Usage(_))), "{bad}");
        }
        assert!(Objects::read(&[], "at").is_err());
    }
}
