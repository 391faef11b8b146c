-- Less to write for each call: fewer indexes, and nothing twice.

-- What a ledger gave last: numbers of changes, and keys of calls. Neither is ever given again.
ALTER TABLE ledger ADD COLUMN newest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger ADD COLUMN last_call INTEGER NOT NULL DEFAULT 0;

UPDATE ledger SET
    newest = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0),
    last_call = coalesce((SELECT max(call) FROM calls), 0);

-- The calls of a request have keys without gaps, in its order, from here on.
ALTER TABLE requests ADD COLUMN first INTEGER NOT NULL DEFAULT 0;

UPDATE requests SET first = coalesce(
    (SELECT call - position FROM calls WHERE calls.request = requests.request
        ORDER BY position LIMIT 1),
    0);

-- A row for the first changes of calls that were recorded one after the other, without a
-- document: of `count` calls from `call` on, with as many numbers up to `number`. And a row for
-- each later change.
CREATE TABLE lean_changes (
    number   INTEGER PRIMARY KEY,
    count    INTEGER NOT NULL,
    call     INTEGER NOT NULL,
    -- The change of the same call before this one; 0 if it is the first.
    before   INTEGER NOT NULL,
    -- Before the document, so that walking past a long one does not read it.
    route    TEXT    NOT NULL,
    -- Of first changes only: who had them. NULL where the document says it.
    vendor   TEXT,
    state    INTEGER NOT NULL,
    -- JSON: whatever may change of a call.
    document TEXT
) STRICT;

-- From now on a change also has what no caller sees and only changes with it.
INSERT INTO lean_changes
    SELECT
        number,
        1,
        call,
        coalesce((SELECT max(earlier.number) FROM changes AS earlier
            WHERE earlier.call = changes.call AND earlier.number < changes.number), 0),
        route,
        NULL,
        state,
        document
    FROM changes
    ORDER BY number;

-- What changes comes first, and the document last. Without a foreign key: SQLite would look
-- for calls through all of them with every request that is deleted.
CREATE TABLE lean_calls (
    call           INTEGER PRIMARY KEY,
    call_id        BLOB    NOT NULL UNIQUE CHECK (length(call_id) = 16),
    request        INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    -- Codes as in state.rs; those of open states are below 10.
    state          INTEGER NOT NULL,
    -- The newest change. Its document has whatever changes of a call; where it has none, the
    -- call is as it was recorded, and the document here has all of it.
    last           INTEGER NOT NULL,
    -- Milliseconds since the epoch, rounded up; the largest number for who has a vendor and is
    -- never looked at by itself.
    due            INTEGER,
    -- Milliseconds since the epoch, rounded up; below zero while somebody has the call and
    -- waits for its turn. NULL for a call that does not wait.
    held           INTEGER,
    -- The entry it is in.
    outbox         INTEGER,
    -- When its vendor last answered a question: nanoseconds since the epoch, or RFC 3339
    -- beyond what they count. NULL where the document says it.
    asked          ANY,
    vendor         TEXT    NOT NULL,
    vendor_call_id TEXT,
    -- Nothing: room for what a call learns when a vendor takes it, so that its row stays as
    -- long as it is, and no page is split for it.
    room           BLOB,
    client_reference TEXT,
    -- JSON: how it was recorded. Never written again.
    document       TEXT    NOT NULL
) STRICT;

INSERT INTO lean_calls
    SELECT
        call,
        call_id,
        request,
        position,
        state,
        coalesce((SELECT max(number) FROM changes WHERE changes.call = calls.call), 0),
        CASE WHEN state BETWEEN 3 AND 9 THEN coalesce(due, 9223372036854775807) ELSE due END,
        held,
        outbox,
        NULL,
        vendor,
        vendor_call_id,
        NULL,
        client_reference,
        document
    FROM calls
    ORDER BY call;

DROP TABLE changes;

ALTER TABLE lean_changes RENAME TO changes;

DROP TABLE calls;

ALTER TABLE lean_calls RENAME TO calls;

CREATE INDEX calls_by_reference ON calls (client_reference, call_id)
    WHERE client_reference IS NOT NULL;

CREATE INDEX calls_by_vendor_call ON calls (vendor, vendor_call_id)
    WHERE vendor_call_id IS NOT NULL;

-- Only what no vendor has yet is in it. Who has one is in the next one.
CREATE INDEX calls_begun ON calls (state, call_id)
    WHERE state < 3;

CREATE INDEX calls_due ON calls (vendor, due)
    WHERE due IS NOT NULL;

CREATE INDEX calls_held ON calls (vendor, held) WHERE held IS NOT NULL;

UPDATE changes
    SET document = json_set(
        changes.document,
        '$.holds', coalesce(calls.document -> '$.holds', 0),
        '$.fallbacks', json(coalesce(calls.document -> '$.fallbacks', '[]'))
    )
    FROM calls
    WHERE changes.number = calls.last
        AND json_valid(calls.document)
        AND (calls.document ->> '$.holds' > 0 OR calls.document -> '$.fallbacks' IS NOT NULL);
