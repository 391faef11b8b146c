-- The vendor's ids of dials that were followed by another one of the same call, so that late
-- news of them is found to be of it.

CREATE TABLE dials (
    dial           INTEGER PRIMARY KEY,
    call           INTEGER NOT NULL REFERENCES calls (call),
    vendor         TEXT    NOT NULL,
    vendor_call_id TEXT    NOT NULL
) STRICT;

CREATE INDEX dials_by_vendor_call ON dials (vendor, vendor_call_id, call);

CREATE INDEX dials_by_call ON dials (call);
