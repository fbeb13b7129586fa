//! Images: those that are there, and those that a registry has.

use std::collections::BTreeSet;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::mpsc;

use super::answer::{Answer, error, json, streamed};

#[derive(Debug, Default)]
pub struct Images {
    here: Mutex<BTreeSet<String>>,
    registry: Mutex<BTreeSet<String>>,
}

/// One whose pull fails midway has this in its name.
pub const BROKEN: &str = "broken";

impl Images {
    pub fn with(image: &str) -> Self {
        let images = Self::default();
        images.here.lock().insert(image.to_owned());
        images
    }

    pub fn publish(&self, image: &str) {
        self.registry.lock().insert(with_tag(image));
    }

    pub fn has(&self, image: &str) -> bool {
        self.here.lock().contains(&with_tag(image))
    }

    /// `ImageInspect`.
    pub fn inspect(&self, image: &str) -> Answer {
        if self.has(image) {
            return json(200, &json!({ "Id": "sha256:00", "RepoTags": [with_tag(image)] }));
        }
        error(404, format_args!("No such image: {}", with_tag(image)))
    }

    /// `ImageCreate`: the head comes before it is known whether it succeeds.
    pub fn create(&self, name: &str, tag: &str) -> Answer {
        let image = if tag.contains(':') { format!("{name}@{tag}") } else { format!("{name}:{tag}") };
        if !self.registry.lock().contains(&image) {
            let message = format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied"
            );
            return error(404, message);
        }
        let mut lines = vec![
            json!({ "status": format!("Pulling from {name}"), "id": tag }),
            json!({ "status": "Downloading", "progressDetail": { "current": 1, "total": 2 }, "id": "a" }),
        ];
        if image.contains(BROKEN) {
            let message = "write /var/lib/docker/tmp: no space left on device";
            lines.push(json!({ "errorDetail": { "message": message }, "error": message }));
        } else {
            lines.push(json!({ "status": format!("Status: Downloaded newer image for {image}") }));
            self.here.lock().insert(image);
        }
        let (sender, pieces) = mpsc::channel(1);
        let all: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        tokio::spawn(async move {
            // In pieces that have nothing to do with lines.
            for piece in all.as_bytes().chunks(37) {
                let _ = sender.send(Bytes::copy_from_slice(piece)).await;
            }
        });
        streamed(pieces)
    }
}

/// What a name means: a digest goes over a tag, and without either it is the latest.
fn with_tag(image: &str) -> String {
    let (tagged, digest) = image.split_once('@').map_or((image, None), |(tagged, digest)| (tagged, Some(digest)));
    let (name, tag) = match tagged.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (tagged, "latest"),
    };
    digest.map_or_else(|| format!("{name}:{tag}"), |digest| format!("{name}@{digest}"))
}
