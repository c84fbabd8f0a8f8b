//! What the logs hold after what.

use presence_router_api::UserId;

use super::*;

const MODULE: ModuleTag = ModuleTag::of("m");
const OTHER: ModuleTag = ModuleTag::of("o");

/// Streams of one module.
fn streams(start: u64) -> Streams {
    let mut streams = Streams::new(start);
    let since = Since {
        attached: start,
        changed: 0,
    };
    streams.attach(MODULE, since);
    streams.attach(OTHER, since);
    streams
}

fn route(
    streams: &mut Streams,
    module: ModuleTag,
    audience: &Audience,
    updates: impl Iterator<Item = RoutedUpdate>,
    resolve: impl FnOnce() -> Members,
) -> Members {
    let form = streams.form(module).expect("attached");
    streams.route((module, form), audience, updates, resolve)
}

fn members(users: &[UserKey]) -> Members {
    Members::new(users.to_vec(), Vec::new())
}

/// Has read what was routed up to a position, of all modules.
fn read(position: u64) -> SyncToken {
    let cursor = Cursor {
        routed: position,
        ..Cursor::default()
    };
    SyncToken::new(position, &[], cursor)
}

fn routed_after(streams: &Streams, reader: UserKey, position: u64) -> Vec<RoutedUpdate> {
    let token = read(position);
    let modules: Vec<_> = streams.modules().collect();
    modules
        .iter()
        .flat_map(|module| streams.routed_after(*module, reader, &token))
        .collect()
}

const A: UserKey = UserKey(0);
const B: UserKey = UserKey(1);
const C: UserKey = UserKey(2);

fn audience() -> Audience {
    Audience::new(vec![UserId::parse("@c:x").expect("valid")])
}

fn update(user: UserKey, change: u64) -> RoutedUpdate {
    RoutedUpdate {
        user,
        change,
        reason: Reason::Changed,
    }
}

fn routed(user: UserKey, change: u64) -> std::iter::Once<RoutedUpdate> {
    std::iter::once(update(user, change))
}

#[test]
fn a_user_who_changed_twice_is_listed_once_at_the_newer_position() {
    let mut streams = streams(100);
    streams.changed(A);
    streams.changed(B);
    streams.changed(A);
    assert_eq!(streams.changed_after(100).collect::<Vec<_>>(), [B, A]);
    assert_eq!(streams.changed_after(102).collect::<Vec<_>>(), [A]);
    assert_eq!(streams.changed_after(103).count(), 0);
    assert_eq!((streams.last_change(A), streams.last_change(C)), (103, 0));
}

#[test]
fn what_is_routed_is_read_by_the_members_alone() {
    let mut streams = streams(0);
    streams.changed(A);
    let found = route(&mut streams, MODULE, &audience(), routed(A, 1), || {
        members(&[C, C])
    });
    assert_eq!(&*found.users, [C]);
    assert_eq!(routed_after(&streams, C, 1), [update(A, 1)]);
    assert_eq!(routed_after(&streams, C, 2).len(), 0);
    assert_eq!(routed_after(&streams, B, 0).len(), 0);
}

#[test]
fn who_read_less_than_a_forgotten_log_held_must_ask() {
    let mut streams = streams(10);
    let audience = audience();
    route(&mut streams, MODULE, &audience, routed(A, 1), || members(&[C]));
    assert_eq!(streams.routed_floor(MODULE, C), 10);
    streams.forget(MODULE, audience.id());
    assert_eq!(streams.routed_floor(MODULE, C), 11);
    assert_eq!(streams.routed_floor(MODULE, B), 10);
    assert_eq!(routed_after(&streams, C, 0).len(), 0);
}

#[test]
fn an_audience_without_local_members_keeps_no_log() {
    let mut streams = streams(0);
    route(&mut streams, MODULE, &audience(), routed(A, 1), Members::default);
    assert_eq!(streams.position(), 0);
}

#[test]
fn a_newer_change_hides_what_was_routed_until_it_is_routed_itself() {
    let mut streams = streams(0);
    let audience = audience();
    streams.changed(A);
    route(&mut streams, MODULE, &audience, routed(A, 1), || members(&[C]));
    streams.changed(A);
    assert_eq!(routed_after(&streams, C, 0).len(), 0);
    let newest = streams.last_change(A);
    route(&mut streams, MODULE, &audience, routed(A, newest), || {
        unreachable!("resolved before")
    });
    assert_eq!(routed_after(&streams, C, 0).len(), 1);
}

#[test]
fn the_same_change_is_news_once_whatever_the_audiences() {
    let mut streams = streams(0);
    let (one, other) = (audience(), audience());
    streams.changed(A);
    route(&mut streams, MODULE, &one, routed(A, 1), || members(&[C]));
    let position = streams.position();
    route(&mut streams, MODULE, &one, routed(A, 1), || {
        unreachable!("resolved before")
    });
    route(&mut streams, MODULE, &other, routed(A, 1), || members(&[C]));
    assert_eq!(routed_after(&streams, C, position).len(), 0);
    let sent = RoutedUpdate {
        reason: Reason::Sent,
        ..update(A, 1)
    };
    route(&mut streams, MODULE, &other, std::iter::once(sent), || {
        unreachable!("resolved before")
    });
    assert_eq!(routed_after(&streams, C, position), [sent]);
}

#[test]
fn what_was_settled_can_be_asked_for_when_its_log_is_forgotten() {
    let mut streams = streams(0);
    let audience = audience();
    streams.changed(A);
    let position = streams.position();
    streams.settled(MODULE, update(A, 1));
    route(&mut streams, MODULE, &audience, routed(A, 1), || members(&[C]));
    streams.forget(MODULE, audience.id());
    assert!(position < streams.routed_floor(MODULE, C));
    assert_eq!(
        streams.settled_after(MODULE, position).collect::<Vec<_>>(),
        [update(A, 1)]
    );
    assert_eq!(streams.settled_after(MODULE, streams.position()).count(), 0);
    streams.changed(A);
    assert_eq!(streams.settled_after(MODULE, position).count(), 0);
}

#[test]
fn what_one_module_has_told_is_no_news_by_another() {
    let mut streams = streams(0);
    streams.changed(A);
    route(&mut streams, MODULE, &audience(), routed(A, 1), || members(&[C]));
    let position = streams.position();
    route(&mut streams, OTHER, &audience(), routed(A, 1), || members(&[C]));
    assert_eq!(routed_after(&streams, C, position).len(), 0);
    // To who is yet to be told it is news by both.
    assert_eq!(routed_after(&streams, C, 0).len(), 2);
}

#[test]
fn what_was_asked_of_a_module_in_an_earlier_form_does_not_count() {
    let mut streams = Streams::new(0);
    streams.attach(
        MODULE,
        Since {
            attached: 10,
            changed: 10,
        },
    );
    let token = SyncToken::new(9, &[], Cursor::asked_at(9));
    assert_eq!(streams.cursor(MODULE, &token).fetched, 0);
    let token = SyncToken::new(12, &[], Cursor::asked_at(12));
    assert_eq!(streams.cursor(MODULE, &token).fetched, 12);
}

#[test]
fn what_was_settled_before_a_restart_is_settled() {
    let mut streams = streams(100);
    streams.restore(A, 5);
    streams.restore(B, 6);
    streams.restore_settled(MODULE, A, 5, 7);
    assert!(streams.is_settled(MODULE, A) && !streams.is_settled(MODULE, B));
    assert!(streams.is_settled(MODULE, C), "never changed");
    assert_eq!(streams.settled_after(MODULE, 6).count(), 1);
    assert_eq!(streams.settled_after(MODULE, 7).count(), 0);
}

#[test]
fn what_another_has_forgotten_is_asked_for_once() {
    let mut streams = streams(0);
    streams.changed(A);
    let change = streams.last_change(A);
    for module in [MODULE, OTHER] {
        streams.settled(module, update(A, change));
    }
    let audience = audience();
    route(&mut streams, OTHER, &audience, routed(A, change), || {
        members(&[C])
    });
    streams.take_over(MODULE, Fingerprint::Other, |_| true);
    let asked_for = |streams: &Streams, token: &SyncToken| {
        streams.forgotten_by_others(MODULE, C, token).collect::<Vec<_>>()
    };
    assert_eq!(asked_for(&streams, &read(0)), [], "it can be read");
    streams.forget(OTHER, audience.id());
    assert_eq!(asked_for(&streams, &read(0)), [A]);
    // The other has not answered yet.
    let position = streams.position();
    let common = read(position).common();
    let token = SyncToken::new(position, &[(MODULE, common), (OTHER, Cursor::default())], common);
    assert_eq!(asked_for(&streams, &token), []);
}

#[test]
fn what_a_former_generation_routes_after_a_reader_has_asked_the_next_was_not_told() {
    let mut streams = streams(0);
    streams.changed(A);
    let (change, former) = (streams.last_change(A), streams.form(MODULE).expect("attached"));
    streams.take_over(MODULE, Fingerprint::Other, |_| false);
    let asked_at = streams.advance();
    streams.route((MODULE, former), &audience(), routed(A, change), || members(&[C]));
    let cursor = Cursor {
        routed: streams.position(),
        ..Cursor::asked_at(asked_at)
    };
    let token = SyncToken::new(streams.position(), &[], cursor);
    let before = SyncToken::new(asked_at, &[], Cursor::asked_at(asked_at));
    assert_eq!(streams.routed_after(MODULE, C, &before).count(), 0);
    assert!(!streams.was_told(C, &token, A, change));
}
