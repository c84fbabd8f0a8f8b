//! What an answer names, and that it names it still when it crosses.

use super::*;
use crate::testing::{FakeHost, state_updates};
use crate::updates::StateUpdates;

fn user(name: &str) -> UserId {
    UserId::parse(format!("@{name}:example.org")).expect("a test's user id is valid")
}

fn audience(host: &FakeHost) -> Audience {
    host.api().register_audience([user("a")]).expect("registers")
}

/// Which users' states the spans hold, in their order, when the answer is to a call about `updates`.
fn sent(routes: Routes, updates: &StateUpdates) -> Vec<Vec<String>> {
    let answer = routes.into_answer(updates.batch());
    let mut start = 0;
    let mut spans = Vec::new();
    for span in &answer.spans {
        let end = span.end as usize;
        let users = answer.updates[start..end].iter().map(|number| {
            let number = *number as usize;
            let state = match number.checked_sub(updates.len()) {
                None => &updates.batch()[number],
                Some(added) => &answer.states[added],
            };
            state.user_id().to_owned()
        });
        spans.push(users.collect());
        start = end;
    }
    assert_eq!(start, answer.updates.len(), "every update is in a span");
    spans
}

#[test]
fn neighbouring_sends_to_one_audience_become_one_span() {
    let audience = audience(&FakeHost::new("example.org"));
    let updates = state_updates(["@x:example.org", "@y:example.org"]);
    let mut routes = Routes::new();
    for update in &updates {
        routes.send(update, &audience);
    }
    assert_eq!(sent(routes, &updates), [["@x:example.org", "@y:example.org"]]);
}

#[test]
fn added_states_are_numbered_behind_the_batch() {
    let audience = audience(&FakeHost::new("example.org"));
    let updates = state_updates(["@x:example.org", "@y:example.org"]);
    let mut routes = Routes::new();
    routes.send_state(UserPresenceState::offline("@z:example.org"), &audience);
    routes.send_all(&updates, &audience);
    routes.send_state(UserPresenceState::offline("@w:example.org"), &audience);
    let answer = routes.into_answer(updates.batch());
    assert_eq!(answer.updates.as_slice(), [2, 0, 1, 3]);
    assert_eq!(answer.states[1].user_id(), "@w:example.org");
}

#[test]
fn an_update_of_another_batch_is_sent_as_its_state() {
    let audience = audience(&FakeHost::new("example.org"));
    let updates = state_updates(["@x:example.org", "@y:example.org"]);
    let kept = state_updates(["@old:example.org"]);
    for kept_first in [true, false] {
        let mut routes = Routes::new();
        if kept_first {
            routes.send_all(&kept, &audience);
            routes.send_all(&updates, &audience);
        } else {
            routes.send_all(&updates, &audience);
            routes.send_all(&kept, &audience);
        }
        let mut users = sent(routes, &updates).concat();
        users.sort_unstable();
        assert_eq!(users, ["@old:example.org", "@x:example.org", "@y:example.org"]);
    }
}

#[test]
fn an_answer_kept_for_a_later_batch_still_sends_its_own_states() {
    let audience = audience(&FakeHost::new("example.org"));
    let kept = state_updates(["@x:example.org", "@y:example.org"]);
    let mut routes = Routes::new();
    routes.send_state(UserPresenceState::offline("@z:example.org"), &audience);
    routes.send_all(&kept, &audience);
    routes.send_to_users(kept.iter().skip(1), [&user("b")]);
    let later = state_updates(["@later:example.org"]);
    assert_eq!(
        sent(routes, &later),
        [
            vec!["@z:example.org", "@x:example.org", "@y:example.org"],
            vec!["@y:example.org"]
        ]
    );
}

#[test]
fn a_map_is_folded_so_that_users_with_the_same_states_share_a_list() {
    let updates = state_updates(["@x:example.org", "@y:example.org"]);
    let kept = state_updates(["@old:example.org"]);
    let both: Vec<_> = updates.iter().collect();
    let old: Vec<_> = kept.iter().collect();
    let routes = Routes::from_map([
        (user("a"), both.clone()),
        (user("b"), both.iter().rev().chain(&both).copied().collect()),
        (user("c"), both[..1].to_vec()),
        (user("d"), Vec::new()),
        (user("e"), old.clone()),
        (user("f"), old),
    ]);
    let answer = routes.into_answer(updates.batch());
    assert_eq!(answer.listed_ends.len(), 3);
    assert_eq!(answer.listed_users.len(), 5);
    assert_eq!(answer.updates.len(), 4);
    assert_eq!(answer.states.len(), 1);
}

#[test]
fn sending_nothing_or_to_nobody_leaves_no_span() {
    let audience = audience(&FakeHost::new("example.org"));
    let updates = state_updates(["@x:example.org"]);
    let mut routes = Routes::new();
    routes.send_all([], &audience);
    routes.send_to_users([], [&user("a")]);
    routes.send_to_users(&updates, []);
    assert_eq!(routes.into_answer(updates.batch()), RoutesAnswer::default());
}

#[test]
fn an_audience_is_released_with_its_last_clone() {
    let host = FakeHost::new("example.org");
    let audience = audience(&host);
    let updates = state_updates(["@x:example.org"]);
    let mut routes = Routes::new();
    routes.send_all(&updates, &audience);
    drop(audience);
    assert_eq!(host.audience_count(), 1, "the answer names it");
    drop(routes);
    assert_eq!(host.audience_count(), 0);
}
