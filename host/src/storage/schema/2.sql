-- Version 2: what waits for other homeservers. Never change it: databases of this version are out there. What changes
-- goes into the next version.

-- The newest state of a user waits to be sent to a homeserver. `change` 0: whatever it is by then, for they share a room.
-- Otherwise: as long as the user's last change is this position.
CREATE TABLE outgoing (
    server TEXT NOT NULL,
    user_id TEXT NOT NULL,
    change INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (server, user_id)
) STRICT, WITHOUT ROWID;

-- How a homeserver was reached last. Times are in ms since the Unix epoch, 0 for never.
CREATE TABLE destinations (
    server TEXT NOT NULL PRIMARY KEY,
    succeeded_ts INTEGER NOT NULL,
    failed_ts INTEGER NOT NULL,
    retry_ts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
