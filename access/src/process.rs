//! What runs programs as Pelton's own user.

use pelton_resource::Resource;
use pelton_resource::serving::RuntimeKind;
use pelton_resource::serving::settings::RUNTIME;

/// Whether what is stored here is run as a process of Pelton's own user. Such a program can read all that Pelton keeps, so
/// whoever may write it is as good as an admin.
#[must_use]
pub fn runs_process(resource: &Resource) -> bool {
    let annotations = match resource {
        Resource::Service(service) => &service.spec.template.metadata.annotations,
        Resource::Configuration(configuration) => &configuration.spec.template.metadata.annotations,
        Resource::Revision(revision) => &revision.metadata.annotations,
        Resource::Broker(_)
        | Resource::Trigger(_)
        | Resource::Route(_)
        | Resource::DomainMapping(_)
        | Resource::Core(_) => return false,
    };
    let runtime = annotations.get(RUNTIME).and_then(|text| RuntimeKind::of(text)).unwrap_or_default();
    runtime == RuntimeKind::Process
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_processes_unless_they_say_otherwise() {
        let template = |runtime: &str| {
            format!("{{metadata: {{annotations: {{{runtime}}}}}, spec: {{containers: [{{image: a}}]}}}}")
        };
        let serving = |kind: &str, runtime: &str| {
            let template = template(runtime);
            format!(
                "apiVersion: serving.knative.dev/v1\nkind: {kind}\nmetadata: {{name: s}}\nspec: {{template: {template}}}\n"
            )
        };
        let broker = "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: b}\n".to_owned();
        for (text, want) in [
            (serving("Service", ""), true),
            (serving("Configuration", ""), true),
            (serving("Service", "pelton.dev/runtime: process"), true),
            (serving("Service", "pelton.dev/runtime: docker"), false),
            (serving("Configuration", "pelton.dev/runtime: kubernetes"), false),
            (broker, false),
        ] {
            let resources = pelton_resource::parse_documents(&text, "test").unwrap();
            assert_eq!(runs_process(&resources[0]), want, "{text}");
        }
    }
}
