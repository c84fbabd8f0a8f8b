//! The filter of a `/sync`. Clients send the same with each, and one that is stored never changes: what was read once is known.

use std::sync::Arc;

use moka::sync::Cache;
use presence_router_api::UserId;

use crate::delivery::PresenceFilter;
use crate::engine::{Engine, Session};
use crate::http::client::filter;
use crate::http::client::query::Value;
use crate::http::error::MatrixError;

/// So much memory at most is for filters that were read, in bytes.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// What a filter takes beside its text, in bytes.
const ENTRY_BYTES: usize = 256;
/// Of so many stored filters at most it is known what they are.
const MOST_STORED: u64 = 65_536;

/// The filters that were read, and still are known.
pub(super) struct KnownFilters {
    /// By their JSON, as it is written in a query.
    written: Cache<Arc<str>, PresenceFilter>,
    /// By who has stored them, and the id.
    stored: Cache<(UserId, u64), PresenceFilter>,
}

/// A filter, as it was found.
pub(super) enum Found {
    Known(PresenceFilter),
    /// It is to be looked up by this id, of those that the user has stored.
    Stored(u64),
}

impl Default for KnownFilters {
    fn default() -> Self {
        let weigher = |written: &Arc<str>, _: &PresenceFilter| {
            // What is read of it is about as long.
            u32::try_from(2 * written.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            written: Cache::builder().weigher(weigher).max_capacity(MOST_BYTES).build(),
            stored: Cache::new(MOST_STORED),
        }
    }
}

impl KnownFilters {
    /// The filter that the parameter `filter` names.
    pub(super) fn find(&self, parameter: Value<'_>, session: &Session) -> Result<Found, MatrixError> {
        if let Some(known) = self.written.get(parameter.written()) {
            return Ok(Found::Known(known));
        }
        let text = parameter.decoded();
        if text.starts_with('{') {
            let filter = filter::parse(&text)?;
            self.written.insert(parameter.written().into(), filter.clone());
            return Ok(Found::Known(filter));
        }
        let id = text.parse().map_err(|_| no_such_filter())?;
        let known = self.stored.get(&(session.user_id.clone(), id));
        Ok(known.map_or(Found::Stored(id), Found::Known))
    }

    /// A filter that the user has stored.
    pub(super) async fn look_up(
        &self,
        id: u64,
        engine: &Engine,
        session: &Session,
    ) -> Result<PresenceFilter, MatrixError> {
        let text = engine.filter(session, id).await?.ok_or_else(no_such_filter)?;
        let filter = filter::parse(&text)?;
        self.stored.insert((session.user_id.clone(), id), filter.clone());
        Ok(filter)
    }
}

fn no_such_filter() -> MatrixError {
    MatrixError::InvalidParam(
        "there is no such filter; give the id of one that you have stored, or the filter as JSON".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;

    use super::*;
    use crate::http::client::query::Parameters;
    use crate::http::client::test_engine::{ALICE, BOB, services};

    fn find(filters: &KnownFilters, written: &str, session: &Session) -> Result<Found, MatrixError> {
        let uri: Uri = format!("/?filter={written}").parse().expect("a URI");
        let parameters = Parameters::of(&uri);
        filters.find(parameters.get("filter").expect("is there"), session)
    }

    #[tokio::test]
    async fn a_stored_filter_is_looked_up_once() {
        let (filters, engine) = (KnownFilters::default(), services().engine);
        let alice = engine.session(ALICE).await.expect("known");
        let json = r#"{"presence":{"senders":[]}}"#;
        let id = engine
            .put_filter(&alice, json.to_owned())
            .await
            .expect("is stored");
        let find = |session| find(&filters, &id.to_string(), session).expect("a number");
        assert!(matches!(find(&alice), Found::Stored(asked) if asked == id));
        let looked_up = filters.look_up(id, &engine, &alice).await.expect("is there");
        assert!(matches!(find(&alice), Found::Known(known) if known == looked_up));
        let bob = engine.session(BOB).await.expect("known");
        assert!(matches!(find(&bob), Found::Stored(_)), "it is hers");
        assert!(filters.look_up(id, &engine, &bob).await.is_err());
        assert!(filters.look_up(id + 1, &engine, &alice).await.is_err());
        assert!(matches!(find(&bob), Found::Stored(_)));
    }

    #[tokio::test]
    async fn what_is_written_in_queries_is_known_within_bounds_when_it_is_a_filter() {
        let filters = KnownFilters::default();
        let alice = services().engine.session(ALICE).await.expect("known");
        for _ in 0..2 {
            for wrong in ["%7B", "x", ""] {
                assert!(find(&filters, wrong, &alice).is_err(), "{wrong}");
            }
        }
        filters.written.run_pending_tasks();
        assert_eq!(filters.written.entry_count(), 0);

        let not = |number| format!("%7B%22presence%22:%7B%22not_senders%22:[%22@{number}:x%22]%7D%7D");
        for number in (0..50_000).chain([1, 1]) {
            match find(&filters, &not(number), &alice) {
                Ok(Found::Known(filter)) => {
                    assert!(!filter.admits(&format!("@{number}:x")), "{number}");
                    assert!(filter.admits(&format!("@{}:x", number + 1)), "{number}");
                }
                _ => panic!("{number} is not known"),
            }
        }
        filters.written.run_pending_tasks();
        assert!(filters.written.weighted_size() <= MOST_BYTES);
    }
}
