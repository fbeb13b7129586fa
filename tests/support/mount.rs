//! A small file system of memory that only this test sees, where the system allows one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::skip::{Unable, has};

/// A mount name space held by a shell. Everything in it is gone with the shell.
#[derive(Debug)]
pub struct Mount {
    shell: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    at: PathBuf,
}

impl Mount {
    /// Mounts a file system of `mebibytes` over `at`, which must exist.
    ///
    /// # Errors
    /// Why it is not possible here.
    pub fn new(at: &Path, mebibytes: u64) -> Result<Self, Unable> {
        has("unshare")?;
        has("mount")?;
        // As root; then with a user name space, which an ordinary user may make on many systems.
        let tries: [&[&str]; 2] = [&["-m"], &["-m", "-r"]];
        let mut why = String::new();
        for flags in tries {
            match Self::try_new(flags, at, mebibytes) {
                Ok(mount) => return Ok(mount),
                Err(error) => why = format!("{why}unshare {}: {error}; ", flags.join(" ")),
            }
        }
        Err(Unable::Refused(why))
    }

    fn try_new(flags: &[&str], at: &Path, mebibytes: u64) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(flags).arg("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = command.spawn().map_err(|error| error.to_string())?;
        let stdin = shell.stdin.take();
        let stdout = BufReader::new(shell.stdout.take().expect("it is piped"));
        let mut mount = Self { shell, stdin, stdout, at: at.to_owned() };
        mount.run(&format!("mount -t tmpfs -o size={mebibytes}m tmpfs '{}'", at.display()))?;
        // Seen from outside through the shell's root.
        std::fs::read_dir(mount.path()).map_err(|error| error.to_string())?;
        Ok(mount)
    }

    /// Runs a command inside.
    ///
    /// # Errors
    /// What it said when it failed.
    pub fn run(&mut self, command: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().expect("it is there until the drop");
        let sent = writeln!(stdin, "said=$({command} 2>&1); echo \"$?\" $said").and_then(|()| stdin.flush());
        let mut line = String::new();
        let read = sent.and_then(|()| self.stdout.read_line(&mut line));
        read.map_err(|error| error.to_string())?;
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            ("0", _) => Ok(()),
            ("", _) => Err("the shell ended: name spaces are not allowed".to_owned()),
            (code, said) => Err(format!("{said} (exit code {code})")),
        }
    }

    /// Where the file system is, seen from outside.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.shell.id(), self.at.display()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
