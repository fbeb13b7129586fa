//! The example consumers of the repository, as far as they run on this machine.
//!
//! Each is a folder of `examples/` in the current directory with a manifest in which there is a Service. Of its command,
//! words that name files of that folder or of the current directory become their paths here, and it runs in its folder.

use std::path::{Path, PathBuf};

use pelton_resource::Resource;

use super::error::{BenchError, Doing};
use super::service::Service;

/// Where they are.
const FOLDER: &str = "examples";

/// What was found.
#[derive(Debug, Default)]
pub struct Examples {
    /// A Service for each that runs here, with the name of its folder.
    pub runnable: Vec<Service>,
    /// A sentence about each that does not.
    pub left_out: Vec<String>,
}

/// Looks for them.
///
/// # Errors
/// [`BenchError::Io`].
pub fn found() -> Result<Examples, BenchError> {
    let current = std::env::current_dir().doing(|| "finding the current directory".to_owned())?;
    Ok(found_in(&current))
}

fn found_in(current: &Path) -> Examples {
    let mut examples = Examples::default();
    let entries = std::fs::read_dir(current.join(FOLDER)).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    if folders.is_empty() {
        examples.left_out.push(format!("there is no folder {FOLDER} here; run it in the repository for more rows"));
    }
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match service_of(&name, &folder, current) {
            Ok(Some(service)) => examples.runnable.push(service),
            // A folder of something else.
            Ok(None) => {}
            Err(why) => examples.left_out.push(format!("{FOLDER}/{name} does not run here: {why}")),
        }
    }
    examples
}

fn service_of(name: &str, folder: &Path, current: &Path) -> Result<Option<Service>, String> {
    let resources = crate::manifests::read(&[folder.to_owned()]).map_err(|error| error.to_string())?;
    let service = resources.into_iter().find_map(|resource| match resource {
        Resource::Service(service) => Some(service),
        _ => None,
    });
    let Some(service) = service else { return Ok(None) };
    let container = service.spec.template.spec.serving_container().cloned().unwrap_or_default();
    let words = container.command.iter().chain(&container.args);
    let mut command: Vec<String> = words.map(|word| absolute(word, folder, current)).collect();
    let program = command.first_mut().ok_or("its Service has no command")?;
    *program = find_program(program).ok_or_else(|| format!("there is no program {program}"))?;
    let mut found = Service::of_command(name, command).in_directory(folder.to_owned());
    for variable in container.env {
        found = found.variable(variable.name, variable.value);
    }
    Ok(Some(found))
}

/// The absolute path of the file that a word of a command names, or the word. A path that is nowhere here is looked for in the
/// folder by its name: manifests say where examples were put.
fn absolute(word: &str, folder: &Path, current: &Path) -> String {
    let by_name = Path::new(word).file_name().filter(|_| word.contains('/')).map(|name| folder.join(name));
    let places = [folder.join(word), current.join(word)].into_iter().chain(by_name);
    match places.into_iter().find(|path| !word.is_empty() && path.is_file()) {
        Some(path) => path.to_string_lossy().into_owned(),
        None => word.to_owned(),
    }
}

fn find_program(program: &str) -> Option<String> {
    if program.contains('/') {
        return Path::new(program).is_file().then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    is_there.then(|| program.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with an example in it.
    fn example(current: &Path, name: &str, command: &str) {
        let folder = current.join(FOLDER).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("consumer.py"), "").unwrap();
        let manifest = format!(
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: x}}\nspec:\n  template:\n    spec:\n      \
             containers:\n        - command: {command}\n          env: [{{name: A, value: b}}]\n"
        );
        std::fs::write(folder.join("service.yaml"), manifest).unwrap();
    }

    #[test]
    fn what_runs_here_is_found_and_the_rest_is_named() {
        let current = tempfile::tempdir().unwrap();
        let current = current.path();
        example(current, "one", "[sh, consumer.py, examples/two/consumer.py, /nowhere/consumer.py, --plain]");
        example(current, "two", "[no-such-program-anywhere]");
        std::fs::create_dir(current.join(FOLDER).join("empty")).unwrap();
        let examples = found_in(current);
        let [one] = examples.runnable.try_into().unwrap();
        let document: serde_json::Value = serde_json::from_str(&one.document()).unwrap();
        let container = &document["spec"]["template"]["spec"]["containers"][0];
        let path = |rest: &str| current.join(FOLDER).join(rest).to_string_lossy().into_owned();
        let own = path("one/consumer.py");
        let want = serde_json::json!(["sh", own, path("two/consumer.py"), own, "--plain"]);
        assert_eq!((one.name(), &container["command"]), ("one", &want));
        assert_eq!(container["workingDir"], path("one"));
        assert_eq!(container["env"][0]["name"], "A");
        let [left_out] = examples.left_out.try_into().unwrap();
        assert!(left_out.contains("examples/two") && left_out.contains("no-such-program-anywhere"), "{left_out}");
    }

    #[test]
    fn no_folder_is_said() {
        let current = tempfile::tempdir().unwrap();
        let examples = found_in(current.path());
        assert_eq!((examples.runnable.len(), examples.left_out.len()), (0, 1));
    }
}
