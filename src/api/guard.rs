//! Keeps web pages out.
//!
//! A page that is open in a browser on this machine can make it send requests to 127.0.0.1, and can point a name of
//! its own at 127.0.0.1 to read the answers. Three rules stop it:
//!
//! 1. The `Host` must be an address, `localhost`, or a name from the configuration: a rebound name is none of them.
//! 2. What a browser says about where a request comes from (`Origin`, `Sec-Fetch-Site`) must be this listener.
//! 3. A body must be declared as JSON or YAML: a form cannot do that, and a script may not without being asked first,
//!    which is never granted.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// Whether a request may pass, by the first two rules. `scheme` is that of the listener: `http` or `https`.
///
/// # Errors
/// 403, with the rule that it breaks.
pub fn same_site(headers: &HeaderMap, hosts: &[String], scheme: &str) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    if !is_known(host, hosts) {
        return refuse(format!("the Host {host:?} is not one of this server; --api-host adds a name"));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = format!("{scheme}://{host}");
        if origin.as_bytes() != own.as_bytes() {
            return refuse("requests from other web sites are refused".into());
        }
    }
    match headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => refuse("requests from other web sites are refused".into()),
    }
}

/// Whether a body may be read, by the third rule.
///
/// # Errors
/// 415.
pub fn declared_type(headers: &HeaderMap) -> Result<(), Problem> {
    const TYPES: [&str; 5] = ["application/json", "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = value.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if TYPES.contains(&media_type.as_str()) {
        return Ok(());
    }
    let detail = format!("the Content-Type must be application/json or application/yaml, not {value:?}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

fn is_known(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok() || name == "localhost" || hosts.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_sites_are_refused() {
        let own = ["pelton.example.com".to_owned()];
        let rows: &[(&str, Option<&str>, Option<&str>, bool)] = &[
            ("127.0.0.1:8001", None, None, true),
            ("localhost:8001", None, None, true),
            ("LOCALHOST", None, None, true),
            ("[::1]:8001", None, None, true),
            ("[::1]", None, None, true),
            ("10.0.0.7", None, None, true),
            ("pelton.example.com:8001", None, None, true),
            ("evil.example.com:8001", None, None, false),
            ("localhost.evil.example.com", None, None, false),
            ("127.0.0.1.evil.example.com", None, None, false),
            ("", None, None, false),
            ("127.0.0.1:8001", Some("http://127.0.0.1:8001"), Some("same-origin"), true),
            ("127.0.0.1:8001", Some("http://127.0.0.1:9999"), None, false),
            ("127.0.0.1:8001", Some("https://127.0.0.1:8001"), None, false),
            ("127.0.0.1:8001", Some("http://evil.example.com"), None, false),
            ("127.0.0.1:8001", Some("null"), None, false),
            ("127.0.0.1:8001", None, Some("none"), true),
            ("127.0.0.1:8001", None, Some("cross-site"), false),
            ("127.0.0.1:8001", None, Some("same-site"), false),
        ];
        for row @ (host, origin, site, allowed) in rows {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            assert_eq!(same_site(&headers, &own, "http").is_ok(), *allowed, "{row:?}");
        }
        assert!(same_site(&HeaderMap::new(), &own, "http").is_err(), "no Host at all");
        for (origin, allowed) in [("https://[::1]:8001", true), ("http://[::1]:8001", false), ("https://[::1]", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "[::1]:8001".parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            assert_eq!(same_site(&headers, &own, "https").is_ok(), allowed, "{origin} of a listener with TLS");
        }
    }

    #[test]
    fn only_types_that_no_form_can_send_are_read() {
        for (value, good) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/yaml", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(declared_type(&headers).is_ok(), good, "{value:?}");
        }
        assert!(declared_type(&HeaderMap::new()).is_err());
    }
}
