use super::*;

#[test]
fn an_empty_file_gives_nobody_anything() {
    for text in ["", "\n", "# nothing\n{}", "bindings: []\ntokens:\nissuers: null\n"] {
        let policy = parse(text).unwrap();
        assert!(policy.users.is_empty() && policy.groups.is_empty() && policy.issuers.is_empty(), "{text:?}");
    }
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let text: String = include_str!("../file.rs")
        .lines()
        .skip_while(|line| !line.contains("```yaml"))
        .skip(1)
        .take_while(|line| !line.contains("```"))
        .map(|line| format!("{}\n", line.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")))
        .collect();
    let policy = parse(&text).unwrap();
    let grant = Grant { role: Role::Editor, namespace: Some("shop".to_owned()), processes: true };
    for grants in [&policy.users["ada"], &policy.groups["ops"], &policy.users["system:serviceaccount:shop:robot"]] {
        assert_eq!(grants.as_slice(), std::slice::from_ref(&grant));
    }
    // The digest is that of `test`.
    let end = Time::parse("2027-01-01T00:00:00Z").unwrap().unix_millis();
    assert_eq!(policy.tokens.find("test", end - 1).unwrap().user, "ci");
    assert_eq!(policy.tokens.find("test", end), None);
    assert_eq!(policy.tokens.find("Test", end - 1), None);
    assert_eq!(policy.issuers[0].username_prefix, "");
}

/// Each row is a file, and what its mistakes must say, each of them.
#[test]
fn every_mistake_is_reported() {
    let digest = "0".repeat(64);
    let rows: &[(&str, &[&str])] = &[
        ("[]", &["the file: expected a mapping"]),
        ("a: {", &["line"]),
        ("roles: []\n", &["roles: nobody knows it"]),
        ("bindings: x\n", &["bindings: expected a list"]),
        (
            "bindings:\n- {role: owner, user: [ada]}\n- {users: [a], namespaces: [pelton-system, A, 7]}\n- 5\n",
            &[
                "bindings[0].role: expected viewer, editor or admin, got \"owner\"",
                "bindings[0].user: nobody knows it",
                "bindings[1].role: it is missing",
                "bindings[1].namespaces: pelton-system is the cluster's own",
                "bindings[1].namespaces: \"A\" is no name of a namespace",
                "bindings[1].namespaces[2]: expected a text",
                "bindings[2]: expected a mapping",
            ],
        ),
        ("bindings:\n- {role: admin}\n", &["bindings[0]: it names no users, groups or serviceAccounts"]),
        ("bindings:\n- {role: admin, users: [a], namespaces: []}\n", &["bindings[0].namespaces: it is empty"]),
        (
            "bindings:\n- {role: admin, users: [''], processes: 1}\n",
            &["processes: expected true", "users: \"\" is no name"],
        ),
        ("bindings:\n- {role: admin, serviceAccounts: [robot]}\n", &["expected NAMESPACE/NAME, got \"robot\""]),
        (
            "tokens:\n- {user: 'system:x', sha256: SECRET}\n- {sha256: 7, groups: ['system:nodes'], expires: soon}\n",
            &[
                "tokens[0].sha256: expected 64 hexadecimal digits",
                "tokens[1].user: it is missing",
                "tokens[1].sha256: expected a text",
                "tokens[1].groups: \"system:nodes\" is a group that nobody is put into",
                "tokens[1].expires: expected a time",
            ],
        ),
        (
            "issuers:\n- {url: 'http://x', clientId: '', groupsPrefix: a}\n",
            &[
                "issuers[0].url: expected a URL such as https://",
                "issuers[0].clientId: it is empty",
                "issuers[0].ca: it is missing",
                "issuers[0].groupsPrefix: there is no groupsClaim",
            ],
        ),
        (
            "issuers:\n- {url: 'https://x', clientId: a, ca: c}\n- {url: 'https://x', clientId: b, ca: c}\n",
            &["issuers[1].url: https://x is named twice"],
        ),
    ];
    for (text, want) in rows {
        let mistakes = parse(text).unwrap_err();
        let said = mistakes.to_string();
        for want in *want {
            assert!(said.contains(want), "{text}\nno {want:?} in {said}");
        }
        assert_eq!(mistakes.0.len(), want.len(), "{text}\n{said}");
        assert!(!said.contains("SECRET"), "{said}");
    }
    let named = parse(&format!("tokens:\n- {{user: 'system:x', sha256: '{digest}'}}\n")).unwrap_err();
    assert!(named.to_string().contains("tokens[0].user: \"system:x\" is no name that can be given"), "{named}");
}

#[test]
fn files_and_issuers_have_a_bound() {
    assert!(parse(&format!("{}\n", "#".repeat(MAX_FILE_BYTES))).is_err());
    let issuers = |count: usize| {
        let issuer = |number| format!("- {{url: 'https://{number}', clientId: a, ca: c}}\n");
        format!("issuers:\n{}", (0..count).map(issuer).collect::<String>())
    };
    assert!(parse(&issuers(MAX_ISSUERS)).is_ok());
    assert!(parse(&issuers(MAX_ISSUERS + 1)).is_err());
}
