//! `presence`: whether presence is tracked, its timeouts and limits, and the module that routes it.

use std::time::Duration;

use serde_yaml::Value;

use crate::config::module::{self, Module};
use crate::config::reader::{Field, Reader};
use crate::config::{duration, known_keys};

/// The section `presence`.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// `enabled`: `true`, `false` or `untracked`. Default: `true`.
    pub enabled: Tracking,
    /// `last_active_granularity`: how long after their last action a user counts as currently active.
    /// Default: `1m`.
    pub last_active_granularity: Duration,
    /// `idle_timeout`: how long without an action makes an online user unavailable. Default: `5m`.
    pub idle_timeout: Duration,
    /// `sync_online_timeout`: how long after its last sync has ended a device is offline. Default: `30s`.
    pub sync_online_timeout: Duration,
    /// `max_status_msg_bytes`: the longest status message that is accepted, in bytes. Default: 2048.
    pub max_status_msg_bytes: usize,
    /// `include_offline_users_on_sync`: a first sync tells of offline users too. Default: `false`.
    pub include_offline_users_on_sync: bool,
    /// `presence_router`: the module that routes in addition to shared rooms. Default: none.
    pub presence_router: Option<Module>,
}

/// What `presence.enabled` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// `true`: states are taken from users, and told.
    Enabled,
    /// `false`: everybody is offline, and nothing is taken or told.
    Disabled,
    /// `untracked`: nothing is taken from users, but states that a module sets are told.
    Untracked,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            enabled: Tracking::Enabled,
            last_active_granularity: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(5),
            sync_online_timeout: Duration::from_secs(30),
            max_status_msg_bytes: 2048,
            include_offline_users_on_sync: false,
            presence_router: None,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Presence {
    let mut presence = Presence::default();
    let Some(section) = field.and_then(|field| reader.section(&field, &known_keys::PRESENCE)) else {
        return presence;
    };
    reader.set(&mut presence.enabled, section.get("enabled"), read_tracking);
    for (slot, key) in [
        (&mut presence.last_active_granularity, "last_active_granularity"),
        (&mut presence.idle_timeout, "idle_timeout"),
        (&mut presence.sync_online_timeout, "sync_online_timeout"),
    ] {
        reader.set(slot, section.get(key), duration::read);
    }
    reader.set(
        &mut presence.max_status_msg_bytes,
        section.get("max_status_msg_bytes"),
        |reader, field| {
            let bytes = reader.integer(field, 0..=u64::from(u32::MAX))?;
            usize::try_from(bytes).ok()
        },
    );
    reader.set(
        &mut presence.include_offline_users_on_sync,
        section.get("include_offline_users_on_sync"),
        Reader::boolean,
    );
    reader.set(
        &mut presence.presence_router,
        section.get("presence_router"),
        |reader, field| module::read(reader, field).map(Some),
    );
    presence
}

fn read_tracking(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Tracking> {
    match field.value {
        Value::Bool(true) => Some(Tracking::Enabled),
        Value::Bool(false) => Some(Tracking::Disabled),
        Value::String(text) => match text.as_str() {
            "true" => Some(Tracking::Enabled),
            "false" => Some(Tracking::Disabled),
            "untracked" => Some(Tracking::Untracked),
            _ => reader.refuse(
                field,
                format!("{text:?} is not known; write true, false or untracked"),
            ),
        },
        _ => reader.wrong_type(field, "true, false or untracked"),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn check(presence: &str) -> String {
        checks::check(&format!("server_name: a\npresence:\n  {presence}"))
    }

    #[test]
    fn tracking_may_be_quoted_or_not() {
        let cases = [
            ("true", Tracking::Enabled),
            ("'true'", Tracking::Enabled),
            ("false", Tracking::Disabled),
            ("\"false\"", Tracking::Disabled),
            ("untracked", Tracking::Untracked),
            ("'untracked'", Tracking::Untracked),
            ("", Tracking::Enabled),
        ];
        for (written, expected) in cases {
            let config = checks::config(&format!("server_name: a\npresence:\n  enabled: {written}"));
            assert_eq!(config.presence.enabled, expected, "{written}");
        }
        assert_snapshot!(check("enabled: yes"), @r#"presence.enabled: "yes" is not known; write true, false or untracked (homeserver.yaml:3)"#);
        assert_snapshot!(check("enabled: 1"), @"presence.enabled: expected true, false or untracked, found an integer (homeserver.yaml:3)");
    }

    #[test]
    fn each_duration_and_limit_reaches_its_own_place() {
        let config = checks::config(
            "server_name: a\npresence: {last_active_granularity: 1, idle_timeout: 2, sync_online_timeout: 3, \
             max_status_msg_bytes: 4}",
        );
        let presence = config.presence;
        assert_eq!(presence.last_active_granularity, Duration::from_millis(1));
        assert_eq!(presence.idle_timeout, Duration::from_millis(2));
        assert_eq!(presence.sync_online_timeout, Duration::from_millis(3));
        assert_eq!(presence.max_status_msg_bytes, 4);
        assert!(
            checks::config("server_name: a\npresence: {include_offline_users_on_sync: true}")
                .presence
                .include_offline_users_on_sync
        );
        assert_snapshot!(check("include_offline_users_on_sync: 'true'"), @"presence.include_offline_users_on_sync: expected true or false, found a string (homeserver.yaml:3)");
        assert_snapshot!(check("max_status_msg_bytes: 2K"), @"presence.max_status_msg_bytes: expected an integer, found a string (homeserver.yaml:3)");
        assert_snapshot!(check("max_status_msg_bytes: -1"), @"presence.max_status_msg_bytes: -1 is out of range; write an integer from 0 to 4294967295 (homeserver.yaml:3)");
        assert_snapshot!(checks::check("server_name: a\npresence: true"), @"presence: expected a mapping, found a boolean (homeserver.yaml:2)");
    }
}
