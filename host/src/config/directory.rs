//! `directory`: users, their access tokens, and rooms, for trying out and tests without a homeserver. Here is what stands in
//! the config itself; `directory_files` reads what stands in files of its own.
//!
//! The tokens are secrets: no error and no `Debug` output holds one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use presence_router_api::UserId;

use crate::config::key_path::KeyPath;
use crate::config::reader::{Field, Reader};
use crate::config::roster::Roster;
use crate::config::{access_tokens, known_keys, room_ids};

/// The section `directory`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// `static.users`: the local users. Default: none.
    pub users: BTreeMap<UserId, StaticUser>,
    /// `static.rooms`: the members of each room, local or not. Default: none.
    pub rooms: BTreeMap<String, BTreeSet<UserId>>,
    /// `files`: where more users and rooms stand, as JSON lines. Default: none.
    pub files: Vec<PathBuf>,
    /// All of it, when there are `files` and they have been read.
    pub listed: Option<Arc<Roster>>,
}

impl Directory {
    /// All users and rooms, wherever they stand.
    pub fn roster(&self) -> Arc<Roster> {
        match &self.listed {
            Some(listed) => Arc::clone(listed),
            None => Arc::new(Roster::of(&self.users, &self.rooms)),
        }
    }
}

/// A local user.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StaticUser {
    /// `access_tokens`: what the user's devices authenticate with; each one belongs to one user only.
    /// Default: none.
    pub access_tokens: Vec<String>,
}

impl fmt::Debug for StaticUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = format_args!("[{} hidden]", self.access_tokens.len());
        f.debug_struct("StaticUser")
            .field("access_tokens", &tokens)
            .finish()
    }
}

/// `server_name` is `None` when it is itself wrong; then nobody is refused for being remote.
pub(super) fn read(
    reader: &mut Reader<'_>,
    field: Option<Field<'_>>,
    server_name: Option<&str>,
) -> Directory {
    let mut directory = Directory::default();
    let section = field.and_then(|field| reader.section(&field, &known_keys::DIRECTORY));
    let Some(section) = section else {
        return directory;
    };
    reader.set(&mut directory.files, section.get("files"), |reader, field| {
        let files = reader.list(field)?;
        Some(files.iter().filter_map(|file| reader.file_path(file)).collect())
    });
    let section = section.get("static");
    let Some(section) = section.and_then(|field| reader.section(&field, &known_keys::STATIC)) else {
        return directory;
    };
    reader.set(&mut directory.users, section.get("users"), |reader, field| {
        read_users(reader, field, server_name)
    });
    reader.set(&mut directory.rooms, section.get("rooms"), read_rooms);
    directory
}

fn read_users(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    server_name: Option<&str>,
) -> Option<BTreeMap<UserId, StaticUser>> {
    let mut users = BTreeMap::new();
    let mut owners = HashMap::new();
    for (key, field) in reader.entries(field)? {
        let id = read_local_id(reader, key, &field, server_name);
        let user = read_user(reader, &field, &mut owners);
        if let (Some(id), Some(user)) = (id, user) {
            users.insert(id, user);
        }
    }
    Some(users)
}

fn read_local_id(
    reader: &mut Reader<'_>,
    key: &str,
    field: &Field<'_>,
    server_name: Option<&str>,
) -> Option<UserId> {
    // A key without the sigil may be a token that stands where the user id should: not shown.
    if !key.starts_with('@') {
        return reader.refuse(
            field,
            "a key here is not a user id; write \"@alice:example.org\": {access_tokens: [..]}",
        );
    }
    match UserId::parse(key) {
        Err(error) => reader.refuse(field, error.to_string()),
        Ok(id) => match server_name {
            Some(local) if id.server_name() != local => reader.refuse(
                field,
                format!(
                    "not a local user; write \"@{}:{local}\", or remove it",
                    id.localpart()
                ),
            ),
            _ => Some(id),
        },
    }
}

/// `owners` says where each token that was seen before stands.
fn read_user<'v>(
    reader: &mut Reader<'_>,
    field: &Field<'v>,
    owners: &mut HashMap<&'v str, KeyPath>,
) -> Option<StaticUser> {
    if field.value.is_null() {
        return Some(StaticUser::default());
    }
    let section = reader.section(field, &known_keys::STATIC_USER)?;
    let Some(list) = section.get("access_tokens") else {
        return Some(StaticUser::default());
    };
    let mut tokens = Vec::new();
    for field in reader.list(&list)? {
        let Some(token) = reader.text(&field) else {
            continue;
        };
        if let Some(message) = access_tokens::fault(token) {
            reader.error(&field.path, message);
        } else if let Some(owner) = owners.get(token) {
            let message = format!(
                "the same token as {}; give each entry its own",
                owner.without_secrets()
            );
            reader.error(&field.path, message);
        } else {
            owners.insert(token, field.path.clone());
            tokens.push(token.to_owned());
        }
    }
    Some(StaticUser {
        access_tokens: tokens,
    })
}

fn read_rooms(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<BTreeMap<String, BTreeSet<UserId>>> {
    let mut rooms = BTreeMap::new();
    for (room, field) in reader.entries(field)? {
        let id = room_ids::check(reader, &field, room);
        let members = if field.value.is_null() {
            None
        } else {
            reader.list(&field)
        };
        let members = members.unwrap_or_default();
        let members = members
            .iter()
            .filter_map(|member| read_member(reader, member))
            .collect();
        if let Some(id) = id {
            rooms.insert(id, members);
        }
    }
    Some(rooms)
}

fn read_member(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<UserId> {
    match UserId::parse(reader.text(field)?) {
        Ok(id) => Some(id),
        Err(error) => reader.refuse(field, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use insta::{assert_debug_snapshot, assert_snapshot};

    use crate::config::checks;

    /// All tokens of these tests hold the word SECRET, which no error may repeat.
    fn check(directory: &str) -> String {
        let yaml = format!("server_name: example.org\ndirectory:\n  static:\n{directory}");
        let errors = checks::load_texts(&[("homeserver.yaml", &yaml)]).expect_err(directory);
        let shown = [
            errors.to_string(),
            format!("{errors:?}"),
            serde_json::to_string(&errors).unwrap(),
        ];
        assert!(!shown.iter().any(|text| text.contains("SECRET")), "{errors}");
        errors.to_string()
    }

    #[test]
    fn users_and_rooms_are_read_and_tokens_never_shown() {
        let config = checks::config(
            "server_name: example.org\ndirectory:\n  static:\n    users:\n      '@alice:example.org': {access_tokens: [SECRET1, SECRET2]}\n      \
             '@bob:example.org':\n    rooms:\n      '!r:example.org': ['@alice:example.org', '@eve:else.where', '@alice:example.org']\n      '!opaque':\n",
        );
        let alice = config.directory.users.first_key_value().expect("two users").1;
        assert_eq!(alice.access_tokens, ["SECRET1", "SECRET2"]);
        assert!(!format!("{config:?}").contains("SECRET"));
        assert_debug_snapshot!(config.directory, @r#"
        Directory {
            users: {
                "@alice:example.org": StaticUser {
                    access_tokens: [2 hidden],
                },
                "@bob:example.org": StaticUser {
                    access_tokens: [0 hidden],
                },
            },
            rooms: {
                "!opaque": {},
                "!r:example.org": {
                    "@alice:example.org",
                    "@eve:else.where",
                },
            },
            files: [],
            listed: None,
        }
        "#);
    }

    #[test]
    fn users_are_local_and_their_tokens_unique() {
        assert_snapshot!(
            check(
                "    users:\n      '@a:else.where': {access_tokens: [SECRET1]}\n      '@b:example.org': {access_tokens: [SECRET2, SECRET2, SECRET1]}\n      \
                 '@c': {access_tokens: ['', 'SECRET 3', \"SECRET\\n\", 5]}\n      '@d:example.org': {tokens: [SECRET]}"
            ),
            @r#"
        directory.static.users."@a:else.where": not a local user; write "@a:example.org", or remove it (homeserver.yaml:5)
        directory.static.users."@b:example.org".access_tokens[1]: the same token as directory.static.users."@b:example.org".access_tokens[0]; give each entry its own (homeserver.yaml:6)
        directory.static.users."@b:example.org".access_tokens[2]: the same token as directory.static.users."@a:else.where".access_tokens[0]; give each entry its own (homeserver.yaml:6)
        directory.static.users."@c": "@c" is not a user id: it has no ':' and server name, as in "@alice:example.org" (homeserver.yaml:7)
        directory.static.users."@c".access_tokens[0]: an empty access token; write one, or remove the entry (homeserver.yaml:7)
        directory.static.users."@c".access_tokens[1]: holds a space or a character that an Authorization header cannot carry; write another token (homeserver.yaml:7)
        directory.static.users."@c".access_tokens[2]: holds a space or a character that an Authorization header cannot carry; write another token (homeserver.yaml:7)
        directory.static.users."@c".access_tokens[3]: expected a string, found an integer; put it in quotes (homeserver.yaml:7)
        directory.static.users."@d:example.org": unknown key; known here: access_tokens (homeserver.yaml:8)
        "#
        );
    }

    #[test]
    fn tokens_in_the_wrong_place_stay_unseen() {
        assert_snapshot!(check("    users: {SECRET: '@a:example.org'}"), @r#"
        directory.static.users: a key here is not a user id; write "@alice:example.org": {access_tokens: [..]} (homeserver.yaml:4)
        directory.static.users: expected a mapping, found a string (homeserver.yaml:4)
        "#);
        assert_snapshot!(check("    users: {'@a:example.org': SECRET, '@b:example.org': [SECRET]}"), @r#"
        directory.static.users."@a:example.org": expected a mapping, found a string (homeserver.yaml:4)
        directory.static.users."@b:example.org": expected a mapping, found a list (homeserver.yaml:4)
        "#);
        assert_snapshot!(check("    users: {'@a:example.org': {SECRET: , SECRET2}}"), @r#"
        directory.static.users."@a:example.org": unknown key; known here: access_tokens (homeserver.yaml:4)
        directory.static.users."@a:example.org": unknown key; known here: access_tokens (homeserver.yaml:4)
        "#);
        assert_snapshot!(check("    users: {'@a:example.org': {access_tokens: {SECRET: 1}}}"), @r#"directory.static.users."@a:example.org".access_tokens: expected a list, found a mapping (homeserver.yaml:4)"#);
        assert_snapshot!(check("    users: {'@a:example.org': {access_tokens: {SECRET: 1, SECRET: 2}}}"), @r#"directory.static.users."@a:example.org".access_tokens: the same key is already on line 4; remove one of the two (homeserver.yaml:4)"#);
        assert_snapshot!(check("    users: {'@a:example.org': {access_tokens: !!int SECRET}}"), @r#"a value does not fit its tag (the word behind the "!"); remove the tag (homeserver.yaml:4:47)"#);
        assert_snapshot!(check("    users: {SECRET: !!int x, 12345: y}"), @r#"a value does not fit its tag (the word behind the "!"); remove the tag (homeserver.yaml:4:21)"#);
        assert_snapshot!(check("    users: {'@a:example.org': {access_tokens: [!SECRET x, {SECRET: 1}]}}"), @r#"
        directory.static.users."@a:example.org".access_tokens[0]: expected a string, found a value with a tag (homeserver.yaml:4)
        directory.static.users."@a:example.org".access_tokens[1]: expected a string, found a mapping (homeserver.yaml:4)
        "#);
        assert_snapshot!(check("    users: {'@a:example.org': {access_tokens: ['SECRET]}}"), @"not valid YAML: while scanning a quoted scalar, found unexpected end of stream (homeserver.yaml:4:48)");
    }

    #[test]
    fn rooms_have_room_ids_and_user_ids() {
        assert_snapshot!(check("    rooms:\n      '#r:example.org': []\n      '!': ['bob', 5]\n      '!x': '@a:example.org'"), @r##"
        directory.static.rooms."#r:example.org": not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (homeserver.yaml:5)
        directory.static.rooms."!": not a room id; write '!' and an opaque part, such as "!room:example.org", of at most 255 bytes (homeserver.yaml:6)
        directory.static.rooms."!"[0]: "bob" is not a user id: it does not start with '@', as in "@alice:example.org" (homeserver.yaml:6)
        directory.static.rooms."!"[1]: expected a string, found an integer; put it in quotes (homeserver.yaml:6)
        directory.static.rooms."!x": expected a list, found a string (homeserver.yaml:7)
        "##);
        assert_snapshot!(check("    rooms: []\n    users: []\n    user: {}"), @r#"
        directory.static.rooms: expected a mapping, found a list (homeserver.yaml:4)
        directory.static.users: expected a mapping, found a list (homeserver.yaml:5)
        directory.static.user: unknown key "user"; did you mean "users"? (homeserver.yaml:6)
        "#);
    }
}
