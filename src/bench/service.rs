//! The Services of a workload.

use std::path::PathBuf;

use super::consumer::TELL;
use super::error::{BenchError, Doing};

/// A Service of the namespace `default`.
#[derive(Debug, Clone)]
pub struct Service {
    name: String,
    command: Vec<String>,
    working_dir: Option<PathBuf>,
    environment: Vec<(String, String)>,
    annotations: Vec<(&'static str, &'static str)>,
}

impl Service {
    /// One that runs this executable's own consumer.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn of_consumer(name: &str) -> Result<Self, BenchError> {
        let executable = std::env::current_exe().doing(|| "finding this executable".to_owned())?;
        let words = [&executable.to_string_lossy(), "bench", "consumer"];
        Ok(Self::of_command(name, words.map(str::to_owned).to_vec()))
    }

    /// One that runs any command.
    pub fn of_command(name: &str, command: Vec<String>) -> Self {
        Self { name: name.to_owned(), command, working_dir: None, environment: Vec::new(), annotations: Vec::new() }
    }

    /// Its instances run there.
    #[must_use]
    pub fn in_directory(self, directory: PathBuf) -> Self {
        Self { working_dir: Some(directory), ..self }
    }

    /// An annotation of its template.
    #[must_use]
    pub fn with(mut self, annotation: &'static str, value: &'static str) -> Self {
        self.annotations.push((annotation, value));
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: String, value: String) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Its consumer tells of events at this address.
    #[must_use]
    pub fn telling(self, address: std::net::SocketAddr) -> Self {
        self.variable(TELL.to_owned(), address.to_string())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its host.
    pub fn host(&self) -> String {
        format!("{}.default.localhost", self.name)
    }

    /// The resource, as JSON, which is YAML.
    pub fn document(&self) -> String {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
        let annotations: serde_json::Map<String, serde_json::Value> =
            self.annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let mut container = serde_json::json!({ "command": self.command, "env": environment });
        if let Some(directory) = &self.working_dir {
            container["workingDir"] = directory.to_string_lossy().into();
        }
        let service = serde_json::json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": { "name": self.name, "namespace": "default" },
            "spec": { "template": {
                "metadata": { "annotations": annotations },
                "spec": { "containers": [container] },
            } },
        });
        format!("{service}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_a_service_as_the_product_reads_it() {
        let service = Service::of_consumer("hello")
            .unwrap()
            .in_directory("/srv".into())
            .with("pelton.dev/idle-stop", "50ms")
            .telling(([127, 0, 0, 1], 9).into());
        let parsed = pelton_resource::parse_documents(&service.document(), "test").unwrap();
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].kind(), pelton_resource::Kind::Service);
        assert_eq!(service.host(), "hello.default.localhost");
        let json: serde_json::Value = serde_json::from_str(&service.document()).unwrap();
        let template = &json["spec"]["template"];
        assert_eq!(template["metadata"]["annotations"]["pelton.dev/idle-stop"], "50ms");
        assert_eq!(template["spec"]["containers"][0]["workingDir"], "/srv");
        assert_eq!(template["spec"]["containers"][0]["env"][0]["value"], "127.0.0.1:9");
    }
}
