//! Every metric there is, once: its name, its kind, its labels and what it means. The text for
//! Prometheus, the export over OTLP and the documentation are all made from this table, or
//! tested against it.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the process ends.
    Counter,
    /// As it is now.
    Gauge,
    /// How values are spread.
    Histogram,
}

impl Kind {
    /// As Prometheus names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// As Prometheus has it; a counter's ends with `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its unit, in UCUM: `s`, `By`, or `1` for what is only counted.
    pub unit: &'static str,
    /// The names of its labels. Their values are of the configuration, or of a list in the code.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $unit:literal: $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// All of them, in the order in which they are told.
        pub static TABLE: &[Metric] = &[$($id),+];
    };
}

metrics! {
    BUILD_INFO = Gauge "dialplane_build_info" ["version"] "1":
        "Always 1; which version runs.";
    READY = Gauge "dialplane_ready" [] "1":
        "1 if new calls are taken now, otherwise 0.";

    CALL_TRANSITIONS = Counter "dialplane_call_transitions_total" ["vendor", "route", "state"] "1":
        "Calls that came into a state, each time they did.";
    CALL_FAILURES = Counter "dialplane_call_failures_total" ["vendor", "route", "cause"] "1":
        "Calls that failed, by the cause of their error.";
    CALLS_OPEN = Gauge "dialplane_calls_open" ["vendor", "state"] "1":
        "Calls that are in a state that is not final.";
    DOUBTS_SETTLED = Counter "dialplane_call_doubts_settled_total" ["vendor", "route", "outcome"] "1":
        "Calls that were unconfirmed and are not any more: known (settled), failed, or given up on (unknown).";

    REQUESTS = Counter "dialplane_requests_total" ["outcome"] "1":
        "CreateCalls requests that were right, by what came of them.";
    CALLS_IN_MEMORY = Gauge "dialplane_calls_in_memory" [] "1":
        "Calls of requests that are being placed now.";
    CALLS_IN_MEMORY_LIMIT = Gauge "dialplane_calls_in_memory_limit" [] "1":
        "How many calls may be placed at the same time.";

    VENDOR_EXCHANGES = Counter "dialplane_vendor_exchanges_total" ["vendor", "kind", "result"] "1":
        "Requests to a vendor that are over, by what came of them.";
    VENDOR_EXCHANGE_DURATION = Histogram "dialplane_vendor_exchange_duration_seconds" ["vendor", "kind"] "s":
        "How long exchanges with a vendor took, from connecting to the end of the answer.";
    VENDOR_EXCHANGE_CALLS = Histogram "dialplane_vendor_exchange_calls" ["vendor"] "1":
        "How many calls went in one exchange.";
    VENDOR_FAILOVERS = Counter "dialplane_vendor_failovers_total" ["vendor", "cause"] "1":
        "Calls that moved on from a vendor to the next one of their route.";
    VENDOR_IN_FLIGHT = Gauge "dialplane_vendor_exchanges_in_flight" ["vendor"] "1":
        "Exchanges with a vendor that are under way.";
    VENDOR_IN_FLIGHT_LIMIT = Gauge "dialplane_vendor_exchanges_in_flight_limit" ["vendor"] "1":
        "How many may be (max_in_flight).";
    VENDOR_WAITING = Gauge "dialplane_vendor_waiting_calls" ["vendor"] "1":
        "Calls that wait for their turn at a vendor.";
    VENDOR_WAITING_OLDEST = Gauge "dialplane_vendor_waiting_oldest_seconds" ["vendor"] "s":
        "For how long the first of them waits; 0 if none does.";
    VENDOR_PACE_LIMIT = Gauge "dialplane_vendor_pace_limit" ["vendor", "unit"] "1":
        "How much a vendor takes in a window of time (rate), in calls or requests.";
    VENDOR_PACE_LEFT = Gauge "dialplane_vendor_pace_left" ["vendor", "unit"] "1":
        "How much of that is left now.";
    VENDOR_PACE_WINDOW = Gauge "dialplane_vendor_pace_window_seconds" ["vendor"] "s":
        "How long the window is.";
    VENDOR_REST = Gauge "dialplane_vendor_rest_seconds" ["vendor"] "s":
        "For how long nothing is sent because the vendor said that it gets too much; 0 if it did not.";
    VENDOR_TOO_FAST = Counter "dialplane_vendor_too_fast_total" ["vendor"] "1":
        "Answers in which a vendor said that it gets too much.";
    VENDOR_BREAKER = Gauge "dialplane_vendor_breaker" ["vendor", "state"] "1":
        "1 for the state in which the vendor's breaker is, 0 for the others.";
    VENDOR_BREAKER_OPENINGS = Counter "dialplane_vendor_breaker_openings_total" ["vendor"] "1":
        "How often the vendor's breaker opened.";
    VENDOR_LAST_SUCCESS = Gauge "dialplane_vendor_last_success_timestamp_seconds" ["vendor"] "s":
        "When an exchange with a vendor last went well, since the epoch; absent if none did.";
    VENDOR_LAST_ERROR = Gauge "dialplane_vendor_last_error_timestamp_seconds" ["vendor"] "s":
        "When one last failed by the vendor's doing; absent if none did.";

    LEDGER_COMMITS = Counter "dialplane_ledger_commits_total" ["result"] "1":
        "Transactions of the ledger's writer.";
    LEDGER_COMMIT_DURATION = Histogram "dialplane_ledger_commit_duration_seconds" [] "s":
        "How long they took, the disk's sync included.";
    LEDGER_COMMIT_CHANGES = Histogram "dialplane_ledger_commit_changes" [] "1":
        "How many changes shared a transaction.";
    LEDGER_QUEUE = Gauge "dialplane_ledger_queue_calls" ["queue"] "1":
        "Calls that wait to be written: new ones, and news of others.";
    LEDGER_QUEUE_LIMIT = Gauge "dialplane_ledger_queue_calls_limit" ["queue"] "1":
        "How many may wait.";
    LEDGER_FILE_SIZE = Gauge "dialplane_ledger_file_bytes" ["file"] "By":
        "How large the ledger's files are: the database, and the log beside it (wal).";
    LEDGER_DISK_FREE = Gauge "dialplane_ledger_disk_free_bytes" [] "By":
        "How much room is left where they are.";

    CALLBACK_RESPONSES = Counter "dialplane_callback_responses_total" ["code"] "1":
        "Answers of the listener for callbacks, by their HTTP status.";
    CALLBACK_DELIVERIES = Counter "dialplane_callback_deliveries_total" ["vendor", "outcome"] "1":
        "Deliveries in a vendor's name, by what became of them.";
    CALLBACK_PIECES = Counter "dialplane_callback_pieces_total" ["vendor", "outcome"] "1":
        "What they said of single calls, by what became of it.";
    CALLBACK_STRAYS_DROPPED = Counter "dialplane_callback_strays_dropped_total" [] "1":
        "News of calls that was kept because nobody knew them, and dropped because nobody came to.";

    WATCH_STREAMS = Counter "dialplane_watch_streams_total" ["start"] "1":
        "Streams of changes that began, anew or resumed at a cursor.";
    WATCHERS = Gauge "dialplane_watchers" [] "1":
        "Streams that follow changes as they are made, now.";
    WATCH_CHANGES = Counter "dialplane_watch_changes_total" [] "1":
        "Changes sent to all who watch.";

    RPCS = Counter "dialplane_rpcs_total" ["method", "code"] "1":
        "RPCs that are over, by their gRPC status.";
    RPC_DURATION = Histogram "dialplane_rpc_duration_seconds" ["method"] "s":
        "How long they took, from the headers to the end of the answer.";

    CONFIGURATION_LOADS = Counter "dialplane_configuration_loads_total" ["result"] "1":
        "How often the configuration was read.";
    CONFIGURATION_GOOD = Gauge "dialplane_configuration_last_load_successful" [] "1":
        "1 if it was right the last time, otherwise 0: then what was read before holds.";
    CONFIGURATION_TIME = Gauge "dialplane_configuration_last_success_timestamp_seconds" [] "s":
        "When the configuration that holds was read, since the epoch.";
    CERTIFICATE_EXPIRY = Gauge "dialplane_certificate_expiry_timestamp_seconds" ["certificate"] "s":
        "When a certificate of the gateway's own ends, since the epoch.";
    METRICS_EXPORTS = Counter "dialplane_metrics_exports_total" ["result"] "1":
        "Exports of these metrics over OTLP.";

    SPANS = Counter "dialplane_spans_total" ["result"] "1":
        "Spans of traces: exported, dropped for want of room, or sent in vain.";
    LOG_LINES_LOST = Counter "dialplane_log_lines_lost_total" [] "1":
        "Log lines that nobody read in time.";

    RUNTIME_TASKS = Gauge "dialplane_runtime_tasks" [] "1":
        "Tasks of the async runtime that are alive.";
    RUNTIME_QUEUE = Gauge "dialplane_runtime_queued_tasks" [] "1":
        "Tasks that wait in its global queue.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" [] "s":
        "Processor time of the process, user and system.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [] "By":
        "Its memory that is resident.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" [] "By":
        "Its address space.";
    PROCESS_FDS = Gauge "process_open_fds" [] "1":
        "Its open file descriptors.";
    PROCESS_FDS_LIMIT = Gauge "process_max_fds" [] "1":
        "How many it may have; absent if there is no limit.";
    PROCESS_THREADS = Gauge "process_threads" [] "1":
        "Its threads.";
    PROCESS_START = Gauge "process_start_time_seconds" [] "s":
        "When it began, since the epoch.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_keep_to_the_conventions() {
        let mut seen = HashSet::new();
        for metric in TABLE {
            let Metric { name, kind, unit, labels, help } = metric;
            assert!(seen.insert(*name), "{name} is there twice");
            let is_word = |word: &str| word.chars().all(|c| c == '_' || c.is_ascii_lowercase());
            assert!(is_word(name) && labels.iter().all(|label| is_word(label)), "{name}");
            assert!(name.starts_with("dialplane_") || name.starts_with("process_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let base = name.trim_end_matches("_total").trim_end_matches("_limit");
            assert_eq!(base.ends_with("_seconds"), *unit == "s", "{name}");
            assert_eq!(base.ends_with("_bytes"), *unit == "By", "{name}");
            assert!(!["_bucket", "_count", "_sum", "_info_"].iter().any(|s| base.ends_with(s)));
            assert!(help.ends_with('.') && !help.contains(['\n', '\\', '|']), "{name}");
            assert!(!labels.contains(&"le"), "{name}");
        }
    }
}
