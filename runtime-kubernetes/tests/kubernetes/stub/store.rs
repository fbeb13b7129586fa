//! The objects of the stub, and what became of them. spec/kube-api.md, 5 and 7.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// A kind, by its name in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Deployments,
    Services,
    Pods,
    EndpointSlices,
}

impl Kind {
    /// The one that a path is about: `/api/v1/namespaces/NS/pods`, split at its slashes.
    pub fn of_path(path: &[&str]) -> Option<Self> {
        Some(match *path {
            ["apis", "apps", "v1", "namespaces", _, "deployments", ..] => Self::Deployments,
            ["api", "v1", "namespaces", _, "services", ..] => Self::Services,
            ["api", "v1", "namespaces", _, "pods", ..] => Self::Pods,
            ["apis", "discovery.k8s.io", "v1", "namespaces", _, "endpointslices", ..] => Self::EndpointSlices,
            _ => return None,
        })
    }

    /// `apiVersion` and `kind`.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployments => ("apps/v1", "Deployment"),
            Self::Services => ("v1", "Service"),
            Self::Pods => ("v1", "Pod"),
            Self::EndpointSlices => ("discovery.k8s.io/v1", "EndpointSlice"),
        }
    }
}

/// Something that became of an object.
#[derive(Debug, Clone)]
pub struct Event {
    pub version: u64,
    pub what: &'static str,
    kind: Kind,
    namespace: String,
    pub object: Value,
}

impl Event {
    pub fn is_of(&self, kind: Kind, namespace: &str, selector: &Selector) -> bool {
        self.kind == kind && self.namespace == namespace && selector.takes(&self.object)
    }
}

/// `key=value` and `key!=value`, with commas between.
#[derive(Debug, Default)]
pub struct Selector(Vec<(String, bool, String)>);

impl Selector {
    pub fn parse(text: &str) -> Self {
        let one = |part: &str| {
            let (key, value) = part.split_once('=')?;
            let is_wanted = !key.ends_with('!');
            Some((key.trim_end_matches('!').to_owned(), is_wanted, value.trim_start_matches('=').to_owned()))
        };
        Self(text.split(',').filter_map(one).collect())
    }

    pub fn takes(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|(key, is_wanted, value)| (labels[key] == **value) == *is_wanted)
    }
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<(Kind, String, String), Value>,
    pub version: u64,
    events: VecDeque<Event>,
    /// What became of objects up to this version is forgotten.
    forgotten: u64,
}

impl Store {
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All of a kind, in a namespace or in all, oldest first.
    pub fn list(&self, kind: Kind, namespace: Option<&str>, selector: &Selector) -> Vec<Value> {
        let is_there = |at: &str| namespace.is_none_or(|namespace| namespace == at);
        let all =
            self.objects.iter().filter(|((of, at, _), object)| *of == kind && is_there(at) && selector.takes(object));
        let mut all: Vec<_> = all.map(|(_, object)| object.clone()).collect();
        all.sort_by_key(|object| object["metadata"]["uid"].as_str().map(str::to_owned));
        all
    }

    /// Stores an object. What changes nothing is no change.
    pub fn put(&mut self, kind: Kind, namespace: &str, mut object: Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (kind, namespace.to_owned(), name);
        let before = self.objects.get(&key);
        if before == Some(&object) {
            return object;
        }
        self.version += 1;
        let (api_version, kind_name) = kind.names();
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind_name);
        let what = if let Some(before) = before {
            if kind == Kind::Deployments && before["spec"] != object["spec"] {
                object["metadata"]["generation"] = json!(before["metadata"]["generation"].as_u64().unwrap() + 1);
            }
            "MODIFIED"
        } else {
            object["metadata"]["namespace"] = json!(namespace);
            object["metadata"]["uid"] = json!(format!("uid-{:08}", self.version));
            object["metadata"]["generation"] = json!(1);
            "ADDED"
        };
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(key, object.clone());
        self.note(kind, namespace, what, object.clone());
        object
    }

    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let mut gone = self.objects.remove(&(kind, namespace.to_owned(), name.to_owned()))?;
        self.version += 1;
        gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note(kind, namespace, "DELETED", gone.clone());
        Some(gone)
    }

    fn note(&mut self, kind: Kind, namespace: &str, what: &'static str, object: Value) {
        self.events.push_back(Event { version: self.version, what, kind, namespace: namespace.to_owned(), object });
    }

    /// What became of objects after a version; `None` when that is forgotten.
    pub fn after(&self, version: u64) -> Option<Vec<Event>> {
        if version < self.forgotten {
            return None;
        }
        Some(self.events.iter().filter(|event| event.version > version).cloned().collect())
    }

    /// Forgets what became of objects.
    pub fn forget(&mut self) {
        self.version += 1;
        self.forgotten = self.version;
        self.events.clear();
    }
}

/// RFC 7386, and well enough a server-side apply of one manager that says all it wants.
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
