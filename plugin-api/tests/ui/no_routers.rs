//! A library of no routers.

presence_router_api::export_routers! {}

fn main() {}
