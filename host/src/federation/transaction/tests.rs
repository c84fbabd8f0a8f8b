//! Transactions as servers send them, as they should not, and as nobody would.

use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::federation::signing::any_json;

fn other() -> &'static ServerName {
    <&ServerName>::try_from("other.test").expect("valid")
}

fn read(content: &Value) -> Result<Transaction, Malformed> {
    Transaction::read(content.as_object().expect("an object"), other())
}

fn presence(entries: &Value) -> Value {
    json!({"edus": [{"edu_type": "m.presence", "content": {"push": entries}}]})
}

/// Each entry that was taken on a line, and the counts.
fn check(content: &Value) -> String {
    let transaction = read(content).expect("a transaction");
    let mut lines: Vec<_> = transaction.presence.iter().map(line).collect();
    let Counts {
        presence_edus,
        other_edus,
        pdus,
        foreign,
        unreadable,
    } = transaction.counts;
    lines.push(format!(
        "{presence_edus} of presence, {other_edus} other, {pdus} PDUs; {foreign} foreign, {unreadable} unreadable"
    ));
    lines.join("\n")
}

fn line(entry: &PresenceEntry) -> String {
    let PresenceEntry {
        user_id,
        presence,
        last_active_ago,
        status_msg,
        currently_active,
    } = entry;
    let active = if *currently_active { " now" } else { "" };
    format!("{user_id} {presence}, {last_active_ago:?}{active}, {status_msg:?}")
}

#[test]
fn presence_is_read_as_synapse_sends_it() {
    let content = json!({
        "origin": "other.test",
        "origin_server_ts": 1,
        "pdus": [],
        "edus": [{
            "edu_type": "m.presence",
            "content": {"push": [
                {"user_id": "@olga:other.test", "presence": "online", "status_msg": "hi", "last_active_ago": 40, "currently_active": true},
                {"user_id": "@otto:other.test", "presence": "offline"},
                {"user_id": "@alice:example.org", "presence": "offline"},
                {"user_id": "@busy:other.test", "presence": "org.matrix.msc3026.busy"},
            ]},
        }],
    });
    assert_snapshot!(check(&content), @r#"
    @olga:other.test online, Some(40) now, Some("hi")
    @otto:other.test offline, None, None
    @busy:other.test busy, None, None
    1 of presence, 0 other, 0 PDUs; 1 foreign, 0 unreadable
    "#);
}

#[test]
fn each_entry_is_read_by_itself_and_leniently() {
    let entry = |key: &str, value: Value| {
        let mut entry = json!({"user_id": "@u:other.test", "presence": "online"});
        entry[key] = value;
        entry
    };
    let content = presence(&json!([
        entry("last_active_ago", json!(7.9)),
        entry("last_active_ago", json!(-7)),
        entry("last_active_ago", json!(-0.5)),
        entry("last_active_ago", json!(1e300)),
        entry("last_active_ago", json!(u64::MAX)),
        entry("last_active_ago", json!("7")),
        entry("last_active_ago", json!(null)),
        entry("currently_active", json!("true")),
        entry("currently_active", json!(1)),
        entry("status_msg", json!(null)),
        entry("status_msg", json!("")),
        entry("status_msg", json!(["hi"])),
        entry("unknown", json!({"a": 1})),
        entry("presence", json!("ONLINE")),
        entry("presence", json!("away")),
        entry("presence", json!(null)),
        entry("user_id", json!("u:other.test")),
        entry("user_id", json!(5)),
        {"user_id": "@u:other.test"},
        {"presence": "online"},
        "online",
        null,
        entry("user_id", json!("@last:other.test")),
    ]));
    assert_snapshot!(check(&content), @r#"
    @u:other.test online, Some(7), None
    @u:other.test online, Some(0), None
    @u:other.test online, Some(0), None
    @u:other.test online, Some(18446744073709551615), None
    @u:other.test online, Some(18446744073709551615), None
    @u:other.test online, None, None
    @u:other.test online, None, None
    @u:other.test online, None, None
    @u:other.test online, None, None
    @u:other.test online, None, None
    @u:other.test online, None, Some("")
    @u:other.test online, None, None
    @u:other.test online, None, None
    @last:other.test online, None, None
    1 of presence, 0 other, 0 PDUs; 0 foreign, 9 unreadable
    "#);
}

#[test]
fn what_is_no_presence_is_counted_and_ignored() {
    let content = json!({
        "pdus": [{"event_id": "$old:other.test"}, {"type": "m.room.message"}, {"event_id": "no id"}, 5],
        "edus": [
            {"edu_type": "m.typing", "content": {}},
            {"edu_type": 5},
            {},
            7,
            null,
            {"edu_type": "m.presence"},
            {"edu_type": "m.presence", "content": {"push": {}}},
            {"edu_type": "m.presence", "content": {"push": [{"user_id": "@u:other.test", "presence": "online"}]}},
        ],
    });
    assert_snapshot!(check(&content), @"
    @u:other.test online, None, None
    3 of presence, 5 other, 4 PDUs; 0 foreign, 0 unreadable
    ");
    let answer = read(&content).expect("a transaction").answer();
    assert_eq!(
        answer,
        json!({"pdus": {"$old:other.test": {"error": "this server takes presence alone"}}})
    );
    assert_eq!(
        read(&json!({})).expect("a transaction").answer(),
        json!({"pdus": {}})
    );
}

#[test]
fn a_user_is_of_the_origin_to_the_letter() {
    let users = [
        "@u:other.test:8448",
        "@u:OTHER.test",
        "@u:sub.other.test",
        "@u:other.test.evil.test",
    ];
    for user in users {
        let content = presence(&json!([{"user_id": user, "presence": "online"}]));
        let transaction = read(&content).expect("a transaction");
        assert_eq!(
            (transaction.presence.len(), transaction.counts.foreign),
            (0, 1),
            "{user}"
        );
    }
}

#[test]
fn the_limits_are_exact() {
    let with = |key: &str, length: usize| read(&json!({key: vec![json!({}); length]}));
    for (key, limit) in [("pdus", 50), ("edus", 100)] {
        assert!(with(key, limit).is_ok());
        let found = limit + 1;
        assert_eq!(
            with(key, found),
            Err(Malformed::TooMany {
                what: key,
                found,
                limit
            })
        );
    }
    let entries = vec![json!({"user_id": "@u:other.test", "presence": "online"}); MAX_ENTRIES + 3];
    let transaction = read(&presence(&json!(entries))).expect("a transaction");
    assert_eq!(
        (transaction.presence.len(), transaction.counts.unreadable),
        (MAX_ENTRIES, 3)
    );
}

#[test]
fn the_origin_is_the_signer_or_not_said() {
    for fine in [
        json!({}),
        json!({"origin": null}),
        json!({"origin": "other.test"}),
    ] {
        assert!(read(&fine).is_ok(), "{fine}");
    }
    for wrong in [
        json!("evil.test"),
        json!("OTHER.test"),
        json!(5),
        json!(["other.test"]),
    ] {
        assert_eq!(
            read(&json!({"origin": wrong})),
            Err(Malformed::OtherOrigin),
            "{wrong}"
        );
    }
    for key in ["pdus", "edus"] {
        assert_eq!(read(&json!({key: {}})), Err(Malformed::NotAList(key)));
    }
}

proptest! {
    #[test]
    fn no_transaction_makes_it_panic(json in any_json(), more in any_json()) {
        for content in [
            json!({"edus": json, "pdus": more}),
            json!({"edus": [json, more], "pdus": [json, more]}),
            json!({"edus": [{"edu_type": "m.presence", "content": json}]}),
            presence(&json),
            presence(&json!([json, more])),
            presence(&json!([{"user_id": "@u:other.test", "presence": "online", "last_active_ago": json, "status_msg": more}])),
        ] {
            if let Ok(transaction) = read(&content) {
                let all_of_the_origin = transaction.presence.iter().all(|entry| entry.user_id.server_name() == "other.test");
                prop_assert!(all_of_the_origin);
                prop_assert!(transaction.answer()["pdus"].is_object());
            }
        }
    }

    #[test]
    fn no_body_makes_the_scan_panic(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:0-9a\\\\u ]{0,60}") {
        for body in [body.as_slice(), text.as_bytes()] {
            let read = serde_json::from_slice::<Map<String, Value>>(body);
            prop_assert_eq!(scan(body).is_ok(), read.is_ok());
        }
    }
}
