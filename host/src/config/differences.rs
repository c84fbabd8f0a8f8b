//! What differs between two configs, and whether a running server can take it on.
//!
//! Owns which keys need a restart; whoever reloads applies the others.

use serde::Serialize;

use crate::config::{Config, Presence};

/// A key that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key: of the top level, but for the module of `presence`.
    pub key: &'static str,
    /// When the new value holds.
    pub applies: Applies,
}

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// A running server takes it on.
    AtOnce,
    /// The running server goes on with the old value until it is started again.
    AtRestart,
}

/// The keys of the top level whose meaning differs, in the order of the reference. How a value is written, and
/// in which file, makes no difference.
pub fn differences(old: &Config, new: &Config) -> Vec<Difference> {
    use Applies::{AtOnce, AtRestart};

    // Taken apart, so that a key that is added cannot be forgotten here.
    let Config {
        server_name,
        listeners,
        admin_socket,
        presence,
        exclude_rooms_from_presence,
        rc_presence,
        database,
        federation,
        outgoing,
        modules,
        module_path,
        trusted_keys,
        directory,
        worker_threads,
        log,
    } = old;
    let rows = [
        ("server_name", *server_name != new.server_name, AtRestart),
        ("listeners", *listeners != new.listeners, AtRestart),
        ("admin_socket", *admin_socket != new.admin_socket, AtRestart),
        (
            "presence",
            without_router(presence) != without_router(&new.presence),
            AtRestart,
        ),
        (
            "presence.presence_router",
            presence.presence_router != new.presence.presence_router,
            AtOnce,
        ),
        (
            "exclude_rooms_from_presence",
            *exclude_rooms_from_presence != new.exclude_rooms_from_presence,
            AtRestart,
        ),
        ("rc_presence", *rc_presence != new.rc_presence, AtRestart),
        ("database", *database != new.database, AtRestart),
        (
            "signing_key_path",
            federation.signing_key_path != new.federation.signing_key_path,
            AtRestart,
        ),
        (
            "old_signing_keys",
            federation.old_signing_keys != new.federation.old_signing_keys,
            AtRestart,
        ),
        (
            "key_refresh_interval",
            federation.key_refresh_interval != new.federation.key_refresh_interval,
            AtRestart,
        ),
        (
            "federation_domain_whitelist",
            federation.domain_whitelist != new.federation.domain_whitelist,
            AtRestart,
        ),
        (
            "federation_custom_ca_list",
            federation.custom_ca_list != new.federation.custom_ca_list,
            AtRestart,
        ),
        (
            "ip_range_blacklist",
            outgoing.blocked != new.outgoing.blocked,
            AtRestart,
        ),
        (
            "ip_range_whitelist",
            outgoing.allowed != new.outgoing.allowed,
            AtRestart,
        ),
        ("modules", *modules != new.modules, AtOnce),
        ("module_path", *module_path != new.module_path, AtOnce),
        ("trusted_keys", *trusted_keys != new.trusted_keys, AtOnce),
        ("directory", *directory != new.directory, AtOnce),
        ("worker_threads", *worker_threads != new.worker_threads, AtRestart),
        ("log", *log != new.log, AtRestart),
    ];
    rows.into_iter()
        .filter(|(_, differs, _)| *differs)
        .map(|(key, _, applies)| Difference { key, applies })
        .collect()
}

fn without_router(presence: &Presence) -> Presence {
    Presence {
        presence_router: None,
        ..presence.clone()
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks::config;
    use crate::config::known_keys::ROOT;

    const BASE: &str = "server_name: example.org";

    fn keys(old: &str, new: &str) -> Vec<&'static str> {
        let found = differences(&config(old), &config(new));
        found.into_iter().map(|difference| difference.key).collect()
    }

    #[test]
    fn each_key_of_the_top_level_is_told_alone() {
        for key in ROOT.entries {
            let new = match key.name {
                "server_name" => "server_name: other.example.org".to_owned(),
                name => format!("{BASE}\n{name}: {}", key.example),
            };
            assert_eq!(keys(BASE, &new), [key.name]);
            assert_eq!(keys(&new, BASE), [key.name]);
            assert_eq!(keys(&new, &new), [""; 0]);
        }
    }

    #[test]
    fn the_same_in_other_words_is_no_difference() {
        let new = "log: {level: INFO}\npresence: {idle_timeout: 300000, enabled: 'true'}\nserver_name: \"example.org\"";
        assert_eq!(keys(BASE, new), [""; 0]);
    }

    #[test]
    fn users_rooms_and_modules_apply_at_once_and_all_else_at_a_restart() {
        let new = "server_name: example.org\nlog: {level: warn}\ndirectory: {static: {rooms: {'!a:b': []}}}";
        let found = differences(&config(BASE), &config(new));
        assert_snapshot!(serde_json::to_string(&found).unwrap(), @r#"[{"key":"directory","applies":"at_once"},{"key":"log","applies":"at_restart"}]"#);
        let at_once = ROOT
            .entries
            .iter()
            .filter(|key| key.name != "server_name")
            .filter(|key| {
                let new = config(&format!("{BASE}\n{}: {}", key.name, key.example));
                differences(&config(BASE), &new)
                    .iter()
                    .all(|found| found.applies == Applies::AtOnce)
            });
        assert_eq!(
            at_once.map(|key| key.name).collect::<Vec<_>>(),
            ["modules", "module_path", "trusted_keys", "directory"]
        );
        let router = format!("{BASE}\npresence: {{presence_router: {{module: broadcast}}}}");
        assert_eq!(keys(BASE, &router), ["presence.presence_router"]);
    }
}
