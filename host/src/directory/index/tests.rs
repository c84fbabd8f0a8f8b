//! Who shares a room with whom, after what.

use super::*;

fn user(name: &str) -> UserId {
    let id = if name.contains(':') {
        format!("@{name}")
    } else {
        format!("@{name}:x")
    };
    UserId::parse(id).expect("a test's user id is valid")
}

fn joined(room: &str, name: &str) -> Event {
    Event::Joined {
        room_id: room.into(),
        user_id: user(name),
    }
}

fn left(room: &str, name: &str) -> Event {
    Event::Left {
        room_id: room.into(),
        user_id: user(name),
    }
}

/// Of these events, each at its position.
fn directory(events: &[(u64, Event)]) -> Directory {
    let mut directory = Directory::new("x", &["!excluded".to_owned()]);
    for (position, event) in events {
        directory.apply(event, *position);
    }
    directory
}

fn key(directory: &Directory, name: &str) -> UserKey {
    directory.key(user(name).as_str()).expect("known")
}

fn new_to(directory: &Directory, reader: &str, position: u64) -> Vec<String> {
    let users = directory.newly_shared(key(directory, reader), position);
    let name = |user: &UserKey| directory.id(*user).expect("known").localpart().to_owned();
    users.iter().map(name).collect()
}

#[test]
fn users_share_a_room_only_when_both_are_in_it() {
    let directory = directory(&[
        (0, joined("!1", "alice")),
        (0, joined("!1", "far:y")),
        (0, joined("!2", "far:y")),
        (0, joined("!2", "bob")),
    ]);
    let (alice, far, bob) = (
        key(&directory, "alice"),
        key(&directory, "far:y"),
        key(&directory, "bob"),
    );
    assert!(directory.share_a_room(alice, far) && directory.share_a_room(far, bob));
    assert!(!directory.share_a_room(alice, bob));
    let room = directory.room_key("!1").expect("known");
    assert_eq!(directory.remote_servers(room).count(), 1);
    assert!(!directory.is_local(far));
}

#[test]
fn a_server_is_in_a_room_until_its_last_member_has_left() {
    let mut directory = directory(&[(0, joined("!1", "a:y")), (0, joined("!1", "b:y"))]);
    let room = directory.room_key("!1").expect("known");
    assert!(directory.apply(&left("!1", "a:y"), 1).is_some());
    assert_eq!(directory.remote_servers(room).count(), 1);
    assert!(directory.apply(&left("!1", "b:y"), 2).is_some());
    assert_eq!(directory.remote_servers(room).count(), 0);
    assert!(directory.apply(&left("!1", "b:y"), 3).is_none());
}

#[test]
fn an_excluded_room_has_members_and_is_not_shared() {
    let directory = directory(&[(0, joined("!excluded", "alice")), (5, joined("!excluded", "bob"))]);
    let (alice, bob) = (key(&directory, "alice"), key(&directory, "bob"));
    assert!(!directory.share_a_room(alice, bob));
    assert!(new_to(&directory, "alice", 0).is_empty());
    assert_eq!(directory.room_ids(bob), ["!excluded"]);
}

#[test]
fn who_joins_is_new_to_the_members_and_they_to_them() {
    let directory = directory(&[
        (0, joined("!1", "alice")),
        (0, joined("!1", "bob")),
        (5, joined("!1", "carol")),
    ]);
    assert_eq!(new_to(&directory, "alice", 4), ["carol"]);
    assert!(new_to(&directory, "alice", 5).is_empty());
    assert_eq!(new_to(&directory, "carol", 4), ["alice", "bob"]);
    assert!(new_to(&directory, "carol", 5).is_empty());
}

#[test]
fn who_is_seen_already_is_not_new() {
    let directory = directory(&[
        (0, joined("!1", "alice")),
        (0, joined("!1", "bob")),
        (5, joined("!2", "alice")),
        (6, joined("!2", "bob")),
    ]);
    assert!(new_to(&directory, "alice", 0).is_empty());
    assert!(new_to(&directory, "bob", 4).is_empty());
}

#[test]
fn members_of_a_room_that_has_changed_unseen_are_all_new() {
    let mut directory = directory(&[(0, joined("!1", "alice")), (0, joined("!1", "bob"))]);
    let room = directory.room_key("!1").expect("known");
    directory.everybody_joined(room, 9);
    assert_eq!(new_to(&directory, "alice", 8), ["bob"]);
    assert!(new_to(&directory, "alice", 9).is_empty());
}

#[test]
fn a_user_who_is_removed_stays_known_and_cannot_sync() {
    let mut directory = directory(&[(0, Event::UserAdded(user("alice"))), (0, joined("!1", "alice"))]);
    assert!(directory.local_key(user("alice").as_str()).is_some());
    directory.apply(&Event::UserRemoved(user("alice")), 1);
    assert!(directory.local_key(user("alice").as_str()).is_none());
    assert!(directory.key(user("alice").as_str()).is_some());
}
