//! Selectors: which objects of a list or a watch are asked for.

mod error;
mod field;
mod label;
mod lexer;
mod names;

pub use error::SelectorError;
pub use field::FieldSelector;
pub use label::LabelSelector;

/// Longest text of a selector, in bytes. Browsers and proxies take no longer addresses than about twice that.
pub const MAX_SELECTOR_BYTES: usize = 4096;

fn check_length(text: &str) -> Result<(), SelectorError> {
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(SelectorError::TooLong { size_bytes: text.len(), limit_bytes: MAX_SELECTOR_BYTES });
    }
    Ok(())
}
