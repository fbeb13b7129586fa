//! Resources over the Kubernetes-shaped API.

use std::net::SocketAddr;

use serde_json::Value;

use super::http::{Message, call};
use super::node::Node;
use super::wait::wait_for;

const JSON: &str = "content-type: application/json\r\n";

/// Where objects of a kind are.
pub fn collection(plural: &str, namespace: &str) -> String {
    let api = match plural {
        "brokers" | "triggers" => "apis/eventing.knative.dev/v1",
        "domainmappings" => "apis/serving.knative.dev/v1beta1",
        "services" | "configurations" | "revisions" | "routes" => "apis/serving.knative.dev/v1",
        core => panic!("{core} is no kind of Knative's"),
    };
    format!("/{api}/namespaces/{namespace}/{plural}")
}

/// Where an object in the namespace `default` is.
pub fn path(plural: &str, name: &str) -> String {
    format!("{}/{name}", collection(plural, "default"))
}

/// Stores every object of a text as it stands there, whatever it was before. Gives the first refusal.
pub fn store(api: SocketAddr, manifest: &str) -> Result<(), Message> {
    for (_, object) in pelton_resource::parse_objects(manifest, "test").unwrap() {
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default").to_owned();
        if namespace != "default" {
            let object = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            // It may be there.
            call(api, "POST", "/api/v1/namespaces", JSON, object.to_string().as_bytes());
        }
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        let at = collection(&plural, &namespace);
        let (status, answer) = wait_for("an object to be stored", || {
            let answer = store_one(api, &at, object.clone());
            // Somebody else wrote it meanwhile, such as a controller.
            if answer.status() == 409 { Err(answer.text()) } else { Ok((answer.status(), answer)) }
        });
        if !(200..300).contains(&status) {
            return Err(answer);
        }
    }
    Ok(())
}

fn store_one(api: SocketAddr, at: &str, mut object: Value) -> Message {
    let one = format!("{at}/{}", object["metadata"]["name"].as_str().unwrap());
    let known = call(api, "GET", &one, "", b"");
    let strict = "?fieldValidation=Strict";
    if known.status() == 404 {
        return call(api, "POST", &format!("{at}{strict}"), JSON, object.to_string().as_bytes());
    }
    let known: Value = serde_json::from_slice(&known.body).unwrap();
    object["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
    call(api, "PUT", &format!("{one}{strict}"), JSON, object.to_string().as_bytes())
}

impl Node {
    /// Stores every object of a text, which must be right.
    #[track_caller]
    pub fn store(&self, manifest: &str) {
        if let Err(answer) = store(self.api, manifest) {
            panic!("{}", answer.text());
        }
    }

    /// An object in the namespace `default`.
    #[track_caller]
    pub fn resource(&self, plural: &str, name: &str) -> Value {
        self.get(&path(plural, name))
    }

    /// Deletes an object in the namespace `default`.
    #[track_caller]
    pub fn delete(&self, plural: &str, name: &str) {
        let answer = call(self.api, "DELETE", &path(plural, name), "", b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
}
