//! Child processes of this very executable: started, waited for, and ended on every way out.
//!
//! A child ends in one of three ways. [`Child::stop`] asks it with SIGTERM and then insists. Dropping it (an error, a
//! panic, Ctrl-C) kills it at once. And should this process itself be killed, the system kills the child: every child
//! starts through the hidden `bench exec-child`, which asks the system for that and then becomes the real program.
//! A program of others, which may have processes of its own, is asked with SIGTERM in each of the three.
//! A child is only ever addressed by the process id of a process that we have not reaped yet, so never a stranger.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{BenchError, Doing};

/// How often a state that cannot be waited for is looked at. Small against every time that is measured with it.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long a child may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How long a program of others may take to end when everything is cut short.
const CUT_LIMIT: Duration = Duration::from_secs(2);

/// Bytes of a child's output that an error shows.
const LAST_WORDS_BYTES: usize = 2_000;

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    process: std::process::Child,
    started: Instant,
    output: PathBuf,
    /// Whether it has processes of its own that only it can end.
    has_processes: bool,
}

/// What a child writes, once it can be used.
#[derive(Debug)]
pub struct Ready {
    /// The JSON of the ready file.
    pub json: serde_json::Value,
    /// From the start of the process to the ready file.
    pub after: Duration,
}

impl Child {
    /// Starts this executable with `arguments`, in `directory`, its output in a file there.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn spawn(name: &'static str, arguments: Vec<OsString>, directory: &Path) -> Result<Self, BenchError> {
        Self::start(name, None, arguments, directory)
    }

    /// As [`spawn`](Self::spawn), for a program of others, which may have processes of its own: it is asked to end also
    /// where ours are killed.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn spawn_other(
        name: &'static str,
        program: &Path,
        arguments: Vec<OsString>,
        directory: &Path,
    ) -> Result<Self, BenchError> {
        Self::start(name, Some(program), arguments, directory)
    }

    fn start(
        name: &'static str,
        program: Option<&Path>,
        arguments: Vec<OsString>,
        directory: &Path,
    ) -> Result<Self, BenchError> {
        let executable = std::env::current_exe().doing(|| "finding this executable".to_owned())?;
        let output = directory.join("output.txt");
        let doing = || format!("starting {name} in {}", directory.display());
        let file = File::options().create(true).append(true).open(&output).doing(doing)?;
        let process = Command::new(executable)
            .args(["bench", "exec-child", "--parent"])
            .arg(std::process::id().to_string())
            .args(program.into_iter().flat_map(|program| [OsStr::new("--program"), program.as_os_str()]))
            .arg("--")
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone().doing(doing)?)
            .stderr(file)
            .spawn()
            .doing(doing)?;
        Ok(Self { name, process, started: Instant::now(), output, has_processes: program.is_some() })
    }

    /// The process id; ours until this value is gone.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the ready file.
    ///
    /// # Errors
    /// [`BenchError::Died`] or [`BenchError::TooLate`].
    pub async fn ready(&mut self, ready_file: &Path, limit: Duration) -> Result<Ready, BenchError> {
        while self.started.elapsed() < limit {
            // Half a file is no JSON yet, and is looked at again.
            let json = std::fs::read(ready_file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(json) = json {
                return Ok(Ready { json, after: self.started.elapsed() });
            }
            self.still_alive()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(BenchError::TooLate { what: format!("{} ready ({})", self.name, self.last_words()), limit })
    }

    /// An error when the child has ended by itself.
    ///
    /// # Errors
    /// [`BenchError::Died`].
    pub fn still_alive(&mut self) -> Result<(), BenchError> {
        let ended = self.process.try_wait().doing(|| format!("looking after {}", self.name))?;
        match ended {
            None => Ok(()),
            Some(status) => Err(BenchError::Died { name: self.name, status, last_words: self.last_words() }),
        }
    }

    /// Ends the child: SIGTERM, and SIGKILL for one that does not listen. Says whether it ended by itself in time.
    pub async fn stop(mut self) -> bool {
        // The child is not reaped, so the id is still its own; it may have ended, which is no error here.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_LIMIT {
            match self.process.try_wait() {
                Ok(None) => tokio::time::sleep(LOOK_AGAIN).await,
                Ok(Some(_)) => return true,
                Err(_) => break,
            }
        }
        false
    }

    /// Ends the child at once, as a loss of power ends a machine.
    pub fn kill(mut self) {
        // Both fail only for a child that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(LAST_WORDS_BYTES)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.has_processes && matches!(self.process.try_wait(), Ok(None)) {
            // It was not reaped, so the id is still its own.
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            let asked = Instant::now();
            while asked.elapsed() < CUT_LIMIT && matches!(self.process.try_wait(), Ok(None)) {
                std::thread::park_timeout(LOOK_AGAIN);
            }
        }
        // Both fail only for a child that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in a ready file under `field`.
///
/// # Errors
/// [`BenchError::Missing`].
pub fn address(ready: &serde_json::Value, field: &str) -> Result<SocketAddr, BenchError> {
    let text = ready[field].as_str().unwrap_or_default();
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    text.parse().map_err(|_| BenchError::Missing { place: "the ready file".to_owned(), field: field.to_owned() })
}

/// Writes a ready file whole or not at all.
///
/// # Errors
/// As the file system answers.
pub fn write_ready_file(path: &Path, json: &serde_json::Value) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, json.to_string())?;
    std::fs::rename(&unfinished, path)
}

/// What `bench exec-child` is told.
#[derive(Debug, clap::Args)]
pub struct ExecChildArgs {
    /// The process that must outlive the child
    #[arg(long)]
    parent: u32,
    /// The program to become, which is asked to end when the parent dies [default: this one, which is killed]
    #[arg(long)]
    program: Option<PathBuf>,
    /// What to become
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// Ties this process to its parent's life and becomes the program asked for. Returns only when it cannot.
pub fn exec_child(args: ExecChildArgs) -> ExitCode {
    use std::os::unix::process::CommandExt;

    #[cfg(target_os = "linux")]
    let signal = if args.program.is_some() { Signal::TERM } else { Signal::KILL };
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(signal)) {
        eprintln!("cannot tie the child to its parent: {error}");
        return ExitCode::FAILURE;
    }
    // The parent may have gone before the line above.
    if std::os::unix::process::parent_id() != args.parent {
        return ExitCode::FAILURE;
    }
    let error = match args.program.map_or_else(std::env::current_exe, Ok) {
        Ok(executable) => Command::new(executable).args(args.arguments).exec(),
        Err(error) => error,
    };
    eprintln!("cannot become the child: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme() {
        let ready = serde_json::json!({"a": "127.0.0.1:80", "b": "http://127.0.0.1:81/", "c": "nowhere", "d": 4});
        assert_eq!(address(&ready, "a").unwrap().port(), 80);
        assert_eq!(address(&ready, "b").unwrap().port(), 81);
        for bad in ["c", "d", "e"] {
            assert!(address(&ready, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ready_file_is_written_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ready");
        write_ready_file(&path, &serde_json::json!({"listen": "x"})).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"listen":"x"}"#);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
