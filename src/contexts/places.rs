//! Where kubeconfig files are.

use std::path::{Path, PathBuf};

/// The files in which contexts are looked for, the first before the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Pelton's own. What is current in them is followed, and the first is written to.
    pub own: Vec<PathBuf>,
    /// Those of kubectl. Only contexts that are asked for by name are taken from them.
    pub kubectl: Vec<PathBuf>,
}

impl Places {
    /// The places as the command line and the environment have them. With `only`, there is no other.
    pub fn of(only: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Self {
        if let Some(file) = only {
            return Self { own: vec![file.to_owned()], kubectl: Vec::new() };
        }
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from);
        let folder = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".config")));
        let own = match set("PELTON_KUBECONFIG") {
            Some(list) => split(&list),
            None => folder.map(|folder| folder.join("pelton").join("config")).into_iter().collect(),
        };
        let kubectl = match set("KUBECONFIG") {
            Some(list) => split(&list),
            None => home.map(|home| home.join(".kube").join("config")).into_iter().collect(),
        };
        Self { own, kubectl }
    }
}

fn split(list: &str) -> Vec<PathBuf> {
    std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect()
}
