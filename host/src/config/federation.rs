//! What this server is to others: its signing keys, whom it speaks to, and by whose authority it believes them.
//!
//! Opens no file: a signing key that is missing is told of by whoever reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use presence_router_api::is_server_name;

use crate::config::reader::{Field, Reader, Section};
use crate::config::{duration, known_keys};

/// Synapse's.
const KEY_REFRESH_INTERVAL: Duration = Duration::from_hours(24);
/// The greatest integer of [canonical JSON](https://spec.matrix.org/v1.16/appendices/#canonical-json).
const MAX_TIME_MS: u64 = (1 << 53) - 1;

/// The keys of the top level that other servers are concerned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// `signing_key_path`: the file with the keys that requests are signed by. Default: none, and then there is no
    /// federation.
    pub signing_key_path: Option<PathBuf>,
    /// `old_signing_keys`: keys that were used before, by their ids. Default: none.
    pub old_signing_keys: BTreeMap<String, OldSigningKey>,
    /// `key_refresh_interval`: for how long others may keep our keys before they ask again. Default: a day.
    pub key_refresh_interval: Duration,
    /// `federation_custom_ca_list`: PEM files of the authorities that are believed, in place of Mozilla's. Default: Mozilla's.
    pub custom_ca_list: Option<Vec<PathBuf>>,
    /// `federation_domain_whitelist`: the servers that are spoken to. Default: all.
    pub domain_whitelist: Option<BTreeSet<String>>,
}

/// A key that was used before, so that others can check what it has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSigningKey {
    /// `key`: the public key, in base64 without padding.
    pub key: String,
    /// `expired_ts`: when it was last used, in milliseconds since the Unix epoch.
    pub expired_ts: u64,
}

impl Default for Federation {
    fn default() -> Self {
        Self {
            signing_key_path: None,
            old_signing_keys: BTreeMap::new(),
            key_refresh_interval: KEY_REFRESH_INTERVAL,
            custom_ca_list: None,
            domain_whitelist: None,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, root: Option<&Section<'_>>) -> Federation {
    let get = |key| root.and_then(|root| root.get(key));
    let mut federation = Federation::default();
    if let Some(field) = get("signing_key_path") {
        federation.signing_key_path = reader.file_path(&field);
    }
    reader.set(
        &mut federation.old_signing_keys,
        get("old_signing_keys"),
        read_old_keys,
    );
    reader.set(
        &mut federation.key_refresh_interval,
        get("key_refresh_interval"),
        duration::read_above_zero,
    );
    if let Some(field) = get("federation_custom_ca_list") {
        federation.custom_ca_list = read_authorities(reader, &field);
    }
    if let Some(field) = get("federation_domain_whitelist") {
        federation.domain_whitelist = read_servers(reader, &field);
    }
    federation
}

fn read_authorities(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Vec<PathBuf>> {
    let files = reader.list(field)?;
    if files.is_empty() {
        return reader.refuse(
            field,
            "lists no file, so that no server could be believed; leave the key out for Mozilla's authorities",
        );
    }
    let files = files.iter().filter_map(|file| reader.file_path(file));
    Some(files.collect())
}

fn read_servers(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeSet<String>> {
    let mut servers = BTreeSet::new();
    for entry in reader.list(field)? {
        let Some(name) = reader.text(&entry) else { continue };
        if is_server_name(name) {
            servers.insert(name.to_owned());
        } else {
            let message = format!(
                "{name:?} is not a server name; write one such as \"example.org\", without wildcards"
            );
            reader.error(&entry.path, message);
        }
    }
    Some(servers)
}

fn read_old_keys(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeMap<String, OldSigningKey>> {
    let mut keys = BTreeMap::new();
    for (id, field) in reader.entries(field)? {
        if !is_key_id(id) {
            reader.error(
                &field.path,
                format!("{id:?} is not the id of a key; write one such as \"ed25519:a_ABCD\""),
            );
        } else if let Some(key) = read_old_key(reader, &field) {
            keys.insert(id.to_owned(), key);
        }
    }
    Some(keys)
}

/// `ALGORITHM:VERSION`, [as the specification has it](https://spec.matrix.org/v1.16/appendices/#key-ids).
fn is_key_id(id: &str) -> bool {
    let is_version = |version: &str| {
        !version.is_empty()
            && version
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    id.strip_prefix("ed25519:").is_some_and(is_version)
}

fn read_old_key(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<OldSigningKey> {
    let section = reader.section(field, &known_keys::OLD_SIGNING_KEY)?;
    let mut required = |key, what| {
        let field = section.get(key);
        if field.is_none() {
            reader.error(&section.path.key(key), format!("missing; write {what}"));
        }
        field
    };
    let key = required("key", "the public key, in base64");
    let expired_ts = required(
        "expired_ts",
        "when the key was last used, in milliseconds since the Unix epoch",
    );
    let key = key.and_then(|field| read_public_key(reader, &field));
    let expired_ts = expired_ts.and_then(|field| reader.integer(&field, 0..=MAX_TIME_MS));
    Some(OldSigningKey {
        key: key?,
        expired_ts: expired_ts?,
    })
}

fn read_public_key(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?.trim_end_matches('=');
    match STANDARD_NO_PAD.decode(text) {
        Ok(bytes) if bytes.len() == 32 => Some(text.to_owned()),
        Ok(_) | Err(_) => reader.refuse(
            field,
            "not a public key of ed25519; write its 32 bytes in base64, as they were published",
        ),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn federation(yaml: &str) -> Federation {
        checks::config(&format!("server_name: a\n{yaml}")).federation
    }

    fn check(yaml: &str) -> String {
        checks::check(&format!("server_name: a\n{yaml}"))
    }

    #[test]
    fn paths_start_at_the_file_and_an_empty_whitelist_is_no_whitelist_of_all() {
        let read = federation(
            "signing_key_path: a.key\nfederation_custom_ca_list: [ca.pem]\nfederation_domain_whitelist: []",
        );
        assert_eq!(read.signing_key_path, Some("conf/a.key".into()));
        assert_eq!(read.custom_ca_list, Some(vec!["conf/ca.pem".into()]));
        assert_eq!(read.domain_whitelist, Some(BTreeSet::new()));
        assert_eq!(federation("").domain_whitelist, None);
        assert_eq!(federation("federation_domain_whitelist:").domain_whitelist, None);
    }

    #[test]
    fn a_public_key_may_be_padded_and_is_kept_without() {
        let read = federation(
            "old_signing_keys: {'ed25519:1': {key: 'XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI=', expired_ts: 1}}",
        );
        assert_eq!(
            read.old_signing_keys["ed25519:1"],
            OldSigningKey {
                key: "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI".to_owned(),
                expired_ts: 1
            }
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        assert_snapshot!(check("federation_domain_whitelist: ['*.example.org', a/b, 5]\nfederation_custom_ca_list: []"), @r#"
        federation_domain_whitelist[0]: "*.example.org" is not a server name; write one such as "example.org", without wildcards (homeserver.yaml:2)
        federation_domain_whitelist[1]: "a/b" is not a server name; write one such as "example.org", without wildcards (homeserver.yaml:2)
        federation_domain_whitelist[2]: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        federation_custom_ca_list: lists no file, so that no server could be believed; leave the key out for Mozilla's authorities (homeserver.yaml:3)
        "#);
        assert_snapshot!(check("old_signing_keys: {a: {}, 'ed25519:a-b': {}, 'ed25519:1': {}, 'ed25519:2': {key: x, expired_ts: -1}}"), @r#"
        old_signing_keys.a: "a" is not the id of a key; write one such as "ed25519:a_ABCD" (homeserver.yaml:2)
        old_signing_keys."ed25519:a-b": "ed25519:a-b" is not the id of a key; write one such as "ed25519:a_ABCD" (homeserver.yaml:2)
        old_signing_keys."ed25519:1".key: missing; write the public key, in base64 (homeserver.yaml:2)
        old_signing_keys."ed25519:1".expired_ts: missing; write when the key was last used, in milliseconds since the Unix epoch (homeserver.yaml:2)
        old_signing_keys."ed25519:2".key: not a public key of ed25519; write its 32 bytes in base64, as they were published (homeserver.yaml:2)
        old_signing_keys."ed25519:2".expired_ts: -1 is out of range; write an integer from 0 to 9007199254740991 (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("signing_key_path: ''\nkey_refresh_interval: 0"), @r"
        signing_key_path: expected a path, found an empty string (homeserver.yaml:2)
        key_refresh_interval: has to be longer than 0; write a duration such as 1s (homeserver.yaml:3)
        ");
    }
}
