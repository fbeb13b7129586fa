use super::*;
use crate::annotations;
use crate::meta::Kind;

fn annotated(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn errors_of(pairs: &[(&str, &str)]) -> Vec<String> {
    let mut errors = FieldErrors::new();
    annotations::validate_at(Kind::Revision, &annotated(pairs), "metadata", &mut errors);
    validate(&annotated(pairs), "metadata", &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn good_values_are_taken_to_the_bound() {
    let rows = [
        (RUNTIME, "process"),
        (RUNTIME, "docker"),
        (RUNTIME, "kubernetes"),
        (IDLE_PAUSE, "0s"),
        (IDLE_PAUSE, "1m30s"),
        (IDLE_PAUSE, "24h"),
        (IDLE_PAUSE, "never"),
        (IDLE_STOP, "0s"),
        (IDLE_STOP, "24h"),
        (IDLE_STOP, "never"),
        (ACTIVATION_TIMEOUT, "1ns"),
        (ACTIVATION_TIMEOUT, "1h"),
        (TIMEOUT_MODE, "reset"),
        (TIMEOUT_MODE, "truncate"),
        (SOCKET_ACTIVATION, "true"),
        (SOCKET_ACTIVATION, "false"),
        (PROGRESS_DEADLINE, "0s"),
        (PROGRESS_DEADLINE, "10m"),
        (super::super::labels::NO_GC, "true"),
        (super::super::labels::ROLLOUT_DURATION, "120s"),
    ];
    for (key, value) in rows {
        assert_eq!(errors_of(&[(key, value)]), Vec::<String>::new(), "{key}={value}");
    }
}

#[test]
fn bad_values_are_refused_one_past_the_bound() {
    let idle = "expected never, or a duration from 0s to 24h such as 5s or 1m30s";
    let activation = "expected a duration above 0s and up to 1h, such as 5s or 1m30s";
    let seconds = "expected a duration of whole seconds, such as 90s or 5m";
    let rows = [
        (RUNTIME, "", "expected process, docker or kubernetes"),
        (RUNTIME, "Docker", "expected process, docker or kubernetes"),
        (RUNTIME, "podman", "expected process, docker or kubernetes"),
        (IDLE_PAUSE, "24h0m0.000000001s", idle),
        (IDLE_PAUSE, "-1s", idle),
        (IDLE_PAUSE, "PT5S", idle),
        (IDLE_PAUSE, "Never", idle),
        (IDLE_PAUSE, "", idle),
        (IDLE_STOP, "24h1ns", idle),
        (IDLE_STOP, "5", idle),
        (ACTIVATION_TIMEOUT, "0s", activation),
        (ACTIVATION_TIMEOUT, "1h1ns", activation),
        (ACTIVATION_TIMEOUT, "never", activation),
        (TIMEOUT_MODE, "close", "expected reset or truncate"),
        (SOCKET_ACTIVATION, "yes", "expected true or false"),
        (PROGRESS_DEADLINE, "-1s", seconds),
        (PROGRESS_DEADLINE, "1.5s", seconds),
        (super::super::labels::ROLLOUT_DURATION, "100ms", seconds),
        (super::super::labels::NO_GC, "1", "expected true or false"),
    ];
    for (key, value, why) in rows {
        let want = format!("invalid value: {value}: metadata.annotations[{key}]\n{why}");
        assert_eq!(errors_of(&[(key, value)]), [want], "{key}={value}");
    }
}

#[test]
fn only_a_process_is_handed_a_socket() {
    assert_eq!(errors_of(&[(RUNTIME, "process"), (SOCKET_ACTIVATION, "true")]), Vec::<String>::new());
    assert_eq!(errors_of(&[(RUNTIME, "docker"), (SOCKET_ACTIVATION, "false")]), Vec::<String>::new());
    let want = "invalid value: true: metadata.annotations[pelton.dev/socket-activation]\n\
                only the process runtime can hand over a socket";
    for runtime in ["docker", "kubernetes"] {
        assert_eq!(errors_of(&[(RUNTIME, runtime), (SOCKET_ACTIVATION, "true")]), [want], "{runtime}");
    }
}

#[test]
fn settings_are_read_or_default() {
    let settings = |pairs: &[(&str, &str)]| {
        let mut revision = Revision::default();
        revision.metadata.annotations = annotated(pairs);
        revision_settings(&revision)
    };
    let default = RevisionSettings {
        runtime: RuntimeKind::Process,
        idle_pause: IdleTime::After(Duration::from_secs(5)),
        idle_stop: None,
        activation_timeout: Duration::from_secs(60),
        timeout_mode: TimeoutMode::Reset,
        socket_activation: false,
        progress_deadline: Duration::from_secs(600),
    };
    let zero = IdleTime::After(Duration::ZERO);
    let rows: [(&[_], RevisionSettings); 11] = [
        (&[], default),
        (&[(RUNTIME, "docker")], RevisionSettings { runtime: RuntimeKind::Docker, ..default }),
        (&[(RUNTIME, "podman")], default),
        (&[(IDLE_PAUSE, "0s")], RevisionSettings { idle_pause: zero, ..default }),
        (&[(IDLE_PAUSE, "never")], RevisionSettings { idle_pause: IdleTime::Never, ..default }),
        (&[(IDLE_STOP, "0s")], RevisionSettings { idle_stop: Some(zero), ..default }),
        (&[(IDLE_STOP, "never")], RevisionSettings { idle_stop: Some(IdleTime::Never), ..default }),
        (&[(ACTIVATION_TIMEOUT, "1m30s")], RevisionSettings { activation_timeout: Duration::from_secs(90), ..default }),
        (&[(TIMEOUT_MODE, "truncate")], RevisionSettings { timeout_mode: TimeoutMode::Truncate, ..default }),
        (&[(SOCKET_ACTIVATION, "true")], RevisionSettings { socket_activation: true, ..default }),
        (&[(PROGRESS_DEADLINE, "5s")], RevisionSettings { progress_deadline: Duration::from_secs(5), ..default }),
    ];
    for (pairs, want) in rows {
        assert_eq!(settings(pairs), want, "{pairs:?}");
    }
}

#[test]
fn settings_of_a_revision_belong_into_its_template() {
    let key = IDLE_PAUSE;
    let errors_on = |kind| {
        let mut errors = FieldErrors::new();
        annotations::validate_at(kind, &annotated(&[(key, "5s")]), "metadata", &mut errors);
        errors.to_string()
    };
    let path = "must not set the field(s): metadata.annotations[pelton.dev/idle-pause]";
    for kind in [Kind::Service, Kind::Configuration] {
        let want = format!("{path}\nit must be put under spec.template.metadata.annotations to work");
        assert_eq!(errors_on(kind), want);
    }
    for kind in [Kind::Broker, Kind::Trigger, Kind::Route, Kind::DomainMapping] {
        assert_eq!(errors_on(kind), format!("{path}\nit has a meaning on a Revision only"));
    }
    let mut errors = FieldErrors::new();
    annotations::validate_at(Kind::Route, &annotated(&[("pelton.dev/x", "y")]), "metadata", &mut errors);
    let want = "invalid key name \"pelton.dev/x\": metadata.annotations[pelton.dev/x]\na Route has none of them";
    assert_eq!(errors.to_string(), want);
}
