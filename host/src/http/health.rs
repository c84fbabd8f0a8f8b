//! `/health`: whether the server answers at all, for load balancers and supervisors. Knows nothing else.

use axum::routing::get;

use crate::http::routes::Routes;

/// The route. The answer, `OK` as plain text, is Synapse's.
pub(super) fn routes() -> Routes {
    Routes::new().route("/health", get(async || "OK"))
}
