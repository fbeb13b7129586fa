//! The controllers of the stub: Deployments have as many Pods as they are to have, and what belongs to nothing goes.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::State;
use super::store::{Kind, Selector};

pub async fn run(state: Arc<State>) {
    let mut changed = state.changed.subscribe();
    loop {
        changed.borrow_and_update();
        let all = Selector::default();
        let deployments = state.store.lock().list(Kind::Deployments, None, &all);
        for deployment in &deployments {
            reconcile(&state, deployment.clone());
        }
        collect_garbage(&state, &deployments);
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn is_present(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] != "Failed"
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap()
}

fn reconcile(state: &Arc<State>, mut deployment: Value) {
    let namespace = text(&deployment, "namespace").to_owned();
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap() as usize;
    let in_all = state.store.lock().list(Kind::Pods, Some(&namespace), &Selector::default());
    let own = in_all.iter().filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == uid(&deployment));
    let mut present: Vec<_> = own.filter(|pod| is_present(pod)).cloned().collect();
    let (quota, ends_the_wrong_one) = {
        let faults = state.faults.lock();
        (faults.quota, faults.ends_the_wrong_one)
    };
    let missing = wanted.saturating_sub(present.len());
    let room = quota.map_or(missing, |quota| quota.saturating_sub(in_all.len()).min(missing));
    for _ in 0..room {
        create(state, &namespace, &deployment);
    }
    present.sort_by_key(|pod| rank(pod, ends_the_wrong_one));
    for pod in present.iter().take(present.len().saturating_sub(wanted)) {
        state.delete(Kind::Pods, &namespace, text(pod, "name"), None);
    }
    let conditions = if room < missing {
        let message =
            "pods \"hello\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1";
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}])
    } else {
        json!([])
    };
    deployment["status"] = json!({
        "observedGeneration": deployment["metadata"]["generation"], "replicas": present.len(), "conditions": conditions,
    });
    // Unless it was changed or deleted meanwhile; then it is looked at again.
    let mut store = state.store.lock();
    let now = store.get(Kind::Deployments, &namespace, text(&deployment, "name"));
    if now.is_some_and(|now| {
        now["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"] && now != deployment
    }) {
        store.put(Kind::Deployments, &namespace, deployment);
        drop(store);
        state.changed.send_modify(|count| *count += 1);
    }
}

/// Who goes first: those that are not ready, then those that cost least, then the youngest.
fn rank(pod: &Value, is_wrong: bool) -> (bool, i64, Reverse<String>) {
    let is_ready = pod["status"]["containerStatuses"][0]["ready"] == true;
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    let cost: i64 = cost.as_str().map_or(0, |cost| cost.parse().unwrap());
    (is_ready, if is_wrong { -cost } else { cost }, Reverse(uid(pod).to_owned()))
}

fn create(state: &Arc<State>, namespace: &str, deployment: &Value) {
    let name = format!("{}-{:05}", text(deployment, "name"), state.kubelet.next());
    let template = &deployment["spec"]["template"];
    let owner = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": text(deployment, "name"), "uid": uid(deployment),
    }]);
    let pod = json!({
        "metadata": {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": owner},
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    });
    state.put(Kind::Pods, namespace, pod);
    super::kubelet::run(state, namespace, &name);
}

fn collect_garbage(state: &State, deployments: &[Value]) {
    for kind in [Kind::Services, Kind::Pods] {
        let all = state.store.lock().list(kind, None, &Selector::default());
        for object in all {
            let owner = &object["metadata"]["ownerReferences"][0]["uid"];
            let is_garbage = owner.is_string() && deployments.iter().all(|deployment| *owner != *uid(deployment));
            if is_garbage && (kind != Kind::Pods || is_present(&object)) {
                state.delete(kind, text(&object, "namespace"), text(&object, "name"), None);
            }
        }
    }
}
