//! What may be given once.

use std::collections::BTreeSet;

use crate::exit::Failure;

/// Refuses a name that is given twice: which of its values is meant nobody can tell. `flag` is what gives it.
///
/// # Errors
/// The flag and the name.
pub fn once<'a>(flag: &str, names: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(Failure::Usage(format!("{flag}: {name:?} is given twice, and may be given once"))),
    }
}
