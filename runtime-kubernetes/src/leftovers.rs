//! What a former life of this gateway left in the cluster is deleted.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt as _};

use crate::call::{CallError, call};
use crate::labels::{GATEWAY, LIFE};
use crate::manifest::Origin;
use crate::pause::Pause;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Deletes what former lives have left in these namespaces, however long the API is away.
pub async fn delete(client: Client, origin: Origin, namespaces: Vec<String>) {
    for namespace in namespaces {
        let mut pause = Pause::new(LONGEST_PAUSE);
        loop {
            match delete_in(&client, &origin, &namespace).await {
                Ok(0) => break,
                Ok(deployments) => {
                    tracing::warn!(
                        namespace,
                        deployments,
                        "Deployments that a former life of this gateway left were deleted"
                    );
                    break;
                }
                Err(error) if error.is_passing() => {
                    tracing::debug!(namespace, %error, "it cannot be seen yet what a former life of this gateway left");
                    pause.wait().await;
                }
                Err(error) => {
                    tracing::warn!(namespace, %error, "what a former life of this gateway left cannot be deleted");
                    break;
                }
            }
        }
    }
}

async fn delete_in(client: &Client, origin: &Origin, namespace: &str) -> Result<usize, CallError> {
    let left = ListParams::default().labels(&format!("{GATEWAY}={},{LIFE}!={}", origin.gateway, origin.life));
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let found = call(deployments.list(&left)).await?.items;
    for deployment in &found {
        match call(deployments.delete(&deployment.name_any(), &DeleteParams::background())).await {
            Err(error) if !error.is_not_found() => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    // Those that were on their way out by themselves already.
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    call(pods.delete_collection(&DeleteParams::default(), &left)).await?;
    Ok(found.len())
}
