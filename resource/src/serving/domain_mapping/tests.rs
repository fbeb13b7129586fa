use super::*;
use crate::Resource;

/// A valid DomainMapping with its defaults, then changed.
fn mapping(change: impl FnOnce(&mut DomainMapping)) -> Resource {
    let mut mapping = DomainMapping::default();
    mapping.metadata.name = "shop.example.com".into();
    mapping.metadata.namespace = "shop".into();
    mapping.spec.reference = KReference {
        kind: "Service".into(),
        api_version: SERVING_API_VERSION.into(),
        name: "hello".into(),
        ..KReference::default()
    };
    change(&mut mapping);
    let mut resource = Resource::DomainMapping(mapping);
    resource.set_defaults(&Defaults::default());
    resource
}

/// Knative Serving, `domainmapping_validation.go`.
#[test]
fn domain_mappings_that_cannot_work_are_refused() {
    const DOMAIN: &str = "the name is the domain: lower-case labels with dots between them, such as shop.example.com";
    const LOCAL: &str = "names below cluster.local are those of Services and Routes";
    let of_name = |name: &str| mapping(|m| m.metadata.name = name.to_owned());
    let rows = [
        (of_name(""), "missing field(s): metadata.name".to_owned()),
        (of_name("shop"), format!("invalid value: shop: metadata.name\n{DOMAIN}")),
        (of_name("Shop.example"), format!("invalid value: Shop.example: metadata.name\n{DOMAIN}")),
        (of_name("shop.example."), format!("invalid value: shop.example.: metadata.name\n{DOMAIN}")),
        (of_name("*.example"), format!("invalid value: *.example: metadata.name\n{DOMAIN}")),
        (of_name("cluster.local"), format!("invalid value: cluster.local: metadata.name\n{LOCAL}")),
        (of_name("a.b.svc.cluster.local"), format!("invalid value: a.b.svc.cluster.local: metadata.name\n{LOCAL}")),
        (
            mapping(|m| m.spec.reference = KReference::default()),
            "missing field(s): spec.ref.name, spec.ref.apiVersion, spec.ref.kind".to_owned(),
        ),
        (
            mapping(|m| m.spec.reference.api_version = "v1".into()),
            "invalid value: Service (v1): spec.ref\nexpected Service or Route (serving.knative.dev/v1)".to_owned(),
        ),
        (
            mapping(|m| m.spec.reference.kind = "Revision".into()),
            "invalid value: Revision (serving.knative.dev/v1): spec.ref\n\
             expected Service or Route (serving.knative.dev/v1)"
                .to_owned(),
        ),
        (
            mapping(|m| m.spec.reference.namespace = "other".into()),
            "invalid value: other: spec.ref.namespace\nwhat answers must be in the namespace of the DomainMapping"
                .to_owned(),
        ),
        (
            mapping(|m| m.spec.reference.name = "a/b".into()),
            "invalid value: a/b: spec.ref.name\na name has 1 to 63 lower-case letters, digits and hyphens, with no \
             hyphen at either end"
                .to_owned(),
        ),
        (
            mapping(|m| m.spec.reference.address = Some("x".into())),
            "must not set the field(s): spec.ref.address".to_owned(),
        ),
    ];
    for (resource, want) in rows {
        assert_eq!(resource.validate(&Defaults::default()).expect_err(&want).to_string(), want);
    }
}

#[test]
fn domain_mappings_that_can_work_are_taken() {
    let rows = [
        mapping(|_| {}),
        mapping(|m| m.spec.reference.kind = "Route".into()),
        mapping(|m| m.spec.reference.namespace = "shop".into()),
        mapping(|m| m.metadata.name = "not-cluster.localhost".into()),
        mapping(|m| m.metadata.name = "mycluster.local".into()),
    ];
    for resource in rows {
        assert_eq!(resource.validate(&Defaults::default()), Ok(()), "{}", resource.key());
        let Resource::DomainMapping(mapping) = resource else { unreachable!("it was made one") };
        assert_eq!(mapping.spec.reference.namespace, "shop");
        assert!(mapping.spec.reference.key().is_some());
    }
}
