//! Tests of the whole config: defaults, unknown keys, merging, files.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;
use proptest::prelude::*;

use crate::config::checks::{self, check, check_files, config};
use crate::config::load;

#[test]
fn a_server_name_is_all_that_is_needed() {
    let config = config("server_name: example.org");
    assert_snapshot!(format!("{config:#?}"), @r#"
    Config {
        server_name: "example.org",
        listeners: [
            Listener {
                bind: Tcp {
                    addresses: [
                        127.0.0.1,
                    ],
                    port: 8008,
                },
                resources: {
                    Client,
                    Health,
                },
            },
        ],
        admin_socket: None,
        presence: Presence {
            enabled: Enabled,
            last_active_granularity: 60s,
            idle_timeout: 300s,
            sync_online_timeout: 30s,
            max_status_msg_bytes: 2048,
            include_offline_users_on_sync: false,
            presence_router: None,
        },
        exclude_rooms_from_presence: {},
        rc_presence: None,
        database: File(
            "conf/presence.db",
        ),
        federation: Federation {
            signing_key_path: None,
            old_signing_keys: {},
            key_refresh_interval: 86400s,
            custom_ca_list: None,
            domain_whitelist: None,
        },
        outgoing: Outgoing {
            blocked: [
                127.0.0.0/8,
                10.0.0.0/8,
                172.16.0.0/12,
                192.168.0.0/16,
                100.64.0.0/10,
                192.0.0.0/24,
                169.254.0.0/16,
                192.88.99.0/24,
                198.18.0.0/15,
                192.0.2.0/24,
                198.51.100.0/24,
                203.0.113.0/24,
                224.0.0.0/4,
                ::1/128,
                fe80::/10,
                fc00::/7,
                2001:db8::/32,
                ff00::/8,
                fec0::/10,
                0.0.0.0/32,
                ::/128,
            ],
            allowed: [],
        },
        modules: [],
        module_path: [],
        trusted_keys: [],
        directory: Directory {
            users: {},
            rooms: {},
            files: [],
            listed: None,
        },
        worker_threads: 1,
        log: Log {
            level: "info",
            format: Text,
        },
    }
    "#);
}

#[test]
fn the_number_of_threads_is_read_and_bounded() {
    let of = |text: &str| config(&format!("server_name: a\n{text}")).worker_threads.get();
    assert_eq!(
        (of(""), of("worker_threads: 4"), of("worker_threads: 1024")),
        (1, 4, 1024)
    );
    assert_snapshot!(check("server_name: a\nworker_threads: 0"), @"worker_threads: 0 is out of range; write an integer from 1 to 1024 (homeserver.yaml:2)");
    assert_snapshot!(check("server_name: a\nworker_threads: 1025"), @"worker_threads: 1025 is out of range; write an integer from 1 to 1024 (homeserver.yaml:2)");
    assert_snapshot!(check("server_name: a\nworker_threads: many"), @"worker_threads: expected an integer, found a string (homeserver.yaml:2)");
}

#[test]
fn the_server_name_is_required_and_checked() {
    assert_snapshot!(check("log: {}"), @r#"server_name: missing; add a line such as "server_name: example.org" (homeserver.yaml)"#);
    assert_snapshot!(check("server_name:"), @r#"server_name: missing; add a line such as "server_name: example.org" (homeserver.yaml:1)"#);
    assert_snapshot!(check("server_name: https://example.org"), @r#"server_name: "https://example.org" is not a server name; write a DNS name or an IP address, with a port if need be, such as "example.org" or "example.org:8448" (homeserver.yaml:1)"#);
    assert_snapshot!(check("server_name: [example.org]"), @"server_name: expected a string, found a list (homeserver.yaml:1)");
}

#[test]
fn unknown_keys_are_errors_that_say_what_was_meant() {
    assert_snapshot!(check("server_name: a\npresnce: {}"), @r#"presnce: unknown key "presnce"; did you mean "presence"? (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\npresence:\n  idle-timeout: 5m"), @r#"presence.idle-timeout: unknown key "idle-timeout"; did you mean "idle_timeout"? (homeserver.yaml:3)"#);
    assert_snapshot!(check("server_name: a\nmedia_store_path: x"), @r#"media_store_path: unknown key "media_store_path"; known here: server_name, listeners, admin_socket, presence, exclude_rooms_from_presence, rc_presence, database, signing_key_path, old_signing_keys, key_refresh_interval, federation_domain_whitelist, federation_custom_ca_list, ip_range_blacklist, ip_range_whitelist, modules, module_path, trusted_keys, directory, worker_threads, log (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\nmodule_path: []\n5: x"), @"5: expected a string as the key, found an integer; put it in quotes (homeserver.yaml:3)");
}

#[test]
fn a_known_key_in_the_wrong_place_is_told_where_it_belongs() {
    assert_snapshot!(check("server_name: a\npresence_router: {module: x}"), @r#"presence_router: unknown key "presence_router"; it belongs under "presence" (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\nport: 8008"), @r#"port: unknown key "port"; it belongs in an entry of "listeners" (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\npresence: {server_name: x}"), @r#"presence.server_name: unknown key "server_name"; it belongs at the top level (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\nidle_timeot: 5m"), @r#"idle_timeot: unknown key "idle_timeot"; did you mean "idle_timeout", which belongs under "presence"? (homeserver.yaml:2)"#);
    assert_snapshot!(check("server_name: a\ndirectory: {users: {'@a:a': {access_tokens: [x]}}}"), @r#"directory.users: unknown key "users"; it belongs under "directory.static" (homeserver.yaml:2)"#);
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_lines() {
    assert_snapshot!(
        check("log: {level: 3, formt: json}\npresnce: {}\npresence:\n  idle_timeout: 5 min\nserver_name: a b"),
        @r#"
    log.formt: unknown key "formt"; did you mean "format"? (homeserver.yaml:1)
    log.level: expected a string, found an integer; put it in quotes (homeserver.yaml:1)
    presnce: unknown key "presnce"; did you mean "presence"? (homeserver.yaml:2)
    presence.idle_timeout: "5 min" is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, or an integer of milliseconds (homeserver.yaml:4)
    server_name: "a b" is not a server name; write a DNS name or an IP address, with a port if need be, such as "example.org" or "example.org:8448" (homeserver.yaml:5)
    "#
    );
}

#[test]
fn files_merge_key_by_key_and_the_later_wins() {
    let first =
        "server_name: a\npresence:\n  idle_timeout: 1m\n  sync_online_timeout: 10s\nmodule_path: [x, y]";
    let second = "presence:\n  idle_timeout: 2m\nmodule_path: [z]";
    let (config, origins) = checks::load_texts(&[("base/a.yaml", first), ("over/b.yaml", second)]).unwrap();
    assert_eq!(config.presence.idle_timeout.as_secs(), 120);
    assert_eq!(config.presence.sync_online_timeout.as_secs(), 10);
    assert_eq!(config.module_path, [PathBuf::from("over/z")]);
    let origin = |key| origins.locate(key).unwrap().to_string();
    assert_eq!(origin("presence.idle_timeout"), "over/b.yaml:2");
    assert_eq!(origin("presence.sync_online_timeout"), "base/a.yaml:4");
    assert_eq!(origin("server_name"), "base/a.yaml:1");
    assert_snapshot!(check_files(&[("a.yaml", first), ("b.yaml", "presence: 5"), ("c.yaml", "log: []")]), @"
    presence: expected a mapping, found an integer (b.yaml:1)
    log: expected a mapping, found a list (c.yaml:1)
    ");
}

#[test]
fn the_same_over_real_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let good = file(
        "good.yaml",
        b"\xef\xbb\xbfserver_name: a\r\nmodule_path: [modules]\r\n",
    );
    let (config, _) = load(std::slice::from_ref(&good)).unwrap();
    assert_eq!(config.module_path, [directory.path().join("modules")]);

    let bad = [
        good,
        file("latin1.yaml", b"server_name: a\n# caf\xe9\n"),
        file("empty.yaml", b"# nothing\n"),
        file("blank.yaml", b""),
        file("broken.yaml", b"a: [1\n"),
        directory.path().to_owned(),
        directory.path().join("absent.yaml"),
    ];
    let errors = load(&bad).unwrap_err().to_string();
    let errors = errors.replace(&format!("{}/", directory.path().display()), "");
    let errors = errors.replace(&directory.path().display().to_string(), "DIRECTORY");
    assert_snapshot!(errors, @"
    not UTF-8; save it with that encoding (latin1.yaml:2)
    this is a directory; name the file in it (DIRECTORY)
    no such file; check the path given with -c (absent.yaml)
    the file is empty; fill it, or leave it out (empty.yaml)
    the file is empty; fill it, or leave it out (blank.yaml)
    not valid YAML: while parsing a flow sequence, expected ',' or ']' (broken.yaml:2:1)
    ");
    assert_snapshot!(load(&[]).unwrap_err(), @"no config file was given; name one with -c");
}

#[test]
fn errors_are_data_for_json() {
    let errors = checks::load_texts(&[("homeserver.yaml", "server_name: a\nlog: {level: 3}")]).unwrap_err();
    assert_snapshot!(serde_json::to_string(&errors).unwrap(), @r#"[{"file":"homeserver.yaml","line":2,"key":"log.level","message":"expected a string, found an integer; put it in quotes"}]"#);
}

fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "server_name: a\n",
            "presence:",
            "presence_router:",
            "config:",
            "listeners:",
            "directory:",
            "static:",
            "users:",
            "rooms:",
            "log:",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ",",
            ": ",
            "&a ",
            "*a",
            "<<: ",
            "!t ",
            "!!int ",
            "\"",
            "'",
            "|\n",
            ">-\n",
            "? ",
            "---\n",
            "...\n",
            "#",
            "\r\n",
            "\t",
            "5m",
            "0x1",
            ".nan",
            "~",
            "@a:a",
            "%YAML 1.2\n",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), yaml_like()], key in "\\PC{0,20}") {
        let parsed = checks::load_texts(&[("a.yaml", &text), ("b.yaml", "server_name: example.org")]);
        match parsed {
            Ok((_, origins)) => { origins.locate(&key); }
            Err(errors) => prop_assert!(!errors.to_string().is_empty()),
        }
    }
}
