-- When calls that wait are taken up.

-- Milliseconds since the epoch, rounded up; below zero while somebody has the call and
-- waits for its turn. NULL for a call that does not wait.
ALTER TABLE calls ADD COLUMN held INTEGER;

UPDATE calls SET held = -1 WHERE state = 1 AND state < 10;

-- Only what waits is in it.
CREATE INDEX calls_held ON calls (vendor, held) WHERE held IS NOT NULL;
