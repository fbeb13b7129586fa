//! kube-rs: its client, its watches, a controller and a recorder of it against the built binary.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, PropagationPolicy, WatchEvent,
    WatchParams,
};
use kube::core::{ApiResource, GroupVersionKind, Status};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event as Told, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{Event as Finalizing, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Config, Discovery, Resource as _, ResourceExt as _, discovery};
use serde_json::{Value, json};

use crate::command::Up;

/// How long anything may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test with a client of a server of its own.
fn with_client<T: Future<Output = ()>>(test: impl FnOnce(Client) -> T) {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(folder.path(), &[]);
    let config = Config::new(format!("http://{}", up.address("api")).parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::try_from(config).unwrap();
        tokio::time::timeout(PATIENCE, test(client)).await.expect("it ends in time");
    });
}

/// Triggers of a namespace, as discovery describes them.
async fn triggers(client: &Client, namespace: &str) -> (Api<DynamicObject>, ApiResource) {
    let kind = GroupVersionKind::gvk("eventing.knative.dev", "v1", "Trigger");
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await.unwrap();
    assert!(capabilities.supports_operation("watch") && capabilities.supports_operation("patch"));
    (Api::namespaced_with(client.clone(), namespace, &resource), resource)
}

fn trigger(resource: &ApiResource, name: &str) -> DynamicObject {
    let spec = json!({"spec": {"broker": "default", "subscriber": {"uri": "http://127.0.0.1:9/"}}});
    DynamicObject::new(name, resource).data(spec)
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": value}})).unwrap()
}

/// The Status with which something was refused.
fn refused<T: std::fmt::Debug>(outcome: kube::Result<T>) -> Status {
    match outcome {
        Err(kube::Error::Api(status)) => *status,
        other => panic!("{other:?}"),
    }
}

fn data(object: &ConfigMap, key: &str) -> Option<String> {
    object.data.as_ref()?.get(key).cloned()
}

#[test]
fn objects_are_made_read_changed_and_deleted() {
    with_client(|client| async move {
        let found = Discovery::new(client.clone()).run().await.unwrap();
        assert!(found.has_group("eventing.knative.dev") && found.has_group("serving.knative.dev"));
        let (api, resource) = triggers(&client, "default").await;
        let post = PostParams::default();
        let made = api.create(&post, &trigger(&resource, "t")).await.unwrap();
        assert_eq!((made.name_any(), made.metadata.generation), ("t".to_owned(), Some(1)));
        let again = refused(api.create(&post, &trigger(&resource, "t")).await);
        assert_eq!((again.code, again.reason.as_str()), (409, "AlreadyExists"));
        let is_ready = |object: Option<&DynamicObject>| {
            let conditions = object.and_then(|object| object.data.pointer("/status/conditions")?.as_array());
            conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"))
        };
        let ready = await_condition(api.clone(), "t", is_ready).await.unwrap().unwrap();

        // One that was made from an older version is refused; the newest is taken.
        let mut changed = ready.clone();
        changed.data["spec"]["delivery"] = json!({"retry": 3});
        let mut stale = changed.clone();
        stale.metadata.resource_version = made.metadata.resource_version.clone();
        assert_eq!(refused(api.replace("t", &post, &stale).await).code, 409);
        let replaced = api.replace("t", &post, &changed).await.unwrap();
        assert_eq!(replaced.metadata.generation, Some(2));
        let merge = Patch::Merge(json!({"spec": {"delivery": {"retry": 4}}}));
        let patched = api.patch("t", &PatchParams::default(), &merge).await.unwrap();
        assert_eq!(patched.data["spec"]["delivery"]["retry"], 4);
        let bad = Patch::Merge(json!({"spec": {"delivery": {"retry": -1}}}));
        let bad = refused(api.patch("t", &PatchParams::default(), &bad).await);
        let causes = bad.details.unwrap().causes;
        assert_eq!((bad.code, causes[0].field.as_str()), (422, "spec.delivery.retry"));
        assert_eq!(api.get_metadata("t").await.unwrap().uid(), made.uid());

        let uid = made.uid().unwrap();
        api.delete("t", &DeleteParams::default()).await.unwrap();
        await_condition(api.clone(), "t", conditions::is_deleted(&uid)).await.unwrap();
        assert_eq!(refused(api.get("t").await).reason, "NotFound");
        assert!(api.get_opt("t").await.unwrap().is_none());
    });
}

#[test]
fn fields_that_others_own_are_not_applied_without_force() {
    with_client(|client| async move {
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        let of = |value: &str| {
            Patch::Apply(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": value},
            }))
        };
        api.patch("c", &PatchParams::apply("one"), &of("1")).await.unwrap();
        api.patch("c", &PatchParams::apply("two"), &of("1")).await.unwrap();
        let conflict = refused(api.patch("c", &PatchParams::apply("two"), &of("2")).await);
        assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
        assert!(conflict.message.contains("\"one\"") && conflict.message.contains(".data.a"), "{}", conflict.message);
        let forced = api.patch("c", &PatchParams::apply("two").force(), &of("2")).await.unwrap();
        assert_eq!(data(&forced, "a").as_deref(), Some("2"));
        let owners = forced.metadata.managed_fields.unwrap();
        let owns = |manager: &str| {
            owners
                .iter()
                .find(|it| it.manager.as_deref() == Some(manager))
                .is_some_and(|it| it.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:data/f:a").is_some()))
        };
        assert!(owns("two") && !owns("one"), "{owners:?}");
        // Its only owner leaves it out, and it goes.
        let without = Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"b": ""}}),
        );
        let after = api.patch("c", &PatchParams::apply("two"), &without).await.unwrap();
        assert_eq!((data(&after, "a"), data(&after, "b").as_deref()), (None, Some("")));
    });
}

#[test]
fn watches_tell_every_change_in_order() {
    with_client(|client| async move {
        let (api, resource) = triggers(&client, "default").await;
        api.create(&PostParams::default(), &trigger(&resource, "before")).await.unwrap();
        let listed = api.list(&ListParams::default()).await.unwrap();
        let from = listed.metadata.resource_version.unwrap();
        let mut raw = pin!(api.watch(&WatchParams::default(), &from).await.unwrap());
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists().page_size(1)] {
            let name = format!("during-{}", config.page_size.map_or("stream", |_| "list"));
            let mut events = pin!(watcher(api.clone(), config));
            let mut first = Vec::new();
            loop {
                match events.next().await.unwrap().unwrap() {
                    watcher::Event::Init => {}
                    watcher::Event::InitApply(object) => first.push(object.name_any()),
                    watcher::Event::InitDone => break,
                    other => panic!("{other:?}"),
                }
            }
            assert!(first.contains(&"before".to_owned()), "{first:?}");
            api.create(&PostParams::default(), &trigger(&resource, &name)).await.unwrap();
            api.delete(&name, &DeleteParams::default()).await.unwrap();
            let told = until_deleted(&mut events, &name).await;
            assert!(told >= 1, "it was there before it went");
        }
        // The raw watch has all of it, with versions that only rise.
        let (mut last, mut deleted) = (from.parse::<u64>().unwrap(), 0);
        while deleted < 2 {
            let (object, is_gone) = match raw.next().await.unwrap().unwrap() {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => panic!("{status:?}"),
            };
            let version = object.resource_version().unwrap().parse().unwrap();
            assert!(version > last, "{version} comes after {last}");
            last = version;
            deleted += usize::from(is_gone);
        }
        let from = "1";
        let mut old = pin!(api.watch(&WatchParams::default(), from).await.unwrap());
        let first = old.next().await.unwrap().unwrap();
        assert!(matches!(&first, WatchEvent::Error(status) if status.code == 410), "{first:?}");
    });
}

/// How often a watcher told of an object before it went.
async fn until_deleted(
    events: &mut (impl Stream<Item = watcher::Result<watcher::Event<DynamicObject>>> + Unpin),
    name: &str,
) -> usize {
    let mut told = 0;
    loop {
        match events.next().await.unwrap().unwrap() {
            watcher::Event::Apply(object) if object.name_any() == name => told += 1,
            watcher::Event::Delete(object) if object.name_any() == name => return told,
            // Statuses of others are made true meanwhile.
            watcher::Event::Apply(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What goes wrong in the controller below.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(#[from] kube::Error);

/// A controller as its users write them: for each ConfigMap with a label it keeps another one up to date, and it holds its
/// own back until it has put away what it must.
#[test]
fn a_controller_with_finalizers_owners_and_events_does_its_work() {
    with_client(|client| async move {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let of_its_own: Namespace = serde_json::from_value(json!({"metadata": {"name": "lab"}})).unwrap();
        namespaces.create(&PostParams::default(), &of_its_own).await.unwrap();
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), "lab");
        let mut source = config_map("source", "1");
        source.metadata.labels = Some([("copy".to_owned(), "yes".to_owned())].into());
        api.create(&PostParams::default(), &source).await.unwrap();

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let selected = watcher::Config::default().labels("copy=yes");
        let running = Controller::new(api.clone(), selected)
            .owns(api.clone(), watcher::Config::default())
            .graceful_shutdown_on(async move {
                let _ = stopped.await;
            })
            .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(50)), Arc::new(client.clone()));
        let running = tokio::spawn(running.for_each(|_| std::future::ready(())));

        let shows = |want: &'static str| {
            move |it: Option<&ConfigMap>| it.and_then(|it| data(it, "a")).is_some_and(|a| a == want)
        };
        await_condition(api.clone(), "source-copy", shows("1")).await.unwrap();
        let change = Patch::Merge(json!({"data": {"a": "2"}}));
        api.patch("source", &PatchParams::default(), &change).await.unwrap();
        await_condition(api.clone(), "source-copy", shows("2")).await.unwrap();
        let (source, copy) = (api.get("source").await.unwrap(), api.get("source-copy").await.unwrap());
        assert_eq!(source.finalizers(), ["example.com/put-away"]);
        assert_eq!(copy.owner_references()[0].uid, source.uid().unwrap());
        let told: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(client.clone(), "lab");
        let told = told.list(&ListParams::default()).await.unwrap();
        assert!(told.iter().any(|it| it.reason.as_deref() == Some("Copied")), "{told:?}");

        // It puts away what it must, lets its own go, and the copy goes with its owner.
        let (uid, of_copy) = (source.uid().unwrap(), copy.uid().unwrap());
        let how = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        api.delete("source", &how).await.unwrap();
        await_condition(api.clone(), "source", conditions::is_deleted(&uid)).await.unwrap();
        await_condition(api.clone(), "source-copy", conditions::is_deleted(&of_copy)).await.unwrap();
        stop.send(()).unwrap();
        running.await.unwrap();
    });
}

async fn reconcile(
    source: Arc<ConfigMap>,
    client: Arc<Client>,
) -> Result<Action, kube::runtime::finalizer::Error<Failed>> {
    let api: Api<ConfigMap> = Api::namespaced((*client).clone(), "lab");
    finalizer(&api, "example.com/put-away", source, |event| async {
        if let Finalizing::Apply(source) = event {
            copy(&source, &client).await?;
        }
        Ok(Action::await_change())
    })
    .await
}

async fn copy(source: &ConfigMap, client: &Client) -> Result<(), Failed> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "lab");
    let name = format!("{}-copy", source.name_any());
    let owner = source.controller_owner_ref(&()).map(|owner| serde_json::to_value(owner).unwrap());
    let wanted: Value = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [owner]},
        "data": source.data,
    });
    api.patch(&name, &PatchParams::apply("copier").force(), &Patch::Apply(wanted)).await?;
    let reporter = Reporter { controller: "copier".to_owned(), instance: Some("copier-1".to_owned()) };
    let told = Told {
        type_: EventType::Normal,
        reason: "Copied".to_owned(),
        note: Some("it was copied".to_owned()),
        action: "Copy".to_owned(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter).publish(&told, &source.object_ref(&())).await?;
    Ok(())
}
