use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pelton_client::Role;

use super::*;

fn read(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Result<Settings, Vec<String>> {
    read_for(Scope::All, flags, env, file)
}

/// As `pelton server` reads it.
fn server(flags: &[(&'static str, &str)]) -> Result<ClusterSettings, Vec<String>> {
    read_for(Scope::Server, flags, &[], None).map(|settings| settings.cluster.unwrap())
}

fn read_for(
    scope: Scope,
    flags: &[(&'static str, &str)],
    env: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Settings, Vec<String>> {
    let mut given = Flags::new();
    for (key, value) in flags {
        given.entry(key).or_default().push((*value).to_owned());
    }
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    let (layers, mistakes) = Layers::new(
        &given,
        |name| env.get(name).map(|value| (*value).to_owned()),
        file.map(|text| (Path::new("pelton.yaml"), text)),
    );
    Settings::read(&layers, mistakes, scope).map_err(|error| error.0.iter().map(ToString::to_string).collect())
}

#[test]
fn every_default_is_valid() {
    let settings = read(&[], &[], None).unwrap();
    assert_eq!(settings.ingress_listen.to_string(), "127.0.0.1:8080");
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(settings.retention, Retention { bytes: 10 << 30, dead_letters: week });
    assert_eq!(settings.raise_version_after, Duration::from_secs(24 * 3600));
    assert_eq!(settings.max_event_bytes, pelton_event::limits::DEFAULT_MAX_EVENT_BYTES);
    assert!(settings.files.is_empty() && settings.ready_file.is_none());
}

/// Flag over environment over file over default, for each subset of the layers.
#[test]
fn the_highest_layer_wins() {
    let file = "ingress-listen: 127.0.0.1:3";
    for (flag, env, in_file, want) in [
        (false, false, false, 8080),
        (false, false, true, 3),
        (false, true, false, 2),
        (false, true, true, 2),
        (true, false, false, 1),
        (true, false, true, 1),
        (true, true, false, 1),
        (true, true, true, 1),
    ] {
        let flags: &[_] = if flag { &[("ingress-listen", "127.0.0.1:1")] } else { &[] };
        let env: &[_] = if env { &[("PELTON_INGRESS_LISTEN", "127.0.0.1:2")] } else { &[] };
        let settings = read(flags, env, in_file.then_some(file)).unwrap();
        assert_eq!(settings.ingress_listen.port(), want, "flags {flags:?}, environment {env:?}, file {in_file}");
    }
}

#[test]
fn lists_come_from_every_layer() {
    let want: Vec<std::path::PathBuf> = vec!["a".into(), "b".into()];
    for (flags, env, file) in [
        (&[("file", "a"), ("file", "b")][..], &[][..], None),
        (&[], &[("PELTON_FILE", "a, b")], None),
        (&[], &[], Some("file: [a, b]")),
    ] {
        assert_eq!(read(flags, env, file).unwrap().files, want, "{flags:?} {env:?} {file:?}");
    }
    assert_eq!(read(&[], &[], Some("file: a")).unwrap().files, want[..1]);
}

#[cfg(feature = "docker")]
#[test]
fn an_engine_is_named_as_by_docker_or_by_its_path() {
    for (text, want) in
        [("unix:///run/docker.sock", "/run/docker.sock"), ("/run/podman/podman.sock", "/run/podman/podman.sock")]
    {
        let settings = read(&[("docker-host", text)], &[], None).unwrap();
        assert_eq!(settings.docker_host.as_deref(), Some(Path::new(want)), "{text}");
    }
    assert_eq!(read(&[], &[], None).unwrap().docker_host, None);
}

/// Each row is one wrong value: who said it, and what the report has to name.
#[test]
fn every_mistake_names_its_key_and_source() {
    let has_kubernetes = cfg!(feature = "kubernetes");
    let rows: &[(&str, &str, &str)] = &[
        ("ingress-listen", "8080", "expected an address and a port"),
        ("api-listen", "localhost:1", "expected an address and a port"),
        ("metrics-listen", "127.0.0.1:65536", "expected an address and a port"),
        ("data", "", "expected a path"),
        ("api-host", "exa mple", "expected a host name"),
        #[cfg(feature = "docker")]
        ("docker-host", "tcp://127.0.0.1:2375", "expected a Unix socket"),
        #[cfg(feature = "docker")]
        ("docker-host", "docker.sock", "expected a Unix socket"),
        #[cfg(feature = "docker")]
        ("docker-host", "", "expected a Unix socket"),
        ("kubernetes-kubeconfig", "", if has_kubernetes { "expected a path" } else { "without the feature" }),
        ("kubernetes-namespace", "Apps", if has_kubernetes { "expected a DNS label" } else { "without the feature" }),
        ("workers", "0", "a number from 1 to 256"),
        ("workers", "257", "a number from 1 to 256"),
        ("workers", "two", "a number from 1 to 256"),
        ("dead-letter-age", "1 fortnight", "expected a duration"),
        ("dead-letter-age", "10ms", "at least 1s"),
        ("retention-bytes", "10GB", "expected a size"),
        ("retention-bytes", "1KiB", "at least 64MiB"),
        ("max-event-bytes", "95KiB", "from 96KiB"),
        ("max-event-bytes", "5MiB", "to 4MiB"),
        ("direct-io", "maybe", "expected auto, on or off"),
        ("shutdown-grace", "soon", "expected a duration"),
        ("log", "pelton=loud", "not a filter"),
        ("log-format", "xml", "expected text or json"),
    ];
    for (key, value, want) in rows {
        let found = Key::find(key).unwrap();
        let line = format!("{key}: {value:?}");
        let by_flag = read(&[(found.name, value)], &[], None).unwrap_err();
        let by_file = read(&[], &[], Some(&line)).unwrap_err();
        for (mistakes, source) in [(by_flag, "(flag)"), (by_file, "(file pelton.yaml)")] {
            assert_eq!(mistakes.len(), 1, "{key}={value}: {mistakes:?}");
            assert!(mistakes[0].starts_with(key), "{key}={value}: {mistakes:?}");
            assert!(mistakes[0].contains(source) && mistakes[0].contains(want), "{key}={value}: {mistakes:?}");
        }
        if !value.is_empty() {
            let by_env = read(&[], &[(&found.variable(), value)], None).unwrap_err();
            assert!(by_env[0].contains(&found.variable()), "{key}={value}: {by_env:?}");
        }
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    let file = "workers: 0\ningres-listen: x\nretention: {age: 1d}\nlog: [a]\n";
    let mistakes = read(&[("log-format", "xml")], &[("PELTON_API_LISTEN", "x")], Some(file)).unwrap_err();
    let text = mistakes.join("\n");
    for want in [
        "ingres-listen (file pelton.yaml): unknown key; did you mean ingress-listen?",
        "retention (file pelton.yaml): unknown key",
        "log (file pelton.yaml): expected one text or number",
        "api-listen (environment variable PELTON_API_LISTEN): expected",
        "workers (file pelton.yaml): expected",
        "log-format (flag): expected",
    ] {
        assert!(text.contains(want), "{want:?} is not in:\n{text}");
    }
    assert_eq!(mistakes.len(), 6, "{text}");
}

#[test]
fn what_is_no_mapping_is_refused() {
    for bad in ["- a", "text", "a: b: c", "workers: 1\nworkers: 2"] {
        assert!(read(&[], &[], Some(bad)).is_err(), "{bad:?}");
    }
    for good in ["", "# nothing\n", "workers: 1"] {
        assert!(read(&[], &[], Some(good)).is_ok(), "{good:?}");
    }
}

#[test]
fn two_listeners_on_one_address_are_a_mistake() {
    let mistakes = read(&[("api-listen", "127.0.0.1:8080")], &[], None).unwrap_err();
    assert_eq!(mistakes, ["api-listen (flag): 127.0.0.1:8080 is taken by ingress-listen"]);
    let free = [
        ("gateway-listen", "127.0.0.1:0"),
        ("api-listen", "127.0.0.1:0"),
        ("ingress-listen", "127.0.0.1:0"),
        ("metrics-listen", "127.0.0.1:0"),
    ];
    assert!(read(&free, &[], None).is_ok());
}

#[test]
fn a_node_of_a_cluster_has_defaults_for_all_but_its_name() {
    let node = server(&[("name", "a")]).unwrap();
    assert_eq!((node.name.as_str(), node.zone.as_str(), node.replicas), ("a", "default", 3));
    assert_eq!(node.roles, [Role::Broker, Role::Ingress, Role::Dispatcher, Role::Gateway].into());
    assert_eq!(node.peer_listen.to_string(), "127.0.0.1:7400");
    assert_eq!(node.node_lost_after, Duration::from_secs(600));
    assert!(node.join.is_empty() && node.tls.is_none() && node.peer_advertise.is_none());
}

#[test]
fn lists_of_nodes_and_roles_are_separated_by_commas_everywhere() {
    let (join, role) = ("127.0.0.1:1, localhost:2,[::1]:3", "ingress,broker");
    let want = ["127.0.0.1:1", "localhost:2", "[::1]:3"];
    for (flags, env, file) in [
        (&[("name", "a"), ("join", join), ("role", role)][..], &[][..], None),
        (&[("name", "a"), ("join", want[0]), ("join", "localhost:2,[::1]:3"), ("role", role)], &[], None),
        (&[], &[("PELTON_NAME", "a"), ("PELTON_JOIN", join), ("PELTON_ROLE", role)], None),
        (&[], &[], Some("{name: a, join: ['127.0.0.1:1', 'localhost:2,[::1]:3'], role: [ingress, broker]}")),
    ] {
        let node = read_for(Scope::Server, flags, env, file).unwrap().cluster.unwrap();
        assert_eq!(
            node.join.iter().map(|address| address.as_str()).collect::<Vec<_>>(),
            want,
            "{flags:?}{env:?}{file:?}"
        );
        assert_eq!(node.roles, [Role::Broker, Role::Ingress].into(), "{flags:?}{env:?}{file:?}");
    }
}

/// Each row: what a node is told, and what the one mistake in it is.
#[test]
fn what_does_not_go_together_is_refused() {
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[("name", "A")], "name (flag): expected a DNS label"),
        (&[("zone", "")], "zone (flag): expected"),
        (&[("gateway-listen", "127.0.0.1:8080")], "gateway-listen (flag): 127.0.0.1:8080 is taken by ingress-listen"),
        (&[("role", "gateways")], "role (flag): expected broker, ingress, dispatcher or gateway"),
        (&[("role", "gateway")], "without the role broker the node keeps nothing itself"),
        (&[("peer-listen", "7400")], "peer-listen (flag): expected an address"),
        (&[("peer-listen", "10.0.0.1:7400")], "peer-insecure"),
        (&[("peer-listen", "0.0.0.0:7400"), ("peer-insecure", "true")], "say peer-advertise"),
        (&[("peer-listen", "127.0.0.1:8080")], "taken by ingress-listen"),
        (&[("peer-advertise", "node")], "it has no port"),
        (&[("join", "node:0")], "its port"),
        (&[("join", "127.0.0.1:1,127.0.0.1:1")], "named twice"),
        (&[("join", "10.0.0.1:7400")], "there is no TLS"),
        (&[("peer-insecure", "maybe")], "expected true or false"),
        (&[("role", "ingress")], "join (default): without the role broker"),
        (&[("peer-ca", "ca.pem"), ("peer-cert", "a.pem")], "peer-key (default): TLS between nodes needs"),
        (
            &[("peer-ca", "c"), ("peer-cert", "a"), ("peer-key", "k"), ("peer-insecure", "true")],
            "there are certificates",
        ),
        (&[("node-lost-after", "1s")], "at least 5s"),
        (&[("raise-version-after", "soon")], "raise-version-after"),
        (&[("replicas", "0")], "a number from 1 to 7"),
        (&[("replicas", "8")], "a number from 1 to 7"),
    ];
    for (flags, want) in rows {
        let mut all = vec![("name", "a")];
        all.retain(|(key, _)| !flags.iter().any(|(given, _)| given == key));
        all.extend(flags.iter().map(|(key, value)| (Key::find(key).unwrap().name, *value)));
        let mistakes = server(&all).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].contains(want), "{flags:?}: {mistakes:?}");
    }
}

#[test]
fn other_machines_are_reached_with_tls_or_on_demand_without() {
    let place = [("name", "a"), ("peer-listen", "0.0.0.0:7400"), ("peer-advertise", "a.example:7400")];
    let join = ("join", "a.example:7400,b.example:7400");
    for protection in [&[("peer-insecure", "true")][..], &[("peer-ca", "c"), ("peer-cert", "p"), ("peer-key", "k")]] {
        let flags: Vec<_> = place.iter().chain([&join]).chain(protection).copied().collect();
        let node = server(&flags).unwrap_or_else(|mistakes| panic!("{protection:?}: {mistakes:?}"));
        assert_eq!(node.tls.is_some(), protection.len() == 3);
    }
    let alone: Vec<_> = place.iter().chain([&join]).copied().collect();
    assert_eq!(server(&alone).unwrap_err().len(), 3, "the listener and both addresses");
}

/// Each row: what is said of the API, and the one mistake in it.
#[test]
fn an_api_that_others_reach_asks_who_they_are() {
    /// Keys with their values, and what is wrong with them.
    type Row<'a> = (&'a [(&'static str, &'a str)], Option<&'a str>);
    let rows: &[Row<'_>] = &[
        (&[], None),
        (&[("api-listen", "[::1]:0")], None),
        (&[("api-listen", "[::ffff:127.0.0.1]:0")], None),
        (&[("api-auth", "true")], None),
        (&[("api-listen", "0.0.0.0:0")], Some("api-listen (flag): 0.0.0.0:0 is no loopback address")),
        (&[("api-listen", "10.0.0.1:0")], Some("set api-auth, or api-insecure")),
        (&[("api-listen", "[::]:0"), ("api-auth", "false")], Some("set api-auth, or api-insecure")),
        (&[("api-listen", "0.0.0.0:0"), ("api-insecure", "true")], None),
        (&[("api-listen", "0.0.0.0:0"), ("api-auth", "true")], None),
        (&[("api-auth", "true"), ("api-insecure", "true")], Some("api-insecure (flag): api-auth is set")),
        (&[("api-auth", "maybe")], Some("api-auth (flag): expected true or false")),
        (&[("api-access", "a.yaml")], Some("api-access (flag): counts only with api-auth")),
        (&[("api-client-ca", "a.pem")], Some("api-client-ca (flag): counts only with api-auth")),
        (&[("api-auth", "true"), ("api-cert", "a.pem")], Some("api-cert (flag): needs api-key")),
        (&[("api-auth", "true"), ("api-key", "a.pem")], Some("api-key (flag): needs api-cert")),
        (&[("api-auth", "true"), ("api-access", "")], Some("api-access (flag): expected a path")),
    ];
    for (flags, want) in rows {
        match (read(flags, &[], None), want) {
            (Ok(_), None) => {}
            (Err(mistakes), Some(want)) => {
                assert!(mistakes.len() == 1 && mistakes[0].contains(want), "{flags:?}: {mistakes:?}");
            }
            (got, want) => panic!("{flags:?}: {got:?}, and not {want:?}"),
        }
    }
}

#[test]
fn changes_are_written_down_beside_the_data_where_callers_are_asked() {
    let audit = |flags: &[(&'static str, &str)]| read(flags, &[], None).unwrap().api_access.audit;
    assert_eq!(audit(&[]), None);
    assert_eq!(audit(&[("api-audit", "a")]).as_deref(), Some(Path::new("a")));
    assert_eq!(audit(&[("api-auth", "true"), ("data", "d")]).as_deref(), Some(Path::new("d/audit.log")));
    assert_eq!(audit(&[("api-auth", "true"), ("api-audit", "a")]).as_deref(), Some(Path::new("a")));
}

/// A key of `pelton server` that is given to `pelton up` was meant: it is not passed over in silence.
#[test]
fn up_refuses_the_keys_of_a_cluster() {
    for key in KEYS.iter().filter(|key| key.scope == Scope::Server) {
        let mistakes = read(&[(key.name, "a")], &[], None).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].contains("belongs to `pelton server`"), "{mistakes:?}");
    }
}

/// The page has a row for every key, with its variable and default.
#[test]
fn the_documentation_has_every_key() {
    let page = include_str!("../../docs/configuration.md");
    for key in KEYS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let row = row.unwrap_or_else(|| panic!("no row for {}", key.name));
        assert!(row.contains(&key.variable()), "{row}");
        assert!(row.contains(key.default.unwrap_or("")), "{row}");
    }
}
