//! Two of our own servers, each behind its TLS: what happens at one is seen at the other.

use std::time::Duration;

use presence_router_tests::federation::{Authority, Gate, Peer};
use presence_router_tests::{Config, Host, PATIENCE, SyncRequest, User, artifacts};
use serde_json::{Value, json};

/// alice is of the first server, bob of the second.
struct Pair {
    gates: [Gate; 2],
    authority: Authority,
}

impl Pair {
    fn new() -> Self {
        let authority = Authority::new();
        Self {
            gates: [Gate::open(&authority), Gate::open(&authority)],
            authority,
        }
    }

    fn alice(&self) -> String {
        self.gates[0].id("alice")
    }

    fn bob(&self) -> String {
        self.gates[1].id("bob")
    }

    fn configs(&self) -> [Config; 2] {
        [
            self.gates[0].config(&["alice", "anne"]),
            self.gates[1].config(&["bob"]),
        ]
    }

    /// Both know of a room that alice and bob share.
    fn with_room(&self) -> [Config; 2] {
        let members = json!([self.alice(), self.bob()]);
        self.configs().map(|config| {
            config.set(
                &["directory", "static", "rooms", "!both:example.org"],
                members.clone(),
            )
        })
    }

    fn start(&self, number: usize, config: &Config) -> Host {
        let host = Host::start(config);
        self.gates[number].lead_to(&host);
        host
    }

    fn start_both(&self, [one, other]: &[Config; 2]) -> [Host; 2] {
        [self.start(0, one), self.start(1, other)]
    }

    fn start_again(&self, number: usize, host: &mut Host) {
        host.start_again();
        self.gates[number].lead_to(host);
    }

    fn user(&self, number: usize, host: &Host, name: &str) -> User {
        host.user(name).at(&self.gates[number].name())
    }
}

#[test]
fn who_shares_a_room_is_seen_at_the_other_server_also_offline() {
    let pair = Pair::new();
    let [one, other] = pair.start_both(&pair.with_room());
    let (alice, bob) = (pair.user(0, &one, "alice"), pair.user(1, &other, "bob"));
    let since = [alice.now(), bob.now()];
    alice.set("online", Some("from alice"));
    let seen = bob.sync_until_says(&since[1], alice.id(), "from alice");
    assert_eq!(
        (seen.presence.as_str(), seen.currently_active),
        ("online", Some(true))
    );
    bob.presence_of(alice.id()).expect(200);
    bob.set("unavailable", Some("from bob"));
    let seen = alice.sync_until_says(&since[0], bob.id(), "from bob");
    assert_eq!(seen.presence, "unavailable");
    alice.set("offline", Some("gone"));
    let seen = bob.sync_until_says(&since[1], alice.id(), "gone");
    assert_eq!(seen.presence, "offline");
    one.terminate().expect_code(0);
    other.terminate().expect_code(0);
}

#[test]
fn who_stops_syncing_goes_offline_at_the_other_server() {
    let pair = Pair::new();
    let [one, other] = pair.with_room();
    let one = one.set(&["presence", "sync_online_timeout"], json!("300ms"));
    let [one, other] = pair.start_both(&[one, other]);
    let (alice, bob) = (pair.user(0, &one, "alice"), pair.user(1, &other, "bob"));
    let since = bob.now();
    alice.sync(&SyncRequest::initial().set_presence(Some("online")));
    bob.sync_until_state(&since, alice.id(), "online");
    bob.sync_until_state(&since, alice.id(), "offline");
}

#[test]
fn a_module_that_names_a_remote_user_reaches_them_where_no_room_is_shared() {
    let pair = Pair::new();
    let everything = |config: Config| {
        config.module(
            artifacts::broadcast(),
            json!({"always_send_to_users": [pair.bob()]}),
        )
    };
    let [one, other] = pair.start_both(&pair.configs().map(everything));
    let (alice, bob) = (pair.user(0, &one, "alice"), pair.user(1, &other, "bob"));
    let since = bob.now();
    alice.set("online", Some("by the module"));
    bob.sync_until_says(&since, alice.id(), "by the module");
    alice.set("offline", Some("also offline"));
    bob.sync_until_says(&since, alice.id(), "also offline");
    let anne = pair.user(0, &one, "anne");
    anne.presence_of(&pair.bob()).expect(403);
}

#[test]
fn online_presence_is_sent_at_once_to_a_remote_user_who_comes_to_see_it() {
    let pair = Pair::new();
    let config = |members: Value| {
        pair.gates[0]
            .config(&["alice", "anne"])
            .set(&["directory", "static", "rooms", "!support:example.org"], members)
            .module(
                artifacts::plugin("room_members"),
                json!({"rooms": {"!support:example.org": [pair.alice()]}, "interval": "1s"}),
            )
    };
    let other = pair.gates[1].config(&["bob"]).module(
        artifacts::broadcast(),
        json!({"always_send_to_users": [pair.bob()]}),
    );
    let anne = pair.gates[0].id("anne");
    let [one, other] = pair.start_both(&[config(json!([anne])), other]);
    let (alice, bob) = (pair.user(0, &one, "alice"), pair.user(1, &other, "bob"));
    let (since, anne) = (bob.now(), pair.user(0, &one, "anne"));
    let annes = anne.now();
    alice.set("online", Some("on duty"));
    anne.sync_until_says(&annes, alice.id(), "on duty");
    one.reload(&config(json!([anne.id(), pair.bob()])));
    // alice does not change: it is the module that has her presence sent.
    bob.sync_until_says(&since, alice.id(), "on duty");
}

#[test]
fn a_server_that_was_down_gets_the_current_states_when_it_is_back() {
    let pair = Pair::new();
    let [one, mut other] = pair.start_both(&pair.with_room());
    let alice = pair.user(0, &one, "alice");
    alice.set("online", Some("before"));
    let bob = pair.user(1, &other, "bob");
    bob.sync_until_says(&bob.now(), alice.id(), "before");

    pair.gates[1].close();
    other.kill();
    alice.set("unavailable", Some("missed"));
    one.log()
        .wait_for(&["is not reached, and tried again later"], PATIENCE);
    alice.set("online", Some("newest"));
    pair.start_again(1, &mut other);
    let bob = pair.user(1, &other, "bob");
    let since = bob.now();
    // What he says is sent, so that the first server knows at once that his is there again.
    bob.set("online", Some("back"));
    bob.sync_until_says(&since, alice.id(), "newest");
    one.log().wait_for(&["is reached again"], PATIENCE);
    // Of a state that has a successor nothing was kept.
    let seen = bob.sync(&SyncRequest::since(&since));
    assert_eq!(
        seen.of(alice.id()).and_then(|event| event.status_msg.as_deref()),
        Some("newest")
    );
}

#[test]
fn what_waits_for_a_server_outlives_a_restart_and_a_kill_of_the_sender() {
    let pair = Pair::new();
    let [one, other] = pair.configs();
    // Only the module names bob: what waits can come from nowhere but the database.
    let named = |config: Config| {
        config.module(
            artifacts::broadcast(),
            json!({"always_send_to_users": [pair.bob()]}),
        )
    };
    let mut one = pair.start(0, &named(one));
    let alice = pair.user(0, &one, "alice");
    alice.set("online", Some("waits for long"));
    one.log()
        .wait_for(&["is not reached, and tried again later"], PATIENCE);
    pair.gates[0].close();
    one.stop();
    pair.start_again(0, &mut one);
    pair.gates[0].close();
    one.kill();
    pair.start_again(0, &mut one);

    let other = pair.start(1, &named(other));
    let bob = pair.user(1, &other, "bob");
    let since = bob.now();
    bob.sync_until_says(&since, &pair.alice(), "waits for long");
    one.terminate().expect_code(0);
    other.terminate().expect_code(0);
}

#[test]
fn presence_of_remote_users_is_not_sent_on() {
    let pair = Pair::new();
    let third = Peer::start(&pair.authority);
    let all = json!([pair.alice(), pair.bob(), third.id("carol")]);
    let everybody = json!({"always_send_to_users": [third.id("carol"), pair.alice(), pair.bob()]});
    let one = pair.gates[0]
        .config(&["alice"])
        .set(&["directory", "static", "rooms", "!all:example.org"], all)
        .module(artifacts::broadcast(), everybody.clone());
    let other = pair.gates[1].config(&["bob"]).module(
        artifacts::broadcast(),
        json!({"always_send_to_users": [pair.alice()]}),
    );
    let [one, other] = pair.start_both(&[one, other]);
    let (alice, bob) = (pair.user(0, &one, "alice"), pair.user(1, &other, "bob"));
    let since = alice.now();
    bob.set("online", Some("for alice alone"));
    alice.sync_until_says(&since, bob.id(), "for alice alone");
    alice.set("online", Some("for all"));
    third.wait_for_says(alice.id(), "for all", Duration::from_secs(20));
    // alice's came later, and each server has one queue.
    for transaction in third.transactions() {
        for entry in transaction.entries() {
            assert_eq!(entry["user_id"], alice.id(), "{transaction:?}");
        }
    }
}
