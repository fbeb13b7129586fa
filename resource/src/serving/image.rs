//! References to images: `registry.example:5000/team/app:1.2@sha256:...`.

/// Whether a text is a reference to an image: perhaps a registry, then a path, then perhaps a tag and a digest.
pub(super) fn is_image_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the registry's port.
    let name_at = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_at..].split_once(':') {
        Some((last, tag)) => (&rest[..name_at + last.len()], Some(tag)),
        None => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), path),
        _ => (None, name),
    };
    // The longest name that registries take.
    name.len() <= 255
        && registry.is_none_or(is_registry)
        && path.split('/').all(is_path_part)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// A host, perhaps with a port.
fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    host.split('.').all(is_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, with separators (`.`, `_`, `__` or hyphens) between them.
fn is_path_part(part: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = part.split(|c: char| c.is_ascii() && is_inner(c as u8)).filter(|between| !between.is_empty());
    let is_separator = |text: &str| matches!(text, "." | "_" | "__") || text.bytes().all(|b| b == b'-');
    part.bytes().next().is_some_and(is_inner)
        && part.bytes().last().is_some_and(is_inner)
        && separators.all(is_separator)
}

/// At most 128 letters, digits and `_`, and after the first also `.` and `-`.
fn is_tag(text: &str) -> bool {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    (1..=128).contains(&text.len())
        && text.as_bytes().first().is_some_and(is_word)
        && text.bytes().all(|b| is_word(&b) || b == b'.' || b == b'-')
}

/// The name of an algorithm and 32 hexadecimal digits or more.
fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'_' | b'-');
    !algorithm.is_empty()
        && algorithm.bytes().all(is_name)
        && digits.len() >= 32
        && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_to_images_are_told_from_other_texts() {
        let digest = format!("@sha256:{}", "0f".repeat(32));
        let long_tag = format!("app:{}", "t".repeat(128));
        let long_name = "n".repeat(255);
        let good = [
            "app",
            "app:1",
            "library/app:latest",
            "ghcr.io/knative/helloworld-go:v1.0",
            "registry.example:5000/team/app",
            "localhost/app",
            "localhost:5000/a/b/c:x",
            "dev.local/my_app",
            "a--b/c__d/e.f",
            &format!("app{digest}"),
            &format!("app:1{digest}"),
            &long_tag,
            &long_name,
        ];
        for text in good {
            assert!(is_image_reference(text), "{text}");
        }
        let too_long_tag = format!("{long_tag}t");
        let too_long_name = format!("{long_name}n");
        let bad = [
            "",
            "App",
            "app:",
            "app:-a",
            "a b",
            "/app",
            "app/",
            "a//b",
            "-app",
            "app_",
            "a___b",
            "a..b",
            "app@",
            "app@sha256",
            "app@sha256:0f",
            "host.example:port/app",
            "host.example:99999/app",
            "https://host.example/app",
            "äpp",
            &too_long_tag,
            &too_long_name,
        ];
        for text in bad {
            assert!(!is_image_reference(text), "{text}");
        }
    }
}
