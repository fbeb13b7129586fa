//! A server of its own, a client, and a folder that the client works in.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Up, run};
use crate::support::skipped;
use crate::tools;
use crate::words::words;

/// A command line without the program, its exit code, and what standard output and standard error must hold. Where
/// nothing is named, nothing may be printed.
///
/// A line may begin with variables: `EDITOR='sed -i s/a/b/' edit cm c`.
pub type Row<'a> = (&'a str, i32, &'a [&'a str], &'a [&'a str]);

/// What a program said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A server, and a client that is set up for it.
pub struct Scene {
    pub up: Up,
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// Runs a test with each kubectl that there is, each with a server of its own.
pub fn with_every_kubectl(what: &str, test: impl Fn(&Scene)) {
    with_every_kubectl_of(what, Scene::start, test);
}

/// The same with servers that are started by `start`.
pub fn with_every_kubectl_of(what: &str, start: impl Fn(&Path) -> Scene, test: impl Fn(&Scene)) {
    for program in [tools::installed_kubectl(), tools::newest().map(|newest| newest.kubectl)] {
        match program {
            Ok(program) => test(&start(&program)),
            Err(why) => skipped(what, &why),
        }
    }
}

impl Scene {
    pub fn start(program: &Path) -> Self {
        Self::start_with(program, |_| Vec::new())
    }

    /// With more words on the server's command line, which may name what is put into a folder of the test.
    pub fn start_with(program: &Path, more: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("files")).unwrap();
        let more = more(folder.path());
        let up = Up::start(folder.path(), &more.iter().map(String::as_str).collect::<Vec<_>>());
        Self { up, folder, program: program.to_owned() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that command lines can name.
    pub fn file(&self, name: &str, text: &str) {
        let path = self.files().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.files().join(name)).unwrap();
    }

    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// A command of the client. It finds the server as a user's would, and nothing of this machine's user.
    pub fn command(&self, line: &str) -> Command {
        self.command_of(&self.program, line)
    }

    /// A command of another client.
    pub fn command_of(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.files()).env("HOME", self.folder.path());
        command.env("KUBECONFIG", self.folder.path().join("data").join("kubeconfig"));
        command.env_remove("KUBE_EDITOR").env_remove("KUBECTL_EXTERNAL_DIFF");
        let mut words = words(line).into_iter().peekable();
        while let Some((name, value)) = words.peek().and_then(|word| variable(word)) {
            command.env(name, value);
            words.next();
        }
        command.args(words);
        command
    }

    pub fn say(&self, line: &str) -> Said {
        let (code, stdout, stderr) = run(&mut self.command(line));
        Said { code, stdout, stderr }
    }

    /// Runs a line that must succeed; gives its standard output.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let said = self.say(line);
        assert_eq!(said.code, 0, "{} {line}: {said:#?}", self.program.display());
        said.stdout
    }

    /// Runs lines one after another.
    #[track_caller]
    pub fn rows(&self, rows: &[Row<'_>]) {
        for (line, code, stdout, stderr) in rows {
            let said = self.say(line);
            let line = format!("{} {line}: {said:#?}", self.program.display());
            assert_eq!(said.code, *code, "{line}");
            for (name, wanted, printed) in [("output", stdout, &said.stdout), ("error", stderr, &said.stderr)] {
                assert!(!wanted.is_empty() || printed.is_empty(), "standard {name} is not empty: {line}");
                for want in *wanted {
                    assert!(printed.contains(want), "standard {name} has no {want:?}: {line}");
                }
            }
        }
    }
}

/// `NAME=value` in front of a command.
fn variable(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// A Trigger of the Broker `shop` with that type and `more` lines of its `spec`, each indented by two.
pub fn trigger(name: &str, ty: &str, more: &str) -> String {
    format!(
        "apiVersion: eventing.knative.dev/v1\nkind: Trigger\nmetadata: {{name: {name}, labels: {{app: shop}}}}\n\
         spec:\n  broker: shop\n  filter: {{attributes: {{type: {ty}}}}}\n\
         \x20 subscriber: {{uri: 'http://127.0.0.1:9/'}}\n{more}"
    )
}

/// A ConfigMap. `rest` follows its name within `metadata`; `more` are further lines.
pub fn config_map(name: &str, rest: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{rest}}}\n{more}")
}

/// A Broker, a Trigger of it, a ConfigMap and a Secret.
pub fn shop() -> String {
    let broker = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: shop, labels: {app: shop}}\n";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {password: hidden}\n";
    let settings = config_map("settings", ", labels: {app: shop}", "data: {a: '1', b: '2'}\n");
    [broker, &trigger("orders", "com.example.order", ""), &settings, secret].join("---\n")
}
