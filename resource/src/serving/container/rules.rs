//! What a container must and must not say.

use super::{Container, ContainerPort, EnvVar, Protocol, ResourceRequirements};
use crate::field_error::{FieldError, FieldErrors, child};
use crate::limits::MAX_ENV_VARS;
use crate::meta::validate_name;
use crate::serving::image::is_image_reference;
use crate::serving::probe::{self, Purpose};
use crate::serving::quantity::Quantity;
use crate::serving::settings::RuntimeKind;

/// Ports that Knative keeps for itself: requests in (HTTP/1.1 and HTTP/2), administration, metrics (two), profiling.
const RESERVED_PORTS: [i32; 6] = [8012, 8013, 8022, 9090, 9091, 8008];
/// Names of the environment that a container is given.
const RESERVED_ENV: [&str; 4] = ["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];
/// The name that Knative's own container has.
const RESERVED_CONTAINER: &str = "queue-proxy";

/// Checks the containers of a Revision for a runtime. No runtime runs more than one for an instance so far.
pub(in crate::serving) fn validate(
    containers: &[Container],
    runtime: RuntimeKind,
    path: &str,
    errors: &mut FieldErrors,
) {
    match containers {
        [] => errors.push(FieldError::missing(path)),
        [container] => Place { container, runtime, path: &format!("{path}[0]") }.validate(errors),
        several => {
            let why = "an instance is one program here, whatever runs it; give others a Service of their own";
            errors.push(FieldError::invalid(format_args!("{} containers", several.len()), path).with_details(why));
        }
    }
}

/// A container where it stands.
struct Place<'a> {
    container: &'a Container,
    runtime: RuntimeKind,
    path: &'a str,
}

impl Place<'_> {
    fn at(&self, field: &str) -> String {
        child(self.path, field)
    }

    fn validate(&self, errors: &mut FieldErrors) {
        self.validate_name(errors);
        self.validate_program(errors);
        self.validate_ports(errors);
        validate_env(&self.container.env, &self.at("env"), errors);
        validate_resources(&self.container.resources, &self.at("resources"), errors);
        self.validate_probes(errors);
    }

    fn validate_name(&self, errors: &mut FieldErrors) {
        let name = self.container.name.as_str();
        if name == RESERVED_CONTAINER {
            let error = FieldError::invalid(name, self.at("name"));
            errors.push(error.with_details("it is a reserved container name"));
        } else {
            validate_name(name, &self.at("name"), errors);
        }
    }

    /// What is run: an image by a container, `command` by a process.
    fn validate_program(&self, errors: &mut FieldErrors) {
        let Container { image, command, args, working_dir, image_pull_policy, .. } = self.container;
        match self.runtime {
            RuntimeKind::Process if command.first().is_none_or(String::is_empty) => {
                let why = "the process runtime runs a program of this machine: write which, such as command: \
                           [\"/usr/local/bin/orders\"]; an image is run when the annotation pelton.dev/runtime is \
                           docker or kubernetes";
                errors.push(FieldError::missing(self.at("command")).with_details(why));
            }
            RuntimeKind::Docker | RuntimeKind::Kubernetes if image.is_empty() => {
                errors.push(FieldError::missing(self.at("image")));
            }
            RuntimeKind::Process | RuntimeKind::Docker | RuntimeKind::Kubernetes => {}
        }
        if !image.is_empty() && !is_image_reference(image) {
            let error = FieldError::invalid(image, self.at("image"));
            errors.push(error.with_details("Failed to parse image reference"));
        }
        if !matches!(image_pull_policy.as_str(), "" | "Always" | "IfNotPresent" | "Never") {
            let error = FieldError::invalid(image_pull_policy, self.at("imagePullPolicy"));
            errors.push(error.with_details("expected Always, IfNotPresent or Never"));
        }
        if !(working_dir.is_empty() || working_dir.starts_with('/')) {
            let error = FieldError::invalid(working_dir, self.at("workingDir"));
            errors.push(error.with_details("expected an absolute path"));
        }
        let texts = [("workingDir", working_dir)].into_iter().chain(command.iter().map(|text| ("command", text)));
        for (field, text) in texts.chain(args.iter().map(|text| ("args", text))) {
            refuse_nul(text, self.at(field), errors);
        }
    }

    fn validate_ports(&self, errors: &mut FieldErrors) {
        let path = self.at("ports");
        let [port] = self.container.ports.as_slice() else {
            if !self.container.ports.is_empty() {
                let error = FieldError::new("more than one container port is set", path);
                errors.push(error.with_details("Only a single port is allowed across all containers"));
            }
            return;
        };
        let ContainerPort { name, container_port, protocol } = port;
        let path = format!("{path}[0]");
        if RESERVED_PORTS.contains(container_port) {
            let error = FieldError::invalid(container_port, child(&path, "containerPort"));
            errors.push(error.with_details("it is a reserved port; use another"));
        } else if !(0..=65_535).contains(container_port) {
            errors.push(FieldError::out_of_bounds(*container_port, 0, 65_535, child(&path, "containerPort")));
        }
        if Protocol::of_port_name(name).is_none() {
            let error = FieldError::new(format!("Port name {name} is not allowed"), child(&path, "name"));
            errors.push(error.with_details("Name must be empty, or one of: 'h2c', 'http1'"));
        }
        if !matches!(protocol.as_str(), "" | "TCP") {
            errors.push(FieldError::invalid(protocol, child(&path, "protocol")).with_details("expected TCP"));
        }
    }

    fn validate_probes(&self, errors: &mut FieldErrors) {
        let probes = [
            (&self.container.readiness_probe, Purpose::Readiness, "readinessProbe"),
            (&self.container.liveness_probe, Purpose::Life, "livenessProbe"),
            (&self.container.startup_probe, Purpose::Life, "startupProbe"),
        ];
        for (probe, purpose, field) in probes {
            let Some(probe) = probe else { continue };
            probe::validate(probe, purpose, self.container, &self.at(field), errors);
        }
    }
}

/// No system takes a NUL in what a program is started with.
fn refuse_nul(text: &str, path: String, errors: &mut FieldErrors) {
    if text.contains('\0') {
        errors.push(FieldError::new("must not have a NUL character", path));
    }
}

fn validate_env(env: &[EnvVar], path: &str, errors: &mut FieldErrors) {
    if env.len() > MAX_ENV_VARS {
        let why = format!("at most {MAX_ENV_VARS} variables");
        errors.push(FieldError::invalid(format_args!("{} variables", env.len()), path).with_details(why));
        return;
    }
    for (i, EnvVar { name, value }) in env.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name_path = child(&path, "name");
        if name.is_empty() {
            errors.push(FieldError::missing(name_path));
        } else if RESERVED_ENV.contains(&name.as_str()) {
            let message = format!("{name:?} is a reserved environment variable");
            errors.push(FieldError::new(message, name_path));
        } else if !name.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'=') {
            let error = FieldError::invalid(format_args!("{name:?}"), name_path);
            errors.push(error.with_details("a name has printable ASCII characters other than ="));
        }
        refuse_nul(value, child(&path, "value"), errors);
    }
}

fn validate_resources(resources: &ResourceRequirements, path: &str, errors: &mut FieldErrors) {
    let both = [(&resources.limits, "limits"), (&resources.requests, "requests")];
    for (quantities, field) in both {
        let path = child(path, field);
        for (name, text) in quantities {
            let path = format!("{path}[{name}]");
            if !matches!(name.as_str(), "cpu" | "memory") {
                let error = FieldError::invalid_key(name, path);
                errors.push(error.with_details("cpu and memory are limited here, and nothing else"));
            } else if let Err(why) = Quantity::parse(text) {
                errors.push(FieldError::invalid(text, path).with_details(why.to_string()));
            }
        }
    }
    for (name, request) in &resources.requests {
        let limit = resources.limits.get(name).and_then(|text| Quantity::parse(text).ok());
        if let (Some(limit), Ok(requested)) = (limit, Quantity::parse(request))
            && requested > limit
        {
            let error = FieldError::invalid(request, format!("{path}.requests[{name}]"));
            errors.push(error.with_details(format!("it is more than the limit, {}", resources.limits[name])));
        }
    }
}
