-- What version 2 adds to `version-1.sql`: its tables, with a row or more in each, as servers of that version write
-- them. Never changed.

PRAGMA user_version = 2;

CREATE TABLE outgoing (
    server TEXT NOT NULL,
    user_id TEXT NOT NULL,
    change INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (server, user_id)
) STRICT, WITHOUT ROWID;
INSERT INTO outgoing VALUES('r.example','@user0001:example.org',10,8180376419462905529);
INSERT INTO outgoing VALUES('r.example','@user0002:example.org',0,240666853301332178);
INSERT INTO outgoing VALUES('s.example','@user0001:example.org',0,-32542174687239153);

CREATE TABLE destinations (
    server TEXT NOT NULL PRIMARY KEY,
    succeeded_ts INTEGER NOT NULL,
    failed_ts INTEGER NOT NULL,
    retry_ts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO destinations VALUES('r.example',21,22,23,24,7649221225791949340);
