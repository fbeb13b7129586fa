//! A server of its own, and a folder to work in.

use std::path::PathBuf;

use crate::command::{Up, run};

/// A command line, its exit code, and what standard output and standard error must hold. Where nothing is named, nothing may
/// be printed.
pub type Row<'a> = (&'a str, i32, &'a [&'a str], &'a [&'a str]);

/// A server, and a folder.
pub struct Scene {
    pub up: Up,
    pub folder: tempfile::TempDir,
}

impl Scene {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { up: Up::start(folder.path(), &[]), folder }
    }

    /// One with a Broker and two Triggers.
    pub fn with_shop() -> Self {
        let scene = Self::start();
        scene.file("shop.yaml", SHOP);
        scene.ok("apply -f shop.yaml");
        scene
    }

    /// Writes a file that command lines can name.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a line: its exit code, what it printed, and what it said. Words have no spaces in them.
    pub fn say(&self, line: &str) -> (i32, String, String) {
        run(self.command(line).current_dir(self.folder.path()))
    }

    pub fn command(&self, line: &str) -> std::process::Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.up.command(&words)
    }

    /// Runs a line that must succeed; gives its standard output.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        let (code, stdout, stderr) = self.say(line);
        assert_eq!(code, 0, "pelton {line}: {stdout}{stderr}");
        stdout
    }

    /// Runs lines one after another.
    #[track_caller]
    pub fn rows(&self, rows: &[Row<'_>]) {
        for (line, code, stdout, stderr) in rows {
            let (got, printed, said) = self.say(line);
            assert_eq!(got, *code, "pelton {line}: {printed}{said}");
            for (name, wanted, text) in [("output", stdout, &printed), ("error", stderr, &said)] {
                assert!(!wanted.is_empty() || text.is_empty(), "standard {name} is not empty: pelton {line}: {text}");
                for want in *wanted {
                    assert!(text.contains(want), "standard {name} has no {want:?}: pelton {line}: {printed}{said}");
                }
            }
        }
    }
}

/// A Broker and two Triggers.
pub const SHOP: &str = "\
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: shop, labels: {app: shop}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: orders, labels: {app: shop}}
spec:
  broker: shop
  filter: {attributes: {type: order}}
  subscriber: {uri: 'http://127.0.0.1:9/orders'}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: bills}
spec:
  broker: shop
  subscriber: {uri: 'http://127.0.0.1:9/bills'}
";
