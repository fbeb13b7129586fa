//! The API as a client sees it, over a broker in memory.

mod deleting;
mod harness;
mod reading;
mod watching;
mod writing;
