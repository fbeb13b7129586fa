//! Which request is which.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pelton_access::{Caller, DryRun};
use pelton_client::Client;
use pelton_resource::Time;
use serde_json::{Value, json};

use crate::accept::{self, Form};
use crate::attributes::attributes;
use crate::body::{self, Answer};
use crate::delete::{DeleteOptions, Deleted};
use crate::discovery::{self, Aggregated};
use crate::edit::PatchType;
use crate::incoming;
use crate::kinds::{Row, Store};
use crate::list;
use crate::object::{shown, text_at};
use crate::openapi;
use crate::options::write_options;
use crate::query::Query;
use crate::selection::Selection;
use crate::selector::LabelSelector;
use crate::status::{ApiError, success};
use crate::table;
use crate::target::{Collection, Named, Target, named};
use crate::versions;
use crate::watch::{self, Lines};
use crate::write::Written;
use crate::{ControlPlane, reviews};

/// The empty document that every version of kubectl is content with (kube-api.md, section 9).
const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Later than any program runs.
const NEVER: &str = "Thu, 31 Dec 2099 23:59:59 GMT";

impl<C: Client> ControlPlane<C> {
    pub(crate) async fn handle(&self, parts: &Parts, body: Bytes, caller: &Caller) -> Result<Answer, ApiError> {
        if parts.headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
            return Err(ApiError::no_impersonation());
        }
        let wanted = attributes(&parts.method, &parts.uri);
        if !caller.may(&wanted) {
            return Err(ApiError::refused(caller.identity(), &wanted));
        }
        let (path, query) = (parts.uri.path(), Query::parse(parts.uri.query().unwrap_or_default()));
        if let Some(document) = document(path, &query, &parts.headers, &self.schemas) {
            let is_read = matches!(parts.method, Method::GET | Method::HEAD);
            return if is_read { Ok(document) } else { Err(ApiError::method_not_allowed()) };
        }
        let named = named(path).ok_or_else(ApiError::no_such_path)?;
        // An empty list would say that everything was deleted.
        if !self.is_open.load(Ordering::Acquire) {
            return Err(ApiError::unavailable("this node does not know yet what there is"));
        }
        match named {
            Named::Collection(collection) => self.collection(&collection, &query, parts, body, caller).await,
            Named::Object(target) => self.object(&target, &query, parts, body, caller).await,
            Named::Tokens(_) if query.all("dryRun").any(|value| !value.is_empty()) => {
                Err(ApiError::bad_request("dryRun: a token cannot be tried, it is made or not; none was made"))
            }
            Named::Tokens(target) => self.token(&target, parts, body, caller).await,
            Named::GroupVersion(..) | Named::Group(_) | Named::Groups | Named::CoreVersions => {
                Err(ApiError::no_such_path())
            }
        }
    }

    async fn collection(
        &self,
        collection: &Collection,
        query: &Query,
        parts: &Parts,
        body: Bytes,
        caller: &Caller,
    ) -> Result<Answer, ApiError> {
        let row = collection.row;
        if let Store::Review(review) = row.store {
            return self.review(review, row, parts, body, caller).await;
        }
        match parts.method {
            Method::GET if query.flag("watch")? => self.watch(collection, query, &parts.headers).await,
            Method::GET => self.list(collection, query, &parts.headers).await,
            Method::POST if row.may("create") => {
                let namespace = collection.namespace.as_deref().unwrap_or_default();
                let options = write_options("CreateOptions", query, &parts.headers)?.of(caller, namespace);
                let value = incoming::decode(&incoming::media_type(&parts.headers), body).await?;
                let written = self.create(collection, value, &options).await?;
                self.written(row, written, query, &parts.headers)
            }
            Method::DELETE if row.may("deletecollection") => {
                let options = delete_options(query, &parts.headers, body).await?;
                let selection = Selection::of(collection, query)?;
                let deleted = self.delete_selected(row, &selection, &options).await?;
                let items: Vec<Value> = deleted.iter().map(|resource| shown(row, resource)).collect();
                let metadata = json!({"resourceVersion": versions::of(&self.current()).to_string()});
                let kind = format!("{}List", row.kind);
                let list = json!({"kind": kind, "apiVersion": row.api_version(), "metadata": metadata, "items": items});
                Ok(tried(body::json(StatusCode::OK, &list), &options))
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    async fn review(
        &self,
        review: crate::kinds::Review,
        row: &'static Row,
        parts: &Parts,
        body: Bytes,
        caller: &Caller,
    ) -> Result<Answer, ApiError> {
        if parts.method != Method::POST {
            return Err(ApiError::method_not_allowed());
        }
        let value = incoming::decode(&incoming::media_type(&parts.headers), body).await?;
        let object = incoming::object_of(row, value)?;
        Ok(body::json(StatusCode::CREATED, &reviews::answer(review, object, caller)?))
    }

    async fn list(&self, collection: &Collection, query: &Query, headers: &HeaderMap) -> Result<Answer, ApiError> {
        let (row, form, now) = (collection.row, accept::form(headers)?, self.clock.now().0);
        if row.store == Store::Definitions {
            let metadata = json!({"resourceVersion": "1"});
            let items = self.definitions(query)?;
            return Ok(body::json(StatusCode::OK, &list::values(row, &items, &metadata, form, query, now)?));
        }
        let selection = Selection::of(collection, query)?;
        let wanted = list::goes_on_at(query)?.map_or_else(|| versions::wanted(query), Ok)?;
        let resources = versions::reach(self.client.resources(), wanted).await?;
        let page = list::page(&resources, &selection, query)?;
        list::show(row, &page, form, query, now)
    }

    async fn watch(&self, collection: &Collection, query: &Query, headers: &HeaderMap) -> Result<Answer, ApiError> {
        let (form, include) = (accept::form(headers)?, list::include(query)?);
        let options = watch::options(query, self.chance.as_ref())?;
        let lines = Lines::new(collection.row, form, include);
        if collection.row.store == Store::Definitions {
            return Ok(watch::of_what_stays(&self.definitions(query)?, lines, options, self.clock.now().0));
        }
        let selection = Selection::of(collection, query)?;
        watch::begin(self.client.resources(), selection, lines, options, self.clock.clone()).await
    }

    async fn object(
        &self,
        target: &Target,
        query: &Query,
        parts: &Parts,
        body: Bytes,
        caller: &Caller,
    ) -> Result<Answer, ApiError> {
        let (row, headers) = (target.row, &parts.headers);
        match parts.method {
            Method::GET if query.flag("watch")? => {
                let collection = Collection { row, namespace: row.is_namespaced.then(|| target.namespace.clone()) };
                let one = Query::parse(&format!("fieldSelector=metadata.name%3D{}", target.name));
                self.watch(&collection, &query.with(one), headers).await
            }
            Method::GET => self.show(target, query, headers).await,
            Method::PUT if row.may("update") => {
                let options = write_options("UpdateOptions", query, headers)?.of(caller, &target.namespace);
                let value = incoming::decode(&incoming::media_type(headers), body).await?;
                let written = self.replace(target, value, &options).await?;
                self.written(row, written, query, headers)
            }
            Method::PATCH if row.may("patch") => {
                let options = write_options("PatchOptions", query, headers)?.of(caller, &target.namespace);
                let how = patch_type(&incoming::media_type(headers), row)?;
                let patch = incoming::text(body).await?;
                // An apply makes what is not there, and that is asked for beside.
                let making = attributes(&parts.method, &parts.uri).with_verb("create");
                let may_make =
                    caller.may(&making).then_some(()).ok_or_else(|| ApiError::refused(caller.identity(), &making));
                let written = self.patch(target, how, &patch, &options, may_make).await?;
                self.written(row, written, query, headers)
            }
            Method::DELETE if row.may("delete") => {
                let options = delete_options(query, headers, body).await?;
                let answer = match self.delete(target, &options).await? {
                    Deleted::Waits(resource) => body::json(StatusCode::OK, &shown(row, &resource)),
                    Deleted::Gone(resource) => {
                        let uid = resource.meta().uid.clone().unwrap_or_default();
                        body::json(StatusCode::OK, &success(row, &target.name, &uid))
                    }
                };
                Ok(tried(answer, &options))
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    async fn show(&self, target: &Target, query: &Query, headers: &HeaderMap) -> Result<Answer, ApiError> {
        let (row, name) = (target.row, target.name.as_str());
        let object = match target.key() {
            Some(key) => {
                let resources = versions::reach(self.client.resources(), versions::wanted(query)?).await?;
                resources.find(&key).map(|resource| shown(row, &resource))
            }
            None => self
                .definitions(&Query::default())?
                .into_iter()
                .find(|it| text_at(it, "metadata.name").as_deref() == Some(name)),
        };
        let object = object.ok_or_else(|| ApiError::not_found(row, name))?;
        self.formed(row, StatusCode::OK, object, query, headers)
    }

    fn written(
        &self,
        row: &'static Row,
        written: Written,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Answer, ApiError> {
        let object = shown(row, &written.resource);
        let mut answer = self.formed(row, written.code, object, query, headers)?;
        body::warn(&mut answer, &written.warnings);
        Ok(answer)
    }

    fn formed(
        &self,
        row: &'static Row,
        code: StatusCode,
        object: Value,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Answer, ApiError> {
        let object = match accept::form(headers)? {
            Form::Plain => object,
            Form::Partial => table::partial(&object),
            Form::Table => {
                let version = text_at(&object, "metadata.resourceVersion").unwrap_or_default();
                let (metadata, include) = (json!({"resourceVersion": version}), list::include(query)?);
                table::table(row, &[object], &metadata, include, true, self.clock.now().0)
            }
        };
        Ok(body::json(code, &object))
    }

    /// The kinds as CustomResourceDefinitions, by the labels that they are asked for.
    fn definitions(&self, query: &Query) -> Result<Vec<Value>, ApiError> {
        let selector = LabelSelector::parse(query.text("labelSelector").unwrap_or_default());
        let selector = selector.map_err(|error| ApiError::bad_request(error.to_string()))?;
        let fields = crate::selector::FieldSelector::parse(query.text("fieldSelector").unwrap_or_default());
        let fields = fields.map_err(|error| ApiError::bad_request(error.to_string()))?;
        if let Some((field, _, _)) = fields.fields().find(|(field, _, _)| *field != "metadata.name") {
            return Err(ApiError::bad_request(format!("field label not supported: {field}")));
        }
        let created = Time::from_unix_millis(self.began_unix_millis).to_string();
        let mut all = discovery::definitions(&created);
        all.retain(|it| {
            let labels = it.pointer("/metadata/labels").cloned().unwrap_or_default();
            let labels = serde_json::from_value(labels).unwrap_or_default();
            selector.matches(&labels) && fields.matches(|field| text_at(it, field).map(Into::into))
        });
        Ok(all)
    }
}

/// Documents that are the same for everybody.
fn document(path: &str, query: &Query, headers: &HeaderMap, schemas: &OnceLock<Value>) -> Option<Answer> {
    let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    if let Some(rest) = path.strip_prefix("/openapi/v3/") {
        let (group, version) = match rest.split('/').collect::<Vec<_>>().as_slice() {
            ["api", version] => (String::new(), (*version).to_owned()),
            ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
            _ => return None,
        };
        let mut answer = cached(&openapi::document(&group, &version)?, "application/json", headers);
        // The index names its hash, so what is there under it never changes: kubectl keeps it on disk.
        if query.text("hash").is_some() {
            let fields = [(header::CACHE_CONTROL, "public, immutable"), (header::EXPIRES, NEVER)];
            answer.headers_mut().extend(fields.map(|(name, value)| (name, HeaderValue::from_static(value))));
        }
        return Some(answer);
    }
    match path {
        "/version" => return Some(body::json(StatusCode::OK, &discovery::version("pelton"))),
        "/healthz" | "/livez" | "/readyz" => {
            return Some(body::whole(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok")));
        }
        "/openapi/v2" => return Some(body::whole(StatusCode::OK, OPENAPI_V2, Bytes::new())),
        "/openapi/v3" => {
            let index = schemas.get_or_init(openapi::index);
            return Some(cached(index, "application/json", headers));
        }
        _ => {}
    }
    let aggregated = match accept::discovery(headers) {
        Some("v2") => Some(Aggregated::V2),
        Some(_) => Some(Aggregated::V2Beta1),
        None => None,
    };
    let (document, content_type) = match (named(path)?, aggregated) {
        (Named::CoreVersions, Some(form)) => (discovery::aggregated_core(form), form.content_type()),
        (Named::Groups, Some(form)) => (discovery::aggregated_groups(form), form.content_type()),
        (Named::CoreVersions, None) => (discovery::core_versions(""), "application/json"),
        (Named::Groups, None) => (discovery::groups(), "application/json"),
        (Named::Group(group), _) => (discovery::group(&group)?, "application/json"),
        (Named::GroupVersion(group, version), _) => (discovery::resources(&group, &version)?, "application/json"),
        _ => return None,
    };
    Some(cached(&document, content_type, headers))
}

/// A document with its tag, or only the word that the client has it already.
fn cached(document: &Value, content_type: &'static str, headers: &HeaderMap) -> Answer {
    let bytes = serde_json::to_vec(document).expect("a value always serializes");
    let tag = discovery::etag(&bytes);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = match is_known {
        true => body::whole(StatusCode::NOT_MODIFIED, content_type, Bytes::new()),
        false => body::whole(StatusCode::OK, content_type, bytes.into()),
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

/// The answer to a deletion, for whoever writes it down: the body may have said that it is only tried.
fn tried(mut answer: Answer, options: &DeleteOptions) -> Answer {
    answer.extensions_mut().insert(DryRun(options.is_dry_run));
    answer
}

async fn delete_options(query: &Query, headers: &HeaderMap, body: Bytes) -> Result<DeleteOptions, ApiError> {
    if body.is_empty() {
        return DeleteOptions::read(None, query);
    }
    let value = incoming::decode(&incoming::media_type(headers), body).await?;
    DeleteOptions::read(Some(&value), query)
}

/// What kind of patch a type of body is. Our own kinds have no strategic one, like every kind that is no core one.
fn patch_type(media_type: &str, row: &Row) -> Result<PatchType, ApiError> {
    let is_core = row.group.is_empty() || row.store == Store::NewEvents;
    match media_type {
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        "application/strategic-merge-patch+json" if is_core => Ok(PatchType::Strategic),
        _ => {
            let strategic = if is_core { ", application/strategic-merge-patch+json" } else { "" };
            Err(ApiError::unsupported_media_type(&format!(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml{strategic}"
            )))
        }
    }
}
