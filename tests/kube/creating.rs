//! `kubectl create`: kinds that newer versions send as protobuf.

use crate::scene::with_every_kubectl;

#[test]
fn core_kinds_are_created() {
    with_every_kubectl("create", |scene| {
        scene.rows(&[
            ("create configmap c --from-literal=a=b", 0, &["configmap/c created\n"], &[]),
            ("create configmap c --from-literal=a=b", 1, &[], &["configmaps \"c\" already exists"]),
            ("create configmap c -n nowhere --from-literal=a=b", 1, &[], &["namespaces \"nowhere\" not found"]),
            ("create configmap Bad_Name --from-literal=a=b", 1, &[], &["is invalid: metadata.name: ", "Bad_Name"]),
            (
                "create configmap d --from-literal=a=b --dry-run=server",
                0,
                &["configmap/d created (server dry run)\n"],
                &[],
            ),
            ("create configmap d --from-literal=a=b --dry-run=server -o yaml", 0, &["  uid: ", "  a: b\n"], &[]),
            ("create configmap d --from-literal=a=b --dry-run=client -o yaml", 0, &["  a: b\n"], &[]),
            ("get cm d", 1, &[], &["configmaps \"d\" not found"]),
            ("create secret generic s --from-literal=password=hidden", 0, &["secret/s created\n"], &[]),
            ("get secret s -o jsonpath={.type}:{.data.password}", 0, &["Opaque:aGlkZGVu"], &[]),
            (
                "create secret docker-registry r --docker-username=a --docker-password=b --docker-server=c",
                0,
                &["secret/r created\n"],
                &[],
            ),
            ("get secret r", 0, &["kubernetes.io/dockerconfigjson"], &[]),
            ("create serviceaccount bot", 0, &["serviceaccount/bot created\n"], &[]),
            ("create namespace apart", 0, &["namespace/apart created\n"], &[]),
            ("create sa bot -n apart", 0, &["serviceaccount/bot created\n"], &[]),
            ("get sa -A", 0, &["apart", "default"], &[]),
            ("create service externalname away --external-name example.com", 0, &["service/away created\n"], &[]),
            ("get services", 0, &["ExternalName", "example.com"], &[]),
            ("create service clusterip inside --tcp=80:80", 1, &[], &["Unsupported value: \"ClusterIP\""]),
            ("create deployment d --image=x", 1, &[], &["could not find the requested resource"]),
        ]);
    });
}

#[test]
fn any_bytes_up_to_a_mebibyte_are_kept() {
    with_every_kubectl("create of large values", |scene| {
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(scene.files().join("bytes"), &bytes).unwrap();
        scene.file("text", &"x".repeat(1_000_000));
        scene.file("more", &"x".repeat(2_000_000));
        scene.rows(&[
            ("create cm bytes --from-file=bytes", 0, &["created"], &[]),
            ("create cm text --from-file=text", 0, &["created"], &[]),
            ("create secret generic text --from-file=text", 0, &["created"], &[]),
            ("create cm more --from-file=more", 1, &[], &["Too long: may not be more than"]),
        ]);
        let kept: serde_json::Value = serde_json::from_str(&scene.ok("get cm bytes -o json")).unwrap();
        let (_, kept) = kept["binaryData"].as_object().unwrap().iter().next().expect("it has a value");
        let kept = base64_of(kept.as_str().unwrap());
        assert!(kept == bytes, "the bytes are not those that were sent");
    });
}

/// The counts are of all values, texts or not.
#[test]
fn bytes_count_as_data() {
    with_every_kubectl("the column DATA", |scene| {
        std::fs::write(scene.files().join("bytes"), [0xff, 0xfe, 0x00]).unwrap();
        scene.ok("create cm both --from-file=bytes --from-literal=a=b");
        let table = scene.ok("get cm both --no-headers");
        assert_eq!(table.split_whitespace().nth(1), Some("2"), "{table}");
    });
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
