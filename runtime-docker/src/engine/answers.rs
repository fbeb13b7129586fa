//! What the engine answers: of each answer only what is needed, so that what engines say differently does no harm.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Of `GET /info`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Info {
    /// `1` or `2`, or `v1`.
    pub cgroup_version: String,
    /// Such as `name=rootless`.
    pub security_options: Option<Vec<String>>,
}

impl Info {
    /// Whether containers can be paused: without root the freezer of cgroups of version 1 is not ours (Podman says so).
    pub fn can_pause(&self) -> bool {
        let options = self.security_options.as_deref().unwrap_or_default();
        !(self.cgroup_version.trim_start_matches('v') == "1"
            && options.iter().any(|option| option.contains("rootless")))
    }
}

/// Of `POST /containers/create`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    /// Which, in the engine's own words. It is called by the name that we gave it.
    #[serde(rename = "Id")]
    pub _id: String,
    /// For people.
    #[serde(default)]
    pub warnings: Option<Vec<String>>,
}

/// Of `GET /containers/{id}/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspected {
    /// What it is doing, or how it ended.
    pub state: State,
    /// Where it is reached.
    #[serde(default)]
    pub network_settings: NetworkSettings,
}

/// What a container is doing, or how it ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    /// For people, but for `removing`: engines know different words.
    pub status: String,
    /// It runs, paused or not.
    pub running: bool,
    /// It is paused.
    pub paused: bool,
    /// The code of its end.
    pub exit_code: i64,
    /// Whether it ended for the memory it used.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
}

impl State {
    /// Whether it has processes. Podman does not say of a paused container that it runs.
    pub fn lives(&self) -> bool {
        self.running || self.paused
    }
}

/// Where a container is reached.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// By `8080/tcp`. `null`, or empty, when it does not run.
    pub ports: Option<BTreeMap<String, Option<Vec<PortBinding>>>>,
}

/// One address of the host that leads to a port of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortBinding {
    /// An address, or empty for all.
    pub host_ip: String,
    /// A number.
    pub host_port: String,
}

/// Of `POST /containers/{id}/wait`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Waited {
    /// The code of its end.
    pub status_code: i64,
}

/// Of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// Which.
    pub id: String,
    /// Such as `paused`.
    #[serde(default)]
    pub state: String,
}

/// One line of `POST /images/create`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Why it failed.
    pub error: Option<String>,
    /// The same, as newer engines say it.
    pub error_detail: Option<ErrorDetail>,
}

/// Why it failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
}

impl Progress {
    /// Why it failed, if it did.
    pub fn failure(self) -> Option<String> {
        self.error_detail.map(|detail| detail.message).filter(|message| !message.is_empty()).or(self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker and Podman answer, with what they say differently.
    #[test]
    fn a_container_is_read_from_either_engine() {
        for (what, json, lives, port) in [
            (
                "Docker, running",
                r#"{"Id":"1","State":{"Status":"running","Running":true,"Paused":false,"OOMKilled":false,"ExitCode":0},
                    "NetworkSettings":{"Ports":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"41"}],"90/tcp":null}}}"#,
                true,
                Some("41"),
            ),
            (
                "Podman, paused: it is not said to run, and an entry point is one text",
                r#"{"State":{"Status":"paused","Running":false,"Paused":true},"Config":{"Entrypoint":"/a"},
                    "NetworkSettings":{"Ports":{"8080/tcp":[{"HostIp":"","HostPort":"41"}]}}}"#,
                true,
                Some("41"),
            ),
            ("ended", r#"{"State":{"Status":"exited","ExitCode":3},"NetworkSettings":{"Ports":null}}"#, false, None),
            ("Podman, created: a word of its own", r#"{"State":{"Status":"configured"}}"#, false, None),
        ] {
            let read: Inspected = serde_json::from_str(json).unwrap_or_else(|why| panic!("{what}: {why}"));
            assert_eq!(read.state.lives(), lives, "{what}");
            let ports = read.network_settings.ports.unwrap_or_default();
            let bound = ports.get("8080/tcp").and_then(Option::as_ref).map(|all| all[0].host_port.as_str());
            assert_eq!(bound, port, "{what}");
        }
    }

    #[test]
    fn without_root_and_with_old_cgroups_nothing_is_paused() {
        for (json, want) in [
            (r#"{"CgroupVersion":"2","SecurityOptions":["name=rootless"]}"#, true),
            (r#"{"CgroupVersion":"1","SecurityOptions":["name=seccomp,profile=default"]}"#, true),
            (r#"{"CgroupVersion":"1","SecurityOptions":["name=rootless"]}"#, false),
            (r#"{"CgroupVersion":"v1","SecurityOptions":["name=rootless"]}"#, false),
            (r#"{"CgroupVersion":"1","SecurityOptions":null}"#, true),
            ("{}", true),
        ] {
            assert_eq!(serde_json::from_str::<Info>(json).unwrap().can_pause(), want, "{json}");
        }
    }

    #[test]
    fn a_pull_that_fails_says_why_in_its_last_line() {
        for (json, want) in [
            (r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}"#, None),
            (r#"{"errorDetail":{"message":"no space"},"error":"no space"}"#, Some("no space")),
            (r#"{"error":"no space"}"#, Some("no space")),
            (r#"{"errorDetail":{"code":1,"message":"no space"}}"#, Some("no space")),
        ] {
            assert_eq!(serde_json::from_str::<Progress>(json).unwrap().failure().as_deref(), want, "{json}");
        }
    }
}
