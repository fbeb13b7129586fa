//! Which versions of the protocol this process speaks.

use pelton_peer::Versions;

/// What the program speaks.
///
/// A debug build is told otherwise by `PELTON_TEST_PROTOCOL`, such as `1-2`: tests of an upgrade have one program play the
/// version before and the one after it.
pub fn spoken() -> Versions {
    #[cfg(debug_assertions)]
    if let Ok(text) = std::env::var("PELTON_TEST_PROTOCOL") {
        return text.parse().expect("PELTON_TEST_PROTOCOL is two numbers with a dash between them");
    }
    Versions::OURS
}
