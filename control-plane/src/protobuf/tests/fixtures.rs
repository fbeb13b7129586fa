//! Bodies of others in hex, and the JSON that they are. Some were recorded from clients. The others were written by
//! `k8s.io/apimachinery` 0.34 (`runtime/serializer/protobuf`); of these the JSON is what Go's `encoding/json` makes of
//! the same object, but for the `status` of what is asked and answered.

/// The bytes of a hex dump; white space does not count.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// What it is, the body, the object.
pub(super) const ALL: &[(&str, &str, &str)] = &[
    (
        "kubectl 1.37 create configmap",
        "
        6b3873000a0f0a0276311209436f6e6669674d617012490a180a0873657474696e677312001a0022002a00320038004200120f0a06636f
        6c6f75721205677265656e12090a05656d70747912001a110a0762696e2e646174120600ff0162696e1a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings"},"data":{"colour":"green","empty":""},
        "binaryData":{"bin.dat":"AP8BYmlu"}}
        "#,
    ),
    (
        "kubectl 1.37 create secret",
        "
        6b3873000a0c0a0276311206536563726574124a0a150a056c6f67696e12001a0022002a0032003800420012110a0762696e2e64617412
        0600ff0162696e120b0a047573657212036164611a116578616d706c652e636f6d2f6c6f67696e1a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"Secret","metadata":{"name":"login"},"data":{"user":"YWRh","bin.dat":"AP8BYmlu"},
        "type":"example.com/login"}
        "#,
    ),
    (
        "kubectl 1.37 create namespace",
        "
        6b3873000a0f0a02763112094e616d657370616365121c0a140a0473686f7012001a0022002a0032003800420012001a020a001a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"},"spec":{},"status":{}}
        "#,
    ),
    (
        "kubectl 1.37 create serviceaccount",
        "
        6b3873000a140a027631120e536572766963654163636f756e7412170a150a05726f626f7412001a0022002a003200380042001a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}
        "#,
    ),
    (
        "kubectl 1.37 create token",
        "
        6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e5265717565737412230a100a0012001a
        0022002a0032003800420012090a0473686f7020d8041a040a0012001a002200
        ",
        r#"
        {"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","metadata":{},"spec":{"audiences":["shop"],
        "expirationSeconds":600}}
        "#,
    ),
    (
        "kubectl 1.37 create service externalname",
        "
        6b3873000a0d0a0276311207536572766963651283010a270a076f75747369646512001a0022002a003200380042005a0e0a0361707012
        076f75747369646512540a1b0a0738302d38303830120354435018502207080010903f1a002800120e0a0361707012076f757473696465
        1a00220c45787465726e616c4e616d653a004200520b6578616d706c652e636f6d5a00600068001a020a001a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"Service","metadata":{"name":"outside","labels":{"app":"outside"}},
        "spec":{"ports":[{"name":"80-8080","protocol":"TCP","port":80,"targetPort":8080}],
        "selector":{"app":"outside"},"type":"ExternalName","externalName":"example.com"},"status":{"loadBalancer":{}}}
        "#,
    ),
    (
        "kubectl 1.37 auth can-i list secrets",
        "
        6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a6563744163636573735265766965
        77123d0a100a0012001a0022002a00320038004200121f0a1d0a0473686f7012046c6973741a0022002a077365637265747332003a001a
        08080012001a0020001a002200
        ",
        r#"
        {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},
        "spec":{"resourceAttributes":{"namespace":"shop","verb":"list","resource":"secrets"}}}
        "#,
    ),
    (
        "kubectl 1.37 auth can-i get /metrics",
        "
        6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a6563744163636573735265766965
        77122f0a100a0012001a0022002a003200380042001211120f0a082f6d65747269637312036765741a08080012001a0020001a002200
        ",
        r#"
        {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},
        "spec":{"nonResourceAttributes":{"path":"/metrics","verb":"get"}}}
        "#,
    ),
    (
        "kubectl 1.37 auth can-i --list",
        "
        6b3873000a310a17617574686f72697a6174696f6e2e6b38732e696f2f7631121653656c665375626a65637452756c6573526576696577
        12230a100a0012001a0022002a0032003800420012090a0764656661756c741a04180022001a002200
        ",
        r#"
        {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","metadata":{},
        "spec":{"namespace":"default"}}
        "#,
    ),
    (
        "kubectl 1.37 auth whoami",
        "
        6b3873000a2d0a1861757468656e7469636174696f6e2e6b38732e696f2f7631121153656c665375626a656374526576696577121a0a10
        0a0012001a0022002a0032003800420012060a040a0012001a002200
        ",
        r#"
        {"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview","metadata":{}}
        "#,
    ),
    (
        "kubectl 1.33 create secret",
        "
        6b3873000a0c0a027631120653656372657412260a150a056c6f67696e12001a0022002a00320038004200120b0a047573657212036164
        611a001a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"Secret","metadata":{"name":"login"},"data":{"user":"YWRh"}}
        "#,
    ),
    (
        "Helm 4.3 uninstall",
        "
        6b3873000a130a027631120d44656c6574654f7074696f6e7312001a002200
        ",
        r#"
        {"apiVersion":"v1","kind":"DeleteOptions"}
        "#,
    ),
    (
        "every field of v1 ConfigMap",
        "
        6b3873000a0f0a0276311209436f6e6669674d617012e7010ad2010a016e12026e2d1a0473686f7022042f6170692a03752d3132023431
        380342080880e2cfaa0610004a080880e2cfaa06100050005a060a01611201625a050a0165120062080a03782f7912017a6a330a064272
        6f6b65721a0764656661756c742203752d322a176576656e74696e672e6b6e61746976652e6465762f7631300138007205662f6f6e658a
        01460a0468656c6d12054170706c791a02763122080880e2cfaa06100032084669656c647356313a170a157b22663a64617461223a7b22
        663a61223a7b7d7d7d420673746174757312050a016b12001a070a0162120200ff20001a002200
        ",
        r#"
        {"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"n","generateName":"n-","namespace":"shop",
        "selfLink":"/api","uid":"u-1","resourceVersion":"41","generation":3,
        "creationTimestamp":"2023-11-14T22:13:20Z","deletionTimestamp":"2023-11-14T22:13:20Z",
        "deletionGracePeriodSeconds":0,"labels":{"a":"b","e":""},"annotations":{"x/y":"z"},
        "ownerReferences":[{"apiVersion":"eventing.knative.dev/v1","kind":"Broker","name":"default","uid":"u-2",
        "controller":true,"blockOwnerDeletion":false}],"finalizers":["f/one"],"managedFields":[{"manager":"helm",
        "operation":"Apply","apiVersion":"v1","time":"2023-11-14T22:13:20Z","fieldsType":"FieldsV1",
        "fieldsV1":{"f:data":{"f:a":{}}},"subresource":"status"}]},"immutable":false,"data":{"k":""},
        "binaryData":{"b":"AP8="}}
        "#,
    ),
    (
        "every field of v1 Secret",
        "
        6b3873000a0c0a027631120653656372657412350a110a016e12001a0022002a0032003800420012070a0162120200ff12050a01651200
        1a064f706171756522060a017312017428011a002200
        ",
        r#"
        {"kind":"Secret","apiVersion":"v1","metadata":{"name":"n"},"immutable":true,"data":{"b":"AP8=","e":""},
        "stringData":{"s":"t"},"type":"Opaque"}
        "#,
    ),
    (
        "every field of authorization.k8s.io/v1 SelfSubjectAccessReview",
        "
        6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a6563744163636573735265766965
        771280010a110a016e12001a0022002a0032003800420012610a4e0a0473686f7012036765741a0167220276312a0762726f6b65727332
        067374617475733a017842130a03613d62120c0a01611202496e1a01621a004a110a03633d64120a0a01631202496e1a0164120f0a082f
        6d65747269637312036765741a08080012001a0020001a002200
        ",
        r#"
        {"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","metadata":{"name":"n"},
        "spec":{"resourceAttributes":{"namespace":"shop","verb":"get","group":"g","version":"v1","resource":"brokers",
        "subresource":"status","name":"x","fieldSelector":{"rawSelector":"a=b","requirements":[{"key":"a",
        "operator":"In","values":["b",""]}]},"labelSelector":{"rawSelector":"c=d","requirements":[{"key":"c",
        "operator":"In","values":["d"]}]}},"nonResourceAttributes":{"path":"/metrics","verb":"get"}}}
        "#,
    ),
    (
        "every field of authorization.k8s.io/v1 SelfSubjectRulesReview",
        "
        6b3873000a310a17617574686f72697a6174696f6e2e6b38732e696f2f7631121653656c665375626a65637452756c6573526576696577
        12210a110a016e12001a0022002a0032003800420012060a0473686f701a04180022001a002200
        ",
        r#"
        {"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","metadata":{"name":"n"},
        "spec":{"namespace":"shop"}}
        "#,
    ),
    (
        "every field of authentication.k8s.io/v1 SelfSubjectReview",
        "
        6b3873000a2d0a1861757468656e7469636174696f6e2e6b38732e696f2f7631121153656c665375626a656374526576696577121b0a11
        0a016e12001a0022002a0032003800420012060a040a0012001a002200
        ",
        r#"
        {"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"n"}}
        "#,
    ),
    (
        "every field of v1 Service",
        "
        6b3873000a0d0a02763112075365727669636512c1020a110a016e12001a0022002a0032003800420012e1010a220a0377656212035443
        501850220a080110001a04687474702880eb013204687474700a110a00120018512207080010913f1a00280012080a036170701201781a
        0831302e302e302e31220c4c6f616442616c616e6365722a07312e322e332e343a08436c69656e7449504207352e362e372e384a09392e
        302e302e302f38520b6578616d706c652e636f6d5a054c6f63616c6081eb01680172040a0208008a010b53696e676c65537461636b9201
        0831302e302e302e319a010449507634a00100aa0103632f64b20107436c7573746572ba010b507265666572436c6f73651a480a210a1f
        0a07312e312e312e311201681a03564950220c085012035443501a03652f6612230a055265616479120454727565180222080880e2cfaa
        0610002a024f6b320466696e651a002200
        ",
        r#"
        {"kind":"Service","apiVersion":"v1","metadata":{"name":"n"},"spec":{"ports":[{"name":"web","protocol":"TCP",
        "appProtocol":"http","port":80,"targetPort":"http","nodePort":30080},{"port":81,"targetPort":8081}],
        "selector":{"app":"x"},"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"],"type":"LoadBalancer",
        "externalIPs":["1.2.3.4"],"sessionAffinity":"ClientIP","loadBalancerIP":"5.6.7.8",
        "loadBalancerSourceRanges":["9.0.0.0/8"],"externalName":"example.com","externalTrafficPolicy":"Local",
        "healthCheckNodePort":30081,"publishNotReadyAddresses":true,
        "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":0}},"ipFamilies":["IPv4"],
        "ipFamilyPolicy":"SingleStack","allocateLoadBalancerNodePorts":false,"loadBalancerClass":"c/d",
        "internalTrafficPolicy":"Cluster","trafficDistribution":"PreferClose"},
        "status":{"loadBalancer":{"ingress":[{"ip":"1.1.1.1","hostname":"h","ipMode":"VIP","ports":[{"port":80,
        "protocol":"TCP","error":"e/f"}]}]},"conditions":[{"type":"Ready","status":"True","observedGeneration":2,
        "lastTransitionTime":"2023-11-14T22:13:20Z","reason":"Ok","message":"fine"}]}}
        "#,
    ),
    (
        "every field of v1 Event",
        "
        6b3873000a0b0a02763112054576656e741280020a110a016e12001a0022002a0032003800420012450a0754726967676572120473686f
        701a066f72646572732203752d332a176576656e74696e672e6b6e61746976652e6465762f76313201373a0b737065632e66696c746572
        1a055265616479220569742069732a060a016312016832080880e2cfaa0610003a080880e2cfaa06100040024a064e6f726d616c520b08
        80e2cfaa06108094ef3a5a0f0803120b0880e2cfaa06108094ef3a62034163746a450a0754726967676572120473686f701a066f726465
        72732203752d332a176576656e74696e672e6b6e61746976652e6465762f76313201373a0b737065632e66696c746572720272637a0272
        691a002200
        ",
        r#"
        {"kind":"Event","apiVersion":"v1","metadata":{"name":"n"},"involvedObject":{"kind":"Trigger",
        "namespace":"shop","name":"orders","uid":"u-3","apiVersion":"eventing.knative.dev/v1","resourceVersion":"7",
        "fieldPath":"spec.filter"},"reason":"Ready","message":"it is","source":{"component":"c","host":"h"},
        "firstTimestamp":"2023-11-14T22:13:20Z","lastTimestamp":"2023-11-14T22:13:20Z","count":2,"type":"Normal",
        "eventTime":"2023-11-14T22:13:20.123456Z","series":{"count":3,
        "lastObservedTime":"2023-11-14T22:13:20.123456Z"},"action":"Act","related":{"kind":"Trigger",
        "namespace":"shop","name":"orders","uid":"u-3","apiVersion":"eventing.knative.dev/v1","resourceVersion":"7",
        "fieldPath":"spec.filter"},"reportingComponent":"rc","reportingInstance":"ri"}
        "#,
    ),
    (
        "every field of events.k8s.io/v1 Event",
        "
        6b3873000a190a106576656e74732e6b38732e696f2f763112054576656e741280020a110a016e12001a0022002a00320038004200120b
        0880e2cfaa06108094ef3a1a0f0803120b0880e2cfaa06108094ef3a220272632a02726932034163743a05526561647942450a07547269
        67676572120473686f701a066f72646572732203752d332a176576656e74696e672e6b6e61746976652e6465762f76313201373a0b7370
        65632e66696c7465724a450a0754726967676572120473686f701a066f72646572732203752d332a176576656e74696e672e6b6e617469
        76652e6465762f76313201373a0b737065632e66696c746572520569742069735a064e6f726d616c62060a01631201686a080880e2cfaa
        06100072080880e2cfaa06100078021a002200
        ",
        r#"
        {"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"name":"n"},
        "eventTime":"2023-11-14T22:13:20.123456Z","series":{"count":3,
        "lastObservedTime":"2023-11-14T22:13:20.123456Z"},"reportingController":"rc","reportingInstance":"ri",
        "action":"Act","reason":"Ready","regarding":{"kind":"Trigger","namespace":"shop","name":"orders","uid":"u-3",
        "apiVersion":"eventing.knative.dev/v1","resourceVersion":"7","fieldPath":"spec.filter"},
        "related":{"kind":"Trigger","namespace":"shop","name":"orders","uid":"u-3",
        "apiVersion":"eventing.knative.dev/v1","resourceVersion":"7","fieldPath":"spec.filter"},"note":"it is",
        "type":"Normal","deprecatedSource":{"component":"c","host":"h"},
        "deprecatedFirstTimestamp":"2023-11-14T22:13:20Z","deprecatedLastTimestamp":"2023-11-14T22:13:20Z",
        "deprecatedCount":2}
        "#,
    ),
    (
        "every field of coordination.k8s.io/v1 Lease",
        "
        6b3873000a1f0a16636f6f7264696e6174696f6e2e6b38732e696f2f763112054c6561736512510a110a016e12001a0022002a00320038
        004200123c0a026d65100f1a0b0880e2cfaa06108094ef3a220b0880e2cfaa06108094ef3a280032164f6c64657374456d756c6174696f
        6e56657273696f6e3a001a002200
        ",
        r#"
        {"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"n"},"spec":{"holderIdentity":"me",
        "leaseDurationSeconds":15,"acquireTime":"2023-11-14T22:13:20.123456Z",
        "renewTime":"2023-11-14T22:13:20.123456Z","leaseTransitions":0,"strategy":"OldestEmulationVersion",
        "preferredHolder":""}}
        "#,
    ),
    (
        "every field of v1 Namespace",
        "
        6b3873000a0f0a02763112094e616d657370616365124b0a110a016e12001a0022002a00320038004200120c0a0a6b756265726e657465
        731a280a0b5465726d696e6174696e6712190a015412045472756522080880e2cfaa0610002a017232016d1a002200
        ",
        r#"
        {"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n"},"spec":{"finalizers":["kubernetes"]},
        "status":{"phase":"Terminating","conditions":[{"type":"T","status":"True",
        "lastTransitionTime":"2023-11-14T22:13:20Z","reason":"r","message":"m"}]}}
        "#,
    ),
    (
        "every field of v1 ServiceAccount",
        "
        6b3873000a140a027631120e536572766963654163636f756e7412750a110a016e12001a0022002a0032003800420012450a0754726967
        676572120473686f701a066f72646572732203752d332a176576656e74696e672e6b6e61746976652e6465762f76313201373a0b737065
        632e66696c746572120f0a0012001a017322002a0032003a001a060a0470756c6c20001a002200
        ",
        r#"
        {"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"n"},"secrets":[{"kind":"Trigger",
        "namespace":"shop","name":"orders","uid":"u-3","apiVersion":"eventing.knative.dev/v1","resourceVersion":"7",
        "fieldPath":"spec.filter"},{"name":"s"}],"imagePullSecrets":[{"name":"pull"}],
        "automountServiceAccountToken":false}
        "#,
    ),
    (
        "every field of authentication.k8s.io/v1 TokenRequest",
        "
        6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e5265717565737412360a100a0012001a
        0022002a00320038004200121c0a01610a001a120a06536563726574120276311a017322017520d8041a040a0012001a002200
        ",
        r#"
        {"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{"audiences":["a",""],
        "expirationSeconds":600,"boundObjectRef":{"kind":"Secret","apiVersion":"v1","name":"s","uid":"u"}}}
        "#,
    ),
    (
        "every field of serving.knative.dev/v1 DeleteOptions",
        "
        6b3873000a270a1673657276696e672e6b6e61746976652e6465762f7631120d44656c6574654f7074696f6e73121e080012050a017512
        001800220a466f726567726f756e642a03416c6c30001a002200
        ",
        r#"
        {"kind":"DeleteOptions","apiVersion":"serving.knative.dev/v1","gracePeriodSeconds":0,
        "preconditions":{"uid":"u","resourceVersion":""},"orphanDependents":false,"propagationPolicy":"Foreground",
        "dryRun":["All"],"ignoreStoreReadErrorWithClusterBreakingPotential":false}
        "#,
    ),
];
