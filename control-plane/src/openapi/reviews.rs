//! The questions that are asked by posting an object.

use super::short::Type::{Bool, List, Map, Named, Text};
use super::short::{Schema, field, required};

macro_rules! access {
    ($name:literal) => {
        concat!("io.k8s.api.authorization.v1.", $name)
    };
}

macro_rules! caller {
    ($name:literal) => {
        concat!("io.k8s.api.authentication.v1.", $name)
    };
}

pub(super) static SCHEMAS: &[Schema] = &[
    Schema {
        name: access!("SelfSubjectAccessReview"),
        description: "",
        fields: &[
            required("spec", Named(access!("SelfSubjectAccessReviewSpec")), "The question."),
            field("status", Named(access!("SubjectAccessReviewStatus")), "The answer. The server writes it."),
        ],
    },
    Schema {
        name: access!("SelfSubjectAccessReviewSpec"),
        description: "SelfSubjectAccessReviewSpec is what the caller asks about: one of the two.",
        fields: &[
            field("resourceAttributes", Named(access!("ResourceAttributes")), "What is to be done with an object."),
            field("nonResourceAttributes", Named(access!("NonResourceAttributes")), "What is to be done at a path."),
        ],
    },
    Schema {
        name: access!("ResourceAttributes"),
        description: "ResourceAttributes is what is to be done with an object.",
        fields: &[
            field("namespace", Text, "Where. Empty: everywhere, or where there are no namespaces."),
            field("verb", Text, "What: get, list, create and so on. An asterisk is everything."),
            field("group", Text, "The group of the kind. An asterisk is every one."),
            field("version", Text, "Its version. An asterisk is every one."),
            field("resource", Text, "The plural of the kind. An asterisk is every one."),
            field("subresource", Text, "Which of its subresources. Empty: none."),
            field("name", Text, "The name of the object. Empty: any."),
        ],
    },
    Schema {
        name: access!("NonResourceAttributes"),
        description: "NonResourceAttributes is what is to be done at a path.",
        fields: &[field("path", Text, "The path."), field("verb", Text, "What: get, post and so on.")],
    },
    Schema {
        name: access!("SubjectAccessReviewStatus"),
        description: "SubjectAccessReviewStatus says whether it may be done.",
        fields: &[
            required("allowed", Bool, "Whether it may."),
            field("denied", Bool, "Whether it is forbidden outright."),
            field("reason", Text, "Why."),
            field("evaluationError", Text, "Why that could not be found out."),
        ],
    },
    Schema {
        name: access!("SelfSubjectRulesReview"),
        description: "",
        fields: &[
            required("spec", Named(access!("SelfSubjectRulesReviewSpec")), "The question."),
            field("status", Named(access!("SubjectRulesReviewStatus")), "The answer. The server writes it."),
        ],
    },
    Schema {
        name: access!("SelfSubjectRulesReviewSpec"),
        description: "SelfSubjectRulesReviewSpec is what the caller asks about.",
        fields: &[field("namespace", Text, "Where.")],
    },
    Schema {
        name: access!("SubjectRulesReviewStatus"),
        description: "SubjectRulesReviewStatus is all that the caller may do.",
        fields: &[
            required("resourceRules", List(&Named(access!("ResourceRule"))), "What it may do with objects."),
            required("nonResourceRules", List(&Named(access!("NonResourceRule"))), "What it may do at paths."),
            required("incomplete", Bool, "Whether there may be more."),
            field("evaluationError", Text, "Why that could not be found out."),
        ],
    },
    Schema {
        name: access!("ResourceRule"),
        description: "ResourceRule is what may be done with objects.",
        fields: &[
            required("verbs", List(&Text), "What."),
            field("apiGroups", List(&Text), "With kinds of which groups."),
            field("resources", List(&Text), "With which kinds, by plural."),
            field("resourceNames", List(&Text), "With which objects. Empty: with all."),
        ],
    },
    Schema {
        name: access!("NonResourceRule"),
        description: "NonResourceRule is what may be done at paths.",
        fields: &[required("verbs", List(&Text), "What."), field("nonResourceURLs", List(&Text), "At which paths.")],
    },
    Schema {
        name: caller!("SelfSubjectReview"),
        description: "",
        fields: &[field("status", Named(caller!("SelfSubjectReviewStatus")), "The answer. The server writes it.")],
    },
    Schema {
        name: caller!("SelfSubjectReviewStatus"),
        description: "SelfSubjectReviewStatus is who the caller is.",
        fields: &[field("userInfo", Named(caller!("UserInfo")), "Who.")],
    },
    Schema {
        name: caller!("UserInfo"),
        description: "UserInfo is who somebody is.",
        fields: &[
            field("username", Text, "The name."),
            field("uid", Text, "What tells one from an earlier one of the same name."),
            field("groups", List(&Text), "The groups."),
            field("extra", Map(&List(&Text)), "What else the authenticator said."),
        ],
    },
];
