-- Requests and their calls.

CREATE TABLE requests (
    request      INTEGER PRIMARY KEY,
    request_id   TEXT    NOT NULL UNIQUE,
    payload_hash BLOB    NOT NULL CHECK (length(payload_hash) = 32),
    create_time  TEXT    NOT NULL,  -- RFC 3339, as fine as the clock
    calls        INTEGER NOT NULL
) STRICT;

-- A rowid table: documents of a kilobyte and more would make the tree of a
-- WITHOUT ROWID table shallow-branched and send every longer row to overflow pages.
CREATE TABLE calls (
    call           INTEGER PRIMARY KEY,
    call_id        BLOB    NOT NULL UNIQUE CHECK (length(call_id) = 16),
    request        INTEGER NOT NULL REFERENCES requests (request),
    position       INTEGER NOT NULL,
    client_reference TEXT,
    vendor         TEXT    NOT NULL,
    vendor_call_id TEXT,
    -- Codes as in state.rs; those of open states are below 10.
    state          INTEGER NOT NULL,
    -- JSON: whatever of the call is in no other column.
    document       TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX calls_by_request ON calls (request, position);

CREATE INDEX calls_by_reference ON calls (client_reference, call_id)
    WHERE client_reference IS NOT NULL;

-- Vendors push results under their own ids.
CREATE INDEX calls_by_vendor_call ON calls (vendor, vendor_call_id)
    WHERE vendor_call_id IS NOT NULL;

-- Only what is open is in it: empty when nothing is, however many calls there were.
CREATE INDEX calls_open ON calls (state, call_id)
    WHERE state < 10;
