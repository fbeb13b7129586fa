//! What is counted, and that no producer can add a series.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use pelton_env::SystemClock;
use pelton_ingress::{Ingress, Options};

use crate::support::{FakeLog, ask, event, typed};

#[tokio::test]
async fn events_are_counted_by_broker_and_refusals_by_reason() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let log = FakeLog::new(&["default/default"]);
    let listener = Ingress::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let ingress = metrics::with_local_recorder(&recorder, || {
        Ingress::serve(vec![listener], log.clone(), None, Options::default(), Arc::new(SystemClock)).unwrap()
    });
    assert_eq!(ask(&ingress, event("x")).await.status, 202);
    let one = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let batch = typed("application/cloudevents-batch+json", &format!("[{one},{one},{one}]"));
    assert_eq!(ask(&ingress, &batch).await.status, 202);
    log.answer(Some(pelton_client::AppendError::StorageFull));
    assert_eq!(ask(&ingress, &batch).await.status, 503);
    for n in 0..50 {
        let hostile = event("x").replace("ce-type: t", &format!("ce-type: {n}\r\nce-x{n}: {n}"));
        let _ = ask(&ingress, hostile.replace("/default/default", &format!("/default/b{n}"))).await;
    }
    let text = rendered.render();
    for line in [
        r#"pelton_ingress_events_accepted_total{namespace="default",broker="default"} 4"#,
        r#"pelton_ingress_events_refused_total{reason="storage-full"} 3"#,
        r#"pelton_ingress_events_refused_total{reason="unknown-broker"} 50"#,
        r#"pelton_ingress_events_refused_total{reason="node-busy"} 0"#,
        "pelton_ingress_events_received_total 57",
        "pelton_ingress_request_seconds_count 53",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("pelton_ingress_events_accepted")).count(), 1);
}
