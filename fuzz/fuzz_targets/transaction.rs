//! Bodies of transactions: neither the look at them nor reading them panics, and nobody speaks for another's users.

#![no_main]

use libfuzzer_sys::fuzz_target;
use presence_router::federation::{Transaction, scan};
use ruma_common::ServerName;
use serde_json::{Map, Value};

fuzz_target!(|body: &[u8]| {
    let looks_good = scan(body).is_ok();
    let Ok(content) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return;
    };
    // Fuzzers do not make bodies of as many values as are refused.
    assert!(looks_good);
    let origin = <&ServerName>::try_from("other.test").expect("valid");
    if let Ok(transaction) = Transaction::read(&content, origin) {
        assert!(transaction.answer()["pdus"].is_object());
        for entry in transaction.presence {
            assert_eq!(entry.user_id.server_name(), "other.test");
        }
    }
});
