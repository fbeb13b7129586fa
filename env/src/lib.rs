//! Time and chance, handed in.
//!
//! Nothing in Pelton asks the operating system for the time or for a random number directly: shells take a
//! [`Clock`] and a [`Chance`], cores take the values. Each has a real form and one that a test drives, so that a
//! simulation can be replayed from its seed (DESIGN section 1, rule 8).

#[cfg(feature = "bugs")]
pub mod bugs;
mod chance;
mod clock;

pub use chance::{Chance, OsChance, SeededChance};
pub use clock::{Clock, ManualClock, SystemClock, UnixMillis};
