//! What waits for other homeservers, and how they were reached, as rows of their tables. Knows no HTTP and no timers.

use std::sync::Arc;

use presence_router_api::UserId;
use rusqlite::{Connection, Row, Statement, params};

use super::records::{StoredDestination, StoredOutgoing};
use super::rows::{Record, RowError, check_sum, number, read_number, read_user};
use super::sum::Sum;

/// Removes the rows of what was sent. That a row is not there is as good.
pub(super) fn remove_all<'a>(
    connection: &Connection,
    sent: impl IntoIterator<Item = (&'a str, &'a UserId)>,
) -> rusqlite::Result<()> {
    let mut sent = sent.into_iter().peekable();
    if sent.peek().is_none() {
        return Ok(());
    }
    let mut remove = connection.prepare_cached("DELETE FROM outgoing WHERE server = ?1 AND user_id = ?2")?;
    sent.try_for_each(|(server, user)| remove.execute((server, user.as_str())).map(drop))
}

impl StoredOutgoing {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(&self.server)
            .text(self.user_id.as_str())
            .number(number(self.change))
            .finish()
    }
}

impl Record for StoredOutgoing {
    const TABLE: &'static str = "outgoing";
    const KEYS: usize = 2;
    const PUT: &'static str = "INSERT OR REPLACE INTO outgoing VALUES (?1, ?2, ?3, ?4)";
    const ALL: &'static str = "SELECT server, user_id, change, sum FROM outgoing ORDER BY server, user_id";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            &*self.server,
            self.user_id.as_str(),
            number(self.change),
            self.sum()
        ])
    }

    fn read(row: &Row<'_>, before: Option<&Self>) -> Result<Self, RowError> {
        let server = row.get_ref(0)?.as_str()?;
        let record = Self {
            server: match before {
                Some(before) if &*before.server == server => Arc::clone(&before.server),
                _ => Arc::from(server),
            },
            user_id: read_user(row, 1)?,
            change: read_number(row, 2)?,
        };
        check_sum(row, 3, record.sum())?;
        Ok(record)
    }
}

impl StoredDestination {
    fn sum(&self) -> i64 {
        Sum::of(Self::TABLE)
            .text(&self.server)
            .number(number(self.succeeded_ts))
            .number(number(self.failed_ts))
            .number(number(self.retry_ts))
            .number(i64::from(self.failures))
            .finish()
    }
}

impl Record for StoredDestination {
    const TABLE: &'static str = "destinations";
    const PUT: &'static str = "INSERT OR REPLACE INTO destinations VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    const ALL: &'static str = "SELECT server, succeeded_ts, failed_ts, retry_ts, failures, sum \
        FROM destinations ORDER BY server";

    fn put(&self, put: &mut Statement<'_>) -> rusqlite::Result<usize> {
        put.execute(params![
            &*self.server,
            number(self.succeeded_ts),
            number(self.failed_ts),
            number(self.retry_ts),
            self.failures,
            self.sum()
        ])
    }

    fn read(row: &Row<'_>, _: Option<&Self>) -> Result<Self, RowError> {
        let failures = row.get_ref(4)?.as_i64()?;
        let record = Self {
            server: Arc::from(row.get_ref(0)?.as_str()?),
            succeeded_ts: read_number(row, 1)?,
            failed_ts: read_number(row, 2)?,
            retry_ts: read_number(row, 3)?,
            failures: u32::try_from(failures).map_err(|_| RowError::Count(failures))?,
        };
        check_sum(row, 5, record.sum())?;
        Ok(record)
    }
}
