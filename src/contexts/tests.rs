use std::collections::BTreeMap;
use std::path::Path;

use super::config::change;
use super::*;

fn config(server: &str, current: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {current:?}\nclusters:\n- name: c\n  cluster: {{server: '{server}'{more}}}\n\
         contexts:\n- name: shop\n  context: {{cluster: c, user: u, namespace: shop}}\n- name: lost\n  context: {{cluster: x}}\n\
         - name: nobody\n  context: {{cluster: c, user: x}}\nusers:\n- name: u\n  user: {{token: s3cret}}\n"
    )
}

/// The environment of a test: its home is a folder.
fn at(home: &Path, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([("HOME".to_owned(), home.display().to_string())]);
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

fn server(wanted: &Wanted, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let target =
        resolve(wanted, |name| variables.get(name).cloned()).map_err(|error| crate::exit::with_causes(&error))?;
    Ok(format!("{} {}", target.endpoint.url.authority, target.namespace.unwrap_or_default()).trim_end().to_owned())
}

#[test]
fn what_says_most_of_the_server_decides() {
    let home = tempfile::tempdir().unwrap();
    let write = |file: &str, text: String| {
        let path = home.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let none = Wanted::default();
    let kube = write(".kube/config", config("http://real:1", "shop", ""));
    let plain = at(home.path(), &[]);
    assert_eq!(server(&none, &plain).unwrap(), "127.0.0.1:8001", "what kubectl has is not followed by itself");
    let context = Wanted { context: Some("shop".to_owned()), ..Wanted::default() };
    assert_eq!(server(&context, &plain).unwrap(), "real:1 shop", "but it is when it is asked for");

    let own = write(".config/pelton/config", config("http://own:1", "shop", ""));
    let other = write("other", config("http://other:1", "shop", ""));
    let own_list = format!("{}:{}", home.path().join("missing").display(), other.display());
    let api = Wanted { api: Some("http://flag:1".to_owned()), ..Wanted::default() };
    let file = Wanted { kubeconfig: Some(other.clone()), ..Wanted::default() };
    let both = Wanted { api: api.api.clone(), ..context.clone() };
    let variable = [("PELTON_API", "http://variable:1")];
    for (wanted, more, want) in [
        (&none, &[][..], "own:1 shop"),
        (&none, &[("PELTON_KUBECONFIG", own_list.as_str())], "other:1 shop"),
        (&none, &variable, "variable:1"),
        (&none, &[("PELTON_API", "")], "own:1 shop"),
        (&context, &variable, "own:1 shop"),
        (&file, &variable, "other:1 shop"),
        (&api, &variable, "flag:1"),
        (&both, &[], "flag:1 shop"),
    ] {
        assert_eq!(server(wanted, &at(home.path(), more)).unwrap(), want, "{wanted:?} {more:?}");
    }

    std::fs::write(&own, "current-context: gone\n").unwrap();
    let error = server(&none, &plain).unwrap_err();
    for word in ["\"gone\"", &own.display().to_string(), &kube.display().to_string()] {
        assert!(error.contains(word), "{error}");
    }
    std::fs::write(&own, "current-context: shop\n").unwrap();
    assert_eq!(server(&none, &plain).unwrap(), "real:1 shop", "one of kubectl's that was chosen here");
}

#[test]
fn what_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let ask = |text: &str, context: Option<&str>| {
        std::fs::write(&file, text).unwrap();
        let wanted = Wanted { kubeconfig: Some(file.clone()), context: context.map(str::to_owned), api: None };
        server(&wanted, &BTreeMap::new())
    };
    let good = config("http://a:1", "shop", "");
    for (text, context, want) in [
        (good.as_str(), Some("other"), "there is no context \"other\" in"),
        (&good, Some("lost"), "names the cluster \"x\""),
        (&good, Some("nobody"), "names the user \"x\""),
        (&config("http://a:1", "", ""), None, "no current context"),
        ("", None, "no current context"),
        ("[]", None, "no kubeconfig"),
        ("a: [", None, "no kubeconfig"),
        ("clusters: 5", None, "no kubeconfig"),
        (&config("ftp://a", "shop", ""), None, "only http"),
        (&config("https://a/prefix", "shop", ""), None, "has a path"),
        (&config("https://a", "shop", ", insecure-skip-tls-verify: true"), None, "certificate-authority"),
        (&config("https://a", "shop", ", certificate-authority-data: '%'"), None, "no base64"),
        (&config("https://a", "shop", ", certificate-authority-data: eA=="), None, "certificate of an authority"),
        (&config("https://a", "shop", ", certificate-authority: missing.pem"), None, "missing.pem"),
        (&good.replace("token: s3cret", "exec: {command: x}"), None, "exec"),
        (&good.replace("token: s3cret", "username: x, password: y"), None, "use a token"),
        (&good.replace("token: s3cret", "as: admin"), None, "acts as somebody else"),
        (&good.replace("token: s3cret", "token: s3cret, as-groups: [admins]"), None, "acts as somebody else"),
        (&good.replace("token: s3cret", "as-uid: '5'"), None, "acts as somebody else"),
        (&good.replace("  cluster: {server: 'http://a:1'}\n", ""), None, "the cluster \"c\" has no server"),
        (&good.replace("token: s3cret", "client-key-data: eA=="), None, "no client-certificate"),
        (&good.replace("token: s3cret", "tokenFile: missing"), None, "missing"),
        (&good.replace("token: s3cret", "token: \"a\\nb\""), None, "no token has"),
    ] {
        let error = ask(text, context).unwrap_err();
        assert!(error.contains(want), "{want:?} is not in {error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let nulls = "current-context: a\nusers: null\nclusters: [{name: c, cluster: {server: 'http://b:1'}}]\n\
                 contexts: [{name: a, context: {cluster: c}}]\n";
    assert_eq!(ask(nulls, None).unwrap(), "b:1");
    let nobody = nulls.replace("users: null", "users: [{name: u}, {name: v, user: null}]");
    for user in ["u", "v"] {
        let text = nobody.replace("cluster: c}}]", &format!("cluster: c, user: {user}}}}}]"));
        assert_eq!(ask(&text, None).unwrap(), "b:1", "a user without anything is one without credentials");
    }
}

#[test]
fn a_token_is_read_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (file, token) = (folder.path().join("config"), folder.path().join("token"));
    std::fs::write(&token, "from-file\n").unwrap();
    let good = config("http://a:1", "shop", "");
    for (text, want) in [
        (good.clone(), "Bearer s3cret"),
        (good.replace("token: s3cret", "token: s3cret, tokenFile: token"), "Bearer from-file"),
    ] {
        std::fs::write(&file, text).unwrap();
        let wanted = Wanted { kubeconfig: Some(file.clone()), ..Wanted::default() };
        let target = resolve(&wanted, |_| None).unwrap();
        let value = target.endpoint.authorization.as_ref().unwrap();
        assert_eq!(value.to_str().unwrap(), want);
        assert!(!format!("{target:?} {value:?}").contains(&want["Bearer ".len()..]));
    }
}

#[test]
fn a_file_is_changed_for_its_owner_and_keeps_the_rest() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new").join("config");
    let choose =
        |name: &'static str| change(&file, |config| drop(config.insert("current-context".into(), name.into())));
    choose("first").unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, format!("{}preferences: {{colors: true}}\n", config("http://a:1", "shop", ""))).unwrap();
    choose("lost").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("current-context: lost") && text.contains("colors: true") && text.contains("s3cret"),
        "{text}"
    );
    let read = Config::read_all(std::slice::from_ref(&file)).unwrap();
    assert_eq!((read.current().as_deref(), read.contexts().len()), (Some("lost"), 3));
    std::fs::write(&file, "a: [").unwrap();
    assert!(choose("x").is_err(), "what cannot be read is not written over");
}
