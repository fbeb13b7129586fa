//! The answer of a request: all at once, or as it comes about.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::status::ApiError;

/// The body of an answer.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// What comes, until it ends.
    Stream(BoxStream<'static, Bytes>),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What is answered.
pub type Answer = Response<Body>;

/// JSON with a status.
pub fn json<T: Serialize + ?Sized>(code: StatusCode, value: &T) -> Answer {
    let bytes = serde_json::to_vec(value).expect("what is answered has no map whose keys are no texts");
    whole(code, "application/json", bytes.into())
}

/// Bytes of a type.
pub fn whole(code: StatusCode, content_type: &'static str, bytes: Bytes) -> Answer {
    let mut response = Response::new(Body::Whole(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a request that was not done is answered.
pub fn refusal(error: &ApiError) -> Answer {
    let mut response = json(error.code, &error.to_value());
    if let Some(seconds) = error.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if error.code == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Bearer realm=\"pelton\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    }
    response
}

/// Adds what clients print as warnings.
pub fn warn(response: &mut Answer, warnings: &[String]) {
    for warning in warnings {
        let text: String = warning.chars().filter(|c| !c.is_control()).collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_a_quoted_text() {
        let mut response = json(StatusCode::OK, "x");
        warn(&mut response, &["unknown field \"spec.x\"".to_owned(), "a\r\nb".to_owned()]);
        let all: Vec<_> = response.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(all, ["299 - \"unknown field \\\"spec.x\\\"\"", "299 - \"ab\""]);
    }
}
