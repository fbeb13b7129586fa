//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes all that the process may have.
///
/// The limit that a shell hands out, mostly 1,024, is for programs that use `select`; each producer and each attempt
/// takes a descriptor here. A service manager that wants less says so by the hard limit, which is not touched.
pub fn take_all() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit on open files stays as it is");
    }
}
