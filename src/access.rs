//! Who calls the API: the shell around [`pelton_access`].
//!
//! With `api-auth` the listener speaks TLS, and each request is somebody's. The authority that certificates are made with,
//! and the key that signs tokens, are one Secret of the registry: any node signs its own certificate, and what is signed at
//! one node holds at all of them. No file of a node has more in it than its kubeconfig.
//!
//! | what | where |
//! | --- | --- |
//! | the authority and the key of tokens: made once, found by every node | [`authority`] |
//! | certificates, and how TLS is spoken | `certificates`, `tls` |
//! | who somebody is | `authenticator`, and for OpenID Connect `issuer_keys`, `fetch` |
//! | what stands before the routes | [`Gate`] |
//! | changes, written down | [`Audit`] |

mod audit;
mod authenticator;
pub mod authority;
mod bearer;
mod certificates;
mod fetch;
mod gate;
mod issuer_keys;
mod keeper;
mod loaded;
#[cfg(test)]
mod tests;
mod tls;
mod wanted;

pub use audit::Audit;
pub use certificates::names;
pub use gate::Gate;
pub use keeper::{Access, Start};
pub use loaded::{AccessError, Loaded};
