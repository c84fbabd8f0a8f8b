//! The type does not implement `PresenceRouter`.

struct Config;

presence_router_api::export_router!(Config);

fn main() {}
