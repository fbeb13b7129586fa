//! Revisions as Deployments of a Kubernetes cluster: a runtime of the serving gateway.
//!
//! Of each revision that is deployed there is a Deployment, which begins with no replicas, and a headless Service. To start
//! an instance is to raise the Deployment's scale by one; an instance is a Pod whose address an EndpointSlice publishes as
//! ready. The gateway finds out by itself when it answers, so Pods have no probes.
//!
//! - `runtime`: deploys. `connection`: how the cluster is found. `owner`: whose Deployments these are.
//! - `manifest`: what is applied.
//! - `namespace`, `watch`: what becomes of all of it, by three watches for each namespace.
//! - `facts`: what of an object matters here. `book`: what follows from it; pure.
//! - `workload`: does what the book says. `output`: what Pods print.
//! - `leftovers`: what a former life of the gateway left is deleted.
//!
//! **A Pod is one instance, once.** When its container ends, the instance has exited, and the Pod goes with the scale:
//! whether another is started is for the gateway to say, and not for the kubelet's restarts.
//!
//! **The one that is to end ends.** It is marked as the cheapest to delete, and the scale goes down by one. Should Kubernetes
//! end another all the same, that one is told as lost, the chosen one is deleted, and Kubernetes replaces one of them.
//! What Kubernetes replaces by itself counts as started for the next start that is asked for.
//!
//! **Invariant:** no exit is told that was not seen: not while the API is away, and not when a watch has to begin anew.
//! (`tests/kubernetes/away.rs`)
//!
//! **Bounds.** Calls end after 15 s; a start is answered after [`KubernetesOptions::start_within`] at the latest; the
//! connections are three for each namespace, one for each instance (its log) and one for each revision that changes.

mod book;
mod call;
mod connection;
mod facts;
mod labels;
mod leftovers;
mod manifest;
mod namespace;
mod output;
mod owner;
mod pause;
mod runtime;
mod watch;
mod workload;

pub use runtime::{KubernetesOptions, KubernetesRuntime};
