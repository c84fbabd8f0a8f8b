//! The keys on keys: what this server has signed by before.

use crate::config::known_keys::Keys;
use crate::config::known_keys::key::{Key, Type};

pub(in crate::config) const OLD_SIGNING_KEY: Keys = Keys {
    title: "An entry of `old_signing_keys`",
    belong: "in an entry of \"old_signing_keys\"",
    within: &["old_signing_keys: {\"ed25519:a_old\": {KEYS}}"],
    about: "",
    entries: &[
        Key::new(
            "key",
            Type::Text,
            "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI",
            "the public key, in base64",
        ),
        Key::new(
            "expired_ts",
            Type::Integer {
                unit: "ms since the Unix epoch",
                least: 0,
                most: 9_007_199_254_740_991,
            },
            "1700000000000",
            "when the key was last used",
        ),
    ],
};
