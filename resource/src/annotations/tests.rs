use super::*;

fn meta(annotations: &[(&str, &str)]) -> ObjectMeta {
    let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ObjectMeta { annotations, ..ObjectMeta::default() }
}

fn errors_of(kind: Kind, key: &str, value: &str) -> Vec<String> {
    let mut errors = FieldErrors::new();
    validate(kind, &meta(&[(key, value)]), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn good_values_are_taken() {
    use Kind::{Broker, Trigger};
    let rows = [
        (Broker, RETENTION, "PT24H"),
        (Broker, RETENTION, "P7D"),
        (Broker, DEDUPLICATION_WINDOW, "PT10M"),
        (Broker, DEDUPLICATION_WINDOW, "PT0S"),
        (Broker, HEADER_ENCODING, "raw"),
        (Trigger, HEADER_ENCODING, "percent"),
        (Broker, IN_FLIGHT, "1"),
        (Trigger, IN_FLIGHT, "10000"),
        (Trigger, BACKOFF_MAX, "PT0.001S"),
        (Trigger, DELIVERY_ORDER, "ordered"),
        (Trigger, DELIVERY_ORDER, "unordered"),
        (Trigger, KAFKA_DELIVERY_ORDER, "ordered"),
        (Trigger, START, "latest"),
        (Trigger, START, "earliest"),
        (Trigger, START, "offset:0"),
        (Trigger, START, "offset:18446744073709551615"),
        (Trigger, START, "2026-01-02T03:04:05+01:00"),
        (Trigger, PAUSED, "true"),
        (Trigger, PAUSED, "false"),
        (Trigger, "example.com/anything", "goes"),
        (Trigger, "pelton.development/x", "is not ours"),
    ];
    for (kind, key, value) in rows {
        assert_eq!(errors_of(kind, key, value), Vec::<String>::new(), "{kind} {key}={value}");
    }
}

#[test]
fn bad_values_are_refused_and_told_what_is_expected() {
    use Kind::{Broker, Trigger};
    let iso = "expected an ISO-8601 duration such as PT0.2S, PT10M or P1D";
    let above = "expected a duration above zero";
    let number = "expected a whole number from 1 to 10000";
    let start = "expected latest, earliest, offset:N or an RFC 3339 time";
    let rows = [
        (Broker, RETENTION, "24h", iso),
        (Broker, RETENTION, "PT0S", above),
        (Broker, RETENTION, "-PT1H", "a duration cannot be negative"),
        (Broker, RETENTION, "P1M", "years and months have no fixed length; use days, hours, minutes or seconds"),
        (Broker, DEDUPLICATION_WINDOW, "", iso),
        (Broker, HEADER_ENCODING, "Percent", "expected percent or raw"),
        (Trigger, IN_FLIGHT, "0", number),
        (Trigger, IN_FLIGHT, "10001", number),
        (Trigger, IN_FLIGHT, "+5", number),
        (Trigger, IN_FLIGHT, "", number),
        (Trigger, IN_FLIGHT, "4294967297", number),
        (Trigger, BACKOFF_MAX, "PT0S", above),
        (Trigger, DELIVERY_ORDER, "Ordered", "expected ordered or unordered"),
        (Trigger, KAFKA_DELIVERY_ORDER, "sorted", "expected ordered or unordered"),
        (Trigger, START, "newest", start),
        (Trigger, START, "offset:", start),
        (Trigger, START, "offset:-1", start),
        (Trigger, START, "offset:18446744073709551616", start),
        (Trigger, START, "2026-01-02", start),
        (Trigger, PAUSED, "yes", "expected true or false"),
        (Trigger, PAUSED, "", "expected true or false"),
    ];
    for (kind, key, value, why) in rows {
        let want = format!("invalid value: {value}: metadata.annotations[{key}]\n{why}");
        assert_eq!(errors_of(kind, key, value), [want], "{kind} {key}={value}");
    }
}

#[test]
fn an_annotation_on_the_wrong_kind_is_refused() {
    let rows = [
        (Kind::Trigger, RETENTION, "PT1H", "Broker"),
        (Kind::Trigger, DEDUPLICATION_WINDOW, "PT1H", "Broker"),
        (Kind::Broker, START, "latest", "Trigger"),
        (Kind::Broker, PAUSED, "true", "Trigger"),
        (Kind::Broker, DELIVERY_ORDER, "ordered", "Trigger"),
    ];
    for (kind, key, value, belongs) in rows {
        let want =
            format!("must not set the field(s): metadata.annotations[{key}]\nit has a meaning on a {belongs} only");
        assert_eq!(errors_of(kind, key, value), [want]);
    }
}

#[test]
fn an_unknown_annotation_of_ours_is_named() {
    let errors = errors_of(Kind::Broker, "pelton.dev/retenton", "PT1H");
    assert_eq!(
        errors,
        ["invalid key name \"pelton.dev/retenton\": metadata.annotations[pelton.dev/retenton]\n\
          a Broker can have pelton.dev/retention, pelton.dev/deduplication-window, pelton.dev/header-encoding, \
          pelton.dev/max-in-flight, pelton.dev/backoff-max"]
    );
}

fn settings(of_trigger: &[(&str, &str)], of_broker: &[(&str, &str)]) -> TriggerSettings {
    let trigger = Trigger { metadata: meta(of_trigger), ..Trigger::default() };
    let broker = Broker { metadata: meta(of_broker), ..Broker::default() };
    effective_settings(&trigger, &broker)
}

#[test]
fn settings_of_a_trigger_fall_back_to_its_broker_and_then_to_the_default() {
    let default = TriggerSettings {
        order: DeliveryOrder::Unordered,
        max_in_flight: 100,
        header_encoding: HeaderEncoding::Percent,
        start: StartPosition::Latest,
        paused: false,
    };
    let broker = [(IN_FLIGHT, "7"), (HEADER_ENCODING, "raw")];
    let time = "2026-01-02T03:04:05Z";
    let rows: [(&[_], &[_], TriggerSettings); 11] = [
        (&[], &[], default),
        (&[], &broker, TriggerSettings { max_in_flight: 7, header_encoding: HeaderEncoding::Raw, ..default }),
        (&[(IN_FLIGHT, "9"), (HEADER_ENCODING, "percent")], &broker, TriggerSettings { max_in_flight: 9, ..default }),
        (&[(IN_FLIGHT, "many")], &[], default),
        (&[(DELIVERY_ORDER, "ordered")], &[], TriggerSettings { order: DeliveryOrder::Ordered, ..default }),
        (&[(KAFKA_DELIVERY_ORDER, "ordered")], &[], TriggerSettings { order: DeliveryOrder::Ordered, ..default }),
        (&[(DELIVERY_ORDER, "unordered"), (KAFKA_DELIVERY_ORDER, "ordered")], &[], default),
        (&[(START, "offset:5")], &[], TriggerSettings { start: StartPosition::Offset(5), ..default }),
        (&[(START, "earliest")], &[], TriggerSettings { start: StartPosition::Earliest, ..default }),
        (&[(START, time)], &[], TriggerSettings { start: StartPosition::Time(Time::parse(time).unwrap()), ..default }),
        (&[(PAUSED, "true")], &[], TriggerSettings { paused: true, ..default }),
    ];
    for (of_trigger, of_broker, want) in rows {
        assert_eq!(settings(of_trigger, of_broker), want, "{of_trigger:?} {of_broker:?}");
    }
}

#[test]
fn settings_of_a_broker() {
    let of =
        |annotations: &[(&str, &str)]| broker_settings(&Broker { metadata: meta(annotations), ..Broker::default() });
    let default = BrokerSettings {
        retention: Duration::from_secs(86_400),
        deduplication_window: None,
        header_encoding: HeaderEncoding::Percent,
    };
    assert_eq!(of(&[]), default);
    let hour = Duration::from_secs(3600);
    assert_eq!(of(&[(RETENTION, "PT1H")]), BrokerSettings { retention: hour, ..default });
    assert_eq!(of(&[(RETENTION, "PT0S")]), default);
    assert_eq!(of(&[(DEDUPLICATION_WINDOW, "PT1H")]), BrokerSettings { deduplication_window: Some(hour), ..default });
    assert_eq!(of(&[(DEDUPLICATION_WINDOW, "PT0S")]), default);
    assert_eq!(of(&[(HEADER_ENCODING, "raw")]), BrokerSettings { header_encoding: HeaderEncoding::Raw, ..default });
}

#[test]
fn the_table_of_the_module_names_every_rule() {
    let text = include_str!("../annotations.rs");
    for rule in RULES {
        assert!(text.contains(&format!("`{}`", rule.key)), "{} is not documented", rule.key);
    }
}
