-- Numbers that must not be called.

-- The key is the table: a look-up is one walk down one tree, also among millions.
CREATE TABLE suppressions (
    number      TEXT    PRIMARY KEY,  -- digits, the country code first
    reason      TEXT    NOT NULL,
    create_time INTEGER NOT NULL      -- nanoseconds since the epoch
) STRICT, WITHOUT ROWID;
