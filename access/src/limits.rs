//! Every bound of this crate.

/// The longest token that is looked at, in bytes. Tokens of issuers that list hundreds of groups fit.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The largest access file, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Most issuers: the keys of each are asked for and kept.
pub const MAX_ISSUERS: usize = 16;

/// Most keys of one issuer. Issuers have two or three.
pub const MAX_KEYS: usize = 64;

/// Most groups of one caller; what a token names beyond them does not count.
pub const MAX_GROUPS: usize = 512;

/// The longest name of a user or a group, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The shortest time that a token of a ServiceAccount may be asked for, as in Kubernetes.
pub const MIN_TOKEN_SECONDS: u64 = 600;

/// The longest time that a token lasts. Who asks for more gets this, and is told.
pub const MAX_TOKEN_SECONDS: u64 = 365 * 24 * 3600;

/// How far clocks of machines may be apart, in seconds.
pub const LEEWAY_SECONDS: u64 = 10;
