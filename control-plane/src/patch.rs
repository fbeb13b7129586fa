//! The three ways to say what of an object is to change (RFC 7386, RFC 6902, Kubernetes' strategic merge patch).
//!
//! Objects and patches come from a JSON parser that nests 127 levels at most. No function here makes an object deeper
//! than its two inputs, but for a JSON patch, which has [`MAX_NESTING`]: recursion ends.

mod error;
mod json;
mod merge;
mod pointer;
mod strategic;

pub use error::PatchError;
pub use json::json;
pub use merge::merge;
pub use strategic::strategic;

/// What a value is, for messages.
fn type_of(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
