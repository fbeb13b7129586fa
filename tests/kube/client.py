"""The API of `pelton up` by Python's `kubernetes` client: what its users do, with what must come of it.

`client.py SERVER` runs every function below that is a test, in order, each in a namespace of its own; it says which of
them failed and why, and ends with 1 if any did. No test waits but for a watch that ends by itself.
"""

import base64
import datetime
import json
import sys
import tempfile
import traceback

from kubernetes import client, dynamic, utils, watch
from kubernetes.client.rest import ApiException

EVENTING = ("eventing.knative.dev", "v1")
SUBSCRIBER = "http://127.0.0.1:9/"

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def same(got, want, what=""):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def refused(code, reason, call, *args, **kwargs):
    """Calls what must be refused; gives the Status."""
    try:
        given = call(*args, **kwargs)
    except ApiException as error:
        status = json.loads(error.body)
        same((error.status, status["reason"]), (code, reason), status["message"])
        form = (status["kind"], status["apiVersion"], status["status"], status["code"])
        same(form, ("Status", "v1", "Failure", code))
        return status
    raise AssertionError(f"want {code} {reason}, got {given!r}")


def trigger(name, retry=3, labels=None):
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"broker": "none", "subscriber": {"uri": SUBSCRIBER}, "delivery": {"retry": retry}},
    }


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def names(items):
    return [item["metadata"]["name"] if isinstance(item, dict) else item.metadata.name for item in items]


def until_unchanged(write, tries=16):
    """A write that names the version it was made from; again when a controller came between, as every client does."""
    for _ in range(tries):
        try:
            return write()
        except ApiException as error:
            if error.status != 409:
                raise
    raise AssertionError("it was changed all the time")


class Triggers:
    """CustomObjectsApi for the Triggers of one namespace."""

    def __init__(self, api, namespace):
        self.api, self.where = client.CustomObjectsApi(api), (*EVENTING, namespace, "triggers")

    def create(self, body, **options):
        return self.api.create_namespaced_custom_object(*self.where, body, **options)

    def get(self, name):
        return self.api.get_namespaced_custom_object(*self.where, name)

    def list(self, **options):
        return self.api.list_namespaced_custom_object(*self.where, **options)

    def patch(self, name, body, content_type=None, **options):
        if content_type:
            options["_content_type"] = content_type
        return self.api.patch_namespaced_custom_object(*self.where, name, body, **options)

    def replace(self, name, body, **options):
        return self.api.replace_namespaced_custom_object(*self.where, name, body, **options)

    def delete(self, name, **options):
        return self.api.delete_namespaced_custom_object(*self.where, name, **options)


@test
def versions_and_discovery(api, namespace):
    version = client.VersionApi(api).get_code().git_version
    assert version.startswith("v1."), version
    same(client.CoreApi(api).get_api_versions().versions, ["v1"])
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"eventing.knative.dev", "serving.knative.dev", "events.k8s.io"} <= groups, groups
    same(client.CoreV1Api(api).read_namespace("default").status.phase, "Active")
    plurals = {row.name for row in client.CoreV1Api(api).get_api_resources().resources}
    assert {"namespaces", "namespaces/status", "configmaps", "secrets", "serviceaccounts", "events"} <= plurals, plurals


@test
def custom_objects_are_made_and_read(api, namespace):
    triggers = Triggers(api, namespace)
    made = triggers.create(trigger("t1", labels={"app": "a"}))
    meta = made["metadata"]
    same((meta["name"], meta["namespace"], meta["generation"]), ("t1", namespace, 1))
    assert meta["uid"] and meta["resourceVersion"].isdecimal() and meta["creationTimestamp"].endswith("Z"), meta
    same((made["apiVersion"], made["kind"]), ("eventing.knative.dev/v1", "Trigger"))
    same(triggers.get("t1")["metadata"]["uid"], meta["uid"])

    status = refused(409, "AlreadyExists", triggers.create, trigger("t1"))
    same(status["message"], 'triggers.eventing.knative.dev "t1" already exists')
    same(status["details"], {"name": "t1", "group": "eventing.knative.dev", "kind": "triggers"})
    status = refused(404, "NotFound", triggers.get, "t2")
    same(status["message"], 'triggers.eventing.knative.dev "t2" not found')
    status = refused(404, "NotFound", Triggers(api, "nowhere").create, trigger("t1"))
    same(status["message"], 'namespaces "nowhere" not found')
    status = refused(422, "Invalid", triggers.create, trigger("T_1"))
    same((status["details"]["kind"], status["details"]["causes"][0]["field"]), ("Trigger", "metadata.name"))
    status = refused(422, "Invalid", triggers.create, trigger("t2", retry="often"))
    same(status["details"]["causes"][0]["field"], "spec.delivery.retry")
    refused(400, "BadRequest", triggers.create, {**trigger("t2"), "kind": "Broker"})
    refused(400, "BadRequest", triggers.create, {**trigger("t2"), "metadata": {"name": "t2", "namespace": "other"}})

    prefix = {**trigger(None), "metadata": {"generateName": "made-"}}
    generated = {triggers.create(prefix)["metadata"]["name"] for _ in range(3)}
    assert len(generated) == 3 and all(name.startswith("made-") and len(name) == 10 for name in generated), generated

    same(triggers.create(trigger("dry"), dry_run="All")["metadata"]["name"], "dry")
    refused(404, "NotFound", triggers.get, "dry")


@test
def lists_are_selected_and_paged(api, namespace):
    triggers = Triggers(api, namespace)
    for i in range(7):
        triggers.create(trigger(f"t{i}", labels={"parity": "odd" if i % 2 else "even", "n": str(i)}))
    whole = triggers.list()
    same((whole["kind"], whole["apiVersion"]), ("TriggerList", "eventing.knative.dev/v1"))
    same(names(whole["items"]), [f"t{i}" for i in range(7)])
    for selector, want in [
        ("parity=odd", ["t1", "t3", "t5"]),
        ("parity==odd,n!=3", ["t1", "t5"]),
        ("n in (0, 2,9)", ["t0", "t2"]),
        ("n notin (0,1,2,3,4)", ["t5", "t6"]),
        ("parity", [f"t{i}" for i in range(7)]),
        ("!parity", []),
        ("nosuch!=x,n in (6)", ["t6"]),
    ]:
        same(names(triggers.list(label_selector=selector)["items"]), want, selector)
    same(names(triggers.list(field_selector="metadata.name=t4")["items"]), ["t4"])
    both = triggers.list(field_selector="metadata.name!=t4", label_selector="parity=even")
    same(names(both["items"]), ["t0", "t2", "t6"])
    refused(400, "BadRequest", triggers.list, field_selector="spec.broker=none")
    refused(400, "BadRequest", triggers.list, label_selector="a in (")

    for limit in (1, 3, 7, 8):
        pages, token = [], None
        while token != "":
            page = triggers.list(limit=limit, **({"_continue": token} if token else {}))
            pages.append(names(page["items"]))
            token = page["metadata"].get("continue") or ""
            left = 7 - sum(map(len, pages))
            same(page["metadata"].get("remainingItemCount", 0), left, f"limit {limit}")
        same(sum(pages, []), [f"t{i}" for i in range(7)], f"limit {limit}")
        same(len(pages), -(-7 // limit), f"limit {limit}")
    page = triggers.list(limit=2, label_selector="parity=odd")
    same((names(page["items"]), page["metadata"].get("remainingItemCount")), (["t1", "t3"], None))
    refused(400, "BadRequest", triggers.list, limit=2, _continue="nonsense")

    custom = client.CustomObjectsApi(api)
    everywhere = custom.list_cluster_custom_object(*EVENTING, "triggers", label_selector="n in (3)")
    assert ("t3", namespace) in [(it["metadata"]["name"], it["metadata"]["namespace"]) for it in everywhere["items"]]


@test
def custom_objects_are_patched(api, namespace):
    triggers = Triggers(api, namespace)
    triggers.create(trigger("t", labels={"a": "1"}))
    # A map is a merge patch.
    patched = triggers.patch("t", {"metadata": {"labels": {"a": None, "b": "2"}}, "spec": {"delivery": {"retry": 5}}})
    # Knative's own label stays with those of the patch.
    broker = {"eventing.knative.dev/broker": "none"}
    same((patched["metadata"]["labels"], patched["spec"]["delivery"]["retry"]), ({"b": "2", **broker}, 5))
    same(patched["metadata"]["generation"], 2)
    same(patched["spec"]["subscriber"], {"uri": SUBSCRIBER}, "what a merge patch does not name stays")
    patched = triggers.patch("t", {"metadata": {"labels": {"b": "3"}}})
    same(patched["metadata"]["generation"], 2, "labels are not the spec")

    json_patch = "application/json-patch+json"
    operations = [
        {"op": "test", "path": "/spec/delivery/retry", "value": 5},
        {"op": "replace", "path": "/spec/delivery/retry", "value": 6},
        {"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}},
        {"op": "copy", "from": "/metadata/annotations/x", "path": "/metadata/labels/c"},
        {"op": "test", "path": "/metadata/finalizers", "value": None},
    ]
    patched = triggers.patch("t", operations, json_patch)
    same((patched["spec"]["delivery"]["retry"], patched["metadata"]["labels"]), (6, {"b": "3", "c": "y", **broker}))
    wrong = [{"op": "test", "path": "/spec/delivery/retry", "value": 7}]
    refused(422, "Invalid", triggers.patch, "t", wrong, json_patch)
    refused(422, "Invalid", triggers.patch, "t", [{"op": "remove", "path": "/spec/nosuch/x"}], json_patch)
    same(triggers.get("t")["spec"]["delivery"]["retry"], 6, "a patch that fails does nothing")
    # A list that says it is a merge patch, and a form that only core kinds have.
    refused(400, "BadRequest", triggers.patch, "t", [{"op": "remove", "path": "/spec"}], "application/merge-patch+json")
    refused(415, "UnsupportedMediaType", triggers.patch, "t", {}, "application/strategic-merge-patch+json")
    refused(404, "NotFound", triggers.patch, "nosuch", {"spec": {}})
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"delivery": {"retry": 9}}}
    refused(409, "Conflict", triggers.patch, "t", stale)

    before = triggers.get("t")["spec"]
    dry = triggers.patch("t", {"spec": {"delivery": {"retry": 8}}}, dry_run="All")
    same(dry["spec"]["delivery"]["retry"], 8)
    same(triggers.get("t")["spec"], before, "a dry run does nothing")
    status = refused(400, "BadRequest", triggers.patch, "t", {"nosuch": 1}, field_validation="Strict")
    assert 'unknown field "nosuch"' in status["message"], status


@test
def custom_objects_are_replaced(api, namespace):
    triggers = Triggers(api, namespace)
    made = triggers.create(trigger("t"))

    def replace():
        now = triggers.get("t")
        now["spec"]["delivery"]["retry"] = 4
        return triggers.replace("t", now)

    replaced = until_unchanged(replace)
    same((replaced["spec"]["delivery"]["retry"], replaced["metadata"]["generation"]), (4, 2))
    made["spec"]["delivery"]["retry"] = 5
    status = refused(409, "Conflict", triggers.replace, "t", made)
    assert status["message"].endswith(
        "the object has been modified; please apply your changes to the latest version and try again"
    ), status
    refused(422, "Invalid", triggers.replace, "t", trigger("t"))
    missing = {**made, "metadata": {"name": "nosuch", "resourceVersion": "1"}}
    refused(404, "NotFound", triggers.replace, "nosuch", missing)
    refused(400, "BadRequest", triggers.replace, "t", {**made, "metadata": {**made["metadata"], "name": "u"}})


@test
def status_is_written_apart(api, namespace):
    triggers = Triggers(api, namespace)
    made = triggers.create({**trigger("t"), "status": {"subscriberUri": "http://made.up/"}})
    assert made.get("status", {}).get("subscriberUri") != "http://made.up/", made
    where, custom = (*EVENTING, namespace, "triggers", "t"), client.CustomObjectsApi(api)
    condition = {"type": "ByTest", "status": "True"}
    written = custom.patch_namespaced_custom_object_status(
        *where, {"spec": {"delivery": {"retry": 9}}, "status": {"conditions": [condition]}}
    )
    same(written["spec"]["delivery"]["retry"], 3, "only the status is written there")
    assert any(it["type"] == "ByTest" for it in written["status"]["conditions"]), written["status"]
    same(written["metadata"]["generation"], 1)
    read = custom.get_namespaced_custom_object_status(*where)
    same((read["kind"], read["metadata"]["name"]), ("Trigger", "t"))

    def replace():
        now = triggers.get("t")
        now["status"]["annotations"] = {"by": "test"}
        now["spec"]["delivery"]["retry"] = 9
        return custom.replace_namespaced_custom_object_status(*where, now)

    written = until_unchanged(replace)
    same((written["status"]["annotations"], written["spec"]["delivery"]["retry"]), ({"by": "test"}, 3))
    same(client.CoreV1Api(api).read_namespace_status(namespace).status.phase, "Active")


@test
def objects_are_deleted(api, namespace):
    triggers = Triggers(api, namespace)
    made = triggers.create(trigger("t"))
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    refused(409, "Conflict", triggers.delete, "t", body=wrong)
    same(triggers.delete("t", dry_run="All")["status"], "Success")
    right = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=made["metadata"]["uid"]))
    gone = triggers.delete("t", body=right, propagation_policy="Foreground", grace_period_seconds=0)
    same((gone["kind"], gone["status"]), ("Status", "Success"))
    details = {"name": "t", "group": "eventing.knative.dev", "kind": "triggers", "uid": made["metadata"]["uid"]}
    same(gone["details"], details)
    refused(404, "NotFound", triggers.delete, "t")

    # What has a finalizer waits for it.
    held = trigger("held")
    held["metadata"]["finalizers"] = ["example.com/test"]
    triggers.create(held)
    waits = triggers.delete("held")
    assert waits["kind"] == "Trigger" and waits["metadata"]["deletionTimestamp"], waits
    triggers.patch("held", {"metadata": {"finalizers": None}})
    refused(404, "NotFound", triggers.get, "held")

    for name, app in [("a1", "a"), ("a2", "a"), ("b1", "b")]:
        triggers.create(trigger(name, labels={"app": app}))
    custom = client.CustomObjectsApi(api)
    of_a = {"label_selector": "app=a"}
    custom.delete_collection_namespaced_custom_object(*EVENTING, namespace, "triggers", dry_run="All", **of_a)
    same(names(triggers.list()["items"]), ["a1", "a2", "b1"])
    deleted = custom.delete_collection_namespaced_custom_object(*EVENTING, namespace, "triggers", **of_a)
    same((deleted["kind"], names(deleted["items"])), ("TriggerList", ["a1", "a2"]))
    same(names(triggers.list()["items"]), ["b1"])


@test
def owners_take_what_they_own_along(api, namespace):
    core = client.CoreV1Api(api)
    seen = core.list_namespaced_config_map(namespace).metadata.resource_version
    owner = core.create_namespaced_config_map(namespace, config_map("owner"))
    reference = client.V1OwnerReference(api_version="v1", kind="ConfigMap", name="owner", uid=owner.metadata.uid)
    for name in ("owned", "kept"):
        owned = config_map(name)
        owned.metadata.owner_references = [reference]
        core.create_namespaced_config_map(namespace, owned)
    core.patch_namespaced_config_map("kept", namespace, {"metadata": {"ownerReferences": None}})
    core.delete_namespaced_config_map("owner", namespace, propagation_policy="Background")
    gone = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=seen, timeout_seconds=60
    ):
        if event["type"] == "DELETED":
            gone.append(event["object"].metadata.name)
        if "owned" in gone:
            break
    same(gone, ["owner", "owned"])
    same(names(core.list_namespaced_config_map(namespace).items), ["kept"])
    # An orphan stays.
    core.create_namespaced_config_map(namespace, config_map("parent"))
    parent = core.read_namespaced_config_map("parent", namespace)
    orphan = config_map("orphan")
    orphan.metadata.owner_references = [
        client.V1OwnerReference(api_version="v1", kind="ConfigMap", name="parent", uid=parent.metadata.uid)
    ]
    core.create_namespaced_config_map(namespace, orphan)
    core.delete_namespaced_config_map("parent", namespace, propagation_policy="Orphan")
    same(core.read_namespaced_config_map("orphan", namespace).metadata.owner_references, None)


@test
def core_objects(api, namespace):
    core = client.CoreV1Api(api)
    same(core.read_namespace(namespace).metadata.labels["kubernetes.io/metadata.name"], namespace)
    assert namespace in names(core.list_namespace(field_selector="status.phase=Active").items)

    made = core.create_namespaced_config_map(namespace, config_map("c", a="1", b="2"))
    same((made.data, made.metadata.generation), ({"a": "1", "b": "2"}, None))
    # A map is a strategic merge patch for core kinds.
    same(core.patch_namespaced_config_map("c", namespace, {"data": {"a": None, "c": "3"}}).data, {"b": "2", "c": "3"})
    patched = core.patch_namespaced_config_map("c", namespace, {"data": {"$patch": "replace", "only": "x"}})
    same(patched.data, {"only": "x"})
    unchanged = core.patch_namespaced_config_map("c", namespace, {"data": {"only": "x"}})
    same(unchanged.metadata.resource_version, patched.metadata.resource_version, "a write that changes nothing")
    operations = [{"op": "add", "path": "/binaryData", "value": {"z": base64.b64encode(b"\0\1").decode()}}]
    patched = core.patch_namespaced_config_map("c", namespace, operations)
    same(patched.binary_data, {"z": "AAE="})
    # Core kinds may be replaced without a version.
    replaced = core.replace_namespaced_config_map("c", namespace, config_map("c", new="1"))
    same((replaced.data, replaced.binary_data), ({"new": "1"}, None))
    refused(409, "Conflict", core.replace_namespaced_config_map, "c", namespace, patched)
    same(core.delete_namespaced_config_map("c", namespace)["status"], "Success")
    refused(404, "NotFound", core.read_namespaced_config_map, "c", namespace)
    fixed = config_map("fixed", a="1")
    fixed.immutable = True
    core.create_namespaced_config_map(namespace, fixed)
    refused(422, "Invalid", core.patch_namespaced_config_map, "fixed", namespace, {"data": {"a": "2"}})
    core.delete_collection_namespaced_config_map(namespace)
    same(core.list_namespaced_config_map(namespace).items, [])

    named = client.V1ObjectMeta(name="s.with.dots")
    secret = client.V1Secret(metadata=named, string_data={"k": "välue"}, data={"d": "eA=="})
    made = core.create_namespaced_secret(namespace, secret)
    same((made.type, made.string_data), ("Opaque", None))
    same(made.data, {"k": base64.b64encode("välue".encode()).decode(), "d": "eA=="})
    typed = client.V1Secret(metadata=client.V1ObjectMeta(name="t"), type="example.com/t")
    core.create_namespaced_secret(namespace, typed)
    same(names(core.list_namespaced_secret(namespace, field_selector="type=example.com/t").items), ["t"])
    bad = client.V1Secret(metadata=client.V1ObjectMeta(name="bad"), data={"k": "no base64!"})
    refused(422, "Invalid", core.create_namespaced_secret, namespace, bad)

    account = client.V1ServiceAccount(
        metadata=client.V1ObjectMeta(name="bot"), image_pull_secrets=[client.V1LocalObjectReference(name="s.with.dots")]
    )
    core.create_namespaced_service_account(namespace, account)
    same(core.read_namespaced_service_account("bot", namespace).image_pull_secrets[0].name, "s.with.dots")
    more = {"imagePullSecrets": [{"name": "t"}]}
    patched = core.patch_namespaced_service_account("bot", namespace, more)
    same(sorted(it.name for it in patched.image_pull_secrets), ["s.with.dots", "t"], "merged by name")


@test
def events_are_the_same_in_both_groups(api, namespace):
    core, new = client.CoreV1Api(api), client.EventsV1Api(api)
    thing = client.V1ObjectReference(api_version="eventing.knative.dev/v1", kind="Broker", namespace=namespace, name="b")
    core.create_namespaced_event(
        namespace,
        client.CoreV1Event(
            metadata=client.V1ObjectMeta(name="b.17a1"),
            involved_object=thing,
            reason="Made",
            message="it is there",
            type="Normal",
            count=2,
            source=client.V1EventSource(component="test"),
        ),
    )
    # By the dynamic client: that of the group demands an eventTime, which no older event has.
    new_events = dynamic.DynamicClient(api).resources.get(api_version="events.k8s.io/v1", kind="Event")
    event = new_events.get(name="b.17a1", namespace=namespace)
    same((event.regarding.name, event.note, event.deprecatedCount), ("b", "it is there", 2))
    new.create_namespaced_event(
        namespace,
        client.EventsV1Event(
            metadata=client.V1ObjectMeta(name="b.17a2"),
            event_time=datetime.datetime.now(datetime.timezone.utc).replace(microsecond=678901),
            regarding=thing,
            reason="Gone",
            note="it is not",
            type="Warning",
            action="Delete",
            reporting_controller="example.com/test",
            reporting_instance="test-1",
        ),
    )
    event = core.read_namespaced_event("b.17a2", namespace)
    same((event.involved_object.name, event.message, event.reporting_component), ("b", "it is not", "example.com/test"))
    same(event.event_time.microsecond, 678901)
    for selector, want in [
        ("involvedObject.kind=Broker", ["b.17a1", "b.17a2"]),
        ("involvedObject.name=b,reason=Gone", ["b.17a2"]),
        ("type!=Warning", ["b.17a1"]),
        ("source=test", ["b.17a1"]),
        ("reportingComponent=example.com/test", ["b.17a2"]),
    ]:
        same(names(core.list_namespaced_event(namespace, field_selector=selector).items), want, selector)
    same(names(new.list_namespaced_event(namespace, field_selector="regarding.name=b,type=Warning").items), ["b.17a2"])
    same(core.patch_namespaced_event("b.17a1", namespace, {"count": 3}).count, 3)


@test
def namespaces_end_with_what_is_in_them(api, namespace):
    core = client.CoreV1Api(api)
    name = f"{namespace}-going"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    held = config_map("held")
    held.metadata.finalizers = ["example.com/test"]
    core.create_namespaced_config_map(name, held)
    seen = core.list_namespace().metadata.resource_version
    core.delete_namespace(name)
    same(core.read_namespace(name).status.phase, "Terminating")
    status = refused(403, "Forbidden", core.create_namespaced_config_map, name, config_map("late"))
    same(status["details"]["causes"][0]["reason"], "NamespaceTerminating")
    # The finalizer may go before or after the namespace marks what is in it.
    core.patch_namespaced_config_map("held", name, {"metadata": {"finalizers": None}})
    stream = watch.Watch().stream(
        core.list_namespace, field_selector=f"metadata.name={name}", resource_version=seen, timeout_seconds=60
    )
    same(next(event for event in stream if event["type"] == "DELETED")["object"].metadata.name, name)
    refused(404, "NotFound", core.read_namespace, name)


@test
def watches(api, namespace):
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, config_map("a", n="1"))
    first = [
        (event["type"], event["object"].metadata.name)
        for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, timeout_seconds=1)
    ]
    same(first, [("ADDED", "a")], "what is there, and the end of the time")

    seen = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("b", n="1"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"n": "2"}})
    core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"x": "y"}}})
    core.delete_namespaced_config_map("b", namespace)
    want = [("ADDED", "b"), ("MODIFIED", "a"), ("MODIFIED", "a"), ("DELETED", "b")]

    def told(version, count, **options):
        events, watcher = [], watch.Watch()
        stream = watcher.stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=60, **options
        )
        for event in stream:
            events.append(event)
            if len(events) == count:
                watcher.stop()
        return events

    events = told(seen, len(want))
    same([(event["type"], event["object"].metadata.name) for event in events], want)
    versions = [int(event["object"].metadata.resource_version) for event in events]
    assert versions == sorted(set(versions)) and versions[0] > int(seen), versions
    # Resumed in the middle, it goes on there.
    resumed = told(str(versions[1]), 2)
    same([(event["type"], event["object"].metadata.name) for event in resumed], want[2:])
    # What enters a selection is new, what leaves it is gone.
    core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"x": "z"}}})
    entered = told(seen, 2, label_selector="x=y")
    same([(event["type"], event["object"].metadata.name) for event in entered], [("ADDED", "a"), ("DELETED", "a")])
    # A version that nobody knows any more.
    try:
        told("1", 1)
        raise AssertionError("a version from before the server began was not refused")
    except ApiException as error:
        same((error.status, error.reason.split(":")[0]), (410, "Expired"))

    custom = client.CustomObjectsApi(api)
    Triggers(api, namespace).create(trigger("t"))
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object, *EVENTING, namespace, "triggers", timeout_seconds=60
    )
    event = next(stream)
    same((event["type"], event["object"]["metadata"]["name"]), ("ADDED", "t"))
    raw = list(
        watch.Watch().stream(
            core.list_namespaced_config_map,
            namespace,
            resource_version=core.list_namespaced_config_map(namespace).metadata.resource_version,
            allow_watch_bookmarks=True,
            timeout_seconds=1,
        )
    )
    same([event["type"] for event in raw], ["BOOKMARK"], "where to go on, at the end of the time")


@test
def dynamic_client(api, namespace):
    dyn = dynamic.DynamicClient(api)
    triggers = dyn.resources.get(api_version="eventing.knative.dev/v1", kind="Trigger")
    same((triggers.name, triggers.singular_name, triggers.namespaced), ("triggers", "trigger", True))
    assert {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} <= set(triggers.verbs)
    same(dyn.resources.get(api_version="v1", kind="ConfigMap").short_names, ["cm"])
    same(dyn.resources.get(kind="Service", group="serving.knative.dev").name, "services")
    assert dyn.resources.search(group="eventing.knative.dev"), "a search by group"

    body = trigger("t")
    made = triggers.create(body=body, namespace=namespace)
    same((made.kind, made.spec.delivery.retry), ("Trigger", 3))
    same(triggers.get(name="t", namespace=namespace).metadata.uid, made.metadata.uid)
    same(len(triggers.get(namespace=namespace).items), 1)
    merge = "application/merge-patch+json"
    patched = triggers.patch(
        body={"metadata": {"name": "t"}, "spec": {"delivery": {"retry": 4}}}, namespace=namespace, content_type=merge
    )
    same(patched.spec.delivery.retry, 4)
    written = triggers.status.patch(
        body={"metadata": {"name": "t"}, "status": {"annotations": {"by": "test"}}},
        namespace=namespace,
        content_type=merge,
    )
    same(written.status.annotations.by, "test")
    event = next(iter(triggers.watch(namespace=namespace, timeout=60)))
    same((event["type"], event["object"].metadata.name), ("ADDED", "t"))
    same(triggers.delete(name="t", namespace=namespace).status, "Success")
    try:
        triggers.get(name="t", namespace=namespace)
        raise AssertionError("it was deleted")
    except dynamic.exceptions.NotFoundError as error:
        same(error.status, 404)


@test
def server_side_apply(api, namespace):
    dyn = dynamic.DynamicClient(api)
    maps = dyn.resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager, data, **options):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
        return maps.server_side_apply(body=body, namespace=namespace, field_manager=manager, **options)

    made = apply("one", {"a": "1", "b": "1"})
    same(made.data.to_dict(), {"a": "1", "b": "1"})
    again = apply("one", {"a": "1", "b": "1"})
    same(again.metadata.resourceVersion, made.metadata.resourceVersion, "the same again is no change")
    managers = [(entry.manager, entry.operation) for entry in again.metadata.managedFields]
    same(managers, [("one", "Apply")])
    owned = set(again.metadata.managedFields[0].fieldsV1.to_dict()["f:data"])
    same(owned - {"."}, {"f:a", "f:b"})
    try:
        apply("two", {"a": "2", "c": "2"})
        raise AssertionError("a conflict was not told")
    except dynamic.exceptions.ConflictError as error:
        status = json.loads(error.body)
        same(status["message"], 'Apply failed with 1 conflict: conflict with "one": .data.a')
        cause = {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
        same(status["details"]["causes"], [cause])
    same(maps.get(name="c", namespace=namespace).data.to_dict(), {"a": "1", "b": "1"})
    forced = apply("two", {"a": "2", "c": "2"}, force_conflicts=True)
    same(forced.data.to_dict(), {"a": "2", "b": "1", "c": "2"})
    # What a manager does not apply any more goes, if it is nobody else's.
    same(apply("one", {}).data.to_dict(), {"a": "2", "c": "2"})
    # Equal values are owned together.
    apply("three", {"c": "2"})
    same(apply("two", {"a": "2"}).data.to_dict(), {"a": "2", "c": "2"})
    same(apply("three", {"c": "3"}).data.to_dict(), {"a": "2", "c": "3"})
    try:
        maps.patch(
            body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
            namespace=namespace,
            content_type="application/apply-patch+yaml",
        )
        raise AssertionError("an apply without a manager")
    except dynamic.exceptions.UnprocessibleEntityError as error:
        assert "fieldManager" in json.loads(error.body)["message"], error.body


@test
def create_from_yaml(api, namespace):
    documents = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: from-yaml, namespace: {namespace}}}
data: {{a: "1"}}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {{name: from-yaml, namespace: {namespace}}}
  stringData: {{k: v}}
- apiVersion: v1
  kind: ServiceAccount
  metadata: {{name: from-yaml, namespace: {namespace}}}
"""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(documents)
        file.flush()
        made = utils.create_from_yaml(api, file.name)
        same([it.kind for group in made for it in group], ["ConfigMap", "Secret", "ServiceAccount"])
        try:
            utils.create_from_yaml(api, file.name)
            raise AssertionError("everything is there already")
        except utils.FailToCreateError as error:
            same([it.status for it in error.api_exceptions], [409] * 3)
    core = client.CoreV1Api(api)
    same(core.read_namespaced_config_map("from-yaml", namespace).data, {"a": "1"})
    # Kinds that the client has no class for are made by the dynamic client.
    made = utils.create_from_yaml(api, yaml_objects=[trigger("from-dict")], namespace=namespace, apply=True)
    same([it.kind for group in made for it in group], ["Trigger"])


@test
def questions_about_oneself(api, namespace):
    attributes = client.V1ResourceAttributes(verb="create", group="eventing.knative.dev", resource="triggers")
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    same(client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed, True)
    who = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
    assert who.status.user_info.username, who
    listed = client.ApiextensionsV1Api(api).list_custom_resource_definition()
    assert "triggers.eventing.knative.dev" in names(listed.items), names(listed.items)


def main(server):
    configuration = client.Configuration()
    configuration.host = server
    configuration.retries = False
    api = client.ApiClient(configuration)
    failed = 0
    for function in TESTS:
        namespace = function.__name__.replace("_", "-")[:40]
        try:
            client.CoreV1Api(api).create_namespace({"metadata": {"name": namespace}})
            function(api, namespace)
            print(f"ok {function.__name__}")
        except Exception:
            failed += 1
            print(f"FAILED {function.__name__}\n{traceback.format_exc()}")
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
