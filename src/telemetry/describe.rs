//! What the metrics of the broker and the dispatcher mean. The ingress describes its own.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Tells the recorder.
pub fn all() {
    log();
    broker();
    groups();
    triggers();
    reads();
    services();
    api();
}

fn api() {
    describe_counter!("pelton_api_audit_lines_lost_total", "Changes by the API that were made and not written down");
}

/// The gateway describes what its revisions count.
fn services() {
    describe_counter!("pelton_gateway_unknown_host_total", "Requests for a host that no Service has");
    describe_counter!("pelton_gateway_bad_requests_total", "Requests that two readers could have taken differently");
    describe_counter!("pelton_gateway_connections_refused_total", "Connections that were refused, by reason");
    describe_counter!(
        "pelton_gateway_connection_timeouts_total",
        "Connections that were cut because their peer was slow or stuck"
    );
    describe_gauge!("pelton_gateway_connections", "Connections of clients");
    describe_histogram!(
        "pelton_gateway_cold_start_seconds",
        Unit::Seconds,
        "Parts of cold starts: queued, decide, spawn, ready, first-byte"
    );
}

fn groups() {
    describe_gauge!("pelton_cluster_under_replicated_groups", "Groups led here of which too few replicas answer");
    describe_gauge!("pelton_cluster_groups_without_leader", "Groups with a replica here and no leader that is known");
    describe_gauge!("pelton_cluster_failed_replicas", "Replicas here that ended and do not come back by themselves");
    describe_gauge!("pelton_cluster_silent_nodes", "Nodes that follow this one and do not answer");
    describe_gauge!("pelton_group_leads", "1 while this node leads the log group, and a majority answers it");
    describe_gauge!("pelton_group_votes", "1 while this node's replica of the log group votes");
    describe_gauge!("pelton_group_term", "The Raft term of this node's replica");
    describe_gauge!("pelton_group_commit_index", "The last log index that this replica knows to be committed");
    describe_gauge!("pelton_group_applied_index", "The last log index that this replica has applied");
    describe_gauge!("pelton_group_lag_entries", "Entries of the leader's log that a follower has not confirmed");
    describe_counter!("pelton_group_elections_won_total", "Elections that this replica has won");
    describe_counter!("pelton_group_snapshots_installed_total", "Snapshots that this replica has taken from a leader");
}

fn log() {
    describe_counter!("pelton_log_flushes_total", "Writes of the log that were synced");
    describe_histogram!("pelton_log_flush_seconds", Unit::Seconds, "Time of one write of the log and its sync");
    describe_histogram!("pelton_log_flush_bytes", Unit::Bytes, "Bytes of one write of the log, padding included");
    describe_histogram!("pelton_log_flush_records", "Records of one write of the log");
    describe_histogram!("pelton_log_segment_wait_seconds", Unit::Seconds, "Time that a new segment was waited for");
    describe_counter!("pelton_log_damaged_reads_total", "Reads that found a record damaged on disk");
    describe_gauge!(
        "pelton_log_damaged_entries",
        "Entries that cannot be read until other replicas have repaired them"
    );
    describe_counter!("pelton_log_repaired_entries_total", "Damaged entries that were repaired from other replicas");
    describe_counter!("pelton_log_scrubbed_bytes_total", Unit::Bytes, "Bytes of the log read to look for damage");
    describe_counter!("pelton_log_scrub_damage_total", "Places that were found damaged in this way");
    describe_counter!("pelton_log_scrubs_total", "Times that the whole log was read to look for damage");
    describe_gauge!("pelton_log_scrub_seconds", Unit::Seconds, "Time that the last of them took");
    describe_gauge!("pelton_log_storage_full", "1 while the disk has no room for new events");
    describe_gauge!("pelton_log_hung", "1 while what was written is not synced for 1.5 seconds or longer");
    describe_gauge!("pelton_log_bytes", Unit::Bytes, "Bytes of the log on disk");
    describe_gauge!("pelton_log_segments", "Segments of the log that hold records");
    describe_gauge!(
        "pelton_log_bytes_over_limit",
        Unit::Bytes,
        "Bytes kept beyond retention, because they are needed or cannot be freed"
    );
}

fn broker() {
    describe_counter!("pelton_broker_batches_total", "Batches handed to consensus");
    describe_counter!("pelton_broker_checkpoints_total", "Checkpoints stored: a start reads the log from the last one");
    describe_histogram!("pelton_broker_batch_events", "Events of one batch");
    describe_histogram!("pelton_broker_batch_bytes", Unit::Bytes, "Bytes of one batch");
    describe_histogram!("pelton_broker_commit_seconds", Unit::Seconds, "From a batch's first event to its commit");
    describe_counter!(
        "pelton_broker_deduplication_keys_forgotten_total",
        "Events that left a deduplication window before their time"
    );
    describe_gauge!("pelton_broker_fit_to_lead", "0 while the disk is full, slow or hung, or was so a moment ago");
    describe_gauge!("pelton_dead_letters", "Dead letters kept");
    describe_counter!("pelton_dead_letters_dropped_total", "Dead letters dropped because too many were kept");
    describe_counter!(
        "pelton_dead_letters_expired_total",
        "Dead letters dropped because they were too old or too many"
    );
}

fn triggers() {
    describe_counter!("pelton_trigger_matched_total", "Events that passed the Trigger's filter");
    describe_counter!("pelton_trigger_delivered_total", "Events that the subscriber took");
    describe_counter!("pelton_trigger_attempts_total", "Attempts at the subscriber, by how they ended");
    describe_counter!("pelton_trigger_retries_total", "Attempts that are made again");
    describe_counter!("pelton_trigger_dead_letters_total", "Events given up and kept as dead letters, by cause");
    describe_counter!("pelton_trigger_dead_letter_sink_total", "Events given up that the dead-letter sink took");
    describe_counter!("pelton_trigger_dead_letter_sink_failures_total", "Attempts at the dead-letter sink that failed");
    describe_counter!("pelton_trigger_ignored_bodies_total", "Answers with a body that was not used, by what it was");
    describe_counter!("pelton_trigger_lost_total", "Events that could not be read from the log any more");
    describe_gauge!("pelton_trigger_in_flight", "Attempts on their way");
    describe_gauge!(
        "pelton_trigger_backlog_events",
        "Events that wait for the Trigger, or may: those it has not seen yet"
    );
    describe_gauge!(
        "pelton_trigger_oldest_undelivered_seconds",
        Unit::Seconds,
        "Age of the oldest event that waits for the Trigger"
    );
    describe_gauge!("pelton_target_circuit_open", "1 while the target keeps failing and gets only probes");
}

fn reads() {
    describe_gauge!("pelton_dispatcher_stalled_reads", "Places of the log that cannot be read now and are tried again");
    describe_counter!("pelton_dispatcher_read_failures_total", "Reads of the log that failed");
    describe_gauge!("pelton_dispatcher_unmatched_events", "Events that the scan at the tail has not come to");
    describe_counter!(
        "pelton_dispatcher_undecodable_events_total",
        "Events that cannot be decoded and were passed over, once for each scan that passed"
    );
}
