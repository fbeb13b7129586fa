//! The list of CustomResourceDefinitions, which `kn` and `kubectl get crd` read. It says what is there and cannot be
//! written.

use pelton_resource::Kind;
use serde_json::{Value, json};

use super::{hash, insert_names};
use crate::kinds::{Column, ColumnType, ROWS, Row, Store};
use crate::table::Path;

/// A definition for each kind of Knative's that the registry has. All were created at `creation_timestamp`, an RFC 3339
/// time, and never change.
///
/// # Panics
/// When a column's path cannot be read, which the tests rule out for every row there is.
#[must_use]
pub fn definitions(creation_timestamp: &str) -> Vec<Value> {
    let defined = ROWS.iter().filter(|row| !row.group.is_empty() && matches!(row.store, Store::Stored(_)));
    defined.map(|row| definition(row, creation_timestamp)).collect()
}

fn definition(row: &Row, creation_timestamp: &str) -> Value {
    let name = row.qualified();
    let mut names = json!({
        "kind": row.kind,
        "listKind": format!("{}List", row.kind),
        "plural": row.plural,
        "singular": row.singular,
    });
    insert_names(row, &mut names);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "uid": hash::uid(&name),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": creation_timestamp,
            "labels": labels(row),
        },
        "spec": {
            "group": row.group,
            "names": names,
            "scope": if row.is_namespaced { "Namespaced" } else { "Cluster" },
            "conversion": {"strategy": "None"},
            "versions": [version(row)],
        },
        "status": {
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found", creation_timestamp),
                condition("Established", "InitialNamesAccepted", "all names are accepted", creation_timestamp),
            ],
            "acceptedNames": names,
            "storedVersions": [row.version],
        },
    })
}

/// The labels by which `kn` looks for kinds.
fn labels(row: &Row) -> Value {
    let mut labels = json!({"knative.dev/crd-install": "true"});
    if let Store::Stored(Kind::Broker | Kind::Service | Kind::Route) = row.store {
        labels["duck.knative.dev/addressable"] = "true".into();
    }
    labels
}

fn version(row: &Row) -> Value {
    let mut version = json!({
        "name": row.version,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "additionalPrinterColumns": row.columns.iter().map(printer_column).collect::<Vec<_>>(),
    });
    if row.has_status {
        version["subresources"] = json!({"status": {}});
    }
    version
}

fn printer_column(column: &Column) -> Value {
    let path = Path::parse(column.path).expect("the paths of the table of kinds can be read");
    let ty = match column.ty {
        ColumnType::String => "string",
        ColumnType::Integer | ColumnType::Count => "integer",
        ColumnType::Date => "date",
    };
    let mut printed = json!({"name": column.name, "type": ty, "jsonPath": path.to_string()});
    if column.wide {
        printed["priority"] = 1.into();
    }
    printed
}

fn condition(ty: &str, reason: &str, message: &str, since: &str) -> Value {
    json!({"type": ty, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since})
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: &str = "2023-11-14T22:13:20Z";

    fn named(name: &str) -> Value {
        definitions(CREATED).into_iter().find(|d| d["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn knatives_kinds_have_definitions_and_the_others_do_not() {
        let found = definitions(CREATED);
        let names: Vec<_> = found.iter().map(|d| d["metadata"]["name"].as_str().unwrap()).collect();
        let want = [
            "brokers.eventing.knative.dev",
            "triggers.eventing.knative.dev",
            "services.serving.knative.dev",
            "configurations.serving.knative.dev",
            "revisions.serving.knative.dev",
            "routes.serving.knative.dev",
            "domainmappings.serving.knative.dev",
        ];
        assert_eq!(names, want);
        let mut uids: Vec<_> = found.iter().map(|d| d["metadata"]["uid"].as_str().unwrap()).collect();
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len(), want.len());
        // Clients take another uid for another object, so it stays from release to release.
        assert_eq!(found[0]["metadata"]["uid"], "59d7efb1-9f04-8162-a162-c824e7bb781d");
        // A node that starts again, or another one, says the same.
        assert_eq!(found, definitions(CREATED));
    }

    /// Section 3, the row of customresourcedefinitions: kn selects by label.
    #[test]
    fn what_has_an_address_is_labelled() {
        let found = definitions(CREATED);
        assert!(found.iter().all(|d| d["metadata"]["labels"]["knative.dev/crd-install"] == "true"));
        let addressable: Vec<_> = found
            .iter()
            .filter(|d| d["metadata"]["labels"]["duck.knative.dev/addressable"] == "true")
            .map(|d| d["spec"]["names"]["kind"].as_str().unwrap())
            .collect();
        assert_eq!(addressable, ["Broker", "Service", "Route"]);
    }

    #[test]
    fn a_definition_has_what_clients_read() {
        let found = named("revisions.serving.knative.dev");
        let names = json!({
            "kind": "Revision",
            "listKind": "RevisionList",
            "plural": "revisions",
            "singular": "revision",
            "shortNames": ["rev"],
            "categories": ["all", "knative", "serving"],
        });
        assert_eq!((&found["spec"]["names"], &found["status"]["acceptedNames"]), (&names, &names));
        assert_eq!(found["spec"]["scope"], "Namespaced");
        assert_eq!(
            (&found["spec"]["group"], &found["apiVersion"]),
            (&json!("serving.knative.dev"), &json!("apiextensions.k8s.io/v1"))
        );
        assert_eq!(
            (&found["metadata"]["resourceVersion"], &found["metadata"]["creationTimestamp"]),
            (&json!("1"), &json!(CREATED))
        );
        let version = &found["spec"]["versions"][0];
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"]),
            (&json!("v1"), &json!(true), &json!(true))
        );
        assert_eq!(version["subresources"], json!({"status": {}}));
        let columns: Vec<_> = version["additionalPrinterColumns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| ["name", "type", "jsonPath"].map(|field| c[field].as_str().unwrap()))
            .collect();
        let want = [
            ["Config Name", "string", r".metadata.labels['serving\.knative\.dev/configuration']"],
            ["Generation", "string", r".metadata.labels['serving\.knative\.dev/configurationGeneration']"],
            ["Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#],
            ["Reason", "string", r#".status.conditions[?(@.type=="Ready")].reason"#],
            ["Actual Replicas", "integer", ".status.actualReplicas"],
            ["Desired Replicas", "integer", ".status.desiredReplicas"],
        ];
        assert_eq!(columns, want);
        let conditions: Vec<_> =
            found["status"]["conditions"].as_array().unwrap().iter().map(|c| (&c["type"], &c["status"])).collect();
        assert_eq!(conditions, [(&json!("NamesAccepted"), &json!("True")), (&json!("Established"), &json!("True"))]);
        assert_eq!(named("domainmappings.serving.knative.dev")["status"]["storedVersions"], json!(["v1beta1"]));
        let broker = named("brokers.eventing.knative.dev");
        let columns = &broker["spec"]["versions"][0]["additionalPrinterColumns"];
        assert_eq!((&columns[1]["type"], &columns[4]["priority"]), (&json!("date"), &json!(1)));
    }
}
