//! Every statement the ledger runs on its tables, in one place so that a test can see
//! that each stays on an index.

// The order of the tables and NOT INDEXED (which leaves the key) keep the plan as it is,
// whatever statistics somebody has SQLite gather.
macro_rules! select_calls {
    ($rest:literal) => {
        concat!(
            "SELECT calls.call_id, requests.request_id, calls.position, calls.vendor, \
             calls.vendor_call_id, calls.state, calls.document \
             FROM calls CROSS JOIN requests NOT INDEXED ON requests.request = calls.request ",
            $rest
        )
    };
}

/// A request, unless its id is there.
pub const INSERT_REQUEST: &str = "INSERT INTO requests \
     (request_id, payload_hash, create_time, calls) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (request_id) DO NOTHING";

/// A request by its id.
pub const REQUEST: &str =
    "SELECT request, payload_hash, create_time, calls FROM requests WHERE request_id = ?1";

/// A call.
pub const INSERT_CALL: &str = "INSERT INTO calls \
     (call_id, request, position, client_reference, vendor, vendor_call_id, state, document) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// What changes of a call with most news. The vendor's names of it are left alone, so
/// their index is too.
pub const UPDATE_CALL: &str = "UPDATE calls SET state = ?2, document = ?3 WHERE call_id = ?1";

/// The same with the vendor and its id of the call.
pub const UPDATE_PLACED_CALL: &str = "UPDATE calls \
     SET state = ?2, document = ?3, vendor = ?4, vendor_call_id = ?5 WHERE call_id = ?1";

/// A call by its id.
pub const CALL: &str = select_calls!("WHERE calls.call_id = ?1");

/// The calls of a request from a position on.
pub const CALLS_OF_REQUEST: &str =
    select_calls!("WHERE calls.request = ?1 AND calls.position >= ?2 ORDER BY calls.position");

/// The calls with a reference, after an id.
pub const CALLS_OF_REFERENCE: &str = select_calls!(
    "WHERE calls.client_reference = ?1 AND calls.call_id > ?2 ORDER BY calls.call_id"
);

/// The ids of calls in an open state, after an id.
pub const OPEN_CALLS: &str = "SELECT call_id FROM calls \
     WHERE state = ?1 AND state < 10 AND call_id > ?2 ORDER BY call_id LIMIT ?3";

#[cfg(test)]
pub const ALL: [&str; 9] = [
    INSERT_REQUEST,
    REQUEST,
    INSERT_CALL,
    UPDATE_CALL,
    UPDATE_PLACED_CALL,
    CALL,
    CALLS_OF_REQUEST,
    CALLS_OF_REFERENCE,
    OPEN_CALLS,
];
