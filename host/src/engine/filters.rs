//! The filters that users have stored, for their syncs. The database has them; here is who may ask.

use std::error::Error;

use crate::engine::{Engine, Session};
use crate::storage::WriteError;

/// Why a filter cannot be stored or found.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The user has stored as many as one may.
    #[error("you have stored as many filters as you may; use one of these")]
    TooMany,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The database cannot be used; the source says why.
    #[error("the database of filters cannot be used")]
    Storage(#[source] WriteError),
}

impl From<WriteError> for FilterError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::TooMany { .. } => Self::TooMany,
            WriteError::Closed => Self::Stopped,
            error => {
                let source = error.source().map(tracing::field::display);
                tracing::error!(source, "a filter cannot be stored or read: {error}");
                Self::Storage(error)
            }
        }
    }
}

impl Engine {
    /// Stores a filter of a user, and answers its id, when it is on disk. Ids count from 0, a user; the same text has the
    /// same id.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub async fn put_filter(&self, session: &Session, json: String) -> Result<u64, FilterError> {
        Ok(self.0.storage.put_filter(&session.user_id, json).await?)
    }

    /// A filter that the user has stored; `None` when there is none of this id.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub async fn filter(&self, session: &Session, id: u64) -> Result<Option<String>, FilterError> {
        Ok(self.0.storage.filter(&session.user_id, id).await?)
    }
}
