//! `/health`: whether the server answers at all, for load balancers and supervisors. Knows nothing else.

use axum::Router;
use axum::routing::get;

/// The route. The answer, `OK` as plain text, is Synapse's.
pub(super) fn routes() -> Router {
    Router::new().route("/health", get(async || "OK"))
}
