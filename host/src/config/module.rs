//! `presence.presence_router` and `modules`: which modules route, and under which conditions they are run.
//!
//! Owns what an operator says about a module; whether such a library exists is the loader's business.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::containment::{AutomaticRollback, CrashBudget};
use crate::config::key_path::KeyPath;
use crate::config::reader::{Field, Reader, Section};
use crate::config::{duration, json, known_keys};
use crate::sha256::{InvalidSha256, Sha256};

const MAX_NAME_BYTES: usize = 64;

/// A module as the config names it.
#[derive(Clone, PartialEq)]
pub struct Module {
    /// `module`: a path, when it holds a `/`; otherwise a name that is searched in `module_path`. A
    /// name may be `library.RouterName`. Required.
    pub module: String,
    /// The directory of the config file that names the module: where a path that is not absolute starts.
    pub base_dir: PathBuf,
    /// `name`: what this instance is called in logs, metrics and storage; 1 to 64 letters, digits, `_`, `.` and
    /// `-`, and no two modules have the same. Default: `module` without directory, `lib` and `.so`.
    pub name: String,
    /// `config`: handed to the module as it is; always an object. Default: `{}`.
    pub config: serde_json::Value,
    /// `sha256`: the library is refused unless its hash is this one. Default: any is taken.
    pub sha256: Option<Sha256>,
    /// `call_timeout`: how long a call into the module may take before it counts as failed; above 0.
    /// Default: `1s`.
    pub call_timeout: Duration,
    /// `crash_budget`: how often it may crash before it is switched off; nothing for without end. Default:
    /// `{crashes: 20, within: 1h}`.
    pub crash_budget: Option<CrashBudget>,
    /// `automatic_rollback`: when a new generation of it is taken back; nothing for never. Default:
    /// `{error_rate: 0.5, within: 5m}`.
    pub automatic_rollback: Option<AutomaticRollback>,
    /// `allow_insecure_permissions`: take the library although others than its owner may write it.
    /// Default: `false`.
    pub allow_insecure_permissions: bool,
    /// `allow_unsigned`: take the library although no key of `trusted_keys` has signed it. Default: `false`.
    pub allow_unsigned: bool,
}

/// A module's own config may hold secrets of which the host knows nothing.
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("module", &self.module)
            .field("base_dir", &self.base_dir)
            .field("name", &self.name)
            .field("config", &format_args!("{{..}}"))
            .field("sha256", &self.sha256)
            .field("call_timeout", &self.call_timeout)
            .field("crash_budget", &self.crash_budget)
            .field("automatic_rollback", &self.automatic_rollback)
            .field("allow_insecure_permissions", &self.allow_insecure_permissions)
            .field("allow_unsigned", &self.allow_unsigned)
            .finish()
    }
}

/// `modules`. `router` is the module of `presence.presence_router`, whose name is taken.
pub(super) fn read_list(
    reader: &mut Reader<'_>,
    field: Option<Field<'_>>,
    router: Option<&Module>,
) -> Vec<Module> {
    let entries = field.and_then(|field| reader.list(&field)).unwrap_or_default();
    let router_path = KeyPath::root().key("presence").key("presence_router");
    let mut names: HashMap<String, KeyPath> = router
        .map(|router| (router.name.clone(), router_path))
        .into_iter()
        .collect();
    let mut modules = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(module) = read(reader, entry) else {
            continue;
        };
        match names.get(&module.name) {
            // An empty name has been refused already.
            Some(other) if !module.name.is_empty() => {
                let message = format!(
                    "the name {:?} is that of {}; give one of the two another \"name\"",
                    module.name,
                    reader.place_of(other)
                );
                reader.error(&entry.path.key("name"), message);
            }
            _ => {
                names.insert(module.name.clone(), entry.path.clone());
            }
        }
        modules.push(module);
    }
    modules
}

pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Module> {
    let section = reader.section(field, &known_keys::MODULE)?;
    let mut module = Module {
        module: String::new(),
        base_dir: PathBuf::new(),
        name: String::new(),
        config: serde_json::Value::Object(serde_json::Map::new()),
        sha256: None,
        call_timeout: Duration::from_secs(1),
        crash_budget: None,
        automatic_rollback: None,
        allow_insecure_permissions: false,
        allow_unsigned: false,
    };
    match section.get("module") {
        Some(field) => {
            module.base_dir = reader.directory_of(&field);
            reader.set(&mut module.module, Some(field), read_library);
        }
        None => reader.error(
            &section.path.key("module"),
            "missing; name the library, such as \"broadcast\" or \"./libbroadcast.so\"",
        ),
    }
    module.name = match section.get("name") {
        Some(field) => read_name(reader, &field),
        None => default_name(reader, &section, &module.module),
    }
    .unwrap_or_default();
    reader.set(&mut module.config, section.get("config"), json::object);
    reader.set(&mut module.sha256, section.get("sha256"), |reader, field| {
        read_pin(reader, field).map(Some)
    });
    reader.set(
        &mut module.call_timeout,
        section.get("call_timeout"),
        duration::read_above_zero,
    );
    module.crash_budget = CrashBudget::read(reader, section.get("crash_budget"));
    module.automatic_rollback = AutomaticRollback::read(reader, section.get("automatic_rollback"));
    let permissions = section.get("allow_insecure_permissions");
    reader.set(
        &mut module.allow_insecure_permissions,
        permissions,
        Reader::boolean,
    );
    reader.set(
        &mut module.allow_unsigned,
        section.get("allow_unsigned"),
        Reader::boolean,
    );
    Some(module)
}

fn read_library(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    match reader.text(field)? {
        "" => reader.refuse(
            field,
            "empty; name the library, such as \"broadcast\" or \"./libbroadcast.so\"",
        ),
        name if name.contains('\0') => reader.refuse(field, "a path cannot hold a NUL character"),
        name => Some(name.to_owned()),
    }
}

fn read_name(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let name = reader.text(field)?;
    if is_name(name) {
        return Some(name.to_owned());
    }
    reader.refuse(
        field,
        format!("{name:?} is not a name; write 1 to {MAX_NAME_BYTES} letters, digits, '_', '.' or '-'"),
    )
}

/// The name that `library` suggests: `./dir/libbroadcast.so` is `broadcast`, `libmany.so.One` is `many.One`.
fn default_name(reader: &mut Reader<'_>, section: &Section<'_>, library: &str) -> Option<String> {
    // What is missing or empty has been refused already.
    let file = library.rsplit('/').next().filter(|_| !library.is_empty())?;
    let name = file.strip_prefix("lib").unwrap_or(file);
    let name = name
        .strip_suffix(".so")
        .map_or_else(|| name.replacen(".so.", ".", 1), str::to_owned);
    if is_name(&name) {
        return Some(name);
    }
    let message = format!(
        "no name can be made of it; add a \"name\" of 1 to {MAX_NAME_BYTES} letters, digits, '_', '.' or '-'"
    );
    reader.error(&section.path.key("module"), message);
    None
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(allowed)
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
            name: "m",
            config: {..},
            sha256: Some(
                0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef,
            ),
            call_timeout: 250ms,
            crash_budget: Some(
                CrashBudget {
                    crashes: 20,
                    within: 3600s,
                },
            ),
            automatic_rollback: Some(
                AutomaticRollback {
                    error_rate: 0.5,
                    within: 300s,
                },
            ),
            allow_insecure_permissions: true,
            allow_unsigned: false,
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
    fn a_module_without_a_name_is_called_by_its_file() {
        for (library, name) in [
            ("broadcast", "broadcast"),
            ("libbroadcast.so", "broadcast"),
            ("./libbroadcast.so", "broadcast"),
            ("/a.b/lib-c/broadcast.so", "broadcast"),
            ("many.One", "many.One"),
            ("./libmany.so.One", "many.One"),
            ("my_module-2", "my_module-2"),
        ] {
            let yaml = format!("server_name: a\nmodules: [{{module: {library}}}]");
            assert_eq!(checks::config(&yaml).modules[0].name, name, "{library}");
        }
        assert_snapshot!(check("module: ./my module.so"), @r#"presence.presence_router.module: no name can be made of it; add a "name" of 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
        assert_snapshot!(check("module: dir/"), @r#"presence.presence_router.module: no name can be made of it; add a "name" of 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
        assert_snapshot!(check("module: lib.so"), @r#"presence.presence_router.module: no name can be made of it; add a "name" of 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
        assert_snapshot!(check("{module: ./my module.so, name: mine}"), @"fine");
        assert_snapshot!(check("{module: m, name: my module}"), @r#"presence.presence_router.name: "my module" is not a name; write 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
        assert_snapshot!(check("{module: m, name: ''}"), @r#"presence.presence_router.name: "" is not a name; write 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
        assert_snapshot!(check(&format!("{{module: m, name: {}}}", "x".repeat(64))), @"fine");
        assert_snapshot!(check(&format!("{{module: m, name: {}}}", "x".repeat(65))), @r#"presence.presence_router.name: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" is not a name; write 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:4)"#);
    }

    #[test]
    fn no_two_modules_have_the_same_name() {
        let check = |modules: &str| {
            checks::check(&format!(
                "server_name: a\npresence:\n  presence_router: {{module: ./a/libm.so}}\nmodules:\n{modules}"
            ))
        };
        assert_snapshot!(check("- module: m"), @r#"modules[0].name: the name "m" is that of presence.presence_router (homeserver.yaml:3); give one of the two another "name" (homeserver.yaml:5)"#);
        assert_snapshot!(check("- module: n\n- module: o\n- {module: p, name: n}"), @r#"modules[2].name: the name "n" is that of modules[0] (homeserver.yaml:5); give one of the two another "name" (homeserver.yaml:7)"#);
        assert_snapshot!(check("- {module: m, name: other}\n- {module: m, name: another}"), @"fine");
        assert_snapshot!(check("- {module: '', name: ''}\n- {name: ''}\n- 5\n-"), @r#"
        modules[0].module: empty; name the library, such as "broadcast" or "./libbroadcast.so" (homeserver.yaml:5)
        modules[0].name: "" is not a name; write 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:5)
        modules[1].module: missing; name the library, such as "broadcast" or "./libbroadcast.so" (homeserver.yaml:6)
        modules[1].name: "" is not a name; write 1 to 64 letters, digits, '_', '.' or '-' (homeserver.yaml:6)
        modules[2]: expected a mapping, found an integer (homeserver.yaml:7)
        modules[3]: expected a mapping, found nothing (null) (homeserver.yaml:8)
        "#);
    }

    #[test]
    fn modules_come_in_order_with_their_keys() {
        let modules = "modules:\n- {module: a}\n- {module: b, config: {c: 1}}";
        let names = |yaml: &str| {
            let config = checks::config(&format!("server_name: a\n{yaml}"));
            let named = config
                .all_modules()
                .map(|(key, module)| format!("{key} {}", module.name));
            named.collect::<Vec<_>>().join(", ")
        };
        assert_snapshot!(names(&format!("{modules}\npresence: {{presence_router: {{module: z}}}}")), @"presence.presence_router z, modules[0] a, modules[1] b");
        assert_snapshot!(names(&format!("{modules}\npresence: {{presence_router: }}")), @"modules[0] a, modules[1] b");
        assert_snapshot!(names("modules:"), @"");
        assert_snapshot!(names("modules: []"), @"");
        assert_snapshot!(checks::check("server_name: a\nmodules: {module: a}"), @"modules: expected a list, found a mapping (homeserver.yaml:2)");
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
        assert_snapshot!(check("{module: m, blacklisted_users: []}"), @r#"presence.presence_router.blacklisted_users: unknown key "blacklisted_users"; known here: module, name, config, sha256, call_timeout, crash_budget, automatic_rollback, allow_insecure_permissions, allow_unsigned (homeserver.yaml:4)"#);
        assert_snapshot!(check("broadcast"), @"presence.presence_router: expected a mapping, found a string (homeserver.yaml:3)");
    }
}
