//! Limits of memory and processor time, where the kernel lets us set them: a cgroup (version 2) for each instance.
//!
//! That takes a cgroup that was given to us: by systemd with `Delegate=yes`, or the root of all. Elsewhere nothing is
//! limited, which is said once. `RLIMIT_AS` is not used in its place: Go, Java and Node reserve far more memory than they
//! use, and would not start.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::getxattr;

use super::super::{InstanceId, WorkloadSpec};

/// Where version 2 is when it has the controllers.
const ROOT: &str = "/sys/fs/cgroup";

/// The span in which processor time is shared out, in microseconds: the kernel's default.
const PERIOD_MICROS: u64 = 100_000;

/// The least processor time that the kernel takes, in microseconds for each span.
const LEAST_QUOTA_MICROS: u64 = 1_000;

/// Where cgroups of instances are made.
#[derive(Debug)]
pub struct Cgroups {
    folder: PathBuf,
    controllers: Controllers,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Controllers {
    memory: bool,
    cpu: bool,
}

/// The cgroup of one instance.
#[derive(Debug)]
pub struct Cgroup(PathBuf);

/// Why nothing can be limited.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    /// The kernel has none, or has given the controllers to version 1.
    #[error("cgroups (version 2) are not in use here")]
    NotInUse,
    /// It has, and none of them is ours.
    #[error("the cgroup {} is not delegated to us", .0.display())]
    NotDelegated(PathBuf),
    /// One is ours, but it cannot be used.
    #[error("the cgroup {} cannot be used: {source}", .folder.display())]
    Unusable {
        /// Which.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Cgroups {
    /// Finds the cgroup that is ours and makes it ready. This process moves into one below it, because only a cgroup without
    /// processes of its own may limit those below.
    ///
    /// # Errors
    /// [`NoCgroups`].
    pub fn find() -> Result<Self, NoCgroups> {
        let all = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers")).map_err(|_| NoCgroups::NotInUse)?;
        let ours = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| own_path(&text));
        let ours = ours.ok_or(NoCgroups::NotInUse)?;
        let folder = Path::new(ROOT).join(ours.trim_start_matches('/'));
        if ours != "/" && !is_delegated(&folder) {
            return Err(NoCgroups::NotDelegated(folder));
        }
        let unusable = |source| NoCgroups::Unusable { folder: folder.clone(), source };
        if ours != "/" {
            let below = folder.join("pelton");
            fs::create_dir_all(&below).map_err(unusable)?;
            fs::write(below.join("cgroup.procs"), "0").map_err(unusable)?;
        }
        let controllers = Controllers::of(&all);
        let Controllers { memory, cpu } = controllers;
        for (name, _) in [("+memory", memory), ("+cpu", cpu)].into_iter().filter(|(_, is_there)| *is_there) {
            fs::write(folder.join("cgroup.subtree_control"), name).map_err(unusable)?;
        }
        Ok(Self { folder, controllers })
    }

    /// A cgroup with the limits of `spec`. One of that name that was left by a former life is used again.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn make(&self, id: &InstanceId, spec: &WorkloadSpec) -> io::Result<Cgroup> {
        let cgroup = Cgroup(self.folder.join(format!("pelton-{id}")));
        fs::create_dir_all(&cgroup.0)?;
        for (file, value) in self.controllers.limits(spec) {
            fs::write(cgroup.0.join(file), value)?;
        }
        Ok(cgroup)
    }
}

impl Controllers {
    fn of(names: &str) -> Self {
        let has = |name| names.split_whitespace().any(|known| known == name);
        Self { memory: has("memory"), cpu: has("cpu") }
    }

    /// What is written to which file.
    fn limits(self, spec: &WorkloadSpec) -> Vec<(&'static str, String)> {
        let mut limits = Vec::new();
        if let Some(bytes) = spec.memory_bytes.filter(|_| self.memory) {
            limits.push(("memory.max", bytes.to_string()));
            // All of the instance goes, not one of its processes.
            limits.push(("memory.oom.group", "1".to_owned()));
        }
        if let Some(millis) = spec.cpu_millis.filter(|_| self.cpu) {
            let quota = millis.saturating_mul(PERIOD_MICROS / 1_000).max(LEAST_QUOTA_MICROS);
            limits.push(("cpu.max", format!("{quota} {PERIOD_MICROS}")));
        }
        limits
    }
}

impl Cgroup {
    /// The file to which a process writes itself to be in it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn entrance(&self) -> io::Result<OwnedFd> {
        fs::File::options().write(true).open(self.0.join("cgroup.procs")).map(OwnedFd::from)
    }

    /// Kills everything in it, wherever it went. A kernel before 5.14 cannot.
    pub fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Whether the kernel killed one of its processes because of the memory they used.
    pub fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|kills| kills != "0")
    }

    /// Removes it; nothing runs in it any more.
    pub fn remove(self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::warn!(cgroup = %self.0.display(), %error, "the cgroup of an instance that is gone cannot be removed");
        }
    }
}

/// The path of a process's cgroup of version 2, of `/proc/self/cgroup`.
fn own_path(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// systemd marks what it gives away.
fn is_delegated(folder: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        matches!(getxattr(folder, name, &mut value), Ok(length) if &value[..length] == b"1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::conformance::plain_spec;

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let all = Controllers::of("cpuset cpu io memory pids\n");
        assert_eq!(all, Controllers { memory: true, cpu: true });
        let limit = |memory_bytes, cpu_millis| WorkloadSpec { memory_bytes, cpu_millis, ..plain_spec() };
        for (controllers, spec, want) in [
            (all, limit(None, None), vec![]),
            (all, limit(Some(1 << 30), None), vec![("memory.max", "1073741824"), ("memory.oom.group", "1")]),
            (all, limit(None, Some(250)), vec![("cpu.max", "25000 100000")]),
            (all, limit(None, Some(4_000)), vec![("cpu.max", "400000 100000")]),
            (all, limit(None, Some(1)), vec![("cpu.max", "1000 100000")]),
            (Controllers::of("cpuset memoryless"), limit(Some(1), Some(1)), vec![]),
        ] {
            let limits = controllers.limits(&spec);
            let limits: Vec<_> = limits.iter().map(|(file, value)| (*file, &**value)).collect();
            assert_eq!(limits, want, "{controllers:?} {:?} {:?}", spec.memory_bytes, spec.cpu_millis);
        }
    }

    #[test]
    fn the_cgroup_of_a_process_is_found_beside_those_of_version_1() {
        for (text, want) in [
            ("0::/\n", Some("/")),
            ("4:memory:/a\n1:cpu:/\n0::/user.slice/x.service\n", Some("/user.slice/x.service")),
            ("4:memory:/a\n", None),
            ("", None),
        ] {
            assert_eq!(own_path(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn what_took_too_much_memory_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let cgroup = Cgroup(folder.path().to_owned());
        assert!(!cgroup.was_out_of_memory());
        for (events, want) in [("low 0\noom 0\noom_kill 0\n", false), ("low 0\noom 1\noom_kill 2\n", true)] {
            fs::write(folder.path().join("memory.events"), events).unwrap();
            assert_eq!(cgroup.was_out_of_memory(), want, "{events:?}");
        }
    }
}
