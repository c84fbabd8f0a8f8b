//! Modules that are swapped while the server runs: what is lost (nothing), who waits (nobody), and what an operator sees.

mod asking;
mod growth;
mod library;
mod load;
mod lossless;
mod refused;
mod rollback;

use std::path::Path;

use presence_router_tests::{Config, GOBBLER};
use serde_json::{Value, json};

use crate::swap::library::Library;

/// What the broadcast module is given: everything to the gobbler.
fn to_the_gobbler() -> Value {
    json!({"always_send_to_users": [GOBBLER]})
}

/// A server with a library that a test replaces, and with nothing that changes by itself.
fn config(library: &Library) -> Config {
    Config::neighbours()
        .admin()
        .module(library.path(), to_the_gobbler())
        .set(&["presence", "sync_online_timeout"], json!("1h"))
        .set(&["presence", "idle_timeout"], json!("1h"))
        .set(&["presence", "last_active_granularity"], json!("1h"))
}

/// The same server with another library under the name of the module.
fn as_broadcast(base: Config, path: &Path, module_config: &Value) -> Config {
    base.module(path, module_config.clone())
        .set(&["presence", "presence_router", "name"], json!("broadcast"))
}
