//! Who am I, and what does this server speak.

use axum::Json;
use serde::Serialize;

use crate::http::client::auth::Authenticated;

/// The versions of the client-server API whose presence part this server speaks. Presence has not changed in
/// between.
const VERSIONS: [&str; 16] = [
    "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8",
    "v1.9", "v1.10", "v1.11", "v1.12",
];

/// `GET /versions`.
pub(super) async fn versions() -> Json<Versions> {
    Json(Versions {
        versions: VERSIONS,
        unstable_features: UnstableFeatures { busy_presence: false },
    })
}

/// `GET /account/whoami`.
pub(super) async fn whoami(Authenticated(session): Authenticated) -> Json<Whoami> {
    Json(Whoami {
        user_id: session.user_id.to_string(),
        device_id: session.device_id.as_str().to_owned(),
        is_guest: false,
    })
}

#[derive(Serialize)]
pub(super) struct Versions {
    versions: [&'static str; VERSIONS.len()],
    unstable_features: UnstableFeatures,
}

#[derive(Serialize)]
struct UnstableFeatures {
    /// Clients that see it false do not offer "busy", which a PUT would refuse.
    #[serde(rename = "org.matrix.msc3026.busy_presence")]
    busy_presence: bool,
}

#[derive(Serialize)]
pub(super) struct Whoami {
    user_id: String,
    device_id: String,
    is_guest: bool,
}
