//! What a write is asked to be.

use http::{HeaderMap, header};
use pelton_access::{Caller, runs_process};
use pelton_resource::Resource;

use crate::kinds::Row;
use crate::query::Query;
use crate::status::ApiError;

/// The longest name of a field manager, in bytes (Kubernetes, server-side apply).
const MAX_MANAGER_BYTES: usize = 128;

/// What becomes of fields that are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// The request is refused.
    Strict,
    /// They are left out, and the client is told.
    Warn,
    /// They are left out.
    Ignore,
}

/// What a write is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Who owns what is written.
    pub manager: String,
    /// Whether the client named it.
    pub names_manager: bool,
    /// What becomes of fields that are not known.
    pub validation: Validation,
    /// Whether everything is done but the writing.
    pub is_dry_run: bool,
    /// Whether an apply takes fields from their owners.
    pub force: bool,
    /// Whether what is run as a process of Pelton's own user may be stored.
    pub processes: bool,
}

impl WriteOptions {
    /// The same, of somebody who writes in a namespace.
    #[must_use]
    pub fn of(self, caller: &Caller, namespace: &str) -> Self {
        Self { processes: caller.may_run_processes(namespace), ..self }
    }

    /// Whether something may be stored as it is to be.
    ///
    /// # Errors
    /// It is run as a process, and that is not the caller's to say.
    pub fn check(&self, row: &Row, resource: &Resource) -> Result<(), ApiError> {
        if self.processes || !runs_process(resource) {
            return Ok(());
        }
        let why = "what it runs would run as Pelton's own user, which asks for a role with `processes: true`; \
                   another pelton.dev/runtime does not";
        Err(ApiError::forbidden(row, &resource.meta().name, why))
    }
}

/// What a query and headers ask for. `kind` is what Kubernetes calls the options of the request: `CreateOptions`.
///
/// # Errors
/// They cannot be read.
pub fn write_options(kind: &str, query: &Query, headers: &HeaderMap) -> Result<WriteOptions, ApiError> {
    let mut is_dry_run = false;
    for value in query.all("dryRun").filter(|value| !value.is_empty()) {
        check_dry_run(kind, value)?;
        is_dry_run = true;
    }
    let validation = match query.text("fieldValidation") {
        None | Some("Warn") => Validation::Warn,
        Some("Strict") => Validation::Strict,
        Some("Ignore") => Validation::Ignore,
        Some(other) => {
            let why = format!("Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\"");
            return Err(ApiError::invalid_options(kind, "fieldValidation", &why));
        }
    };
    let named = query.text("fieldManager");
    let manager = named.map_or_else(|| manager_of(headers), str::to_owned);
    if manager.len() > MAX_MANAGER_BYTES || manager.chars().any(char::is_control) {
        let why = format!("Invalid value: it may have {MAX_MANAGER_BYTES} printable bytes");
        return Err(ApiError::invalid_options(kind, "fieldManager", &why));
    }
    let (names_manager, force) = (named.is_some(), query.flag("force")?);
    Ok(WriteOptions { manager, names_manager, validation, is_dry_run, force, processes: false })
}

/// A value of `dryRun`: all or nothing.
///
/// # Errors
/// It is another one.
pub fn check_dry_run(kind: &str, value: &str) -> Result<(), ApiError> {
    if value == "All" {
        return Ok(());
    }
    let why = format!("Unsupported value: {value:?}: supported values: \"All\"");
    Err(ApiError::invalid_options(kind, "dryRun", &why))
}

/// The program that asks, by its `User-Agent`.
fn manager_of(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let name: String = agent.split('/').next().unwrap_or_default().chars().take(MAX_MANAGER_BYTES).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "kubectl/v1.33.0 (linux/amd64)".parse().unwrap());
        let read = |query: &str| write_options("PatchOptions", &Query::parse(query), &headers);
        let all = read("fieldManager=m&fieldValidation=Strict&dryRun=All&force=true").unwrap();
        let want = WriteOptions {
            processes: false,
            manager: "m".to_owned(),
            names_manager: true,
            validation: Validation::Strict,
            is_dry_run: true,
            force: true,
        };
        assert_eq!(all, want);
        let none = read("").unwrap();
        assert_eq!((none.manager.as_str(), none.names_manager, none.validation), ("kubectl", false, Validation::Warn));
        assert_eq!(write_options("PatchOptions", &Query::default(), &HeaderMap::new()).unwrap().manager, "unknown");
        let long = format!("fieldManager={}", "m".repeat(MAX_MANAGER_BYTES + 1));
        for bad in ["dryRun=Some", "fieldValidation=Loose", "force=maybe", &long] {
            let error = read(bad).unwrap_err().to_string();
            assert!(
                bad == "force=maybe" || error.starts_with("PatchOptions.meta.k8s.io \"\" is invalid: "),
                "{bad}: {error}"
            );
        }
    }
}
