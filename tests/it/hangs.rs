//! A module that does not answer: nobody waits for it, and nothing that it missed is lost.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use presence_router_tests::cli::run_cli;
use presence_router_tests::{Config, GOBBLER, Host, PATIENCE, SyncRequest, artifacts, id_of};
use serde_json::{Value, json};

const HOWS: [&str; 3] = ["sleep_thread", "spin", "never_ready"];

fn config(module_config: &Value, call_timeout: &str) -> Config {
    Config::neighbours()
        .module(artifacts::fixture("hangs"), module_config.clone())
        .set(
            &["presence", "presence_router", "call_timeout"],
            json!(call_timeout),
        )
}

fn hanging(how: &str, method: &str) -> Value {
    json!({"how": how, "in": method, "always_send_to_users": [GOBBLER]})
}

/// How long after the answer to alice's PUT bob, who waits for it, has her new state.
fn delay_of_first_change(config: &Config) -> Duration {
    let host = Host::start(config);
    let (alice, bob) = (host.user("alice"), host.user("bob"));
    let since = bob.now();
    thread::scope(|scope| {
        let arrival = scope.spawn(|| {
            bob.sync_until_says(&since, &id_of("alice"), "no time to lose");
            Instant::now()
        });
        alice.set("online", Some("no time to lose"));
        let put = Instant::now();
        let arrived = arrival.join().expect("bob sees it");
        arrived.saturating_duration_since(put)
    })
}

#[test]
fn shared_rooms_do_not_wait_for_it() {
    const LIMIT: Duration = Duration::from_millis(100);
    const ROUNDS: usize = 5;
    for how in HOWS {
        // The first change finds the module unsuspected, so each round has a host of its own. The call is
        // given up long after the limit: until then the module hangs.
        let config = config(&hanging(how, "states"), "20s");
        let mut delays: Vec<_> = (0..ROUNDS).map(|_| delay_of_first_change(&config)).collect();
        delays.sort_unstable();
        // The median: one round may be slowed down by what else the machine does, most by the module alone.
        assert!(delays[ROUNDS / 2] < LIMIT, "{how}: {delays:?}");
    }
}

#[test]
fn who_catches_up_waits_no_longer_than_the_deadline_of_a_call() {
    for how in HOWS {
        let host = Host::start(&config(&hanging(how, "interested"), "200ms"));
        let (alice, bob) = (host.user("alice"), host.user("bob"));
        alice.set("online", Some("here"));
        // bob's own interest hangs too; the room that he shares with her is served.
        let answer = bob.sync(&SyncRequest::initial());
        assert!(answer.of(&id_of("alice")).is_some(), "{how}: {answer:?}");
        host.log()
            .wait_for(&["hangs", "get_interested_users", "did not answer"], PATIENCE);
        host.terminate().expect_code(0);
    }
}

#[test]
fn what_it_missed_is_routed_when_it_is_back() {
    for how in HOWS {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let flag = directory.path().join("hang");
        let mut module_config = hanging(how, "states");
        module_config["flag_file"] = json!(flag);
        let host = Host::start(&config(&module_config, "200ms"));
        let (alice, bob, gobbler) = (
            host.user("alice"),
            host.user("bob"),
            host.user("presence_gobbler"),
        );
        let (bob_since, gobbler_since) = (bob.now(), gobbler.now());

        fs::write(&flag, "").expect("the flag can be set");
        alice.set("online", Some("missed"));
        bob.sync_until_says(&bob_since, &id_of("alice"), "missed");
        host.log().wait_for(&["hangs", "get_users_for_states"], PATIENCE);
        alice.set("unavailable", Some("missed as well"));

        fs::remove_file(&flag).expect("the flag is there");
        // Without another change of alice's.
        gobbler.sync_until_says(&gobbler_since, &id_of("alice"), "missed as well");
        alice.set("online", Some("and on it goes"));
        gobbler.sync_until_says(&gobbler_since, &id_of("alice"), "and on it goes");
        host.terminate().expect_code(0);
    }
}

#[test]
fn one_that_does_not_start_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = config(&hanging("sleep_thread", "new"), "200ms").write_into(directory.path());
    let output = run_cli(["run".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_refusal(&["presence.presence_router.module", "new did not answer"]);
}

#[test]
fn the_host_ends_without_it() {
    for how in HOWS {
        let host = Host::start(&config(&hanging(how, "states"), "200ms"));
        let bob = host.user("bob");
        let since = bob.now();
        host.user("alice").set("online", Some("it hangs now"));
        bob.sync_until_says(&since, &id_of("alice"), "it hangs now");
        host.terminate().expect_code(0);
    }
}
