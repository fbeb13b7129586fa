//! The crate against the CloudEvents specifications: tables of what is taken and refused, properties of the codecs, and
//! a peer that nobody here wrote.

mod any_event;
mod core_rules;
mod frame;
mod http_binding;
mod json_format;
mod refusals;
mod round_trips;
mod sdk_peer;
