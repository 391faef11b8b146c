-- Requests to vendors as they go out, which field of a repeated request differs, and what
-- is old enough to be removed.

-- A few bytes for each field of the payload; empty for requests from before.
ALTER TABLE requests ADD COLUMN fields BLOB NOT NULL DEFAULT x'';

-- Kept from before a request is sent until all its calls are known to be taken or over.
CREATE TABLE outbox (
    entry   INTEGER PRIMARY KEY,
    vendor  TEXT    NOT NULL,
    written INTEGER NOT NULL,  -- nanoseconds since the epoch
    -- The ids of its calls in its order, 16 bytes each.
    calls   BLOB    NOT NULL CHECK (length(calls) % 16 = 0),
    -- How many of them still need it.
    open    INTEGER NOT NULL,
    letter  BLOB    NOT NULL
) STRICT;

-- The entry a call is in. No foreign key: SQLite would look for calls with every entry that
-- is deleted.
ALTER TABLE calls ADD COLUMN outbox INTEGER;

-- When a request may be old enough to be removed: milliseconds since the epoch, rounded up.
-- NULL once it leaves: nobody sees it any more, and its calls go a few at a time.
ALTER TABLE requests ADD COLUMN look INTEGER;

UPDATE requests SET look = coalesce((unixepoch(create_time) + 1) * 1000, 0);

-- How many calls there are is in it so that nothing else has to be read.
CREATE INDEX requests_by_look ON requests (look, calls);
