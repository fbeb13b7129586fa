//! One namespace of the cluster: three watches for all revisions that are deployed there.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, Client, ResourceExt as _};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::call::CallError;
use crate::facts::{DeploymentFact, PodFact, endpoints_of};
use crate::labels::{LIFE, WORKLOAD};
use crate::watch::{Change, Kind, Watched, label};
use crate::workload::Shared;

/// One namespace. Dropped, it is watched no more.
pub struct Namespace {
    /// Its Deployments.
    pub deployments: Api<Deployment>,
    /// Its Services.
    pub services: Api<Service>,
    /// Its Pods.
    pub pods: Api<Pod>,
    workloads: Arc<Workloads>,
    /// The watches.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("workloads", &self.workloads).finish_non_exhaustive()
    }
}

/// The revisions that are deployed in a namespace, by the names of their Deployments.
#[derive(Debug, Default)]
struct Workloads(Mutex<HashMap<String, Weak<Shared>>>);

impl Namespace {
    /// Watches a namespace from now on, for what this life of the gateway has there.
    ///
    /// # Errors
    /// It cannot be listed what is there.
    pub async fn open(client: &Client, name: &str, life: &str) -> Result<Arc<Self>, CallError> {
        let selector = format!("{LIFE}={life}");
        let pods = Watched { api: Api::<Pod>::namespaced(client.clone(), name), selector: selector.clone() };
        let slices =
            Watched { api: Api::<EndpointSlice>::namespaced(client.clone(), name), selector: selector.clone() };
        let deployments = Watched { api: Api::<Deployment>::namespaced(client.clone(), name), selector };
        // Nothing of this life is there yet: what counts is that it can be listed, and as of when.
        let ((_, pods_as_of), (_, slices_as_of), (_, deployments_as_of)) =
            tokio::try_join!(pods.list(), slices.list(), deployments.list())?;
        let workloads = Arc::<Workloads>::default();
        let mut tasks = JoinSet::new();
        let services = Api::namespaced(client.clone(), name);
        let (pods_api, deployments_api) = (pods.api.clone(), deployments.api.clone());
        let of = Arc::clone(&workloads);
        tasks.spawn(pods.follow(pods_as_of, move |change| of.hear_of_pods(change)));
        let of = Arc::clone(&workloads);
        tasks.spawn(slices.follow(slices_as_of, move |change| of.hear_of_slices(change)));
        let of = Arc::clone(&workloads);
        tasks.spawn(deployments.follow(deployments_as_of, move |change| of.hear_of_deployments(change)));
        Ok(Arc::new(Self { deployments: deployments_api, services, pods: pods_api, workloads, _tasks: tasks }))
    }

    /// Lets a revision hear what becomes of its objects, as long as it lives.
    pub fn register(&self, name: String, workload: &Arc<Shared>) {
        let mut workloads = self.workloads.0.lock();
        workloads.retain(|_, workload| workload.strong_count() > 0);
        workloads.insert(name, Arc::downgrade(workload));
    }
}

impl Workloads {
    fn all(&self) -> Vec<(String, Arc<Shared>)> {
        let workloads = self.0.lock();
        workloads.iter().filter_map(|(name, workload)| Some((name.clone(), workload.upgrade()?))).collect()
    }

    /// Writes into the book of the revision that an object belongs to.
    fn with<K: Kind>(&self, object: &K, write: impl FnOnce(&mut Book)) {
        let workload = self.0.lock().get(label(object, WORKLOAD)).and_then(Weak::upgrade);
        if let Some(workload) = workload {
            workload.with(write);
        }
    }

    fn hear_of_pods(&self, change: Change<Pod>) {
        match change {
            Change::Listed(pods) => {
                for (name, workload) in self.all() {
                    let own = pods.iter().filter(|pod| label(*pod, WORKLOAD) == name);
                    let facts = own.map(PodFact::of).collect();
                    workload.with(|book| book.pods_listed(facts));
                }
            }
            Change::Is(pod) => self.with(&pod, |book| book.pod(PodFact::of(&pod))),
            Change::Gone(pod) => self.with(&pod, |book| book.pod_gone(&pod.name_any())),
        }
    }

    fn hear_of_slices(&self, change: Change<EndpointSlice>) {
        match change {
            Change::Listed(slices) => {
                for (name, workload) in self.all() {
                    let own = slices.iter().filter(|slice| label(*slice, WORKLOAD) == name);
                    let own = own.map(|slice| (slice.name_any(), endpoints_of(slice))).collect();
                    workload.with(|book| book.slices_listed(own));
                }
            }
            Change::Is(slice) => self.with(&slice, |book| book.slice(slice.name_any(), endpoints_of(&slice))),
            Change::Gone(slice) => self.with(&slice, |book| book.slice(slice.name_any(), Vec::new())),
        }
    }

    fn hear_of_deployments(&self, change: Change<Deployment>) {
        match change {
            Change::Listed(deployments) => {
                for (name, workload) in self.all() {
                    let own = deployments.iter().find(|deployment| label(*deployment, WORKLOAD) == name);
                    workload.with(|book| match own {
                        Some(own) => book.deployment(DeploymentFact::of(own)),
                        None => book.deployment_gone(),
                    });
                }
            }
            Change::Is(deployment) => self.with(&deployment, |book| book.deployment(DeploymentFact::of(&deployment))),
            Change::Gone(deployment) => self.with(&deployment, Book::deployment_gone),
        }
    }
}
