//! What `export_router!` puts into a module: guards, hook and log bridge, manifest, root symbol.

pub(crate) mod guard;
pub(crate) mod instance;
pub(crate) mod library;
pub(crate) mod manifest;
#[cfg(test)]
mod tests;

/// Exports one router from a cdylib, under the name of its type.
///
/// ```
/// # use presence_router_api::{ConfigError, InterestedUsers, ModuleApi, PresenceRouter, RouterError};
/// # use presence_router_api::{Routes, StartError, StateUpdates, UserId};
/// struct Nobody;
///
/// impl PresenceRouter for Nobody {
///     // …
/// #   type Config = ();
/// #   fn parse_config(_: presence_router_api::ConfigValue) -> Result<(), ConfigError> { Ok(()) }
/// #   fn new(_: (), _: ModuleApi) -> Result<Self, StartError> { Ok(Nobody) }
/// #   async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> { Ok(Routes::new()) }
/// #   async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
/// #       Ok(InterestedUsers::none())
/// #   }
/// }
///
/// presence_router_api::export_router!(Nobody);
/// # fn main() {}
/// ```
///
/// A library has one `export_router!` or one [`export_routers!`](crate::export_routers), not both. It takes a bare name,
/// as a config may name it: `module: library.Nobody`. For a type in another place or with parameters use
/// `export_routers!`.
///
/// What it writes into the library: guards around all of your code, so that a panic fails one call and not the
/// server; a panic hook and a logger that send to the host; a manifest that can be read without running the module
/// (name, version and description from your `Cargo.toml`, the compiler, the version of this crate); and the symbol
/// by which the host finds it. Your crate may `#![forbid(unsafe_code)]`.
#[macro_export]
macro_rules! export_router {
    ($router:ident $(,)?) => {
        $crate::__export! { [stringify!($router)] => $router }
    };
    ($($other:tt)*) => {
        compile_error!(
            "export_router! takes the bare name of one type, as in `export_router!(MyRouter);`. For a type in another \
             place, or several, give names: `export_routers! { \"MyRouter\" => place::MyRouter }`"
        );
    };
}

/// Exports several routers from one cdylib, each under the name by which a config picks it:
/// `module: library.name`. At least one; a name has letters, digits, `_` and `-` of ASCII, and is not `so`.
///
/// ```
/// # use presence_router_api::{ConfigError, InterestedUsers, ModuleApi, PresenceRouter, RouterError};
/// # use presence_router_api::{Routes, StartError, StateUpdates, UserId};
/// # struct Nobody;
/// # impl PresenceRouter for Nobody {
/// #   type Config = ();
/// #   fn parse_config(_: presence_router_api::ConfigValue) -> Result<(), ConfigError> { Ok(()) }
/// #   fn new(_: (), _: ModuleApi) -> Result<Self, StartError> { Ok(Nobody) }
/// #   async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> { Ok(Routes::new()) }
/// #   async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
/// #       Ok(InterestedUsers::none())
/// #   }
/// # }
/// # type Staff = Nobody;
/// # type Guests = Nobody;
/// presence_router_api::export_routers! {
///     "staff" => Staff,
///     "guests" => Guests,
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_routers {
    ($($name:literal => $router:ty),+ $(,)?) => {
        $crate::__export! { $([$name] => $router),+ }
    };
    () => {
        compile_error!("export_routers! needs at least one router, as in `export_routers! { \"name\" => MyRouter }`");
    };
    ($($other:tt)*) => {
        compile_error!("export_routers! takes names and types, as in `export_routers! { \"staff\" => Staff, \"guests\" => Guests }`");
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ([$first:expr] => $first_router:ty $(, [$name:expr] => $router:ty)*) => {
        #[doc(hidden)]
        pub struct PresenceRouterLibrary;

        const _: () = {
            use $crate::__private::{Library, LibHeader, Piece, RouterEntry};

            const PIECES: &[Piece<'static>] = &[
                Piece::Raw("{\"format\":1,\"name\":"),
                Piece::Text(env!("CARGO_PKG_NAME")),
                Piece::Raw(",\"version\":"),
                Piece::Text(env!("CARGO_PKG_VERSION")),
                Piece::Raw(",\"description\":"),
                Piece::Text(env!("CARGO_PKG_DESCRIPTION")),
                Piece::Raw(",\"routers\":["),
                Piece::Text($first),
                $(Piece::Raw(","), Piece::Text($name),)*
                Piece::Raw("],\"sdk_version\":"),
                Piece::Text($crate::__private::SDK_VERSION),
                Piece::Raw(",\"abi_hash\":"),
                Piece::Hex($crate::abi::layout::HASH),
                Piece::Raw(",\"rustc\":"),
                Piece::Text($crate::__private::RUSTC),
                Piece::Raw(",\"target\":"),
                Piece::Text($crate::__private::TARGET),
                Piece::Raw(",\"panic\":"),
                Piece::Text(if cfg!(panic = "unwind") { "unwind" } else { "abort" }),
                Piece::Raw("}"),
            ];
            const LEN: usize = $crate::__private::len(PIECES);

            #[used]
            #[unsafe(link_section = ".presence_router")]
            static MANIFEST: [u8; LEN] = $crate::__private::bytes(PIECES);

            impl Library for PresenceRouterLibrary {
                const ROUTERS: &'static [RouterEntry] = &[
                    RouterEntry::of::<$first_router>($first),
                    $(RouterEntry::of::<$router>($name),)*
                ];

                fn manifest() -> &'static str {
                    $crate::__private::text(&MANIFEST)
                }
            }

            const _: () = $crate::__private::check_names(<PresenceRouterLibrary as Library>::ROUTERS);

            #[unsafe(no_mangle)]
            pub static _1as_0lib_1header_0root_bmodule_bloader: LibHeader = $crate::__private::header::<PresenceRouterLibrary>();
        };
    };
}
