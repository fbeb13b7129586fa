//! By what a gateway knows its containers again after it was killed: a name of its own, kept in its data folder.

use std::fs;
use std::io;
use std::path::Path;

use pelton_env::Chance;

/// The file within the folder.
const FILE: &str = "owner";

/// How long a name is, in hexadecimal digits.
const DIGITS: usize = 32;

/// The name that belongs to this folder; a new one when there is none.
///
/// # Errors
/// The folder cannot be used.
pub fn owner_of(folder: &Path, chance: &dyn Chance) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    let file = folder.join(FILE);
    match fs::read_to_string(&file) {
        Ok(name) if name.len() == DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit()) => return Ok(name),
        Ok(_) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    let name = format!("{:016x}{:016x}", chance.bits(), chance.bits());
    let unfinished = folder.join("owner.new");
    fs::write(&unfinished, &name)?;
    fs::rename(&unfinished, &file)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use pelton_env::OsChance;

    use super::*;

    #[test]
    fn a_folder_keeps_its_name_and_one_that_is_broken_gets_another() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("docker");
        let first = owner_of(&folder, &OsChance).unwrap();
        assert_eq!(first.len(), DIGITS);
        assert_eq!(owner_of(&folder, &OsChance).unwrap(), first);
        for broken in ["", "abc", &format!("{first}\n"), "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
            fs::write(folder.join(FILE), broken).unwrap();
            let next = owner_of(&folder, &OsChance).unwrap();
            assert!(next.len() == DIGITS && next != first, "{broken:?}: {next}");
        }
    }
}
