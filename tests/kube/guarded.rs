//! Scenes whose server asks callers who they are.

use std::path::Path;

use ring::digest::{SHA256, digest};

use crate::scene::Scene;
use crate::support::skipped;
use crate::tools;

/// Who is named in the access file by a token: the token is the name with `-token` behind it.
pub const ACCESS: &str = "
bindings:
- {role: viewer, users: [vera]}
- {role: editor, namespaces: [shop], users: [eve], groups: [shop-team]}
- {role: editor, namespaces: [shop], serviceAccounts: [shop/robot]}
- {role: admin, serviceAccounts: [shop/deployer]}
";

/// An access file: `more`, and the tokens of those users.
pub fn access_file(more: &str, users: &[&str]) -> String {
    let mut text = format!("{more}\ntokens:\n");
    for user in users {
        let sha256: String =
            digest(&SHA256, token(user).as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("- {{user: {user}, sha256: {sha256}}}\n"));
    }
    text
}

/// The token of somebody who is named by [`access_file`].
pub fn token(user: &str) -> String {
    format!("{user}-token")
}

/// Writes a file into a folder, and gives its path as a word of a command line.
pub fn put(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Runs a test with the kubectl that there is. The server has [`ACCESS`], tokens of everybody in it and of `nora`, whom nobody
/// gave anything, and a namespace `shop` with two accounts.
pub fn with_kubectl(what: &str, test: impl Fn(&Scene)) {
    with_kubectl_and(what, |_| Vec::new(), test);
}

/// The same with more words on the server's command line.
pub fn with_kubectl_and(what: &str, more: impl FnOnce(&Path) -> Vec<String>, test: impl Fn(&Scene)) {
    let program = match tools::installed_kubectl() {
        Ok(program) => program,
        Err(why) => return skipped(what, &why),
    };
    let scene = Scene::start_with(&program, |folder| {
        let file = put(folder, "access.yaml", &access_file(ACCESS, &["vera", "eve", "nora"]));
        let mut words = vec!["--api-auth".to_owned(), "--api-access".to_owned(), file];
        words.extend(more(folder));
        words
    });
    scene.ok("create ns shop");
    scene.ok("create sa robot -n shop");
    scene.ok("create sa deployer -n shop");
    test(&scene);
}
