//! `explain`: each reason why somebody sees somebody, or does not, with real modules.

use presence_router_tests::{Admin, Config, GOBBLER, Host, artifacts, id_of};
use serde_json::{Value, json};

/// The last line of the text, after a check that programs are told the same.
#[track_caller]
fn verdict(admin: &Admin, from: &str, to: &str) -> String {
    let output = admin.run(&["explain", "--from", from, "--to", to]);
    let text = output.expect_code(0).stdout.clone();
    let verdict = text.lines().last().expect("a verdict").to_owned();
    let answer = explained(admin, from, to);
    let word = if answer["sees"] == json!(true) {
        "yes"
    } else {
        "no"
    };
    assert!(
        verdict.starts_with(&format!("{to} sees {from}: {word}")),
        "{text}\n{answer}"
    );
    verdict
}

#[track_caller]
fn explained(admin: &Admin, from: &str, to: &str) -> Value {
    admin.json(&["explain", "--from", from, "--to", to])
}

#[test]
fn rooms_and_modules_are_told_and_whose_word_it_is() {
    let config = Config::neighbours()
        .admin()
        .module(
            artifacts::broadcast(),
            json!({"always_send_to_users": [GOBBLER], "blacklisted_users": [id_of("hidden")]}),
        )
        .room("!big:example.org", &["alice", "carol"])
        .set(&["exclude_rooms_from_presence"], json!(["!big:example.org"]))
        .set(
            &["directory", "static", "rooms", "!remote:example.org"],
            json!([id_of("alice"), "@zoe:other.example"]),
        );
    let host = Host::start(&config);
    let admin = Admin::of(&host);
    let [alice, bob, carol, hidden] = ["alice", "bob", "carol", "hidden"].map(id_of);
    let generation = host.modules()[0].generation;
    assert_eq!(
        verdict(&admin, &alice, &bob),
        format!("{bob} sees {alice}: yes, by room !shared:example.org")
    );
    assert_eq!(
        verdict(&admin, &alice, GOBBLER),
        format!("{GOBBLER} sees {alice}: yes, by module broadcast (generation {generation})")
    );
    assert_eq!(
        verdict(&admin, &alice, &carol),
        format!("{carol} sees {alice}: no; they share no room that counts, and no module shows them")
    );
    let excluded = &explained(&admin, &alice, &carol)["rooms"];
    assert_eq!(
        *excluded,
        json!([{"room_id": "!big:example.org", "standing": "excluded"}])
    );
    verdict(&admin, &hidden, GOBBLER);
    assert_eq!(explained(&admin, &hidden, GOBBLER)["sees"], false);
    assert!(verdict(&admin, &alice, &alice).ends_with("everybody sees themselves"));
    let remote = explained(&admin, &alice, "@zoe:other.example");
    assert_eq!(
        (&remote["sees"], &remote["to_server"]),
        (&json!(true), &json!("other.example"))
    );
    assert_eq!(
        explained(&admin, &alice, "@no:example.org")["decided_by"],
        "to_unknown"
    );
    assert_eq!(
        explained(&admin, "@no:example.org", &bob)["decided_by"],
        "from_unknown"
    );
    assert_eq!(explained(&admin, "@a:b", "@c:d")["decided_by"], "neither_is_ours");

    // After a swap it is another generation's word.
    admin.json(&["modules", "reload", "broadcast"]);
    let now = &admin.module("broadcast")["generation"];
    assert!(now.as_u64() > Some(generation));
    assert!(verdict(&admin, &alice, GOBBLER).ends_with(&format!("(generation {now})")));

    let (status, answer) = admin.ask("GET", "/explain?from=alice&to=@b:x");
    assert_eq!((status, &answer["ok"]), (400, &json!(false)));
}

#[test]
fn what_is_explained_is_not_delivered() {
    let module = json!({"always_send_to_users": [GOBBLER]});
    let host = Host::start(
        &Config::neighbours()
            .admin()
            .module(artifacts::broadcast(), module),
    );
    let gobbler = host.user("presence_gobbler");
    let since = gobbler.now();
    let explained = explained(&Admin::of(&host), &id_of("alice"), GOBBLER);
    assert_eq!(explained["modules"][0]["routes"]["answer"], "to_them");
    let request = presence_router_tests::SyncRequest::since(&since);
    assert!(gobbler.sync(&request).presence.is_empty());
}

#[test]
fn a_module_that_takes_the_place_of_rooms_is_named() {
    let config = Config::neighbours().admin().module(
        artifacts::plugin("selective"),
        json!({"excluded_rooms": ["!shared:example.org"]}),
    );
    let host = Host::start(&config);
    let admin = Admin::of(&host);
    let answer = explained(&admin, &id_of("alice"), &id_of("bob"));
    let replaced = json!([{"room_id": "!shared:example.org", "standing": "replaced", "by": ["selective"]}]);
    assert_eq!(answer["rooms"], replaced);
    assert_eq!(answer["sees"], false);
}

#[test]
fn methods_that_do_not_line_up_are_pointed_out() {
    let module = json!({"how": "unwanted", "always_send_to_users": [id_of("carol")]});
    let config = Config::neighbours()
        .admin()
        .module(artifacts::fixture("misaligned"), module);
    let host = Host::start(&config);
    let admin = Admin::of(&host);
    let answer = explained(&admin, &id_of("alice"), &id_of("carol"));
    assert_eq!(answer["modules"][0]["misaligned"], "routed_only");
    let output = admin.run(&["explain", "--from", &id_of("alice"), "--to", &id_of("carol")]);
    assert!(
        output.stdout.contains("the two methods do not line up"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_module_that_hangs_does_not_hold_up_the_explanation() {
    let module = json!({"how": "sleep_thread", "in": "interested", "always_send_to_users": [GOBBLER]});
    let config = Config::neighbours()
        .admin()
        .module(artifacts::fixture("hangs"), module)
        .set(&["presence", "presence_router", "call_timeout"], json!("100ms"));
    let host = Host::start(&config);
    let admin = Admin::of(&host);
    let output = admin.run(&["explain", "--from", &id_of("alice"), "--to", &id_of("bob")]);
    let text = &output.expect_code(0).stdout;
    assert!(text.contains("did not answer within 100 ms"), "{text}");
    assert!(text.contains("yes, by room !shared:example.org"), "{text}");
}
