//! The metric of calls that are tried again.

use metrics::{counter, describe_counter};

use crate::retry::{Refused, Verdict};

const RETRIES: &str = "pelton_client_retries_total";

pub(super) fn describe() {
    describe_counter!(RETRIES, "Calls of this process to the log groups that are tried again, by why the try failed");
}

/// A try failed with this error, and another follows.
pub(super) fn count(error: &impl Refused) {
    let reason = match error.verdict() {
        Verdict::Elsewhere(_) => "not-leader",
        Verdict::Later => "unavailable",
        Verdict::NoQuorum => "no-quorum",
        Verdict::Unknown => "outcome-unknown",
        // It is not tried again.
        Verdict::Final => return,
    };
    counter!(RETRIES, "reason" => reason).increment(1);
}
