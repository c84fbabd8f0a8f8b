//! The client-server API: its paths, and what they share.
//!
//! Each endpoint has a file. The prefixes are Synapse's: some endpoints also answer under an old or an
//! unstable one.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::http::client::known_filters::KnownFilters;
use crate::http::routes::Routes;

mod account;
mod auth;
mod body;
mod filter;
mod known_filters;
mod presence;
mod query;
mod stored_filter;
mod sync;

/// The prefixes of an endpoint that never was part of the first API.
const PREFIXES: [&str; 3] = ["r0", "v3", "unstable"];

/// The prefixes of an endpoint that is as old as the first API, under which Synapse still has it.
const PREFIXES_SINCE_V1: [&str; 4] = ["r0", "v3", "unstable", "api/v1"];

/// What the handlers work with. Clones are the same: each request has its own.
#[derive(Clone)]
struct ClientApi(Arc<Parts>);

struct Parts {
    engine: Engine,
    filters: KnownFilters,
    shutdown: CancellationToken,
}

impl FromRef<ClientApi> for Engine {
    fn from_ref(api: &ClientApi) -> Self {
        api.0.engine.clone()
    }
}

/// The routes.
pub(super) fn routes(engine: Engine, shutdown: CancellationToken) -> Routes {
    let mut routes = Routes::new().route("/_matrix/client/versions", get(account::versions));
    for prefix in PREFIXES {
        let base = format!("/_matrix/client/{prefix}");
        routes = routes
            .route(&format!("{base}/sync"), get(sync::Get))
            .route(&format!("{base}/account/whoami"), get(account::whoami));
        // A parameter of a route is never empty. What has an empty user id or filter id is, as in Synapse, refused for that.
        for user in ["{user_id}", ""] {
            let base = format!("{base}/user/{user}/filter");
            routes = routes.route(&base, post(stored_filter::post));
            for filter in ["{filter_id}", ""] {
                routes = routes.route(&format!("{base}/{filter}"), get(stored_filter::get));
            }
        }
    }
    for prefix in PREFIXES_SINCE_V1 {
        let base = format!("/_matrix/client/{prefix}/presence");
        // A parameter of a route is never empty. The second route has an empty user id: as in Synapse, it is
        // refused for that, and only after the access token was looked at.
        for path in [format!("{base}/{{user_id}}/status"), format!("{base}//status")] {
            routes = routes.route(&path, get(presence::get).put(presence::put));
        }
    }
    routes.with_state(ClientApi(Arc::new(Parts {
        engine,
        filters: KnownFilters::default(),
        shutdown,
    })))
}

#[cfg(test)]
mod behaviour_tests;
#[cfg(test)]
mod filter_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
pub(super) mod test_engine;
