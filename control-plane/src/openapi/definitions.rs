//! The kind that describes kinds.

use super::meta;
use super::short::Type::{Any, Bool, Int32, List, Named, Text};
use super::short::{Schema, field, required};

macro_rules! named {
    ($name:literal) => {
        concat!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.", $name)
    };
}

pub(super) static SCHEMAS: &[Schema] = &[
    Schema {
        name: named!("CustomResourceDefinition"),
        description: "",
        fields: &[
            required("spec", Named(named!("CustomResourceDefinitionSpec")), "What the kind is."),
            field("status", Named(named!("CustomResourceDefinitionStatus")), "Whether it is served."),
        ],
    },
    Schema {
        name: named!("CustomResourceDefinitionSpec"),
        description: "CustomResourceDefinitionSpec is what a kind is.",
        fields: &[
            required("group", Text, "Its group."),
            required("names", Named(named!("CustomResourceDefinitionNames")), "Its names."),
            required("scope", Text, "Where its objects are: Namespaced or Cluster."),
            required("versions", List(&Named(named!("CustomResourceDefinitionVersion"))), "Its versions."),
            field("conversion", Any, "How one version is made of another. There is one version of each kind here."),
            field("preserveUnknownFields", Bool, "Always false here."),
        ],
    },
    Schema {
        name: named!("CustomResourceDefinitionNames"),
        description: "CustomResourceDefinitionNames is what a kind is called.",
        fields: &[
            required("kind", Text, "In manifests."),
            field("listKind", Text, "The kind of its lists."),
            required("plural", Text, "In paths."),
            field("singular", Text, "One of it."),
            field("shortNames", List(&Text), "Shorter names for kubectl."),
            field("categories", List(&Text), "Groups of kinds that kubectl can ask for at once."),
        ],
    },
    Schema {
        name: named!("CustomResourceDefinitionVersion"),
        description: "CustomResourceDefinitionVersion is one version of a kind.",
        fields: &[
            required("name", Text, "Its name."),
            required("served", Bool, "Whether it can be asked for."),
            required("storage", Bool, "Whether objects are kept in it."),
            field("schema", Any, "Its fields."),
            field("subresources", Any, "What is written apart: the status."),
            field("additionalPrinterColumns", List(&Named(named!("CustomResourceColumnDefinition"))), "Its columns."),
        ],
    },
    Schema {
        name: named!("CustomResourceColumnDefinition"),
        description: "CustomResourceColumnDefinition is one column of kubectl get.",
        fields: &[
            required("name", Text, "Its name."),
            required("type", Text, "What its values are."),
            required("jsonPath", Text, "Where they are."),
            field("description", Text, "What it shows."),
            field("format", Text, "How the values are written."),
            field("priority", Int32, "0, or more when it is shown only if asked for."),
        ],
    },
    Schema {
        name: named!("CustomResourceDefinitionStatus"),
        description: "CustomResourceDefinitionStatus says whether a kind is served.",
        fields: &[
            field("acceptedNames", Named(named!("CustomResourceDefinitionNames")), "The names that it has."),
            field("conditions", List(&Named(meta::CONDITION)), "What holds and what does not."),
            field("storedVersions", List(&Text), "The versions in which objects are kept."),
        ],
    },
];
