use super::*;
use crate::file;
use crate::identity::MASTERS;

const FILE: &str = "
bindings:
- {role: viewer, users: [vera]}
- {role: viewer, namespaces: [shop], users: [vince]}
- {role: editor, users: [ed]}
- {role: editor, namespaces: [shop, mall], users: [eve], groups: [shop-team]}
- {role: admin, namespaces: [shop], users: [anna], processes: true}
- {role: admin, users: [root]}
- {role: admin, serviceAccounts: [shop/deployer]}
- {role: editor, namespaces: [shop], serviceAccounts: [shop/robot]}
- {role: viewer, groups: ['system:serviceaccounts:mall']}
";

/// Who asks in the tables: a user of the file; `group` is in `shop-team`, `master` is one, `nobody` has shown nothing.
fn caller(name: &str) -> Caller {
    let policy = Arc::new(file::parse(FILE).unwrap());
    let of = |groups: &[&str]| {
        let groups = groups.iter().map(|group| (*group).to_owned());
        Identity::of_outside(name.to_owned(), groups, true).unwrap()
    };
    let identity = match name {
        "nobody" => Identity::anonymous(),
        "group" => of(&["shop-team"]),
        "master" => of(&[MASTERS]),
        _ => of(&[]),
    };
    Caller::new(identity, policy)
}

/// `verb resource.group/subresource namespace name`; `-` is none, and a path begins with a slash.
fn wanted(text: &str) -> Attributes {
    let words: Vec<&str> = text.split(' ').collect();
    let [verb, what, rest @ ..] = words.as_slice() else { panic!("{text}") };
    if what.starts_with('/') {
        return Attributes::path(verb, what);
    }
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let at = |index: usize| rest.get(index).copied().filter(|text| *text != "-");
    Attributes::resource(verb, (group, "v1", resource), subresource, at(0), at(1))
}

const EVERYBODY: [&str; 10] = ["nobody", "stranger", "vera", "vince", "ed", "eve", "group", "anna", "root", "master"];

/// Each row is something wanted, and all those who may.
#[test]
fn roles_may_what_they_may() {
    let known = &EVERYBODY[1..];
    let rows: &[(&str, &[&str])] = &[
        // What is no resource.
        ("get /healthz", &EVERYBODY),
        ("get /readyz/", &EVERYBODY),
        ("get /version", &EVERYBODY),
        ("post /version", &["root", "master"]),
        ("get /apis", known),
        ("get /api/v1", known),
        ("get /openapi/v3/apis/eventing.knative.dev/v1", known),
        ("get /metrics", &["root", "master"]),
        ("get /v1/whatever", &["root", "master"]),
        // Questions about oneself.
        ("create selfsubjectaccessreviews.authorization.k8s.io", known),
        ("create selfsubjectreviews.authentication.k8s.io", known),
        ("list customresourcedefinitions.apiextensions.k8s.io", known),
        // Content of a namespace.
        ("get brokers.eventing.knative.dev shop b", &["vera", "vince", "ed", "eve", "group", "anna", "root", "master"]),
        ("list triggers.eventing.knative.dev shop", &["vera", "vince", "ed", "eve", "group", "anna", "root", "master"]),
        ("list triggers.eventing.knative.dev mall", &["vera", "ed", "eve", "group", "root", "master"]),
        ("list triggers.eventing.knative.dev", &["vera", "ed", "root", "master"]),
        ("watch configmaps", &["vera", "ed", "root", "master"]),
        ("create brokers.eventing.knative.dev shop", &["ed", "eve", "group", "anna", "root", "master"]),
        ("patch brokers.eventing.knative.dev mall b", &["ed", "eve", "group", "root", "master"]),
        ("deletecollection brokers.eventing.knative.dev shop", &["ed", "eve", "group", "anna", "root", "master"]),
        ("update brokers.eventing.knative.dev/status shop b", &["anna", "root", "master"]),
        (
            "get services.serving.knative.dev/log shop s",
            &["vera", "vince", "ed", "eve", "group", "anna", "root", "master"],
        ),
        ("update deadletters.pelton.dev shop", &["ed", "eve", "group", "anna", "root", "master"]),
        // Of no namespace in particular: it may be the system's.
        ("create configmaps", &["root", "master"]),
        ("deletecollection brokers.eventing.knative.dev", &["root", "master"]),
        // Secrets.
        ("get secrets shop s", &["ed", "eve", "group", "anna", "root", "master"]),
        ("list secrets shop", &["ed", "eve", "group", "anna", "root", "master"]),
        ("watch secrets", &["root", "master"]),
        ("list secrets", &["root", "master"]),
        ("create secrets shop", &["ed", "eve", "group", "anna", "root", "master"]),
        // What the cluster keeps for itself.
        ("get secrets pelton-system api-access", &["root", "master"]),
        ("list secrets pelton-system", &["root", "master"]),
        ("delete secrets pelton-system api-access", &["root", "master"]),
        ("create brokers.eventing.knative.dev pelton-system", &["root", "master"]),
        ("create serviceaccounts/token pelton-system x", &["root", "master"]),
        ("list configmaps pelton-system", &["vera", "ed", "root", "master"]),
        // Tokens; `may_be` says whose.
        ("create serviceaccounts/token shop robot", &["ed", "eve", "group", "anna", "root", "master"]),
        // Namespaces.
        ("get namespaces shop shop", &["vera", "vince", "ed", "eve", "group", "anna", "root", "master"]),
        ("get namespaces mall mall", &["vera", "ed", "eve", "group", "root", "master"]),
        ("list namespaces", &["vera", "ed", "root", "master"]),
        ("create namespaces", &["ed", "root", "master"]),
        ("patch namespaces shop shop", &["ed", "anna", "root", "master"]),
        ("delete namespaces shop shop", &["ed", "anna", "root", "master"]),
        ("update namespaces/status shop shop", &["anna", "root", "master"]),
        ("delete namespaces pelton-system pelton-system", &["root", "master"]),
        ("deletecollection namespaces", &["root", "master"]),
        // The cluster.
        ("get cluster.pelton.dev", &["vera", "ed", "root", "master"]),
        ("update cluster.pelton.dev", &["root", "master"]),
        // Everything, and what is no verb here.
        ("* *.*", &["root", "master"]),
        ("* * shop", &["root", "master"]),
        ("get * shop", &["root", "master"]),
        ("impersonate users - ada", &["root", "master"]),
    ];
    for (text, want) in rows {
        let may: Vec<&str> = EVERYBODY.into_iter().filter(|name| caller(name).may(&wanted(text))).collect();
        assert_eq!(may, *want, "{text}");
    }
}

/// Each role may what the one before it may, whatever is wanted.
#[test]
fn roles_grow() {
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
        for what in ["brokers.eventing.knative.dev", "secrets", "namespaces", "serviceaccounts/token", "x.y/status"] {
            for place in [" shop shop", " mall mall", " pelton-system x", ""] {
                let wanted = wanted(&format!("{verb} {what}{place}"));
                for [less, more] in
                    [["vera", "ed"], ["ed", "root"], ["vince", "anna"], ["eve", "root"], ["vince", "vera"]]
                {
                    assert!(!caller(less).may(&wanted) || caller(more).may(&wanted), "{less} {more} {wanted:?}");
                }
            }
        }
    }
}

/// Each row is an account, and who may have a token of it as far as its own grants go.
#[test]
fn nobody_gets_a_token_of_an_account_that_may_more() {
    for ((namespace, name), want) in [
        (("shop", "plain"), &EVERYBODY[..]),
        (("shop", "robot"), &["ed", "eve", "group", "anna", "root", "master"]),
        (("shop", "deployer"), &["root", "master"]),
        // By its group it reads the whole cluster.
        (("mall", "plain"), &["vera", "ed", "root", "master"]),
    ] {
        let may: Vec<&str> = EVERYBODY.into_iter().filter(|who| caller(who).may_be(namespace, name)).collect();
        assert_eq!(may, want, "{namespace}/{name}");
    }
}

#[test]
fn processes_are_for_those_who_were_told_so() {
    for (who, namespace, want) in [
        ("anna", "shop", true),
        ("anna", "mall", false),
        ("eve", "shop", false),
        ("root", "shop", false),
        ("master", "shop", true),
        ("nobody", "shop", false),
    ] {
        assert_eq!(caller(who).may_run_processes(namespace), want, "{who} {namespace}");
    }
    assert!(Caller::local().may_run_processes("shop"));
}
