-- Version 1. Never change it: databases of this version are out there. What changes goes into the next version.
-- `sum` is a check over the other columns of the row, see `sum.rs`. There is no index beside the primary keys, which are
-- the tables themselves: an index would be a second copy that nothing checks.

CREATE TABLE presence (
    user_id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    last_active_ts INTEGER NOT NULL,
    last_federation_update_ts INTEGER NOT NULL,
    last_user_sync_ts INTEGER NOT NULL,
    status_msg TEXT,
    currently_active INTEGER NOT NULL,
    change INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE routed (
    module TEXT NOT NULL,
    user_id TEXT NOT NULL,
    change INTEGER NOT NULL,
    position INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (module, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    user_id TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rooms (
    room_id TEXT NOT NULL PRIMARY KEY,
    digest BLOB NOT NULL,
    changed INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row.
CREATE TABLE reserved (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    position INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE modules (
    name TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    since INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `digest` finds a text that the user has stored already. It has no index: a damaged one would give wrong answers,
-- and there are few rows a user.
CREATE TABLE filters (
    user_id TEXT NOT NULL,
    id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    json TEXT NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE module_data (
    module TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (module, key)
) STRICT, WITHOUT ROWID;
