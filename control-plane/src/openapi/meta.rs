//! What every kind shares: metadata, options, and the answer of a deletion. The names are those of Kubernetes.

use super::short::Type::{Bool, Int32, Int64, List, ListBy, Map, Named, Set, Text, Time};
use super::short::{Schema, field, required};

macro_rules! named {
    ($name:literal) => {
        concat!("io.k8s.apimachinery.pkg.apis.meta.v1.", $name)
    };
}

/// The name of the schema of `metadata`.
pub(super) const OBJECT: &str = named!("ObjectMeta");
/// The name of the schema of a list's `metadata`.
pub(super) const LIST: &str = named!("ListMeta");
/// The name of the schema of what a deletion answers.
pub(super) const STATUS: &str = named!("Status");
/// The name of the schema of one condition.
pub(super) const CONDITION: &str = named!("Condition");
/// The name of the schema of how to delete.
pub(super) const DELETE_OPTIONS: &str = named!("DeleteOptions");

pub(super) static SCHEMAS: &[Schema] = &[
    Schema {
        name: OBJECT,
        description: "ObjectMeta is what every object has: a name, a place, and what others say about it.",
        fields: &[
            field("name", Text, "Unique for the kind within the namespace. It cannot be changed."),
            field("generateName", Text, "What the name is to begin with, when the server is to choose it."),
            field("namespace", Text, "Where it is. It cannot be changed."),
            field("labels", Map(&Text), "For selecting."),
            field("annotations", Map(&Text), "For settings that have no field, and for other tools."),
            field("uid", Text, "Tells it from an earlier one of the same name. The server writes it."),
            field("generation", Int64, "Grows by one with each change of what is wanted. The server writes it."),
            field("resourceVersion", Text, "Changes with each change of anything. The server writes it."),
            field("creationTimestamp", Time, "When it was created. The server writes it."),
            field("deletionTimestamp", Time, "When its deletion was asked for. The server writes it."),
            field("deletionGracePeriodSeconds", Int64, "How long it was given to go. The server writes it."),
            field("finalizers", Set(&Text), "Who has work to do before it may go."),
            field(
                "ownerReferences",
                ListBy("uid", &Named(named!("OwnerReference"))),
                "Who made it. When they go, it goes.",
            ),
            field(
                "managedFields",
                List(&Named(named!("ManagedFieldsEntry"))),
                "Who set which field. The server writes it.",
            ),
        ],
    },
    Schema {
        name: named!("OwnerReference"),
        description: "OwnerReference names who made an object, and takes it along when it goes.",
        fields: &[
            required("apiVersion", Text, "The group and version of its kind."),
            required("kind", Text, "What it is."),
            required("name", Text, "Its name, in the same namespace."),
            required("uid", Text, "Its uid: another of the same name is no owner."),
            field("controller", Bool, "Whether it is the one that says what the object should be."),
            field("blockOwnerDeletion", Bool, "Whether it waits for the object to go before it goes."),
        ],
    },
    Schema {
        name: named!("ManagedFieldsEntry"),
        description: "ManagedFieldsEntry says which fields one manager has set.",
        fields: &[
            field("manager", Text, "Who."),
            field("operation", Text, "How: Apply or Update."),
            field("apiVersion", Text, "In which version of the kind the fields are named."),
            field("time", Time, "When it last set one."),
            field("fieldsType", Text, "How the fields are written: FieldsV1."),
            field("fieldsV1", Named(named!("FieldsV1")), "The fields."),
            field("subresource", Text, "By which subresource they were set."),
        ],
    },
    Schema {
        name: named!("FieldsV1"),
        description: "FieldsV1 is a set of fields: each key is f: and the name of a field, with those below it.",
        fields: &[],
    },
    Schema {
        name: LIST,
        description: "ListMeta is what every list has.",
        fields: &[
            field("resourceVersion", Text, "The version that the list shows. A watch can go on from it."),
            field("continue", Text, "Asks for what comes next, when there is more."),
            field("remainingItemCount", Int64, "How many objects come after these."),
        ],
    },
    Schema {
        name: DELETE_OPTIONS,
        description: "DeleteOptions says how to delete.",
        fields: &[
            field("apiVersion", Text, "The group and version of its kind."),
            field("kind", Text, "DeleteOptions."),
            field("dryRun", List(&Text), "All: nothing is done."),
            field("gracePeriodSeconds", Int64, "How long the object is given to go."),
            field("preconditions", Named(named!("Preconditions")), "What must hold."),
            field("propagationPolicy", Text, "What becomes of what it owns: Orphan, Background or Foreground."),
            field("orphanDependents", Bool, "The older form of propagationPolicy."),
        ],
    },
    Schema {
        name: named!("Preconditions"),
        description: "Preconditions must hold for an object to be deleted.",
        fields: &[field("uid", Text, "Its uid."), field("resourceVersion", Text, "Its version.")],
    },
    Schema {
        name: STATUS,
        description: "Status is the answer when there is no object to answer with.",
        fields: &[
            field("apiVersion", Text, "v1."),
            field("kind", Text, "Status."),
            field("metadata", Named(LIST), "Of which moment it is."),
            field("status", Text, "Success or Failure."),
            field("message", Text, "Why, for people."),
            field("reason", Text, "Why, in one CamelCase word."),
            field("details", Named(named!("StatusDetails")), "What it is about."),
            field("code", Int32, "The HTTP status."),
        ],
    },
    Schema {
        name: named!("StatusDetails"),
        description: "StatusDetails says what a Status is about.",
        fields: &[
            field("name", Text, "The name of the object."),
            field("group", Text, "Its group."),
            field("kind", Text, "Its kind."),
            field("uid", Text, "Its uid."),
            field("causes", List(&Named(named!("StatusCause"))), "Every mistake."),
            field("retryAfterSeconds", Int32, "When to try again."),
        ],
    },
    Schema {
        name: named!("StatusCause"),
        description: "StatusCause is one mistake.",
        fields: &[
            field("reason", Text, "What it is, in one CamelCase word."),
            field("message", Text, "What it is, for people."),
            field("field", Text, "The field that has it."),
        ],
    },
    Schema {
        name: CONDITION,
        description: "Condition is one thing that holds or does not.",
        fields: &[
            required("type", Text, "Its name."),
            required("status", Text, "Whether it holds: True, False or Unknown."),
            field("lastTransitionTime", Time, "When status last changed."),
            field("message", Text, "Why, for people."),
            field("reason", Text, "Why, in one CamelCase word."),
        ],
    },
];
