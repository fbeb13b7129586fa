use proptest::prelude::*;

use super::*;

/// Knative Serving, "Revision naming": five digits at least.
#[test]
fn a_revision_is_named_after_its_configuration_and_generation() {
    let rows = [
        (1, "hello-00001"),
        (42, "hello-00042"),
        (99_999, "hello-99999"),
        (100_000, "hello-100000"),
        (i64::MAX, "hello-9223372036854775807"),
    ];
    for (generation, want) in rows {
        assert_eq!(revision_name("hello", generation), want);
    }
}

#[test]
fn a_long_name_is_cut_and_hashed_but_never_changes() {
    let fits = "a".repeat(MAX_NAME_BYTES - "-00001".len());
    assert_eq!(revision_name(&fits, 1), format!("{fits}-00001"));
    let long = format!("{fits}b");
    // Written down: a name that changes with a version of Pelton would make every long-named Revision anew.
    assert_eq!(revision_name(&long, 1), format!("{}934f7f758b85bbc2-00001", "a".repeat(41)));
    // FNV-1a, the published test vectors.
    for (text, hash) in [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)] {
        assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
    }
}

#[test]
fn a_name_of_ones_own_begins_with_that_of_the_configuration() {
    let fits = format!("hello-{}", "a".repeat(57));
    for good in ["hello-v2", "hello-00001", "hello-a--b", fits.as_str()] {
        assert!(is_revision_name_of("hello", good), "{good}");
    }
    let too_long = format!("{fits}a");
    for bad in ["", "hello", "hello-", "hellov2", "other-v2", "hello-V2", "hello-v2-", "hello-a.b", too_long.as_str()] {
        assert!(!is_revision_name_of("hello", bad), "{bad}");
    }
    assert!(!is_revision_name_of("0hello", "0hello-v2"), "a label of RFC 1035 begins with a letter");
}

#[test]
fn labels_and_domains_are_told_from_other_texts() {
    for good in ["a", "a0", "a-b"] {
        assert!(is_dns_1035_label(good), "{good}");
    }
    for bad in ["", "0", "0a", "-a", "a-", "A", "a.b"] {
        assert!(!is_dns_1035_label(bad), "{bad}");
    }
    let longest =
        format!("{}.aaa", ["a".repeat(49), "b".repeat(49), "c".repeat(49), "d".repeat(49), "e".repeat(49)].join("."));
    assert_eq!(longest.len(), MAX_DOMAIN_BYTES);
    for good in ["a.b", "shop.example.com", "0.example", "xn--bcher-kva.example", longest.as_str()] {
        assert!(is_domain_name(good), "{good}");
    }
    let too_long = format!("{longest}a");
    let long_label = format!("{}.example", "a".repeat(64));
    for bad in
        ["", "a", ".", "a.", ".a", "a..b", "A.b", "a_b.c", "*.a", "a.b:80", "bücher.example", &too_long, &long_label]
    {
        assert!(!is_domain_name(bad), "{bad}");
    }
}

/// Knative Serving, "Traffic", hosts.
#[test]
fn a_route_has_hosts() {
    let rows: [(Option<&str>, &str, Visibility, &[&str]); 4] = [
        (
            None,
            DEFAULT_DOMAIN,
            Visibility::External,
            &["hello.shop.localhost", "hello.shop", "hello.shop.svc", "hello.shop.svc.cluster.local"],
        ),
        (
            Some("next"),
            "example.com",
            Visibility::External,
            &[
                "next-hello.shop.example.com",
                "next-hello.shop",
                "next-hello.shop.svc",
                "next-hello.shop.svc.cluster.local",
            ],
        ),
        (
            None,
            "example.com",
            Visibility::ClusterLocal,
            &["hello.shop.svc.cluster.local", "hello.shop", "hello.shop.svc"],
        ),
        (
            Some("next"),
            DEFAULT_DOMAIN,
            Visibility::ClusterLocal,
            &["next-hello.shop.svc.cluster.local", "next-hello.shop", "next-hello.shop.svc"],
        ),
    ];
    for (tag, domain, visibility, want) in rows {
        assert_eq!(hosts("hello", "shop", tag, domain, visibility), want, "{tag:?} {domain} {visibility:?}");
    }
}

proptest! {
    #[test]
    fn every_revision_name_is_a_label_that_its_configuration_may_have(
        configuration in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?", generation in 1i64..,
    ) {
        let name = revision_name(&configuration, generation);
        prop_assert!(is_dns_1035_label(&name), "{}", name);
        if configuration.len() + 20 <= MAX_NAME_BYTES {
            prop_assert!(is_revision_name_of(&configuration, &name), "{}", name);
        }
        prop_assert_ne!(&name, &revision_name(&configuration, generation.wrapping_add(1)));
    }

    #[test]
    fn any_text_has_a_child(configuration in any::<String>(), generation in any::<i64>()) {
        let _ = revision_name(&configuration, generation);
    }
}
