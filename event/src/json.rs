//! The JSON event format (CloudEvents, "JSON Event Format"), read and written without a tree.
//!
//! Reading is one pass over the text: attributes are borrowed from it, `data` is the text of its value. Writing copies
//! that text back. So numbers, the order of members and white space inside `data` survive.

mod error;
mod read;
mod scan;
mod string;
mod write;

pub(crate) use error::JsonError;
pub use error::JsonFault;
pub(crate) use read::{read_batch, read_event};
pub(crate) use scan::is_value;
pub(crate) use write::{write_batch, write_event};
