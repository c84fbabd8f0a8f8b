//! Several routers need names.

presence_router_api::export_routers! { Staff, Guests }

fn main() {}
