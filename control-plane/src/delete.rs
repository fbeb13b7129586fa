//! Deletions.

use pelton_client::objects::{Removal, removal};
use pelton_client::version::version_at;
use pelton_client::{ApplyError, Client, Write};
use pelton_resource::{DEFAULT_NAMESPACE, Kind, ObjectMeta, Resource, ResourceKey, Time};
use serde_json::Value;

use crate::ControlPlane;
use crate::list::selected;
use crate::options::check_dry_run;
use crate::query::Query;
use crate::selection::Selection;
use crate::status::{ApiError, row_of};
use crate::target::{Part, Target};
use crate::write::TRIES;

/// Holds an object until what it owns has lost it as an owner. Kubernetes' own name.
const ORPHAN: &str = "orphan";

/// What a deletion is asked to be: the body of a request, and its query where that says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Only the object with this uid.
    pub uid: Option<String>,
    /// Only the object of this version.
    pub version: Option<String>,
    /// What it owns stays.
    pub orphans: bool,
    /// Nothing is done.
    pub is_dry_run: bool,
}

impl DeleteOptions {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(body: Option<&Value>, query: &Query) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let empty = Value::Null;
        let body = body.unwrap_or(&empty);
        if !body.is_null() && !body.is_object() {
            return Err(ApiError::bad_request("DeleteOptions: it is no JSON object"));
        }
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        options.uid = text("/preconditions/uid").map(str::to_owned);
        options.version = text("/preconditions/resourceVersion").map(str::to_owned);
        match text("/propagationPolicy").or(query.text("propagationPolicy")) {
            None | Some("Background" | "Foreground") => {}
            Some("Orphan") => options.orphans = true,
            Some(other) => {
                let why = format!(
                    "Unsupported value: {other:?}: supported values: \"Background\", \"Foreground\", \"Orphan\""
                );
                return Err(ApiError::invalid_options("DeleteOptions", "propagationPolicy", &why));
            }
        }
        options.orphans |=
            body.get("orphanDependents") == Some(&Value::Bool(true)) || query.flag("orphanDependents")?;
        let listed = body.get("dryRun").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().map(|value| value.as_str().unwrap_or_default());
        for value in listed.chain(query.all("dryRun")).filter(|value| !value.is_empty()) {
            check_dry_run("DeleteOptions", value)?;
            options.is_dry_run = true;
        }
        Ok(options)
    }
}

/// What has become of an object.
#[derive(Debug)]
pub enum Deleted {
    /// It is gone. As it was last.
    Gone(Resource),
    /// It waits for its finalizers.
    Waits(Resource),
}

impl Deleted {
    /// The object.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        match self {
            Self::Gone(resource) | Self::Waits(resource) => resource,
        }
    }
}

impl<C: Client> ControlPlane<C> {
    /// Deletes an object, or marks it where something is to be done before.
    ///
    /// # Errors
    /// It is not there, or is another than was meant.
    pub(crate) async fn delete(&self, target: &Target, options: &DeleteOptions) -> Result<Deleted, ApiError> {
        if target.part != Part::Main {
            return Err(ApiError::method_not_allowed());
        }
        let key = target.key().ok_or_else(ApiError::method_not_allowed)?;
        if key.kind == Kind::Namespace && key.name == DEFAULT_NAMESPACE {
            return Err(ApiError::forbidden(target.row, &target.name, "this namespace may not be deleted"));
        }
        if !options.orphans || options.is_dry_run {
            return self.delete_where(target, options, |_| {}).await;
        }
        // Held by this it stays until what it owns was let go.
        let held = |resource: &mut Resource| {
            let finalizers = &mut resource.meta_mut().finalizers;
            if !finalizers.iter().any(|it| it == ORPHAN) {
                finalizers.push(ORPHAN.to_owned());
            }
        };
        let marked = self.delete_where(target, options, held).await?;
        let uid = marked.resource().meta().uid.clone().unwrap_or_default();
        self.release(&uid).await?;
        let free = |resource: &mut Resource| resource.meta_mut().finalizers.retain(|it| it != ORPHAN);
        self.delete_where(target, &DeleteOptions { uid: Some(uid), ..DeleteOptions::default() }, free).await
    }

    /// Deletes an object as it is after a change.
    async fn delete_where(
        &self,
        target: &Target,
        options: &DeleteOptions,
        change: impl Fn(&mut Resource),
    ) -> Result<Deleted, ApiError> {
        let (row, name) = (target.row, target.name.as_str());
        let key = target.key().ok_or_else(ApiError::method_not_allowed)?;
        let mut current = self.current();
        for _ in 0..TRIES {
            let old = current.find(&key).ok_or_else(|| ApiError::not_found(row, name))?;
            check(&old, target, options)?;
            let version = old.meta().resource_version.clone().unwrap_or_default();
            let now = Time::from_unix_millis(self.clock.now().0);
            let mut next = old.clone();
            change(&mut next);
            let (write, deleted) = match removal(&next, now) {
                Removal::Waits if next == old => return Ok(Deleted::Waits(old)),
                Removal::Waits => (Write::Replace { resource: Box::new(next.clone()), version }, Deleted::Waits(next)),
                Removal::Gone => (Write::Delete { key: key.clone(), version }, Deleted::Gone(old)),
                Removal::Marked(marked) => {
                    (Write::Replace { resource: marked.clone(), version }, Deleted::Waits(*marked))
                }
            };
            if options.is_dry_run {
                return Ok(deleted);
            }
            match self.client.write(write).await {
                Ok(index) => return Ok(at_version(deleted, version_at(index, 0))),
                Err(ApplyError::Conflict { current: is, .. }) => current = self.newer(&is).await?,
                Err(error) => return Err(ApiError::of_write(error, row, name)),
            }
        }
        Err(ApiError::modified(row, name))
    }

    /// Deletes everything that is selected. What others delete meanwhile is gone all the same.
    ///
    /// # Errors
    /// One of them cannot be deleted.
    pub(crate) async fn delete_selected(
        &self,
        row: &'static crate::kinds::Row,
        selection: &Selection,
        options: &DeleteOptions,
    ) -> Result<Vec<Resource>, ApiError> {
        let (mut deleted, current) = (Vec::new(), self.current());
        for key in selected(&current, selection) {
            // Only as it was when it was chosen.
            let Some(chosen) = current.find(&key) else { continue };
            let target = Target { row, namespace: key.namespace, name: key.name, part: Part::Main };
            let one = DeleteOptions { uid: chosen.meta().uid.clone(), ..options.clone() };
            match self.delete(&target, &one).await {
                Ok(gone) => deleted.push(gone.resource().clone()),
                Err(error) if error.reason == "NotFound" || error.reason == "Conflict" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// Takes an object out of the owners of what it owns.
    async fn release(&self, uid: &str) -> Result<(), ApiError> {
        let is_owned = |meta: &ObjectMeta| meta.owner_references.iter().any(|owner| owner.uid == uid);
        for _ in 0..TRIES {
            let current = self.current();
            let owned = current.metas().filter(|(_, meta)| is_owned(meta));
            let owned = owned.map(|(kind, meta)| ResourceKey::new(kind, meta.namespace.as_str(), meta.name.as_str()));
            let owned: Vec<ResourceKey> = owned.collect();
            if owned.is_empty() {
                return Ok(());
            }
            for mut resource in owned.iter().filter_map(|key| current.find(key)) {
                let version = resource.meta().resource_version.clone().unwrap_or_default();
                resource.meta_mut().owner_references.retain(|owner| owner.uid != uid);
                let (row, name) = (row_of(resource.kind()), resource.meta().name.clone());
                match self.client.write(Write::Replace { resource: Box::new(resource), version }).await {
                    Ok(_) | Err(ApplyError::NotFound { .. }) => {}
                    // It is looked at again.
                    Err(ApplyError::Conflict { current: is, .. }) => drop(self.newer(&is).await?),
                    Err(error) => return Err(ApiError::of_write(error, row, &name)),
                }
            }
        }
        Err(ApiError::unavailable("what it owns is changed all the time"))
    }
}

fn check(old: &Resource, target: &Target, options: &DeleteOptions) -> Result<(), ApiError> {
    let differs = |wanted: &Option<String>, is: &Option<String>| wanted.is_some() && wanted != is;
    let is = old.meta();
    let (what, wanted, is) = if differs(&options.uid, &is.uid) {
        ("UID", &options.uid, &is.uid)
    } else if differs(&options.version, &is.resource_version) {
        ("ResourceVersion", &options.version, &is.resource_version)
    } else {
        return Ok(());
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let why =
        format!("Precondition failed: {what} in precondition: {}, {what} in object meta: {}", text(wanted), text(is));
    Err(ApiError::conflict(target.row, &target.name, &why))
}

fn at_version(deleted: Deleted, version: u64) -> Deleted {
    let at = |mut resource: Resource| {
        resource.meta_mut().resource_version = Some(version.to_string());
        resource
    };
    match deleted {
        Deleted::Gone(resource) => Deleted::Gone(at(resource)),
        Deleted::Waits(resource) => Deleted::Waits(at(resource)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_come_from_the_body_or_the_query() {
        let read = |body: Option<Value>, query: &str| DeleteOptions::read(body.as_ref(), &Query::parse(query));
        assert_eq!(read(None, ""), Ok(DeleteOptions::default()));
        assert_eq!(read(Some(json!({})), "gracePeriodSeconds=0"), Ok(DeleteOptions::default()));
        let body = json!({"kind": "DeleteOptions", "apiVersion": "anything/v9", "propagationPolicy": "Foreground",
            "preconditions": {"uid": "u", "resourceVersion": "7"}, "dryRun": ["All"]});
        let all = DeleteOptions {
            uid: Some("u".to_owned()),
            version: Some("7".to_owned()),
            orphans: false,
            is_dry_run: true,
        };
        assert_eq!(read(Some(body), "propagationPolicy=Orphan"), Ok(all));
        assert!(read(None, "propagationPolicy=Orphan").unwrap().orphans);
        assert!(read(Some(json!({"orphanDependents": true})), "").unwrap().orphans);
        for (body, query) in [(json!([]), ""), (json!({"propagationPolicy": "Later"}), ""), (json!({}), "dryRun=Some")]
        {
            assert!(read(Some(body.clone()), query).is_err(), "{body} {query}");
        }
    }
}
