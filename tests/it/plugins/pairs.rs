//! `pairs`: who sees whom, user by user.

use presence_router_tests::{Config, Host, SyncRequest, artifacts, id_of};
use serde_json::{Value, json};

fn start(config: Value) -> Host {
    Host::start(&Config::neighbours().module(artifacts::plugin("pairs"), config))
}

#[test]
fn who_sees_somebody_sees_them_and_not_the_other_way_round() {
    let host = start(json!({"sees": {id_of("carol"): [id_of("alice"), "@charlie:somewhere.org"]}}));
    assert_eq!(host.modules()[0].name, "presence-router-pairs");
    let (alice, carol, dave) = (host.user("alice"), host.user("carol"), host.user("dave"));
    let since = [&alice, &carol, &dave].map(|user| user.now());
    carol.set("online", Some("unseen"));
    alice.set("online", Some("seen"));
    carol.sync_until_says(&since[1], alice.id(), "seen");
    // Both changes are routed by now; carol's was the earlier one.
    assert_eq!(alice.sync(&SyncRequest::since(&since[0])).of(carol.id()), None);
    assert_eq!(dave.sync(&SyncRequest::since(&since[2])).senders(), [""; 0]);

    assert!(carol.sync(&SyncRequest::initial()).of(alice.id()).is_some());
    assert_eq!(alice.sync(&SyncRequest::initial()).of(carol.id()), None);
    carol.presence_of(alice.id()).expect(200);
    alice.presence_of(carol.id()).expect(403);
    host.terminate().expect_code(0);
}

#[test]
fn the_users_of_a_list_see_each_other() {
    let host = start(json!({"see_each_other": [[id_of("carol"), id_of("dave"), id_of("hidden")]]}));
    let (carol, dave) = (host.user("carol"), host.user("dave"));
    let since = [carol.now(), dave.now()];
    carol.set("online", Some("from carol"));
    dave.sync_until_says(&since[1], carol.id(), "from carol");
    dave.set("unavailable", Some("from dave"));
    carol.sync_until_says(&since[0], dave.id(), "from dave");
    // One's own presence comes once, although the list names oneself.
    assert!(
        carol
            .sync(&SyncRequest::since(&since[0]))
            .of(carol.id())
            .is_some()
    );
    host.user("alice").presence_of(carol.id()).expect(403);
    host.terminate().expect_code(0);
}
