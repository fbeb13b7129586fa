//! Python's `kubernetes` client: what its users do is written in `client.py`, and run here against a server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Up, run};
use crate::support::skip::{Unable, has};
use crate::support::skipped;

/// Its versions are those of Kubernetes: this one is of 1.37.
const CLIENT: &str = "kubernetes==37.0.2";

#[test]
fn everything_that_the_python_client_does() {
    let python = match python_with(CLIENT) {
        Ok(python) => python,
        Err(why) => return skipped("the python client", &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube/client.py");
    let mut command = Command::new(python);
    command.arg(script).arg(format!("http://{}", up.address("api"))).env("HOME", folder.path());
    let (code, stdout, stderr) = run(command.env("PYTHONDONTWRITEBYTECODE", "1"));
    assert_eq!(code, 0, "{stdout}{stderr}");
}

/// A Python that has a package. It is made once and kept for later runs.
fn python_with(package: &str) -> Result<PathBuf, Unable> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package.replace("==", "-"));
    let python = kept.join("bin").join("python");
    // Written last: an environment without it was not finished.
    let finished = kept.join("finished");
    if !finished.exists() {
        has("python3")?;
        done(package, Command::new("python3").args(["-m", "venv", "--clear"]).arg(&kept))?;
        done(
            package,
            Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]),
        )?;
        std::fs::write(finished, "").unwrap();
    }
    Ok(python)
}

/// Runs a step; one that fails leaves us without the package.
fn done(package: &str, step: &mut Command) -> Result<(), Unable> {
    let output = step.output().map_err(|error| Unable::start(package, &error))?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!("{step:?}: {}", String::from_utf8_lossy(&output.stderr));
    // Without a way to the index nothing can be done about it.
    Err(Unable::Refused(format!("{package} cannot be had")))
}
