//! Every statement the ledger runs on its tables, in one place so that a test can see
//! that each stays on an index.

// The order of the tables and NOT INDEXED (which leaves the key) keep the plan as it is,
// whatever statistics somebody has SQLite gather. Calls of a request that leaves (`look` is
// NULL) are there no more.
macro_rules! select_calls {
    ($rest:literal) => {
        concat!(
            "SELECT calls.call_id, requests.request_id, calls.position, calls.vendor, \
             calls.vendor_call_id, calls.state, calls.document, calls.due, calls.call, \
             calls.outbox, calls.held, changes.document, calls.asked, calls.last \
             FROM calls CROSS JOIN requests NOT INDEXED ON requests.request = calls.request \
             AND requests.look IS NOT NULL \
             LEFT JOIN changes NOT INDEXED ON changes.number = calls.last ",
            $rest
        )
    };
}

/// A request, unless its id is there.
pub const INSERT_REQUEST: &str = "INSERT INTO requests \
     (request_id, payload_hash, create_time, calls, fields, look, first) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (request_id) DO NOTHING";

/// A request by its id.
pub const REQUEST: &str = "SELECT request, payload_hash, create_time, calls, fields, first \
     FROM requests WHERE request_id = ?1";

/// A call.
pub const INSERT_CALL: &str = "INSERT INTO calls \
     (call, call_id, request, position, client_reference, vendor, vendor_call_id, state, document, \
     due, outbox, held, last, asked, room) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, zeroblob(?15))";

/// What changes of a call with most news. The vendor's names of it are left alone, so
/// their index is too; and so is the ticket with which somebody has it.
pub const UPDATE_CALL: &str = "UPDATE calls \
     SET state = ?2, last = ?3, due = ?4, outbox = ?5, \
     held = CASE WHEN ?6 = -1 AND held < 0 THEN held ELSE ?6 END, asked = ?7 WHERE call = ?1";

/// The same with the vendor and its id of the call.
pub const UPDATE_PLACED_CALL: &str = "UPDATE calls \
     SET state = ?2, last = ?3, due = ?4, outbox = ?5, \
     held = CASE WHEN ?6 = -1 AND held < 0 THEN held ELSE ?6 END, asked = ?7, \
     vendor = ?8, vendor_call_id = ?9, room = zeroblob(?10) \
     WHERE call = ?1";

/// A request to a vendor as it goes out.
pub const INSERT_OUTBOX: &str = "INSERT INTO outbox (vendor, written, calls, open, letter) \
     VALUES (?1, ?2, ?3, ?4, ?5)";

/// The entry a call is in.
pub const OUTBOX_OF_CALL: &str = "SELECT outbox FROM calls WHERE call_id = ?1";

/// An entry.
pub const OUTBOX: &str = "SELECT vendor, written, calls, letter FROM outbox WHERE entry = ?1";

/// So many of an entry's calls need it no more.
pub const RELEASE_OUTBOX: &str = "UPDATE outbox SET open = open - ?2 WHERE entry = ?1";

/// An entry nobody needs.
pub const DELETE_OUTBOX: &str = "DELETE FROM outbox WHERE entry = ?1 AND open <= 0";

/// A call by its id.
pub const CALL: &str = select_calls!("WHERE calls.call_id = ?1");

/// The calls of a request from a key on, up to another.
pub const CALLS_OF_REQUEST: &str = select_calls!(
    "WHERE calls.call >= ?1 AND calls.call < ?2 AND +calls.request = ?3 ORDER BY calls.call"
);

/// The calls with a reference, after an id.
pub const CALLS_OF_REFERENCE: &str = select_calls!(
    "WHERE calls.client_reference = ?1 AND calls.call_id > ?2 ORDER BY calls.call_id"
);

/// The ids of calls in a state that no vendor has, after an id.
pub const OPEN_CALLS: &str = "SELECT call_id FROM calls \
     WHERE state = ?1 AND state < 3 AND call_id > ?2 ORDER BY call_id LIMIT ?3";

/// The ids and states of the open calls that a vendor has, or may have.
pub const CALLS_WITH_VENDOR: &str = "SELECT call_id, state FROM calls INDEXED BY calls_due \
     WHERE vendor = ?1 AND due IS NOT NULL";

/// The states of the open calls that a vendor has, or may have.
pub const STATES_WITH_VENDOR: &str = "SELECT state FROM calls INDEXED BY calls_due \
     WHERE vendor = ?1 AND due IS NOT NULL AND state >= 3";

/// The vendors and states of the calls that no vendor has yet.
pub const VENDORS_OF_BEGUN: &str =
    "SELECT vendor, state FROM calls INDEXED BY calls_begun WHERE state < 3";

/// The next vendor who has open calls.
pub const VENDOR_WITH_CALLS: &str = "SELECT vendor FROM calls INDEXED BY calls_due \
     WHERE due IS NOT NULL AND vendor > ?1 ORDER BY vendor LIMIT 1";

/// A call by its key.
pub const CALL_OF_KEY: &str = select_calls!("WHERE calls.call = ?1");

/// The key of the newest call with a vendor's id.
pub const KEY_OF_VENDOR_CALL: &str = "SELECT call FROM calls \
     WHERE vendor = ?1 AND vendor_call_id = ?2 ORDER BY call DESC LIMIT 1";

/// The key of the newest call of which an earlier dial has a vendor's id.
pub const KEY_OF_EARLIER_DIAL: &str = "SELECT call FROM dials \
     WHERE vendor = ?1 AND vendor_call_id = ?2 ORDER BY call DESC LIMIT 1";

/// A dial that is followed by another one.
pub const INSERT_DIAL: &str =
    "INSERT INTO dials (call, vendor, vendor_call_id) VALUES (?1, ?2, ?3)";

/// All dials of a call.
pub const DELETE_DIALS: &str = "DELETE FROM dials WHERE call = ?1";

/// A vendor's calls that are looked at again, earliest first.
pub const CALLS_DUE: &str = select_calls!(
    "WHERE calls.vendor = ?1 AND calls.due IS NOT NULL AND calls.due < 9223372036854775807 \
     ORDER BY calls.due"
);

/// A vendor's calls that nobody has taken up yet, those first whose time comes first.
pub const CALLS_HELD: &str =
    select_calls!("WHERE calls.vendor = ?1 AND calls.held >= 0 ORDER BY calls.held, calls.call");

/// Those that were taken up with a ticket.
pub const CALLS_TAKEN: &str =
    select_calls!("WHERE calls.vendor = ?1 AND calls.held = ?2 ORDER BY calls.call");

/// The next vendor for whom calls wait.
pub const WAITED_FOR: &str = "SELECT vendor FROM calls INDEXED BY calls_held \
     WHERE held IS NOT NULL AND vendor > ?1 ORDER BY vendor LIMIT 1";

/// The keys of some of a vendor's calls that somebody has.
pub const CALLS_IN_HANDS: &str =
    "SELECT call FROM calls WHERE vendor = ?1 AND held < 0 ORDER BY held, call LIMIT ?2";

/// A call that waits is taken up, or let go.
pub const SET_HELD: &str = "UPDATE calls SET held = ?2 WHERE call = ?1";

/// A change of a call, or the first ones of several.
pub const INSERT_CHANGE: &str = "INSERT INTO changes \
     (number, count, call, before, route, vendor, state, document) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// The changes after a number, without their documents.
pub const CHANGES_AFTER: &str =
    "SELECT number, count, call, route FROM changes WHERE number > ?1 ORDER BY number";

/// The row that has a change, and the one before it of the same call.
pub const CHANGE_BEFORE: &str =
    "SELECT number, count, before FROM changes WHERE number >= ?1 ORDER BY number LIMIT 1";

/// Who is in the row that has a change, and what became of it.
pub const CHANGE: &str = "SELECT number, count, call, vendor, state, document \
     FROM changes WHERE number >= ?1 ORDER BY number LIMIT 1";

/// What never changes of a call, and how it was recorded.
pub const RECORDED_CALL: &str = "SELECT calls.call_id, requests.request_id, calls.position, \
     calls.document, calls.due, calls.asked \
     FROM calls CROSS JOIN requests NOT INDEXED ON requests.request = calls.request \
     AND requests.look IS NOT NULL \
     WHERE calls.call = ?1";

/// A call's key, its newest change and its state.
pub const KEY_OF_CALL: &str = "SELECT call, last, state FROM calls WHERE call_id = ?1";

/// The keys of a request's calls, with their newest changes.
pub const KEYS_OF_REQUEST: &str =
    "SELECT call, last FROM calls WHERE call >= ?1 AND call < ?2 AND +request = ?3";

/// The keys of the calls with a reference.
pub const KEYS_OF_REFERENCE: &str = "SELECT call FROM calls WHERE client_reference = ?1";

/// The newest change of a call.
pub const LAST_CHANGE: &str = "SELECT last FROM calls WHERE call = ?1";

/// The reference of a call.
pub const REFERENCE_OF_CALL: &str = "SELECT client_reference FROM calls WHERE call = ?1";

/// The ids of a request's calls that are not over.
pub const OPEN_OF_REQUEST: &str =
    "SELECT call_id FROM calls WHERE call >= ?1 AND call < ?2 AND +request = ?3 AND state < 10";

/// A request whose calls are being removed.
pub const LEAVING_REQUEST: &str = "SELECT request FROM requests WHERE look IS NULL LIMIT 1";

/// The request whose time to be looked at came first.
pub const OLDEST_REQUEST: &str =
    "SELECT request, calls FROM requests WHERE look < ?1 ORDER BY look LIMIT 1";

/// The key of a request's first call, and how many there were.
pub const REACH_OF_REQUEST: &str = "SELECT first, calls FROM requests WHERE request = ?1";

/// It is looked at later.
pub const PUT_OFF_REQUEST: &str = "UPDATE requests SET look = ?2 WHERE request = ?1";

/// Nobody sees it from here on. Its id is free: no request's has a space.
pub const LEAVE_REQUEST: &str =
    "UPDATE requests SET look = NULL, request_id = 'removed ' || request WHERE request = ?1";

/// A request whose calls are gone.
pub const DELETE_REQUEST: &str = "DELETE FROM requests WHERE request = ?1";

/// What is known of a request's calls: how each was recorded, and its newest change.
pub const DOCUMENTS_OF_REQUEST: &str = "SELECT calls.document, changes.document \
     FROM calls LEFT JOIN changes NOT INDEXED ON changes.number = calls.last \
     WHERE calls.call >= ?1 AND calls.call < ?2 AND +calls.request = ?3";

/// The keys of some calls of a request, with the entries they are in and their newest
/// changes.
pub const SOME_CALLS_OF_REQUEST: &str = "SELECT call, outbox, last FROM calls \
     WHERE call >= ?1 AND call < ?2 AND +request = ?3 ORDER BY call LIMIT ?4";

/// A later change of a call that goes.
pub const DELETE_CHANGE: &str = "DELETE FROM changes WHERE number = ?1";

/// First changes, once none of their calls is there.
pub const DELETE_FIRST_CHANGES: &str = "DELETE FROM changes WHERE number = ?1 AND NOT EXISTS \
     (SELECT 1 FROM calls WHERE calls.call >= changes.call \
     AND calls.call < changes.call + changes.count)";

/// A call without changes.
pub const DELETE_CALL: &str = "DELETE FROM calls WHERE call = ?1";

/// News of an unknown call.
pub const INSERT_STRAY: &str =
    "INSERT INTO strays (vendor, vendor_call_id, at, said) VALUES (?1, ?2, ?3, ?4)";

/// The keys and lengths of the oldest news kept of a vendor's id.
pub const STRAYS_OF_CALL: &str = "SELECT stray, octet_length(said) FROM strays \
     WHERE vendor = ?1 AND vendor_call_id = ?2 ORDER BY stray LIMIT ?3";

/// News that is kept.
pub const STRAY: &str = "SELECT at, said FROM strays WHERE stray = ?1";

/// Of whose ids news is kept.
pub const STRAY_NAMES: &str = "SELECT stray, vendor, vendor_call_id FROM strays \
     WHERE stray > ?1 ORDER BY stray LIMIT ?2";

/// What was kept longest.
pub const DELETE_OLDEST_STRAY: &str =
    "DELETE FROM strays WHERE stray = (SELECT min(stray) FROM strays)";

/// What is dealt with.
pub const DELETE_STRAY: &str = "DELETE FROM strays WHERE stray = ?1";

/// What is too old.
pub const DELETE_OLD_STRAYS: &str = "DELETE FROM strays WHERE at < ?1";

/// How much news is kept, and how much was dropped.
pub const COUNT_OF_STRAYS: &str = "SELECT kept, dropped FROM ledger WHERE one = 1";

/// Both, counted anew.
pub const SET_COUNT_OF_STRAYS: &str = "UPDATE ledger SET kept = ?1, dropped = ?2 WHERE one = 1";

/// So much less is kept.
pub const TAKE_STRAYS: &str = "UPDATE ledger SET kept = max(kept - ?1, 0) WHERE one = 1";

/// Somebody was told what was dropped.
pub const RESET_DROPPED: &str = "UPDATE ledger SET dropped = 0 WHERE one = 1";

/// A number that must not be called. The same again keeps what is known of it.
pub const INSERT_SUPPRESSION: &str = "INSERT INTO suppressions (number, reason, create_time) VALUES (?1, ?2, ?3) \
     ON CONFLICT (number) DO UPDATE SET reason = iif(excluded.reason = '', reason, excluded.reason) \
     RETURNING number, reason, create_time";

/// It may be called again.
pub const DELETE_SUPPRESSION: &str = "DELETE FROM suppressions WHERE number = ?1";

/// What is known of a number that must not be called.
pub const SUPPRESSION: &str =
    "SELECT number, reason, create_time FROM suppressions WHERE number = ?1";

/// The numbers after a number that must not be called.
pub const SUPPRESSIONS_AFTER: &str = "SELECT number, reason, create_time FROM suppressions \
     WHERE number > ?1 ORDER BY number LIMIT ?2";

/// The first number that must not be called, if there is one at all.
pub const FIRST_SUPPRESSION: &str = "SELECT min(number) FROM suppressions";

/// What tells this ledger from others.
pub const IDENTITY: &str = "SELECT identity FROM ledger WHERE one = 1";

/// The newest change, how much news is kept, and whether any number must not be called: seen
/// from the list itself, which is as quick as a count and never wrong.
pub const MARKS: &str = "SELECT newest, kept, \
     (SELECT min(number) FROM suppressions) IS NOT NULL FROM ledger WHERE one = 1";

/// The newest change, and the last key of a call.
pub const GIVEN: &str = "SELECT newest, last_call FROM ledger WHERE one = 1";

/// More was given.
pub const SET_GIVEN: &str = "UPDATE ledger SET newest = ?1, last_call = ?2 WHERE one = 1";

/// A copy of the whole file, from one moment, without the room that nothing uses.
pub const COPY: &str = "VACUUM INTO ?1";

/// From now on it is another ledger.
pub const RENEW_IDENTITY: &str = "UPDATE ledger SET identity = randomblob(8) WHERE one = 1";

/// For people who look into a file, and may wait: these read all of it.
pub const COUNT_REQUESTS: &str = "SELECT count(*) FROM requests";
/// The calls.
pub const COUNT_CALLS: &str = "SELECT count(*) FROM calls";
/// Those that are not over.
pub const COUNT_OPEN: &str = "SELECT count(*) FROM calls WHERE state < 10";
/// Those that wait.
pub const COUNT_WAITING: &str = "SELECT count(*) FROM calls WHERE state = 1";

#[cfg(test)]
pub const ALL: [&str; 71] = [
    INSERT_REQUEST,
    REQUEST,
    INSERT_CALL,
    UPDATE_CALL,
    UPDATE_PLACED_CALL,
    INSERT_OUTBOX,
    OUTBOX_OF_CALL,
    OUTBOX,
    RELEASE_OUTBOX,
    DELETE_OUTBOX,
    CALL,
    CALLS_OF_REQUEST,
    CALLS_OF_REFERENCE,
    OPEN_CALLS,
    CALLS_WITH_VENDOR,
    STATES_WITH_VENDOR,
    VENDORS_OF_BEGUN,
    VENDOR_WITH_CALLS,
    CALL_OF_KEY,
    KEY_OF_VENDOR_CALL,
    KEY_OF_EARLIER_DIAL,
    INSERT_DIAL,
    DELETE_DIALS,
    CALLS_DUE,
    CALLS_HELD,
    CALLS_TAKEN,
    WAITED_FOR,
    CALLS_IN_HANDS,
    SET_HELD,
    INSERT_CHANGE,
    CHANGES_AFTER,
    CHANGE_BEFORE,
    CHANGE,
    RECORDED_CALL,
    KEY_OF_CALL,
    KEYS_OF_REQUEST,
    KEYS_OF_REFERENCE,
    LAST_CHANGE,
    REFERENCE_OF_CALL,
    OPEN_OF_REQUEST,
    LEAVING_REQUEST,
    OLDEST_REQUEST,
    REACH_OF_REQUEST,
    PUT_OFF_REQUEST,
    LEAVE_REQUEST,
    DELETE_REQUEST,
    DOCUMENTS_OF_REQUEST,
    SOME_CALLS_OF_REQUEST,
    DELETE_CHANGE,
    DELETE_FIRST_CHANGES,
    DELETE_CALL,
    INSERT_STRAY,
    STRAYS_OF_CALL,
    STRAY,
    STRAY_NAMES,
    DELETE_OLDEST_STRAY,
    DELETE_STRAY,
    DELETE_OLD_STRAYS,
    COUNT_OF_STRAYS,
    SET_COUNT_OF_STRAYS,
    TAKE_STRAYS,
    RESET_DROPPED,
    INSERT_SUPPRESSION,
    DELETE_SUPPRESSION,
    SUPPRESSION,
    SUPPRESSIONS_AFTER,
    FIRST_SUPPRESSION,
    IDENTITY,
    MARKS,
    GIVEN,
    SET_GIVEN,
];
