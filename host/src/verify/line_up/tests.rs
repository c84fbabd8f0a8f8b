//! Comparisons of puppets whose methods do, and do not, say the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presence_router_api::{Audience, ModuleApi, PresenceState, Routes, StateUpdates};
use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::modules::puppet::Puppet;
use crate::verify::people::People;
use crate::verify::people::tests::subject;
use crate::verify::random::Random;
use crate::verify::server::{Mood, Server};

const WATCHER: &str = "@watcher:example.org";

fn user(id: &str) -> UserId {
    UserId::parse(id).expect("valid")
}

fn watcher(api: &ModuleApi) -> Audience {
    api.register_audience([user(WATCHER)]).expect("registers")
}

/// Sends the watcher these of the users, and says that they want those.
fn puppet(
    sends: impl Fn(&StateUpdates, &str) -> bool + Send + Sync + 'static,
    wants: impl Fn() -> InterestedUsers + Send + Sync + 'static,
) -> Puppet {
    Puppet::new(
        move |api, updates| {
            let mut routes = Routes::new();
            let wanted = updates.iter().filter(|update| sends(updates, update.user_id()));
            routes.send_all(wanted, &watcher(api));
            routes
        },
        move |asked| {
            if asked.as_str() == WATCHER {
                wants()
            } else {
                InterestedUsers::none()
            }
        },
    )
}

/// What is found for a batch of these users, all online.
async fn check(puppet: Puppet, users: &[&str]) -> String {
    let running = Arc::new(puppet)
        .start(Arc::new(SystemClock), Duration::from_secs(10))
        .await
        .expect("starts");
    let people = People::of(&subject(json!({})), &mut Random::of(1));
    let instance = Instance {
        running,
        server: Server::new(Arc::new(people), Mood::Answer),
    };
    let batch: Vec<_> = users
        .iter()
        .map(|id| UserPresenceState {
            state: PresenceState::Online,
            ..UserPresenceState::offline(*id)
        })
        .collect();
    let recipients = BTreeSet::from([user(WATCHER), user("@a:example.org")]);
    match compare(&instance, &batch, &recipients).await {
        Ok(Comparison::LineUp(pairs)) => format!("{pairs} pairs line up"),
        Ok(Comparison::Unsteady) => "unsteady".to_owned(),
        Ok(Comparison::Differ(example)) => {
            let finding = example.finding("the given one");
            format!("{}\n  {}", finding.message, finding.details.join("\n  "))
        }
        Err(finding) => finding.message,
    }
}

const USERS: [&str; 4] = ["@a:example.org", "@b:example.org", "@c:far.example", WATCHER];

#[tokio::test]
async fn what_lines_up_is_counted_and_nobody_counts_for_themselves() {
    let all = puppet(|_, _| true, || InterestedUsers::All);
    insta::assert_snapshot!(check(all, &USERS).await, @"3 pairs line up");
    let some = puppet(
        |_, id| id == "@b:example.org",
        || [user("@b:example.org")].into_iter().collect(),
    );
    insta::assert_snapshot!(check(some, &USERS).await, @"1 pairs line up");
}

#[tokio::test]
async fn each_contradiction_is_told_with_the_states_that_show_it() {
    let unwanted = puppet(|_, _| true, || [user("@b:example.org")].into_iter().collect());
    insta::assert_snapshot!(check(unwanted, &USERS).await, @"
    @a:example.org is sent to @watcher:example.org, who is not interested in @a:example.org
      config: the given one
      states: @a:example.org online
      get_users_for_states: @a:example.org is sent to @watcher:example.org
      get_interested_users(@watcher:example.org): @b:example.org
    ");
    let missing = puppet(|_, _| false, || [user("@c:far.example")].into_iter().collect());
    insta::assert_snapshot!(check(missing, &USERS).await, @"
    @watcher:example.org is interested in @c:far.example, who is not sent to @watcher:example.org
      config: the given one
      states: @c:far.example online
      get_users_for_states: @c:far.example is not sent to @watcher:example.org
      get_interested_users(@watcher:example.org): @c:far.example
    ");
    let missing_in_part = puppet(|updates, _| updates.only_for().is_none(), || InterestedUsers::All);
    insta::assert_snapshot!(check(missing_in_part, &USERS).await, @"
    @a:example.org is sent to @watcher:example.org, but not when only_for asks for their part
      config: the given one
      states: @a:example.org online
      get_users_for_states: @a:example.org is sent to @watcher:example.org
      get_users_for_states, only_for @watcher:example.org: @a:example.org is not sent to @watcher:example.org
      get_interested_users(@watcher:example.org): everybody
    ");
    let only_in_part = puppet(|updates, _| updates.only_for().is_some(), || InterestedUsers::All);
    insta::assert_snapshot!(check(only_in_part, &USERS).await, @"
    @a:example.org is sent to @watcher:example.org only when only_for asks for their part
      config: the given one
      states: @a:example.org online
      get_users_for_states: @a:example.org is not sent to @watcher:example.org
      get_users_for_states, only_for @watcher:example.org: @a:example.org is sent to @watcher:example.org
      get_interested_users(@watcher:example.org): everybody
    ");
}

#[tokio::test]
async fn the_states_are_those_that_it_takes_and_no_more() {
    // It takes two others to show it.
    let together = puppet(
        |updates, id| {
            let has = |wanted: &str| updates.iter().any(|update| update.user_id() == wanted);
            id == "@b:example.org" && has("@a:example.org") && has("@7:example.org")
        },
        InterestedUsers::none,
    );
    let many: Vec<String> = (0..40).map(|number| format!("@{number}:example.org")).collect();
    let mut users: Vec<&str> = many.iter().map(String::as_str).collect();
    users.extend(USERS);
    insta::assert_snapshot!(check(together, &users).await, @"
    @b:example.org is sent to @watcher:example.org, who is not interested in @b:example.org
      config: the given one
      states: @7:example.org online, @a:example.org online, @b:example.org online
      get_users_for_states: @b:example.org is sent to @watcher:example.org
      get_interested_users(@watcher:example.org): nobody
    ");
}

#[tokio::test]
async fn a_state_that_was_added_has_to_be_wanted_too() {
    let adds = Puppet::new(
        |api, _| {
            let mut routes = Routes::new();
            routes.send_state(UserPresenceState::offline("@added:example.org"), &watcher(api));
            routes
        },
        |_| InterestedUsers::none(),
    );
    insta::assert_snapshot!(check(adds, &USERS).await, @"
    @added:example.org, added by the module, is sent to @watcher:example.org, who is not interested in @added:example.org
      config: the given one
      states: none
      get_users_for_states: @added:example.org is sent to @watcher:example.org
      get_interested_users(@watcher:example.org): nobody
    ");
}

#[tokio::test]
async fn answers_that_change_all_the_time_are_not_compared() {
    let asked = AtomicUsize::new(0);
    let changing = puppet(
        move |_, id| id == "@b:example.org" && asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2),
        || [user("@b:example.org")].into_iter().collect(),
    );
    insta::assert_snapshot!(check(changing, &USERS).await, @"unsteady");
}
