//! What roles may, with kubectl over TLS.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Pid, Signal, kill_process};

use crate::access_certificates::Raw;
use crate::guarded::{ACCESS, access_file, put, token, with_kubectl};
use crate::scene::{Scene, shop, with_every_kubectl_of};
use crate::support::{skipped, wait_until};
use crate::tools;

#[test]
fn the_kubeconfig_beside_the_data_is_an_admins() {
    with_every_kubectl_of(
        "admin",
        |program| Scene::start_with(program, |_| vec!["--api-auth".to_owned()]),
        |scene| {
            scene.rows(&[
                ("auth whoami", 0, &["Username    pelton:admin\n", "system:masters"], &[]),
                ("auth can-i '*' '*'", 0, &["yes\n"], &[]),
                (
                    "auth can-i --list",
                    0,
                    &["triggers.eventing.knative.dev", "[create delete deletecollection get"],
                    &[],
                ),
                ("create ns shop", 0, &["namespace/shop created"], &[]),
                ("get secrets -A", 0, &["pelton-system   api-authority   Opaque   3"], &[]),
                ("cluster-info", 0, &["is running at", "https://127.0.0.1:"], &[]),
                ("get brokers --as=somebody", 1, &[], &["nobody can act as somebody else here"]),
            ]);
            scene.file("shop.yaml", &shop());
            scene.ok("apply -n shop -f shop.yaml");
            scene.ok("wait -n shop --for=condition=Ready trigger/orders --timeout=60s");
            scene.ok("apply -n shop --server-side --force-conflicts -f shop.yaml");
            scene.ok("explain trigger.spec");
            scene.ok("delete -n shop -f shop.yaml");
            for (path, want) in [("data", 0o700), ("data/kubeconfig", 0o600), ("data/audit.log", 0o600)] {
                let mode = scene.folder().join(path).metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o777, want, "{path}");
            }
            // What is beside the data is what the command prints, and it can lead to another node.
            let printed = |more: &[&str]| {
                let data = scene.folder().join("data").display().to_string();
                let words = [&["kubeconfig", "--data", data.as_str()], more].concat();
                let (code, stdout, stderr) = crate::command::run(crate::command::pelton().args(words));
                assert_eq!(code, 0, "{stderr}");
                stdout
            };
            let own = std::fs::read_to_string(scene.folder().join("data/kubeconfig")).unwrap();
            assert_eq!(printed(&[]), own);
            let other = printed(&["--api", "https://b.example:1/"]);
            assert!(other.contains("server: https://b.example:1\n") && other.contains("    token: "), "{other}");
        },
    );
}

#[test]
fn roles_may_what_they_may_and_hear_why_not() {
    with_kubectl("roles", |scene| {
        scene.file("shop.yaml", &shop());
        scene.ok("apply -n shop -f shop.yaml");
        let say = |user: &str, line: &str| format!("{line} --token={}", token(user));
        let broker = "'{\"metadata\":{\"labels\":{\"a\":\"b\"}}}'";
        let label = format!("patch broker shop -n shop --type=merge -p {broker}");
        let rows: &[(&str, &str, i32, &str, &str)] = &[
            ("vera", "auth whoami", 0, "Username    vera\n", ""),
            ("vera", "get brokers -n shop -o name", 0, "broker.eventing.knative.dev/shop\n", ""),
            ("vera", "get triggers -A -o name", 0, "trigger.eventing.knative.dev/orders\n", ""),
            (
                "vera",
                "apply -n default -f shop.yaml",
                1,
                "",
                "brokers.eventing.knative.dev is forbidden: User \"vera\" cannot create resource \"brokers\" in API group \
                 \"eventing.knative.dev\" in the namespace \"default\"",
            ),
            (
                "vera",
                "get secret key -n shop",
                1,
                "",
                "secrets \"key\" is forbidden: User \"vera\" cannot get resource \"secrets\" in API group \"\" in the \
                 namespace \"shop\"",
            ),
            (
                "vera",
                "get secrets -A",
                1,
                "",
                "secrets is forbidden: User \"vera\" cannot list resource \"secrets\" in API group \"\" at the cluster scope",
            ),
            ("vera", &label, 1, "", "User \"vera\" cannot patch resource \"brokers\""),
            ("vera", "create token robot -n shop", 1, "", "cannot create resource \"serviceaccounts/token\""),
            ("eve", &label, 0, "patched", ""),
            ("eve", "get secret key -n shop -o name", 0, "secret/key\n", ""),
            ("eve", "get triggers -n default", 1, "", "cannot list resource \"triggers\""),
            ("eve", "get triggers -A", 1, "", "at the cluster scope"),
            ("eve", "get secret api-authority -n pelton-system", 1, "", "secrets \"api-authority\" is forbidden"),
            ("eve", "delete ns shop", 1, "", "namespaces \"shop\" is forbidden"),
            ("eve", "create token robot -n shop", 0, "ey", ""),
            ("eve", "create token deployer -n shop", 1, "", "the account may do more than he"),
            ("nora", "auth whoami", 0, "Username    nora\n", ""),
            ("nora", "get brokers -n shop", 1, "", "User \"nora\" cannot list resource \"brokers\""),
            ("nora", "api-resources --api-group=eventing.knative.dev -o name", 0, "brokers.", ""),
            ("wrong", "get brokers -n shop", 1, "", "You must be logged in to the server"),
        ];
        for (user, line, code, stdout, stderr) in rows {
            let said = scene.say(&say(user, line));
            let fits = said.code == *code && said.stdout.contains(stdout) && said.stderr.contains(stderr);
            assert!(fits, "{user}: {line}: {said:#?}");
        }
    });
}

#[test]
fn questions_are_answered_truthfully() {
    with_kubectl("can-i", |scene| {
        for (user, line, yes) in [
            ("vera", "get brokers -n shop", true),
            ("vera", "watch triggers -A", true),
            ("vera", "get secrets -n shop", false),
            ("vera", "create brokers -n shop", false),
            ("vera", "get namespaces", true),
            ("vera", "get /healthz", true),
            ("vera", "get /metrics", false),
            ("vera", "'*' '*'", false),
            ("eve", "create brokers -n shop", true),
            ("eve", "create brokers -n default", false),
            ("eve", "create brokers -A", false),
            ("eve", "update brokers --subresource=status -n shop", false),
            ("eve", "create serviceaccounts --subresource=token -n shop", true),
            ("eve", "get secrets -n pelton-system", false),
            ("nora", "get brokers -n shop", false),
        ] {
            let said = scene.say(&format!("auth can-i {line} --token={}", token(user)));
            let want = if yes { (0, "yes\n") } else { (1, "no\n") };
            assert_eq!((said.code, said.stdout.as_str()), want, "{user}: {line}: {said:?}");
        }
        let list = |user: &str| scene.ok(&format!("auth can-i --list -n shop --token={}", token(user)));
        let line_of = |text: &str, what: &str| {
            text.lines().find(|line| line.starts_with(&format!("{what} "))).unwrap_or_default().to_owned()
        };
        let (vera, eve, nora) = (list("vera"), list("eve"), list("nora"));
        assert!(line_of(&vera, "brokers.eventing.knative.dev").ends_with("[get list watch]"), "{vera}");
        assert_eq!(line_of(&vera, "secrets"), "", "{vera}");
        assert!(line_of(&eve, "secrets").contains("delete"), "{eve}");
        assert!(line_of(&eve, "serviceaccounts/token").ends_with("[create]"), "{eve}");
        assert_eq!(line_of(&nora, "brokers.eventing.knative.dev"), "", "{nora}");
    });
}

/// A program that runs as Pelton's own user can read all that Pelton keeps.
#[test]
fn who_may_write_services_may_not_run_programs_for_that() {
    with_kubectl("processes", |scene| {
        let service = |runtime: &str| {
            format!(
                "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: hello}}\nspec:\n  template:\n    \
                 metadata: {{annotations: {{pelton.dev/runtime: {runtime}}}}}\n    \
                 spec: {{containers: [{{image: hello, command: [/bin/true]}}]}}\n"
            )
        };
        scene.file("process.yaml", &service("process"));
        scene.file("docker.yaml", &service("docker").replace(", command: [/bin/true]", ""));
        let eve = format!("-n shop --token={}", token("eve"));
        let said = scene.say(&format!("apply {eve} -f process.yaml"));
        assert!(said.code == 1 && said.stderr.contains("would run as Pelton's own user"), "{said:?}");
        let said = scene.say(&format!("apply --server-side {eve} -f process.yaml"));
        assert!(said.code == 1 && said.stderr.contains("would run as Pelton's own user"), "{said:?}");
        scene.ok(&format!("apply {eve} -f docker.yaml"));
        scene.ok(&format!("label {eve} ksvc hello a=b"));
        // It cannot be made one afterwards.
        let said = scene.say(&format!("apply {eve} -f process.yaml"));
        assert!(said.code == 1 && said.stderr.contains("would run as Pelton's own user"), "{said:?}");
        scene.ok(&format!("delete {eve} -f docker.yaml"));
        scene.ok("apply -n shop -f process.yaml");
    });
}

/// An apply makes what is not there, and a Namespace is made by who may make one.
#[test]
fn who_may_change_a_namespace_may_not_make_it_by_an_apply() {
    let program = match tools::installed_kubectl() {
        Ok(program) => program,
        Err(why) => return skipped("a namespace by an apply", &why),
    };
    let scene = Scene::start_with(&program, |folder| {
        let bindings = "bindings:\n- {role: admin, namespaces: [mine], users: [eve]}\n";
        let file = put(folder, "access.yaml", &access_file(bindings, &["eve"]));
        vec!["--api-auth".to_owned(), "--api-access".to_owned(), file]
    });
    scene.file("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine, labels: {a: b}}\n");
    let line = format!("apply --server-side -f ns.yaml --token={}", token("eve"));
    let said = scene.say(&line);
    let why = "namespaces \"mine\" is forbidden: User \"eve\" cannot create resource \"namespaces\"";
    assert!(said.code == 1 && said.stderr.contains(why), "{said:?}");
    scene.ok("create ns mine");
    scene.ok(&line);
}

/// What is asked for and cannot be had is not passed over: else a change that was to be tried would be made.
#[test]
fn what_cannot_be_had_is_refused_by_its_name() {
    with_kubectl("dryRun and Impersonate", |scene| {
        let admin = scene.ok("config view --raw -o jsonpath={.users[0].user.token}");
        let admin = format!("authorization: Bearer {}", admin.trim());
        let mut raw = Raw::open(scene, None);
        for (line, field, body, want, why) in [
            ("POST /v1/dead-letters/discard?dryRun=All", "a: b", r#"{"trigger":"shop/t","all":true}"#, 400, "dryRun: "),
            ("POST /v1/triggers/shop/t/rewind?dryRun=All", "a: b", r#"{"to":"latest"}"#, 400, "dryRun: "),
            ("POST /v1/cluster/changes?dryRun=All", "a: b", r#"{"change":"drain","node":"a"}"#, 400, "dryRun: "),
            ("POST /api/v1/namespaces/shop/serviceaccounts/robot/token?dryRun=All", "a: b", "{}", 400, "dryRun: "),
            ("POST /api/v1/namespaces/shop/serviceaccounts/robot/token", "a: b", "{}", 201, "TokenRequest"),
            ("GET /v1/cluster", "impersonate-user: vera", "", 403, "nobody can act as somebody else here"),
            ("GET /api/v1/namespaces", "impersonate-user: vera", "", 403, "nobody can act as somebody else here"),
            ("GET /v1/cluster", "a: b", "", 200, "nodes"),
        ] {
            let length = format!("content-length: {}", body.len());
            raw.send(line, &[&admin, field, &length, "content-type: application/json"], body);
            let (code, text) = raw.answer();
            assert!(code == want && text.contains(why), "{line} {field}: {code} {text}");
        }
    });
}

#[test]
fn the_access_file_is_read_again_when_it_is_asked_for() {
    with_kubectl("reload", |scene| {
        let pid = Pid::from_raw(scene.up.ready["pid"].as_i64().unwrap() as i32).unwrap();
        let may = || scene.say(&format!("auth can-i create brokers -n shop --token={}", token("nora"))).code == 0;
        assert!(!may());
        let more = "- {role: editor, namespaces: [shop], users: [nora]}\n";
        put(scene.folder(), "access.yaml", &access_file(&format!("{ACCESS}{more}"), &["nora"]));
        kill_process(pid, Signal::HUP).unwrap();
        wait_until("nora to be an editor", may);
        let said = scene.say(&format!("get brokers --token={}", token("vera")));
        assert!(said.stderr.contains("You must be logged in"), "a token that is named no more: {said:?}");
        // What cannot be used changes nothing.
        put(scene.folder(), "access.yaml", "bindings: [{role: owner}]");
        kill_process(pid, Signal::HUP).unwrap();
        for _ in 0..5 {
            assert!(may());
        }
    });
}
