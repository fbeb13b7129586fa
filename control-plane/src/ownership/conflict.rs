//! What an apply would take from others, in the words of Kubernetes.

use std::collections::BTreeMap;

use super::managed::{Entry, Operation};
use super::path::Path;

/// A field that another manager owns with another value than the applied one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictOf {
    /// Who owns it.
    pub manager: String,
    /// In which version it was written.
    pub api_version: String,
    /// How it came to be owned.
    pub operation: Operation,
    /// Through which subresource.
    pub subresource: Option<String>,
    /// The path that is owned: `.spec.delivery.retry`.
    pub field: String,
}

impl ConflictOf {
    pub(crate) fn new(owner: &Entry, path: &Path) -> Self {
        Self {
            manager: owner.manager.clone(),
            api_version: owner.api_version.clone(),
            operation: owner.operation,
            subresource: owner.subresource.clone(),
            field: path.to_string(),
        }
    }

    /// The message of the cause in `details.causes`. Its reason is `FieldManagerConflict`, its field [`Self::field`].
    #[must_use]
    pub fn cause_message(&self) -> String {
        format!("conflict with {}", self.owner())
    }

    /// The owner. An applier is the same in every version, so that none is named.
    fn owner(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if let Some(subresource) = &self.subresource {
            text += &format!(" with subresource {subresource:?}");
        }
        match self.operation {
            Operation::Update => text + " using " + &self.api_version,
            Operation::Apply => text,
        }
    }
}

/// The message of the 409 (apimachinery, `managedfields/internal/conflict.go`).
#[must_use]
pub fn conflict_message(conflicts: &[ConflictOf]) -> String {
    if let [only] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", only.cause_message(), only.field);
    }
    let mut by_owner: BTreeMap<_, Vec<&ConflictOf>> = BTreeMap::new();
    for conflict in conflicts {
        let api_version = (conflict.operation == Operation::Update).then_some(&conflict.api_version);
        let owner = (&conflict.manager, conflict.operation, api_version, &conflict.subresource);
        by_owner.entry(owner).or_default().push(conflict);
    }
    let mut lines = Vec::new();
    for owned in by_owner.values() {
        lines.push(format!("conflicts with {}:", owned[0].owner()));
        lines.extend(owned.iter().map(|conflict| format!("- {}", conflict.field)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(manager: &str, operation: Operation, subresource: Option<&str>, field: &str) -> ConflictOf {
        let (manager, field) = (manager.to_owned(), field.to_owned());
        let api_version = "eventing.knative.dev/v1".to_owned();
        ConflictOf { manager, api_version, operation, subresource: subresource.map(str::to_owned), field }
    }

    #[test]
    fn conflicts_are_worded_as_kubernetes_does() {
        use Operation::{Apply, Update};
        let rows: &[(&[ConflictOf], &str)] = &[
            (
                &[conflict("ci", Update, None, ".spec.delivery.retry")],
                "Apply failed with 1 conflict: conflict with \"ci\" using eventing.knative.dev/v1: \
                 .spec.delivery.retry",
            ),
            (
                &[conflict("helm", Apply, None, ".spec.broker")],
                "Apply failed with 1 conflict: conflict with \"helm\": .spec.broker",
            ),
            (
                &[conflict("ctl", Update, Some("status"), ".status.url")],
                "Apply failed with 1 conflict: conflict with \"ctl\" with subresource \"status\" using \
                 eventing.knative.dev/v1: .status.url",
            ),
            (
                &[
                    conflict("b", Update, None, ".spec.y"),
                    conflict("a", Apply, None, ".spec.x"),
                    conflict("b", Update, None, ".spec.x"),
                ],
                "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.x\n\
                 conflicts with \"b\" using eventing.knative.dev/v1:\n- .spec.y\n- .spec.x",
            ),
        ];
        for (conflicts, want) in rows {
            assert_eq!(conflict_message(conflicts), *want);
        }
        assert_eq!(rows[0].0[0].cause_message(), "conflict with \"ci\" using eventing.knative.dev/v1");
    }
}
