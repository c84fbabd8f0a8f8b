//! What is right in files of users and rooms, and what is said of what is not. All tokens hold the word SECRET, which no error
//! may repeat.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::config::{Config, ConfigErrors, load};

/// Loads a config with these lines of `directory:` and files of these contents, `a.jsonl` and so on.
fn load_with(directory: &str, files: &[&[u8]]) -> Result<Config, ConfigErrors> {
    let folder = TempDir::new().expect("a directory can be made");
    for (name, text) in ('a'..).zip(files) {
        fs::write(folder.path().join(format!("{name}.jsonl")), text).expect("can be written");
    }
    let config: PathBuf = folder.path().join("homeserver.yaml");
    let text = format!("server_name: example.org\ndirectory:\n{directory}\n");
    fs::write(&config, text).expect("can be written");
    let loaded = load(&[config]);
    loaded.map(|(config, _)| config).map_err(|errors| {
        let folder = folder.path().to_str().expect("of ASCII");
        let shown = [
            errors.to_string(),
            format!("{errors:?}"),
            serde_json::to_string(&errors).expect("is JSON"),
        ];
        assert!(!shown.iter().any(|text| text.contains("SECRET")), "{errors}");
        let entries = errors.entries().iter().cloned();
        let relative = entries.map(|mut error| {
            let file = error.file.take();
            error.file = file.map(|file| file.strip_prefix(folder).map(Into::into).unwrap_or(file));
            error.message = error.message.replace(&format!("{folder}/"), "");
            error
        });
        ConfigErrors::of(relative.collect()).expect("there were errors")
    })
}

/// What is wrong with a file of these lines.
fn check(lines: &str) -> String {
    match load_with("  files: [a.jsonl]", &[lines.as_bytes()]) {
        Ok(_) => "fine".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

/// All of a roster, a line each.
fn shown(config: &Config) -> String {
    let roster = config.directory.roster();
    let mut lines = Vec::new();
    for user in 0..roster.user_count() {
        let tokens = (0..roster.token_count()).filter(|token| roster.owner(*token) == Some(user));
        let tokens: Vec<_> = tokens.map(|token| roster.token(token)).collect();
        let kind = if roster.is_local(user) { "local" } else { "named" };
        lines.push(format!("{kind} {} {}", roster.user(user), tokens.join(" ")));
    }
    for room in 0..roster.room_count() {
        let members = roster.members(room).iter().map(|user| roster.user(*user));
        lines.push(format!(
            "{} {}",
            roster.room(room),
            members.collect::<Vec<_>>().join(" ")
        ));
    }
    lines.join("\n")
}

#[test]
fn what_files_say_and_what_the_config_says_are_one_roster() {
    let config = load_with(
        "  static:\n    users: {'@m:example.org': {access_tokens: [SECRETm]}}\n    rooms: {'!m': ['@z:example.org', '@a:else']}\n  \
         files: [a.jsonl, b.jsonl]",
        &[
            b"{\"room_id\":\"!b\",\"members\":[\"@z:example.org\",\"@m:example.org\",\"@z:example.org\"]}\n\n{\"room_id\":\"!a\"}",
            b"{\"access_tokens\":[\"SECRET2\",\"SECRET1\"],\"user_id\":\"@z:example.org\"}\r\n \
              {\"user_id\": \"@\\u0061:example.org\", \"access_tokens\": null}\n",
        ],
    );
    let config = config.expect("is right");
    assert_snapshot!(shown(&config), @r"
    named @a:else 
    local @a:example.org 
    local @m:example.org SECRETm
    local @z:example.org SECRET2 SECRET1
    !a 
    !b @m:example.org @z:example.org
    !m @a:else @z:example.org
    ");
    assert!(!format!("{config:?}").contains("SECRET"));
}

#[test]
fn the_order_of_lines_makes_no_difference() {
    let lines = [
        "{\"user_id\":\"@a:example.org\",\"access_tokens\":[\"SECRET1\",\"SECRET2\"]}",
        "{\"room_id\":\"!a\",\"members\":[\"@a:example.org\",\"@b:else\"]}",
        "{\"user_id\":\"@c:example.org\",\"access_tokens\":[\"SECRET3\"]}",
    ];
    let load = |order: [usize; 3]| {
        let lines = order.map(|line| lines[line]).join("\n");
        load_with("  files: [a.jsonl]", &[lines.as_bytes()]).expect("is right")
    };
    assert_eq!(
        load([0, 1, 2]).directory.roster(),
        load([2, 1, 0]).directory.roster()
    );
}

#[test]
fn a_line_is_a_user_or_a_room() {
    assert_snapshot!(check("{\"user_id\": \"SECRET\n[\"SECRET\"]\n{\"SECRET\": 1, \"acces_tokens\": []}\n{}\nSECRET"), @r#"
    the line ends within its object; write one object a line (a.jsonl:1:19)
    expected an object, found a list; a line is {"user_id": "@alice:example.org", "access_tokens": [..]} or {"room_id": "!room:example.org", "members": [..]} (a.jsonl:2)
    unknown key; a line is {"user_id": "@alice:example.org", "access_tokens": [..]} or {"room_id": "!room:example.org", "members": [..]} (a.jsonl:3)
    unknown key; did you mean "access_tokens"? (a.jsonl:3)
    neither a user_id nor a room_id; a line is {"user_id": "@alice:example.org", "access_tokens": [..]} or {"room_id": "!room:example.org", "members": [..]} (a.jsonl:4)
    not JSON; write one object a line (a.jsonl:5:1)
    "#);
    assert_snapshot!(check("{\"user_id\":\"@a:example.org\",\"room_id\":\"!a\"}\n{\"user_id\":\"@a:example.org\",\"members\":[]}\n{\"room_id\":\"!a\",\"access_tokens\":[\"SECRET\"]}"), @r#"
    both a user and a room; give each its own line (a.jsonl:1)
    members: a user has none; a room has, in a line with a "room_id" (a.jsonl:2)
    access_tokens: a room has none; a user has, in a line with a "user_id" (a.jsonl:3)
    "#);
    assert_snapshot!(check("{\"user_id\":5,\"access_tokens\":\"SECRET\"}\n{\"user_id\":\"@a:example.org\",\"access_tokens\":[5,null,[\"SECRET\"]]}\n{\"user_id\":\"@a:example.org\",\"user_id\":\"SECRET\"}"), @r"
    access_tokens: expected a list, found a string (a.jsonl:1)
    user_id: expected a string, found a number; put it in quotes (a.jsonl:1)
    access_tokens[0]: expected a string, found a number; put it in quotes (a.jsonl:2)
    access_tokens[1]: expected a string, found null (a.jsonl:2)
    access_tokens[2]: expected a string, found a list (a.jsonl:2)
    the same key stands here twice; remove one of the two (a.jsonl:3)
    ");
    let invalid = load_with("  files: [a.jsonl]", &[b"{\"user_id\":\"@a:example.org\"}\n\xff"]);
    assert_snapshot!(invalid.expect_err("is not UTF-8"), @"not UTF-8; save it with that encoding (a.jsonl:2)");
}

#[test]
fn ids_and_tokens_follow_the_rules_of_the_config() {
    assert_snapshot!(check("{\"user_id\":\"SECRET\"}\n{\"user_id\":\"@a\"}\n{\"user_id\":\"@a:else\"}\n{\"room_id\":\"r\"}\n{\"room_id\":\"!r\",\"members\":[\"@b:c\",\"bob\"]}"), @r#"
    user_id: not a user id; write one such as "@alice:example.org" (a.jsonl:1)
    user_id: "@a" is not a user id: it has no ':' and server name, as in "@alice:example.org" (a.jsonl:2)
    user_id: not a local user; write "@a:example.org", or remove it (a.jsonl:3)
    room_id: not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (a.jsonl:4)
    members[1]: "bob" is not a user id: it does not start with '@', as in "@alice:example.org" (a.jsonl:5)
    "#);
    assert_snapshot!(check("{\"user_id\":\"@a:example.org\",\"access_tokens\":[\"\",\"SECRET with spaces\"]}"), @r"
    access_tokens[0]: an empty access token; write one, or remove the entry (a.jsonl:1)
    access_tokens[1]: holds a space or a character that an Authorization header cannot carry; write another token (a.jsonl:1)
    ");
}

#[test]
fn who_stands_twice_is_told_of_with_both_places() {
    let errors = load_with(
        "  static:\n    users: {'@a:example.org': {access_tokens: [SECRET1]}}\n    rooms: {'!a': []}\n  files: [a.jsonl, b.jsonl]",
        &[
            b"{\"user_id\":\"@a:example.org\"}\n{\"room_id\":\"!a\"}\n{\"room_id\":\"!b\"}\n{\"user_id\":\"@b:example.org\",\"access_tokens\":[\"SECRET1\",\"SECRET2\",\"SECRET2\"]}",
            b"{\"user_id\":\"@b:example.org\"}\n{\"room_id\":\"!b\"}\n{\"user_id\":\"@c:example.org\",\"access_tokens\":[\"SECRET2\"]}",
        ],
    );
    assert_snapshot!(errors.expect_err("all of it stands twice"), @r#"
    user_id: "@a:example.org" stands in directory.static already; make it one entry (a.jsonl:1)
    room_id: "!a" stands in directory.static already; make it one entry (a.jsonl:2)
    access_tokens[0]: the same token as of the user in directory.static; give each entry its own (a.jsonl:4)
    access_tokens[2]: stands in this line already; remove one of the two (a.jsonl:4)
    user_id: "@b:example.org" stands in a.jsonl:4 already; make it one entry (b.jsonl:1)
    room_id: "!b" stands in a.jsonl:3 already; make it one entry (b.jsonl:2)
    access_tokens[0]: the same token as of the user in a.jsonl:4; give each entry its own (b.jsonl:3)
    "#);
}

#[test]
fn some_errors_are_told_and_not_a_million() {
    let errors = check(&"{\"user_id\":\"@a\"}\n".repeat(1_000));
    assert_eq!(errors.lines().count(), 11, "{errors}");
    assert_eq!(
        errors.lines().last(),
        Some("what follows is not read, mend this first (a.jsonl)")
    );
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_line_that_names_them() {
    let errors = load_with("  files:\n  - a.jsonl\n  - gone.jsonl\n  - .", &[b""]);
    assert_snapshot!(errors.expect_err("one is gone, one a directory"), @r"
    directory.files[1]: gone.jsonl: no such file; check the path (homeserver.yaml:5)
    directory.files[2]: .: not a regular file; name one of JSON lines (homeserver.yaml:6)
    ");
    let errors = load_with("  files: [5, '']\n  fils: []", &[]);
    assert_snapshot!(errors.expect_err("no paths"), @r#"
    directory.files[0]: expected a string, found an integer; put it in quotes (homeserver.yaml:3)
    directory.files[1]: expected a path, found an empty string (homeserver.yaml:3)
    directory.fils: unknown key "fils"; did you mean "files"? (homeserver.yaml:4)
    "#);
}
