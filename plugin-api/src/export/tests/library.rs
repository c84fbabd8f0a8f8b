//! A library of two routers: its manifest, and how a name picks one.

use abi_stable::std_types::RStr;

use crate::abi::{Failure, FailureKind, RouterModuleRef};
use crate::export::instance::RouterEntry;
use crate::export::library::{check_names, root_module};
use crate::testing::FakeHost;
use crate::{
    ConfigError, ConfigValue, InterestedUsers, ModuleApi, PresenceRouter, RouterError, Routes, StartError,
    StateUpdates, UserId,
};

macro_rules! router {
    ($name:ident, $interested:expr) => {
        struct $name;

        impl PresenceRouter for $name {
            type Config = ();

            fn parse_config(_: ConfigValue) -> Result<(), ConfigError> {
                Err(ConfigError::new(
                    "at",
                    concat!("this is ", stringify!($name)),
                ))
            }

            fn new((): (), _: ModuleApi) -> Result<Self, StartError> {
                Ok(Self)
            }

            async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
                Ok(Routes::new())
            }

            async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
                Ok($interested)
            }
        }
    };
}

router!(Staff, InterestedUsers::All);
router!(Guests, InterestedUsers::none());

// One export of this crate's tests: the root symbol exists once in a program.
crate::export_routers! {
    "staff" => Staff,
    "guests" => Guests,
}

fn two() -> RouterModuleRef {
    root_module::<PresenceRouterLibrary>()
}

/// What `parse_config` of the router of this name says.
fn refusal(name: &str) -> Failure {
    two().parse_config()(RStr::from(name), RStr::from("{}"))
        .into_result()
        .err()
        .expect("each of them refuses")
}

#[test]
fn a_name_picks_its_router() {
    assert_eq!(refusal("staff").message, "this is Staff");
    assert_eq!(refusal("guests").message, "this is Guests");
    assert_eq!(refusal("guests").path, "at");
}

#[test]
fn a_name_that_is_missing_or_unknown_is_refused_with_those_there_are() {
    insta::assert_snapshot!(refusal("").message, @"the library has several routers, name one: staff, guests");
    insta::assert_snapshot!(refusal("Staff").message, @r#"the library has no router "Staff", it has: staff, guests"#);
    assert_eq!(refusal("Staff").kind, FailureKind::ERROR);
}

#[test]
fn a_config_of_another_router_is_refused_not_read() {
    struct Other;
    impl PresenceRouter for Other {
        type Config = String;
        fn parse_config(_: ConfigValue) -> Result<String, ConfigError> {
            Ok("of another".to_owned())
        }
        fn new(_: String, _: ModuleApi) -> Result<Self, StartError> {
            Ok(Self)
        }
        async fn get_users_for_states(&self, _: &StateUpdates) -> Result<Routes, RouterError> {
            Ok(Routes::new())
        }
        async fn get_interested_users(&self, _: &UserId) -> Result<InterestedUsers, RouterError> {
            Ok(InterestedUsers::none())
        }
    }
    let config = (RouterEntry::of::<Other>("other").parse_config)("{}").expect("parses");
    let api = FakeHost::new("example.org").api_box();
    let failure = two().new()(RStr::from("staff"), config, api)
        .into_result()
        .err()
        .expect("refused");
    insta::assert_snapshot!(failure.message, @"the config was parsed by another router or another library");
}

#[test]
fn the_manifest_is_json_with_all_that_a_host_asks_for() {
    let manifest: serde_json::Value = serde_json::from_str(two().info()().as_str()).expect("JSON");
    let keys: Vec<_> = manifest
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "abi_hash",
            "description",
            "format",
            "name",
            "panic",
            "routers",
            "rustc",
            "sdk_version",
            "target",
            "version"
        ]
    );
    assert_eq!(manifest["format"], 1);
    assert_eq!(manifest["name"], "presence-router-api");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["routers"], serde_json::json!(["staff", "guests"]));
    assert_eq!(manifest["sdk_version"], crate::SDK_VERSION);
    assert_eq!(manifest["abi_hash"], format!("{:016x}", crate::abi::layout::HASH));
    assert_eq!(manifest["target"], crate::TARGET);
    assert_eq!(manifest["panic"], "unwind");
    assert!(
        manifest["rustc"]
            .as_str()
            .is_some_and(|rustc| rustc.starts_with("rustc 1.")),
        "{manifest}"
    );
    assert!(
        manifest["description"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{manifest}"
    );
}

#[test]
fn the_manifest_stands_in_the_section_that_hosts_read() {
    use object::{Object, ObjectSection};
    let program = std::fs::read(std::env::current_exe().expect("this program")).expect("can be read");
    let file = object::File::parse(&*program).expect("an object file");
    let section = file
        .section_by_name(crate::MANIFEST_SECTION)
        .expect("the section");
    assert_eq!(
        section.data().expect("its bytes"),
        two().info()().as_str().as_bytes()
    );
}

#[test]
fn names_that_no_config_could_name_are_refused() {
    let check = |names: &[&'static str]| {
        let entries: Vec<_> = names.iter().map(|name| RouterEntry::of::<Staff>(name)).collect();
        let refused = std::panic::catch_unwind(|| check_names(&entries));
        refused
            .err()
            .map(|panic| *panic.downcast_ref::<&str>().expect("a text"))
    };
    assert_eq!(check(&["Staff", "staff", "staff-2", "so_"]), None);
    for name in ["", "so", "a.b", "a b", "ä", "a::b", "a/b"] {
        let reason = check(&["x", name]).expect(name);
        assert!(
            reason.starts_with("a router's name has letters"),
            "{name:?}: {reason}"
        );
    }
    assert_eq!(check(&["a", "b", "a"]), Some("two routers have the same name"));
}
