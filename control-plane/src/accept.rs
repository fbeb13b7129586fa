//! In which form an answer is wanted.

use http::{HeaderMap, header};

use crate::status::ApiError;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The object or the list itself.
    Plain,
    /// A table, as `kubectl get` prints.
    Table,
    /// Metadata only.
    Partial,
}

/// A clause of `Accept`: its media type and parameters, in lower case.
struct Clause {
    media_type: String,
    parameters: Vec<(String, String)>,
}

impl Clause {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = parts.filter_map(|part| part.split_once('='));
        let parameters = parameters.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Self { media_type, parameters: parameters.collect() }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn is_json(&self) -> bool {
        matches!(self.media_type.as_str(), "application/json" | "application/*" | "*/*" | "")
    }
}

fn clauses(headers: &HeaderMap) -> Vec<Clause> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(Clause::parse).collect()
}

/// The first form of those that are asked for that can be given. Nothing asked for is anything.
///
/// # Errors
/// 406: none of them can.
pub fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let all = clauses(headers);
    if all.is_empty() {
        return Ok(Form::Plain);
    }
    for clause in &all {
        if !clause.is_json() {
            continue;
        }
        let is_meta = clause.parameter("g").is_none_or(|group| group == "meta.k8s.io")
            && clause.parameter("v").is_none_or(|version| version == "v1");
        match clause.parameter("as") {
            None => return Ok(Form::Plain),
            Some("Table") if is_meta => return Ok(Form::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if is_meta => return Ok(Form::Partial),
            Some(_) => {}
        }
    }
    Err(ApiError::not_acceptable())
}

/// The version of aggregated discovery that is asked for before the plain one.
#[must_use]
pub fn discovery(headers: &HeaderMap) -> Option<&'static str> {
    for clause in clauses(headers) {
        let is_aggregated = clause.parameter("as") == Some("APIGroupDiscoveryList")
            && clause.parameter("g") == Some("apidiscovery.k8s.io");
        match (clause.is_json(), is_aggregated, clause.parameter("v")) {
            (true, true, Some("v2")) => return Some("v2"),
            (true, true, Some("v2beta1")) => return Some("v2beta1"),
            (true, false, None) => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        headers
    }

    #[test]
    fn the_first_form_that_can_be_given_is() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        for (accept, want) in [
            ("application/json", Some(Form::Plain)),
            ("*/*", Some(Form::Plain)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Plain)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Some(Form::Table),
            ),
            (table, Some(Form::Table)),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Some(Form::Plain)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Form::Partial)),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
        ] {
            assert_eq!(form(&headers(accept)).ok(), want, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()), Ok(Form::Plain));
    }

    #[test]
    fn aggregated_discovery_is_given_to_who_asks_first() {
        let of = |version: &str| format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        for (accept, want) in [
            (format!("{},{},application/json", of("v2"), of("v2beta1")), Some("v2")),
            (format!("{},application/json", of("v2beta1")), Some("v2beta1")),
            (format!("application/json,{}", of("v2")), None),
            (format!("{},application/json", of("v9")), None),
        ] {
            assert_eq!(discovery(&headers(&accept)), want, "{accept}");
        }
        assert_eq!(discovery(&HeaderMap::new()), None);
    }
}
