//! The client of the Kubernetes-shaped API: what the commands about resources speak.
//!
//! Objects are JSON here, as they came: what a newer server has put into one is shown and sent back.

mod api;
mod error;
pub mod kinds;
pub mod object;
mod watch;

pub use api::{KubeApi, Place, Selection, Write};
pub use error::KubeError;
pub use watch::{Change, Follow};
