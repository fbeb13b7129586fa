//! Manifests on disk or from standard input.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use pelton_resource::limits::MAX_MANIFEST_BYTES;
use pelton_resource::{ParseErrorKind, Resource, parse_documents, parse_objects};
use serde_json::Value;

use crate::kube::object;

/// What cannot be read, or is no manifest: every mistake of every file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BadManifests(pub Vec<String>);

/// An object as it stands in a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file, and the line that it begins at.
    pub place: String,
    /// What stands there.
    pub object: Value,
}

/// Reads every resource of these files and folders, in this order. `-` is standard input. Of a folder, the files
/// ending in `.yaml`, `.yml` or `.json` are read, in the order of their names; folders inside it are not.
///
/// # Errors
/// Every mistake of every file, each with its path and line.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Resource>, BadManifests> {
    read_each(paths, |text, name| {
        parse_documents(text, name).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    })
}

/// Reads every object of these files and folders as it stands there, of whatever kind it is: the API says what is wrong with it.
///
/// # Errors
/// Every file that cannot be read, or is neither YAML nor JSON, and every document that is no object with a kind and a name; or
/// there is no document at all.
pub fn read_documents(paths: &[PathBuf]) -> Result<Vec<Document>, BadManifests> {
    let documents = read_each(paths, |text, name| {
        let objects = parse_objects(text, name).map_err(|error| vec![error.to_string()])?;
        let (mut documents, mut mistakes) = (Vec::new(), Vec::new());
        for (line, object) in objects {
            let place = format!("{name}:{line}");
            let has = |pointer| !object::text(&object, pointer).is_empty();
            if !has("/apiVersion") || !has("/kind") {
                mistakes.push(format!("{place}: {}", ParseErrorKind::NotAResource));
            } else if !has("/metadata/name") {
                mistakes.push(format!("{place}: {} has no metadata.name", object::text(&object, "/kind")));
            } else {
                documents.push(Document { place, object });
            }
        }
        if mistakes.is_empty() { Ok(documents) } else { Err(mistakes) }
    })?;
    if documents.is_empty() {
        return Err(BadManifests(vec!["there is no resource in what was given".to_owned()]));
    }
    Ok(documents)
}

fn read_each<T>(
    paths: &[PathBuf],
    parse: impl Fn(&str, &str) -> Result<Vec<T>, Vec<String>>,
) -> Result<Vec<T>, BadManifests> {
    let (mut all, mut mistakes) = (Vec::new(), Vec::new());
    for path in paths {
        match files(path) {
            Err(error) => mistakes.push(format!("{}: {error}", path.display())),
            Ok(files) => {
                for file in files {
                    match read_one(&file, &parse) {
                        Ok(found) => all.extend(found),
                        Err(errors) => mistakes.extend(errors),
                    }
                }
            }
        }
    }
    if mistakes.is_empty() { Ok(all) } else { Err(BadManifests(mistakes)) }
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_manifest = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("yaml" | "yml" | "json")) && path.is_file()
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if is_manifest(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_one<T>(path: &Path, parse: impl Fn(&str, &str) -> Result<Vec<T>, Vec<String>>) -> Result<Vec<T>, Vec<String>> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let text = read_text(path).map_err(|error| vec![format!("{name}: {error}")])?;
    parse(&text, &name)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let limit = MAX_MANIFEST_BYTES as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    // Before it is decoded: it may be cut inside a character.
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(std::io::Error::other(format!("it has more than {MAX_MANIFEST_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is no UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKER: &str = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: NAME}\n";

    #[test]
    fn a_folder_is_read_in_the_order_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        for (file, name) in [("b.yml", "two"), ("a.yaml", "one"), ("c.txt", "none"), ("d.json.bak", "none")] {
            std::fs::write(folder.path().join(file), BROKER.replace("NAME", name)).unwrap();
        }
        std::fs::create_dir(folder.path().join("e.yaml")).unwrap();
        let found = read(&[folder.path().to_owned()]).unwrap();
        let names: Vec<&str> = found.iter().map(|resource| resource.meta().name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn every_file_with_a_mistake_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "kind: [").unwrap();
        std::fs::write(folder.path().join("b.yaml"), "kind: Broker").unwrap();
        let missing = folder.path().join("missing.yaml");
        let mistakes = read(&[folder.path().to_owned(), missing.clone()]).unwrap_err().to_string();
        for want in ["a.yaml:", "b.yaml:1:", &missing.display().to_string()] {
            assert!(mistakes.contains(want), "{want} is not in {mistakes}");
        }
    }

    /// Each row: what stands in a file, and what is said of it.
    #[test]
    fn what_is_too_long_or_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let longest = "ö".repeat(MAX_MANIFEST_BYTES / 2);
        // One byte more than what may be ends inside a character.
        for (bytes, want) in [
            (format!("{longest}ö").into_bytes(), format!("it has more than {MAX_MANIFEST_BYTES} bytes")),
            (b"# \xff\n".to_vec(), "it is no UTF-8 text".to_owned()),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let mistakes = read(std::slice::from_ref(&file)).unwrap_err();
            assert_eq!(mistakes.to_string(), format!("{}: {want}", file.display()));
        }
        std::fs::write(&file, &longest).unwrap();
        assert!(read_text(&file).unwrap() == longest, "what may be is read");
    }

    /// What is wrong with a field is for the API to say; what has no name cannot be asked about.
    #[test]
    fn documents_are_read_as_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let text = format!(
            "{BROKER}spec: {{unknown: 1}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\n"
        );
        std::fs::write(&file, &text).unwrap();
        let documents = read_documents(std::slice::from_ref(&file)).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].object["spec"]["unknown"], 1);
        assert!(documents[1].place.ends_with("a.yaml:6"), "{}", documents[1].place);
        std::fs::write(&file, "# nothing\n").unwrap();
        let mistake = read_documents(std::slice::from_ref(&file)).unwrap_err().to_string();
        assert_eq!(mistake, "there is no resource in what was given");
        std::fs::write(&file, "kind: Broker\n---\napiVersion: v1\nkind: Secret\n").unwrap();
        let mistakes = read_documents(std::slice::from_ref(&file)).unwrap_err().0;
        assert!(
            mistakes[0].contains("apiVersion") && mistakes[1].contains("Secret has no metadata.name"),
            "{mistakes:?}"
        );
    }
}
