//! `presence.presence_router`: which module routes, and under which conditions it is run.
//!
//! Owns what an operator says about a module; whether such a library exists is the loader's business.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::reader::{Field, Reader};
use crate::config::{duration, json, known_keys};
use crate::sha256::{InvalidSha256, Sha256};

/// A module as the config names it.
#[derive(Clone, PartialEq)]
pub struct Module {
    /// `module`: a path, when it holds a `/`; otherwise a name that is searched in `module_path`. A
    /// name may be `library.RouterName`. Required.
    pub module: String,
    /// The directory of the config file that names the module: where a path that is not absolute starts.
    pub base_dir: PathBuf,
    /// `config`: handed to the module as it is; always an object. Default: `{}`.
    pub config: serde_json::Value,
    /// `sha256`: the library is refused unless its hash is this one. Default: any is taken.
    pub sha256: Option<Sha256>,
    /// `call_timeout`: how long a call into the module may take before it counts as failed; above 0.
    /// Default: `1s`.
    pub call_timeout: Duration,
    /// `allow_insecure_permissions`: take the library although others than its owner may write it.
    /// Default: `false`.
    pub allow_insecure_permissions: bool,
}

/// A module's own config may hold secrets of which the host knows nothing.
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("module", &self.module)
            .field("base_dir", &self.base_dir)
            .field("config", &format_args!("{{..}}"))
            .field("sha256", &self.sha256)
            .field("call_timeout", &self.call_timeout)
            .field("allow_insecure_permissions", &self.allow_insecure_permissions)
            .finish()
    }
}

pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Module> {
    let section = reader.section(field, &known_keys::MODULE)?;
    let mut module = Module {
        module: String::new(),
        base_dir: PathBuf::new(),
        config: serde_json::Value::Object(serde_json::Map::new()),
        sha256: None,
        call_timeout: Duration::from_secs(1),
        allow_insecure_permissions: false,
    };
    match section.get("module") {
        Some(field) => {
            module.base_dir = reader.directory_of(&field);
            reader.set(&mut module.module, Some(field), read_name);
        }
        None => reader.error(
            &section.path.key("module"),
            "missing; name the library, such as \"broadcast\" or \"./libbroadcast.so\"",
        ),
    }
    reader.set(&mut module.config, section.get("config"), json::object);
    reader.set(&mut module.sha256, section.get("sha256"), |reader, field| {
        read_pin(reader, field).map(Some)
    });
    reader.set(
        &mut module.call_timeout,
        section.get("call_timeout"),
        duration::read_above_zero,
    );
    let permissions = section.get("allow_insecure_permissions");
    reader.set(
        &mut module.allow_insecure_permissions,
        permissions,
        Reader::boolean,
    );
    Some(module)
}

fn read_name(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    match reader.text(field)? {
        "" => reader.refuse(
            field,
            "empty; name the library, such as \"broadcast\" or \"./libbroadcast.so\"",
        ),
        name if name.contains('\0') => reader.refuse(field, "a path cannot hold a NUL character"),
        name => Some(name.to_owned()),
    }
}

fn read_pin(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Sha256> {
    match reader.text(field)?.parse() {
        Ok(pin) => Some(pin),
        Err(InvalidSha256) => reader.refuse(
            field,
            "not a SHA-256 hash; write its 64 hexadecimal digits, as sha256sum prints them",
        ),
    }
}

#[cfg(test)]
mod tests {
    use insta::{assert_debug_snapshot, assert_snapshot};

    use super::*;
    use crate::config::checks;

    fn check(router: &str) -> String {
        checks::check(&format!(
            "server_name: a\npresence:\n  presence_router:\n    {router}"
        ))
    }

    #[test]
    fn a_module_is_read_and_its_config_never_shown() {
        let hash = "0123456789abcdef".repeat(4).to_uppercase();
        let config = checks::config(&format!(
            "server_name: a\npresence: {{presence_router: {{module: ./m.so, config: {{key: SECRET}}, sha256: '{hash}', \
             call_timeout: 250ms, allow_insecure_permissions: true}}}}"
        ));
        let module = config.presence.presence_router.unwrap();
        assert_eq!(module.config, serde_json::json!({"key": "SECRET"}));
        assert_debug_snapshot!(module, @r#"
        Module {
            module: "./m.so",
            base_dir: "conf",
            config: {..},
            sha256: Some(
                0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,
            ),
            call_timeout: 250ms,
            allow_insecure_permissions: true,
        }
        "#);
    }

    #[test]
    fn the_directory_is_that_of_the_file_that_names_the_module() {
        let router = |rest: &str| format!("presence: {{presence_router: {{{rest}}}}}");
        let files = [
            ("a/1.yaml", "server_name: a".to_owned()),
            ("b/2.yaml", router("module: ./m.so, call_timeout: 2s")),
            ("c/3.yaml", router("call_timeout: 3s, config: {a: 1}")),
        ];
        let files = files.each_ref().map(|(file, text)| (*file, text.as_str()));
        let (config, _) = checks::load_texts(&files).unwrap();
        let module = config.presence.presence_router.unwrap();
        assert_eq!(module.base_dir, PathBuf::from("b"));
        assert_eq!(module.call_timeout, Duration::from_secs(3));
    }

    #[test]
    fn every_key_of_a_module_is_checked() {
        assert_snapshot!(check("config: {}"), @r#"presence.presence_router.module: missing; name the library, such as "broadcast" or "./libbroadcast.so" (homeserver.yaml:3)"#);
        assert_snapshot!(check("module: ''"), @r#"presence.presence_router.module: empty; name the library, such as "broadcast" or "./libbroadcast.so" (homeserver.yaml:4)"#);
        assert_snapshot!(check("module: 5"), @"presence.presence_router.module: expected a string, found an integer; put it in quotes (homeserver.yaml:4)");
        assert_snapshot!(check("{module: m, call_timeout: 0, allow_insecure_permissions: 'true'}"), @"
        presence.presence_router.call_timeout: has to be longer than 0; write a duration such as 1s (homeserver.yaml:4)
        presence.presence_router.allow_insecure_permissions: expected true or false, found a string (homeserver.yaml:4)
        ");
        assert_snapshot!(check("{module: m, sha256: abc}"), @"presence.presence_router.sha256: not a SHA-256 hash; write its 64 hexadecimal digits, as sha256sum prints them (homeserver.yaml:4)");
        assert_snapshot!(check(&format!("{{module: m, sha256: {}}}", "1".repeat(18))), @"presence.presence_router.sha256: expected a string, found an integer; put it in quotes (homeserver.yaml:4)");
        assert_snapshot!(check("{module: m, blacklisted_users: []}"), @r#"presence.presence_router.blacklisted_users: unknown key "blacklisted_users"; known here: module, config, sha256, call_timeout, allow_insecure_permissions (homeserver.yaml:4)"#);
        assert_snapshot!(check("broadcast"), @"presence.presence_router: expected a mapping, found a string (homeserver.yaml:3)");
    }
}
