use super::*;
use crate::meta::ObjectMeta;

fn errors_of(spec: &DeliverySpec) -> Vec<String> {
    let mut errors = FieldErrors::new();
    spec.validate("spec.delivery", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Knative Eventing, the duck type of `delivery`; conformance check 12. Negative durations are refused in addition.
#[test]
fn invalid_delivery_is_refused_with_its_path() {
    let d = DeliverySpec::default;
    const ISO: &str = "expected an ISO-8601 duration such as PT0.2S, PT10M or P1D";
    const NEGATIVE: &str = "a duration cannot be negative";
    let rows = [
        (DeliverySpec { retry: Some(-1), ..d() }, "invalid value: -1: spec.delivery.retry".to_owned()),
        (
            DeliverySpec { timeout: some("1 minute"), ..d() },
            format!("invalid value: 1 minute: spec.delivery.timeout\n{ISO}"),
        ),
        (
            DeliverySpec { timeout: some("PT0S"), ..d() },
            "invalid value: PT0S: spec.delivery.timeout\na timeout must be above zero".to_owned(),
        ),
        (
            DeliverySpec { timeout: some("-PT1S"), ..d() },
            format!("invalid value: -PT1S: spec.delivery.timeout\n{NEGATIVE}"),
        ),
        (
            DeliverySpec { backoff_policy: some("garbage"), ..d() },
            "invalid value: garbage: spec.delivery.backoffPolicy\nexpected linear or exponential".to_owned(),
        ),
        (
            DeliverySpec { backoff_policy: some("Linear"), ..d() },
            "invalid value: Linear: spec.delivery.backoffPolicy\nexpected linear or exponential".to_owned(),
        ),
        (
            DeliverySpec { backoff_delay: some("1"), ..d() },
            format!("invalid value: 1: spec.delivery.backoffDelay\n{ISO}"),
        ),
        (
            DeliverySpec { backoff_delay: some("-PT1S"), ..d() },
            format!("invalid value: -PT1S: spec.delivery.backoffDelay\n{NEGATIVE}"),
        ),
        (
            DeliverySpec { retry_after_max: some("-PT1S"), ..d() },
            format!("invalid value: -PT1S: spec.delivery.retryAfterMax\n{NEGATIVE}"),
        ),
        (
            DeliverySpec { retry_after_max: some(""), ..d() },
            format!("invalid value: : spec.delivery.retryAfterMax\n{ISO}"),
        ),
        (
            DeliverySpec { format: some("xml"), ..d() },
            "invalid value: xml: spec.delivery.format\nexpected json or binary".to_owned(),
        ),
        (
            DeliverySpec { dead_letter_sink: Some(Destination::default()), ..d() },
            "expected at least one, got none: spec.delivery.deadLetterSink.ref, spec.delivery.deadLetterSink.uri"
                .to_owned(),
        ),
        (
            DeliverySpec { dead_letter_sink: Some(Destination::from_uri("https://a")), ..d() },
            "invalid value: https://a: spec.delivery.deadLetterSink.uri\nhttps dead letter sinks are not supported yet"
                .to_owned(),
        ),
    ];
    for (spec, want) in rows {
        assert_eq!(errors_of(&spec), [want], "{spec:?}");
    }
}

#[test]
fn valid_delivery_is_taken() {
    let d = DeliverySpec::default;
    let rows = [
        d(),
        DeliverySpec { retry: Some(0), ..d() },
        DeliverySpec { retry: Some(i32::MAX), ..d() },
        DeliverySpec { timeout: some("PT0.001S"), ..d() },
        DeliverySpec { backoff_policy: some("linear"), backoff_delay: some("PT0S"), ..d() },
        DeliverySpec { backoff_policy: some("exponential"), ..d() },
        DeliverySpec { retry_after_max: some("PT0S"), ..d() },
        DeliverySpec { format: some("json"), ..d() },
        DeliverySpec { format: some("binary"), ..d() },
        DeliverySpec { dead_letter_sink: Some(Destination::from_uri("http://dls")), ..d() },
    ];
    for spec in rows {
        assert_eq!(errors_of(&spec), Vec::<String>::new(), "{spec:?}");
    }
}

#[test]
fn waits_grow_as_documented_and_stop_at_the_cap() {
    let ms = Duration::from_millis;
    let linear = Backoff { policy: BackoffPolicy::Linear, delay: ms(100), max: ms(1000) };
    let exponential = Backoff { policy: BackoffPolicy::Exponential, ..linear };
    let rows = [(0, 100, 100), (1, 200, 200), (2, 300, 400), (3, 400, 800), (4, 500, 1000), (9, 1000, 1000)];
    for (n, want_linear, want_exponential) in rows {
        assert_eq!(linear.wait(n), ms(want_linear), "linear, retry {n}");
        assert_eq!(exponential.wait(n), ms(want_exponential), "exponential, retry {n}");
    }
    for n in [31, 32, 33, 1000, u32::MAX] {
        assert_eq!((linear.wait(n), exponential.wait(n)), (ms(1000), ms(1000)), "retry {n}");
        let none = Backoff { delay: Duration::ZERO, ..exponential };
        assert_eq!(none.wait(n), Duration::ZERO, "no delay, retry {n}");
        let huge = Backoff { delay: Duration::MAX, max: Duration::MAX, ..exponential };
        assert_eq!(huge.wait(n), Duration::MAX, "endless, retry {n}");
    }
}

fn broker(delivery: Option<DeliverySpec>, annotations: &[(&str, &str)]) -> Broker {
    let mut broker = Broker { metadata: meta(annotations), ..Broker::default() };
    broker.spec.delivery = delivery;
    broker
}

fn trigger(delivery: Option<DeliverySpec>, annotations: &[(&str, &str)]) -> Trigger {
    let mut trigger = Trigger { metadata: meta(annotations), ..Trigger::default() };
    trigger.spec.delivery = delivery;
    trigger
}

fn meta(annotations: &[(&str, &str)]) -> ObjectMeta {
    let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ObjectMeta { name: "a".into(), annotations, ..ObjectMeta::default() }
}

#[test]
fn without_any_delivery_the_defaults_count() {
    let policy = effective_delivery(&trigger(None, &[]), &broker(None, &[]));
    let want = DeliveryPolicy {
        retry: 10,
        backoff: Backoff {
            policy: BackoffPolicy::Exponential,
            delay: Duration::from_millis(200),
            max: Duration::from_secs(300),
        },
        timeout: Duration::from_secs(30),
        retry_after_max: Duration::from_secs(300),
        dead_letter_sink: None,
        format: None,
    };
    assert_eq!(policy, want);
    // The texts that a defaulted Broker carries mean the same.
    let mut defaulted = broker(None, &[]);
    defaulted.set_defaults(&crate::Defaults::default());
    assert_eq!(effective_delivery(&trigger(None, &[]), &defaulted), want);
}

#[test]
fn the_block_of_the_trigger_replaces_the_brokers_but_for_the_dead_letter_sink() {
    let of_broker = DeliverySpec {
        dead_letter_sink: Some(Destination::from_uri("http://broker-dls")),
        retry: Some(3),
        timeout: some("PT7S"),
        backoff_policy: some("linear"),
        backoff_delay: some("PT1S"),
        retry_after_max: some("PT0S"),
        format: some("json"),
    };
    let broker = broker(Some(of_broker), &[]);

    let inherited = effective_delivery(&trigger(None, &[]), &broker);
    assert_eq!((inherited.retry, inherited.timeout), (3, Duration::from_secs(7)));
    assert_eq!(inherited.backoff.policy, BackoffPolicy::Linear);
    assert_eq!((inherited.retry_after_max, inherited.format), (Duration::ZERO, Some(ContentMode::Structured)));

    let only_retry = DeliverySpec { retry: Some(1), ..DeliverySpec::default() };
    let replaced = effective_delivery(&trigger(Some(only_retry), &[]), &broker);
    assert_eq!((replaced.retry, replaced.timeout), (1, DEFAULT_TIMEOUT));
    assert_eq!((replaced.backoff.policy, replaced.backoff.delay), (BackoffPolicy::Exponential, DEFAULT_BACKOFF_DELAY));
    assert_eq!((replaced.retry_after_max, replaced.format), (DEFAULT_RETRY_AFTER_MAX, None));
    assert_eq!(replaced.dead_letter_sink, Some(Destination::from_uri("http://broker-dls")));

    let empty = effective_delivery(&trigger(Some(DeliverySpec::default()), &[]), &broker);
    assert_eq!((empty.retry, empty.dead_letter_sink), (10, Some(Destination::from_uri("http://broker-dls"))));

    let own = DeliverySpec {
        dead_letter_sink: Some(Destination::from_uri("http://trigger-dls")),
        format: some("binary"),
        ..DeliverySpec::default()
    };
    let own = effective_delivery(&trigger(Some(own), &[]), &broker);
    assert_eq!(own.dead_letter_sink, Some(Destination::from_uri("http://trigger-dls")));
    assert_eq!(own.format, Some(ContentMode::Binary));
}

#[test]
fn the_cap_of_the_trigger_counts_before_the_brokers() {
    let rows: [(&[_], &[_], u64); 4] = [
        (&[], &[], 300),
        (&[], &[(BACKOFF_MAX, "PT1M")], 60),
        (&[(BACKOFF_MAX, "PT2M")], &[(BACKOFF_MAX, "PT1M")], 120),
        (&[(BACKOFF_MAX, "garbage")], &[], 300),
    ];
    for (of_trigger, of_broker, want) in rows {
        let policy = effective_delivery(&trigger(None, of_trigger), &broker(None, of_broker));
        assert_eq!(policy.backoff.max, Duration::from_secs(want), "{of_trigger:?} {of_broker:?}");
    }
}
