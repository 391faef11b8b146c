-- Every change of every call in its order, news of calls that nobody knows yet, and when
-- a call is looked at again.

-- One row: what there is once in a ledger.
CREATE TABLE ledger (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    -- Tells this file's numbers of changes from any other's.
    identity BLOB    NOT NULL CHECK (length(identity) = 8),
    -- How many rows `strays` has.
    kept     INTEGER NOT NULL,
    -- How many of them made room for others since somebody was told.
    dropped  INTEGER NOT NULL
) STRICT;

INSERT INTO ledger VALUES (1, randomblob(8), 0, 0);

-- One row for each revision of each call. Numbers are never given again, so that whoever
-- has seen one has seen all below it. What never changes of a call is in `calls` only.
CREATE TABLE changes (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    call     INTEGER NOT NULL REFERENCES calls (call),
    -- Before the document, so that walking past a long one does not read it.
    route    TEXT    NOT NULL,
    state    INTEGER NOT NULL,
    -- JSON: whatever may change of a call and can be seen by a caller.
    document TEXT    NOT NULL
) STRICT;

-- Every index has the key of its table, here the number, as its last column.
CREATE INDEX changes_by_call ON changes (call);

-- Milliseconds since the epoch, rounded up: nobody is asked too early.
ALTER TABLE calls ADD COLUMN due INTEGER;

CREATE INDEX calls_due ON calls (vendor, due)
    WHERE due IS NOT NULL;

-- What of a request is not over: empty once it is done. The state is in it so that
-- nothing else has to be read.
CREATE INDEX calls_open_of_request ON calls (request, call_id, state)
    WHERE state < 10;

CREATE TABLE strays (
    stray          INTEGER PRIMARY KEY AUTOINCREMENT,
    vendor         TEXT    NOT NULL,
    vendor_call_id TEXT    NOT NULL,
    at             INTEGER NOT NULL,  -- nanoseconds since the epoch
    said           TEXT    NOT NULL   -- JSON
) STRICT;

CREATE INDEX strays_by_vendor_call ON strays (vendor, vendor_call_id);

CREATE INDEX strays_by_age ON strays (at);

-- Calls from before: how they stand now is their first change, and those a vendor has are
-- looked at soon.
INSERT INTO changes (call, route, state, document)
    SELECT
        call,
        document ->> '$.route',
        state,
        json_set(
            json_remove(document, '$.order', '$.route', '$.create_time', '$.asked_time'),
            '$.vendor', vendor,
            '$.vendor_call_id', vendor_call_id
        )
    FROM calls
    -- One that can't be read any more is found by whoever asks for it.
    WHERE json_valid(document) AND json_type(document, '$.route') = 'text'
    ORDER BY call;

UPDATE calls SET due = 0 WHERE state IN (3, 4, 5, 6);
