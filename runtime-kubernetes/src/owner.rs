//! Whose Deployments these are: a name that a gateway keeps through all of its lives, and where it has used it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use pelton_env::Chance;

/// The file, within the folder of the runtime: the name in its first line, then a namespace a line.
const FILE: &str = "kubernetes-owner";

/// A gateway, by the name that its objects have in a cluster, and the namespaces in which it may have some.
#[derive(Debug)]
pub struct Owner {
    folder: PathBuf,
    name: String,
    namespaces: Mutex<BTreeSet<String>>,
}

impl Owner {
    /// The one that was here before, if one was. Blocks.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut lines = text.lines().map(str::to_owned).filter(|line| !line.is_empty());
        let Some(name) = lines.next() else { return Ok(None) };
        Ok(Some(Self { folder: folder.to_owned(), name, namespaces: Mutex::new(lines.collect()) }))
    }

    /// One that was never anywhere. It is not stored before it is somewhere.
    pub fn new(folder: &Path, chance: &dyn Chance) -> Self {
        let name = format!("{:016x}", chance.bits());
        Self { folder: folder.to_owned(), name, namespaces: Mutex::default() }
    }

    /// Its name: a label's value.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it may have something.
    pub fn namespaces(&self) -> Vec<String> {
        self.namespaces.lock().iter().cloned().collect()
    }

    /// From now on it may have something in this namespace, and will know so in its next life. Blocks.
    ///
    /// # Errors
    /// That cannot be stored.
    pub fn remember(&self, namespace: &str) -> io::Result<()> {
        let mut namespaces = self.namespaces.lock();
        if namespaces.contains(namespace) {
            return Ok(());
        }
        let mut all = namespaces.clone();
        all.insert(namespace.to_owned());
        let lines: Vec<_> = std::iter::once(self.name.as_str()).chain(all.iter().map(String::as_str)).collect();
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join(format!("{FILE}.new"));
        let mut file = File::create(&new)?;
        file.write_all(format!("{}\n", lines.join("\n")).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()?;
        *namespaces = all;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pelton_env::SeededChance;

    use super::*;

    #[test]
    fn the_next_life_has_the_same_name_and_knows_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("serving");
        assert!(Owner::read(&folder).unwrap().is_none());
        let first = Owner::new(&folder, &SeededChance::new(1));
        assert!(Owner::read(&folder).unwrap().is_none(), "it was nowhere yet");
        for namespace in ["default", "apps", "default"] {
            first.remember(namespace).unwrap();
        }
        let next = Owner::read(&folder).unwrap().unwrap();
        assert_eq!(next.name(), first.name());
        assert_eq!(next.namespaces(), ["apps", "default"]);
    }
}
