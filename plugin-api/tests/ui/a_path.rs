//! A type in another place has no bare name.

presence_router_api::export_router!(routers::Staff);

fn main() {}
