//! The modules of `plugins/`, as shared libraries in the real server. What each decides is tested in its own crate; here it
//! is that it works with what the server gives it. `broadcast` is in most other tests.

mod pairs;
mod room_members;
mod selective;
mod service_registry;
