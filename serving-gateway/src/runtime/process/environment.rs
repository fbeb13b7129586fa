//! What a process finds when it begins: its environment, and the file of its program.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::super::{InstanceId, RuntimeError, WorkloadSpec};

/// By this variable a process is known to belong to an instance, wherever it went.
pub const MARK: &str = "PELTON_INSTANCE";

/// What is passed on of our own environment, which may hold secrets otherwise.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Where programs are looked for when nobody says.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An environment: each name once, in the order in which they were first set.
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// What every process gets of our own.
    pub fn of_this_process() -> Self {
        let mut passed = Self::default();
        passed.set("PATH", DEFAULT_PATH);
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                passed.set(name, value);
            }
        }
        passed
    }

    /// That of an instance (serving.md, 1.1). What the specification sets goes over ours, and the contract over that.
    /// The mark is not for it to set.
    pub fn of_instance(&self, spec: &WorkloadSpec, id: &InstanceId, folder: &Path, port: u16, is_handed: bool) -> Self {
        // First: who looks for it reads no more than the beginning of an environment (`proc`).
        let mut all = Self(vec![(OsString::from(MARK), OsString::from(&*id.0))]);
        all.0.extend_from_slice(&self.0);
        all.set("TMPDIR", folder);
        if all.value("HOME").is_none() {
            all.set("HOME", folder);
        }
        for (name, value) in spec.env.iter().filter(|(name, _)| name != MARK) {
            all.set(name, value);
        }
        all.set("PORT", port.to_string());
        all.set("K_SERVICE", &spec.service);
        all.set("K_CONFIGURATION", &spec.configuration);
        all.set("K_REVISION", &spec.revision);
        // The number of the process is known to none but itself (`spawn`).
        all.0.retain(|(name, _)| !matches!(name.as_bytes(), b"LISTEN_FDS" | b"LISTEN_PID" | b"LISTEN_FDNAMES"));
        if is_handed {
            all.set("LISTEN_FDS", "1");
        }
        all
    }

    fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref(), value.as_ref().to_owned());
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// What a name stands for.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// As the system wants it. A value with a zero byte, which [`check`] does not let through, is left out.
    pub fn to_c(&self) -> Vec<CString> {
        let entry = |(name, value): &(OsString, OsString)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            CString::new(entry.into_vec()).ok()
        };
        self.0.iter().filter_map(entry).collect()
    }
}

/// Whether processes can be started as `spec` says.
///
/// # Errors
/// [`RuntimeError::Unsupported`].
pub fn check(spec: &WorkloadSpec) -> Result<(), RuntimeError> {
    let unsupported = |field, why: &str| Err(RuntimeError::Unsupported { field, why: why.to_owned() });
    const COMMAND: &str = "spec.containers[0].command";
    if spec.command.first().is_none_or(String::is_empty) {
        return unsupported(COMMAND, "a process needs the program to run; its image is not looked at");
    }
    let zero = "there is a zero byte in it, which no process can be given";
    if spec.command.iter().any(|word| word.contains('\0')) {
        return unsupported(COMMAND, zero);
    }
    if spec.args.iter().any(|word| word.contains('\0')) {
        return unsupported("spec.containers[0].args", zero);
    }
    if spec.working_dir.as_ref().is_some_and(|folder| folder.as_os_str().as_bytes().contains(&0)) {
        return unsupported("spec.containers[0].workingDir", zero);
    }
    if spec.env.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return unsupported("spec.containers[0].env", zero);
    }
    if spec.env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return unsupported("spec.containers[0].env", "a name must not be empty or have `=` in it");
    }
    // With the longest port, so that none is too long later on.
    spec.expanded(u16::MAX).map(drop)
}

/// There is no such program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProgram {
    /// Not where it was said to be.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// It must not be run.
    #[error("the file {} is not executable", .0.display())]
    NotExecutable(PathBuf),
    /// Nowhere.
    #[error("the program {name:?} is in none of the folders of PATH ({path})")]
    NotInPath {
        /// What was looked for.
        name: String,
        /// Where.
        path: String,
    },
}

/// The file that `name` means in `directory`.
///
/// # Errors
/// [`NoProgram`].
pub fn find_program(name: &str, directory: &Path, path: Option<&OsStr>) -> Result<PathBuf, NoProgram> {
    if name.contains('/') {
        let file = directory.join(name);
        return match () {
            () if !file.exists() => Err(NoProgram::NoFile(file)),
            () if !is_executable(&file) => Err(NoProgram::NotExecutable(file)),
            () => Ok(file),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut candidates = std::env::split_paths(path).map(|folder| directory.join(folder).join(name));
    let not_in_path = || NoProgram::NotInPath { name: name.to_owned(), path: path.to_string_lossy().into_owned() };
    candidates.find(|file| is_executable(file)).ok_or_else(not_in_path)
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::runtime::conformance::plain_spec;

    fn text(environment: &Environment) -> Vec<String> {
        environment.to_c().into_iter().map(|entry| entry.into_string().unwrap()).collect()
    }

    /// serving.md, 1.1, "Environment and process".
    #[test]
    fn the_contract_goes_over_the_specification_and_that_over_what_is_passed_on() {
        let mut passed = Environment::default();
        passed.set("PATH", "/bin");
        passed.set("HOME", "/home/me");
        let env = [
            ("A", "1"),
            ("PATH", "/opt"),
            ("A", "2"),
            ("PORT", "1"),
            ("K_SERVICE", "x"),
            ("LISTEN_FDS", "9"),
            ("PELTON_INSTANCE", "r-2-5e"),
        ];
        let spec = WorkloadSpec {
            revision: "r-1".to_owned(),
            configuration: "r".to_owned(),
            service: String::new(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..plain_spec()
        };
        let id = InstanceId(Arc::from("r-1-5d"));
        let want = [
            "PATH=/opt",
            "HOME=/home/me",
            "TMPDIR=/data/x",
            "A=2",
            "PORT=4321",
            "K_SERVICE=",
            "K_CONFIGURATION=r",
            "K_REVISION=r-1",
            "PELTON_INSTANCE=r-1-5d",
        ];
        let mut order = text(&passed.of_instance(&spec, &id, Path::new("/data/x"), 4321, false));
        assert_eq!(order[0], "PELTON_INSTANCE=r-1-5d", "it is found however large the rest is");
        let mut want = want.map(str::to_owned).to_vec();
        order.sort();
        want.sort();
        assert_eq!(order, want);
        let handed = text(&passed.of_instance(&spec, &id, Path::new("/data/x"), 4321, true));
        assert!(handed.contains(&"LISTEN_FDS=1".to_owned()), "{handed:?}");
    }

    #[test]
    fn nothing_else_of_ours_is_passed_on() {
        let names: Vec<_> = Environment::of_this_process().0.into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| PASSED_ON.iter().any(|passed| name == passed)), "{names:?}");
        assert!(std::env::vars_os().count() > names.len(), "the test has some that are not passed on");
    }

    #[test]
    fn what_no_process_can_be_given_is_unsupported() {
        let spec = |change: fn(&mut WorkloadSpec)| {
            let mut spec = plain_spec();
            spec.command = vec!["run".to_owned()];
            change(&mut spec);
            spec
        };
        let env = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert!(check(&spec(|_| {})).is_ok());
        for (spec, want) in [
            (spec(|spec| spec.command.clear()), "spec.containers[0].command"),
            (spec(|spec| spec.command[0].clear()), "spec.containers[0].command"),
            (spec(|spec| spec.command.push("\0".to_owned())), "spec.containers[0].command"),
            (spec(|spec| spec.args.push("\0".to_owned())), "spec.containers[0].args"),
            (spec(|spec| spec.working_dir = Some("/\0".into())), "spec.containers[0].workingDir"),
            (WorkloadSpec { env: env("A\0", ""), ..spec(|_| {}) }, "spec.containers[0].env"),
            (WorkloadSpec { env: env("A", "\0"), ..spec(|_| {}) }, "spec.containers[0].env"),
            (WorkloadSpec { env: env("A=B", ""), ..spec(|_| {}) }, "spec.containers[0].env"),
            (WorkloadSpec { env: env("", ""), ..spec(|_| {}) }, "spec.containers[0].env"),
            (spec(|spec| spec.args = vec!["$$".to_owned(), "x".repeat(2 << 20)]), "spec.containers[0].args"),
        ] {
            let refused = check(&spec).unwrap_err();
            assert!(matches!(refused, RuntimeError::Unsupported { field, .. } if field == want), "{refused}");
        }
    }

    #[test]
    fn a_program_is_found_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (name, mode) in [("runs", 0o755), ("text", 0o644)] {
            std::fs::write(folder.join(name), "").unwrap();
            std::fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(folder.join("folder")).unwrap();
        let path = folder.to_str().unwrap().to_owned();
        let path = Some(OsStr::new(&path));
        let not_in_path =
            |name: &str| NoProgram::NotInPath { name: name.to_owned(), path: folder.display().to_string() };
        for (name, want) in [
            ("runs", Ok(folder.join("runs"))),
            ("./runs", Ok(folder.join("./runs"))),
            ("text", Err(not_in_path("text"))),
            ("folder", Err(not_in_path("folder"))),
            ("none", Err(not_in_path("none"))),
            ("./text", Err(NoProgram::NotExecutable(folder.join("./text")))),
            ("./folder", Err(NoProgram::NotExecutable(folder.join("./folder")))),
            ("./none", Err(NoProgram::NoFile(folder.join("./none")))),
            ("/none/such", Err(NoProgram::NoFile("/none/such".into()))),
        ] {
            assert_eq!(find_program(name, folder, path), want, "{name}");
        }
    }
}
