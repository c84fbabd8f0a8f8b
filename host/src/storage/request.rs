//! A question to the database, or a change of it, that somebody waits for.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::WriteError;
use super::rows::RowError;

/// What a request works on.
pub(super) struct Tables<'a> {
    pub(super) connection: &'a Connection,
    /// Bytes of keys and values by module; of those that are missing, to be counted.
    pub(super) sizes: &'a mut HashMap<Arc<str>, u64>,
}

/// Why a request does not get what it asked for.
pub(super) enum Failure {
    /// The database fails: what else is in the transaction fails with it.
    Sqlite(rusqlite::Error),
    /// This request alone. It has changed nothing.
    Refused(WriteError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// Of a row that was read.
    pub(super) fn row(table: &'static str, row: String, problem: &RowError) -> Self {
        tracing::error!(table, row, %problem, "a row of the database is damaged");
        Self::Refused(WriteError::Corrupt { table, row })
    }
}

/// A request, and how it is answered. It may run more than once, when what it did was taken back.
pub(super) struct Request(Box<dyn Work>);

impl Request {
    /// `permit` is given back before the answer.
    pub(super) fn new<T: Send + 'static>(
        work: impl FnMut(&mut Tables<'_>) -> Result<T, Failure> + Send + 'static,
        permit: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<T, WriteError>>) {
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            work,
            outcome: None,
            answer,
            permit,
        };
        (Self(Box::new(asked)), answered)
    }

    pub(super) fn run(&mut self, tables: &mut Tables<'_>) -> rusqlite::Result<()> {
        self.0.run(tables)
    }

    /// Hands over what running it gave, unless it came to nothing. Nobody may listen any more.
    pub(super) fn answer(self, stored: Result<(), WriteError>) {
        self.0.answer(stored);
    }
}

trait Work: Send {
    fn run(&mut self, tables: &mut Tables<'_>) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, stored: Result<(), WriteError>);
}

struct Asked<T, W> {
    work: W,
    outcome: Option<Result<T, WriteError>>,
    answer: oneshot::Sender<Result<T, WriteError>>,
    permit: OwnedSemaphorePermit,
}

impl<T: Send, W: FnMut(&mut Tables<'_>) -> Result<T, Failure> + Send> Work for Asked<T, W> {
    fn run(&mut self, tables: &mut Tables<'_>) -> rusqlite::Result<()> {
        self.outcome = match (self.work)(tables) {
            Ok(outcome) => Some(Ok(outcome)),
            Err(Failure::Refused(error)) => Some(Err(error)),
            Err(Failure::Sqlite(error)) => return Err(error),
        };
        Ok(())
    }

    fn answer(self: Box<Self>, stored: Result<(), WriteError>) {
        let Self {
            outcome,
            answer,
            permit,
            work: _,
        } = *self;
        drop(permit);
        let outcome = outcome.unwrap_or(Err(WriteError::Closed));
        // Who asked may have gone.
        drop(answer.send(stored.and(outcome)));
    }
}
