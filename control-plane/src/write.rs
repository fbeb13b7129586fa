//! Writes: what an edit makes of an object goes to the registry's leader, which stores it if nothing came between.

use http::StatusCode;
use pelton_client::admission::uid_from_bits;
use pelton_client::version::{index_of, version_at};
use pelton_client::{ApplyError, Client, Resources, Write};
use pelton_resource::{Resource, Time};
use serde_json::{Map, Value};

use crate::ControlPlane;
use crate::edit::{Edit, Edited, Next, PatchType};
use crate::incoming;
use crate::options::WriteOptions;
use crate::status::ApiError;
use crate::target::{Collection, Part, Target};
use crate::versions::{self, Wanted};

/// How often a change is worked out anew when others come between.
pub(crate) const TRIES: usize = 16;

/// Letters and digits that the end of a generated name is made of: no vowels, so that it makes no words.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// What has become of an object.
#[derive(Debug)]
pub struct Written {
    /// 200, or 201 when it was not there before.
    pub code: StatusCode,
    /// As it is stored, or would be.
    pub resource: Resource,
    /// What the client is to be told.
    pub warnings: Vec<String>,
}

impl<C: Client> ControlPlane<C> {
    /// Makes a new object.
    ///
    /// # Errors
    /// It cannot be, or is there.
    pub(crate) async fn create(
        &self,
        collection: &Collection,
        value: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let row = collection.row;
        let mut object = incoming::object_of(row, value)?;
        let namespace = self.namespace_of(collection, &object)?;
        incoming::namespace(&mut object, row, &namespace)?;
        let prefix = incoming::meta_text(&object, "generateName").map(str::to_owned);
        let given = incoming::meta_text(&object, "name").map(str::to_owned);
        for _ in 0..TRIES {
            let generated = || prefix.as_deref().map(|prefix| self.generated_name(prefix));
            let name = given.clone().or_else(generated).unwrap_or_default();
            if name.is_empty() {
                let (field, why) = ("metadata.name", "Required value: name or generateName is required");
                return Err(ApiError::invalid_field(row, &name, "FieldValueRequired", field, why));
            }
            let target = Target { row, namespace: namespace.clone(), name, part: Part::Main };
            self.check_namespace(&target)?;
            let made = self.make(&target, options, |edit| edit.create(object.clone())).await;
            match made {
                Err(error) if error.reason == "AlreadyExists" && given.is_none() => {}
                made => return made,
            }
        }
        Err(ApiError::unavailable("every name that was generated is taken"))
    }

    async fn make(
        &self,
        target: &Target,
        options: &WriteOptions,
        edit: impl Fn(&Edit<'_>) -> Result<Edited, ApiError>,
    ) -> Result<Written, ApiError> {
        let uid = self.new_uid();
        let Edited { mut resource, warnings, .. } = edit(&self.edit(target, options, &uid))?;
        let is_there = target.key().is_some_and(|key| self.current().find(&key).is_some());
        if is_there {
            return Err(ApiError::already_exists(target.row, &target.name));
        }
        options.check(target.row, &resource)?;
        if !options.is_dry_run {
            let written = self.client.write(Write::Create(Box::new(resource.clone()))).await;
            let index = written.map_err(|error| ApiError::of_write(error, target.row, &target.name))?;
            resource.meta_mut().resource_version = Some(version_at(index, 0).to_string());
        }
        Ok(Written { code: StatusCode::CREATED, resource, warnings })
    }

    /// Puts an object in the place of the one that is there.
    ///
    /// # Errors
    /// It cannot be, or was made from another version.
    pub(crate) async fn replace(
        &self,
        target: &Target,
        value: Value,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let object: Map<String, Value> = incoming::object_of(target.row, value)?;
        self.change(target, options, |edit, old| edit.replace(old, object.clone())).await
    }

    /// Changes an object by a patch. An apply makes one that is not there, if that may be.
    ///
    /// # Errors
    /// The patch does not fit, or what it makes cannot be or may not.
    pub(crate) async fn patch(
        &self,
        target: &Target,
        how: PatchType,
        body: &Value,
        options: &WriteOptions,
        may_make: Result<(), ApiError>,
    ) -> Result<Written, ApiError> {
        let makes = how == PatchType::Apply && target.part == Part::Main;
        for _ in 0..TRIES {
            let key = target.key().ok_or_else(ApiError::method_not_allowed)?;
            if !makes || self.current().find(&key).is_some() {
                match self.change(target, options, |edit, old| edit.patch(old, how, body)).await {
                    // It went meanwhile.
                    Err(error) if makes && error.reason == "NotFound" => continue,
                    changed => return changed,
                }
            }
            may_make.clone()?;
            self.check_namespace(target)?;
            match self.make(target, options, |edit| edit.apply(None, body)).await {
                // It came meanwhile.
                Err(error) if error.reason == "AlreadyExists" => continue,
                made => return made,
            }
        }
        Err(ApiError::unavailable("others change it all the time"))
    }

    /// Changes an object that is there, and works the change out anew when another came between. An edit that says which
    /// version it was made from fails then by itself.
    ///
    /// # Errors
    /// What the edit says; or nobody takes the change.
    pub(crate) async fn change(
        &self,
        target: &Target,
        options: &WriteOptions,
        edit: impl Fn(&Edit<'_>, &Resource) -> Result<Edited, ApiError>,
    ) -> Result<Written, ApiError> {
        let (row, name) = (target.row, target.name.as_str());
        let key = target.key().ok_or_else(ApiError::method_not_allowed)?;
        let mut current = self.current();
        for _ in 0..TRIES {
            let old = current.find(&key).ok_or_else(|| ApiError::not_found(row, name))?;
            let Edited { mut resource, next, warnings } = edit(&self.edit(target, options, ""), &old)?;
            let version = old.meta().resource_version.clone().unwrap_or_default();
            if resource.spec_differs(&old) {
                options.check(row, &resource)?;
            }
            let write = match next {
                Next::Nothing => None,
                Next::Store => Some(Write::Replace { resource: Box::new(resource.clone()), version }),
                Next::Delete => Some(Write::Delete { key: key.clone(), version }),
            };
            let Some(write) = write.filter(|_| !options.is_dry_run) else {
                return Ok(Written { code: StatusCode::OK, resource, warnings });
            };
            match self.client.write(write).await {
                Ok(index) => {
                    resource.meta_mut().resource_version = Some(version_at(index, 0).to_string());
                    return Ok(Written { code: StatusCode::OK, resource, warnings });
                }
                Err(ApplyError::Conflict { current: is, .. }) => current = self.newer(&is).await?,
                Err(error) => return Err(ApiError::of_write(error, row, name)),
            }
        }
        Err(ApiError::modified(row, name))
    }

    /// The resources, once what is in the way of a change is seen here.
    pub(crate) async fn newer(&self, version: &str) -> Result<std::sync::Arc<Resources>, ApiError> {
        let version = version.parse().unwrap_or(0);
        let index = index_of(version);
        versions::reach(self.client.resources(), Wanted::AtLeast(version_at(index, 0))).await
    }

    fn edit<'a>(&self, target: &'a Target, options: &'a WriteOptions, uid: &'a str) -> Edit<'a> {
        Edit { target, options, now: Time::from_unix_millis(self.clock.now().0), uid }
    }

    fn new_uid(&self) -> String {
        uid_from_bits(self.chance.bits(), self.chance.bits())
    }

    fn generated_name(&self, prefix: &str) -> String {
        // The whole may have 63 bytes, and five are added.
        let prefix: String = prefix.chars().take(58).collect();
        let bits = self.chance.bits();
        let letter = |i: u32| char::from(ALPHABET[(bits >> (8 * i)) as usize % ALPHABET.len()]);
        format!("{prefix}{}", (0..5).map(letter).collect::<String>())
    }

    /// Where a new object is to be: the path says it, or the object itself.
    fn namespace_of(&self, collection: &Collection, object: &Map<String, Value>) -> Result<String, ApiError> {
        match &collection.namespace {
            Some(namespace) => Ok(namespace.clone()),
            None if !collection.row.is_namespaced => Ok(String::new()),
            None => {
                let named = incoming::meta_text(object, "namespace").map(str::to_owned);
                named.ok_or_else(|| ApiError::bad_request("the namespace must be in the path"))
            }
        }
    }

    /// New objects come only into namespaces that are there and stay.
    fn check_namespace(&self, target: &Target) -> Result<(), ApiError> {
        if !target.row.is_namespaced {
            return Ok(());
        }
        let namespaces = crate::status::row_of(pelton_resource::Kind::Namespace);
        let (current, name) = (self.current(), target.namespace.as_str());
        match current.namespace(name) {
            None => Err(ApiError::not_found(namespaces, name)),
            Some(namespace) if namespace.is_terminating() => {
                let why = format!("unable to create new content in namespace {name} because it is being terminated");
                let message = format!("namespace {name} is being terminated");
                Err(ApiError::forbidden(target.row, &target.name, why).with_cause(
                    "NamespaceTerminating",
                    message,
                    "metadata.namespace",
                ))
            }
            Some(_) => Ok(()),
        }
    }
}
