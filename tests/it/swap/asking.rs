//! Who asks for a swap, and how: several at once, somebody who goes away, a signal.

use std::fs;
use std::path::Path;

use presence_router_tests::config::write_yaml;
use presence_router_tests::{Admin, GOBBLER, Host, PATIENCE, artifacts, id_of};
use serde_json::{Value, json};

use crate::swap::library::Library;
use crate::swap::{as_broadcast, config, to_the_gobbler};

/// SIGHUP, and the fields of the line that says how it went.
#[track_caller]
fn hang_up(host: &Host) -> String {
    let lines = host.log().len();
    host.hang_up();
    let line = host.log().wait_until(PATIENCE, |all| {
        all.get(lines..)?
            .iter()
            .find(|line| line.contains("reloaded"))
            .cloned()
    });
    line.unwrap_or_else(|| panic!("not reloaded:\n{}", host.log().text()))
}

#[track_caller]
fn check(host: &Host, counts: [(&str, u32); 4]) {
    let line = hang_up(host);
    for (what, count) in counts {
        assert!(
            line.contains(&format!("modules_{what}={count}")),
            "no {count} {what} in {line}"
        );
    }
}

#[track_caller]
fn generations(admin: &Admin) -> Vec<(Value, Value)> {
    let list = admin.json(&["modules", "list"]);
    let modules = list["modules"].as_array().expect("a list");
    modules
        .iter()
        .map(|module| (module["name"].clone(), module["generation"].clone()))
        .collect()
}

#[test]
fn a_signal_loads_swaps_and_unloads_what_differs_and_nothing_else() {
    let [first, second] = artifacts::two_builds();
    let library = Library::of(first);
    let base = config(&library);
    let host = Host::start(&base);
    let admin = Admin::of(&host);
    let counts = |loaded, reloaded, unloaded, refused| {
        [
            ("loaded", loaded),
            ("reloaded", reloaded),
            ("unloaded", unloaded),
            ("refused", refused),
        ]
    };
    check(&host, counts(0, 0, 0, 0));

    let carol = json!({"always_send_to_users": [id_of("carol")]});
    let entry =
        |path: &Path| json!([{"module": path.display().to_string(), "name": "second", "config": carol}]);
    let two = base.clone().set(&["modules"], entry(second));
    two.write_into(host.directory());
    check(&host, counts(1, 0, 0, 0));
    let (carol, since) = (host.user("carol"), host.user("carol").now());
    host.user("alice").set("online", Some("to carol too"));
    carol.sync_until_says(&since, &id_of("alice"), "to carol too");

    // By its file ...
    let before = generations(&admin);
    library.put(second);
    check(&host, counts(0, 1, 0, 0));
    let after = generations(&admin);
    assert_eq!(admin.module("broadcast")["version"], "0.3.0");
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[1], "the other is let alone");
    // ... and by its entry.
    let other = json!({"always_send_to_users": [GOBBLER, id_of("dave")]});
    as_broadcast(two.clone(), library.path(), &other).write_into(host.directory());
    check(&host, counts(0, 1, 0, 0));
    assert_eq!(generations(&admin)[1], before[1]);
    // One is refused, and goes on; the other is unloaded all the same.
    let before = generations(&admin);
    library.put_garbage();
    as_broadcast(base.clone(), library.path(), &to_the_gobbler()).write_into(host.directory());
    check(&host, counts(0, 0, 1, 1));
    assert_eq!(generations(&admin), [before[0].clone()]);
    host.log().wait_for(&["ERROR", "is not taken anew"], PATIENCE);

    // With an error in the config, all is as it was.
    let text = fs::read_to_string(host.config_file()).expect("the config can be read");
    library.put(first);
    write_yaml(host.directory(), &format!("nonsense: 1\n{text}"));
    assert!(hang_up(&host).contains("the config is not reloaded"));
    assert_eq!(generations(&admin), [before[0].clone()]);
    let (gobbler, since) = (host.user("presence_gobbler"), host.user("presence_gobbler").now());
    host.user("alice").set("online", Some("as ever"));
    gobbler.sync_until_says(&since, &id_of("alice"), "as ever");
    host.terminate().expect_code(0);
}

/// A server, and its config with a module that does not come back from `new` while a file is there.
fn held(library: &Library) -> (Host, std::path::PathBuf) {
    let base = config(library);
    let host = Host::start(&base);
    let flag = host.directory().join("held");
    fs::write(&flag, "").expect("written");
    let module = json!({
        "how": "sleep_thread", "in": "new", "flag_file": flag, "always_send_to_users": [GOBBLER],
    });
    as_broadcast(base, artifacts::fixture("hangs"), &module).write_into(host.directory());
    (host, flag)
}

#[test]
fn whoever_asks_for_a_swap_and_goes_away_does_not_stop_it() {
    let library = Library::of(artifacts::broadcast());
    let (host, flag) = held(&library);
    let admin = Admin::of(&host);
    let mut gone = admin.connect();
    gone.send("POST", "/modules/broadcast/reload");
    // It has begun: there is another copy.
    host.footprint_when(PATIENCE, |now| now.copies == 2);
    drop(gone);
    // What the server does with this comes after what it does with that.
    assert_eq!(admin.module("broadcast")["package"], "presence-router-broadcast");
    fs::remove_file(flag).expect("removed");
    host.log()
        .wait_for(&["another generation has taken over"], PATIENCE);
    assert_eq!(admin.module("broadcast")["package"], "hangs");
    host.terminate().expect_code(0);
}

#[test]
fn swaps_that_are_asked_for_at_once_come_one_after_the_other() {
    let library = Library::of(artifacts::broadcast());
    let (host, flag) = held(&library);
    let admin = Admin::of(&host);
    let mut asking: Vec<_> = (0..3).map(|_| admin.connect()).collect();
    for connection in &mut asking {
        connection.send("POST", "/modules/broadcast/reload");
    }
    host.footprint_when(PATIENCE, |now| now.copies == 2);
    let generation = admin.module("broadcast")["generation"].clone();
    fs::remove_file(flag).expect("removed");
    let mut swaps: Vec<(u64, u64)> = asking
        .iter_mut()
        .map(|connection| {
            let (status, answer) = connection.receive();
            assert_eq!(status, 200, "{answer:#}");
            let number = |which: &str| answer[which]["generation"].as_u64().expect("a number");
            (number("before"), number("now"))
        })
        .collect();
    swaps.sort_unstable();
    assert_eq!(generation, swaps[0].0);
    for two in swaps.windows(2) {
        assert_eq!(
            two[0].1, two[1].0,
            "each takes over from the one before: {swaps:?}"
        );
    }
    host.terminate().expect_code(0);
}

/// What was answered to the writers is shown after a `kill -9` in the middle of a swap.
#[test]
fn kill_9_in_the_middle_of_a_swap_loses_nothing() {
    let library = Library::of(artifacts::broadcast());
    let (mut host, flag) = held(&library);
    let alice = id_of("alice");
    let mut since = host.user("presence_gobbler").now();
    for round in 0..3 {
        let says = format!("round {round}");
        let mut asking = Admin::of(&host).connect();
        asking.send("POST", "/modules/broadcast/reload");
        host.footprint_when(PATIENCE, |now| now.copies == 2);
        host.user("alice").set("online", Some(&says));
        host.kill();
        fs::remove_file(&flag).expect("removed");
        // What the config names by now starts.
        host.start_again();
        assert_eq!(Admin::of(&host).module("broadcast")["package"], "hangs");
        let gobbler = host.user("presence_gobbler");
        gobbler.sync_until_says(&since, &alice, &says);
        since = gobbler.now();
        fs::write(&flag, "").expect("written");
    }
    fs::remove_file(&flag).expect("removed");
    host.terminate().expect_code(0);
}
