//! `explain` for people: a line for what speaks for or against, and the verdict.

use crate::engine::{Decided, Explanation, Interested, Misaligned, ModuleWord, RoomStanding, Routing};

/// The explanation, as lines that end in the verdict.
pub(super) fn text(explanation: &Explanation) -> String {
    let Explanation {
        from,
        to,
        state,
        on_first_sync,
        to_server,
        rooms,
        modules,
        ..
    } = explanation;
    let mut lines = Vec::new();
    if let Some(state) = state {
        let first = if *on_first_sync || explanation.decided_by.is_some() {
            ""
        } else {
            "; a first sync leaves out who is offline (presence.include_offline_users_on_sync)"
        };
        lines.push(format!("{from} is {state} now{first}"));
    }
    if let Some(server) = to_server
        && explanation.decided_by.is_none()
    {
        lines.push(format!("{to} is of {server}: what they see goes to that server"));
    }
    for room in rooms {
        let standing = match &room.standing {
            RoomStanding::Counts => "both are in it".to_owned(),
            RoomStanding::Excluded => {
                "both are in it, and it does not count (exclude_rooms_from_presence)".to_owned()
            }
            RoomStanding::Replaced { by } => {
                format!("both are in it, and rooms do not count: {}", replaced(by))
            }
        };
        lines.push(format!("- room {}: {standing}", room.room_id));
    }
    if explanation.decided_by.is_none() && rooms.is_empty() {
        lines.push("- they share no room".to_owned());
    }
    for module in modules {
        lines.extend(word(explanation, module));
    }
    if explanation.decided_by.is_none() && modules.is_empty() {
        lines.push("- no module is loaded".to_owned());
    }
    lines.push(verdict(explanation));
    lines.join("\n")
}

fn replaced(by: &[String]) -> String {
    match by {
        [one] => format!("module {one} takes their place"),
        several => format!("modules {} take their place", several.join(", ")),
    }
}

/// What a module says.
fn word(explanation: &Explanation, module: &ModuleWord) -> Vec<String> {
    let Explanation { from, to, .. } = explanation;
    let routes = match &module.routes {
        Routing::ToThem => format!("routes {from} to {to}"),
        Routing::NotToThem => format!("does not route {from} to {to}"),
        Routing::NoAnswer { error } => format!("get_users_for_states: {error}"),
    };
    let interested = match &module.interested {
        None => None,
        Some(Interested::Everybody) => Some(format!("has {to} interested in everybody")),
        Some(Interested::Includes) => Some(format!("has {to} interested in {from}")),
        Some(Interested::LeavesOut) => Some(format!("does not have {to} interested in {from}")),
        Some(Interested::NoAnswer { error }) => Some(format!("get_interested_users: {error}")),
    };
    let said = match (&module.routes, interested) {
        (Routing::NotToThem, None) => format!("does not show {from} to {to}"),
        (Routing::NotToThem, Some(_)) if module.interested == Some(Interested::LeavesOut) => {
            format!("does not show {from} to {to}")
        }
        (_, Some(interested)) => format!("{routes}; {interested}"),
        (_, None) => routes,
    };
    let mut lines = vec![format!(
        "- module {} ({}, generation {}): {said}",
        module.name, module.version, module.generation
    )];
    let consequence = match module.misaligned {
        None => return lines,
        Some(Misaligned::RoutedOnly) => format!("{to} hears of changes, and a first sync leaves {from} out"),
        Some(Misaligned::InterestedOnly) => {
            format!("{to} sees {from} by a first sync, and hears of no change")
        }
    };
    lines.push(format!(
        "  the two methods do not line up: {consequence}; tell the module's author, \
         `presence-router verify` shows it"
    ));
    lines
}

fn verdict(explanation: &Explanation) -> String {
    let Explanation {
        from,
        to,
        sees,
        decided_by,
        rooms,
        modules,
        ..
    } = explanation;
    let reason = match decided_by {
        Some(Decided::SameUser) => "everybody sees themselves".to_owned(),
        Some(Decided::PresenceDisabled) => {
            "presence is off for everybody (presence.enabled: false)".to_owned()
        }
        Some(Decided::FromUnknown) => format!("nobody has told this server of a user {from}"),
        Some(Decided::ToUnknown) => format!("this server has no user {to} (directory.static.users)"),
        Some(Decided::NeitherIsOurs) => "both are of other servers, which do not ask this one".to_owned(),
        None if *sees => {
            let counts = rooms.iter().filter(|room| room.standing == RoomStanding::Counts);
            let counts = counts.map(|room| format!("room {}", room.room_id));
            let shows = modules.iter().filter(|module| module.shows);
            let shows =
                shows.map(|module| format!("module {} (generation {})", module.name, module.generation));
            format!("by {}", counts.chain(shows).collect::<Vec<_>>().join(" and by "))
        }
        None => {
            let failed = modules.iter().any(|module| {
                matches!(module.routes, Routing::NoAnswer { .. })
                    || matches!(module.interested, Some(Interested::NoAnswer { .. }))
            });
            let modules = if failed {
                "no module shows them; not all have answered"
            } else {
                "no module shows them"
            };
            format!("they share no room that counts, and {modules}")
        }
    };
    let sees = match (sees, decided_by) {
        (true, None) => "yes,",
        (true, Some(_)) => "yes;",
        (false, _) => "no;",
    };
    format!("{to} sees {from}: {sees} {reason}")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;

    /// What is answered when nothing speaks for it, with these keys instead.
    fn check(keys: &Value) -> String {
        let mut answer = json!({
            "from": "@a:x", "to": "@b:x", "sees": false, "decided_by": null, "state": "online",
            "on_first_sync": true, "to_server": null, "rooms": [], "modules": []
        });
        for (key, value) in keys.as_object().expect("keys") {
            answer[key] = value.clone();
        }
        text(&serde_json::from_value(answer).expect("an answer"))
    }

    fn module(name: &str, keys: &Value) -> Value {
        let mut module = json!({
            "name": name, "version": "0.1.0", "generation": 3, "shows": false,
            "interested": {"answer": "leaves_out"}, "routes": {"answer": "not_to_them"}, "misaligned": null
        });
        for (key, value) in keys.as_object().expect("keys") {
            module[key] = value.clone();
        }
        module
    }

    #[test]
    fn what_speaks_for_it_is_in_the_verdict() {
        let rooms = json!([
            {"room_id": "!big:x", "standing": "excluded"},
            {"room_id": "!r:x", "standing": "counts"},
        ]);
        let all =
            json!({"shows": true, "interested": {"answer": "everybody"}, "routes": {"answer": "to_them"}});
        let modules = [module("broadcast", &all), module("pairs", &json!({}))];
        assert_snapshot!(check(&json!({"sees": true, "rooms": rooms, "modules": modules})), @"
        @a:x is online now
        - room !big:x: both are in it, and it does not count (exclude_rooms_from_presence)
        - room !r:x: both are in it
        - module broadcast (0.1.0, generation 3): routes @a:x to @b:x; has @b:x interested in everybody
        - module pairs (0.1.0, generation 3): does not show @a:x to @b:x
        @b:x sees @a:x: yes, by room !r:x and by module broadcast (generation 3)
        ");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_snapshot!(check(&json!({})), @"
        @a:x is online now
        - they share no room
        - no module is loaded
        @b:x sees @a:x: no; they share no room that counts, and no module shows them
        ");
        let rooms = json!([{"room_id": "!r:x", "standing": "replaced", "by": ["team", "pairs"]}]);
        let late = json!({"answer": "no_answer", "error": "did not answer within 500 ms"});
        let modules = [module("team", &json!({"interested": late, "routes": late}))];
        assert_snapshot!(check(&json!({"state": "offline", "on_first_sync": false, "rooms": rooms, "modules": modules})), @"
        @a:x is offline now; a first sync leaves out who is offline (presence.include_offline_users_on_sync)
        - room !r:x: both are in it, and rooms do not count: modules team, pairs take their place
        - module team (0.1.0, generation 3): get_users_for_states: did not answer within 500 ms; get_interested_users: did not answer within 500 ms
        @b:x sees @a:x: no; they share no room that counts, and no module shows them; not all have answered
        ");
    }

    #[test]
    fn methods_that_do_not_line_up_are_pointed_out() {
        let routed = json!({"shows": true, "routes": {"answer": "to_them"}, "misaligned": "routed_only"});
        let interested =
            json!({"shows": true, "interested": {"answer": "includes"}, "misaligned": "interested_only"});
        let modules = [module("one", &routed), module("two", &interested)];
        assert_snapshot!(check(&json!({"sees": true, "modules": modules})), @"
        @a:x is online now
        - they share no room
        - module one (0.1.0, generation 3): routes @a:x to @b:x; does not have @b:x interested in @a:x
          the two methods do not line up: @b:x hears of changes, and a first sync leaves @a:x out; tell the module's author, `presence-router verify` shows it
        - module two (0.1.0, generation 3): does not route @a:x to @b:x; has @b:x interested in @a:x
          the two methods do not line up: @b:x sees @a:x by a first sync, and hears of no change; tell the module's author, `presence-router verify` shows it
        @b:x sees @a:x: yes, by module one (generation 3) and by module two (generation 3)
        ");
    }

    #[test]
    fn another_server_is_named() {
        let routed = json!({"shows": true, "interested": null, "routes": {"answer": "to_them"}});
        let keys = json!({"to": "@b:y", "to_server": "y", "sees": true, "modules": [module("one", &routed)]});
        assert_snapshot!(check(&keys), @"
        @a:x is online now
        @b:y is of y: what they see goes to that server
        - they share no room
        - module one (0.1.0, generation 3): routes @a:x to @b:y
        @b:y sees @a:x: yes, by module one (generation 3)
        ");
    }

    #[test]
    fn what_decides_alone_is_all_there_is_to_say() {
        let decided = |by: &str, keys: &Value| {
            let mut keys = keys.clone();
            keys["decided_by"] = by.into();
            check(&keys)
        };
        assert_snapshot!(decided("same_user", &json!({"to": "@a:x", "sees": true})), @"
        @a:x is online now
        @a:x sees @a:x: yes; everybody sees themselves
        ");
        assert_snapshot!(decided("presence_disabled", &json!({})), @"
        @a:x is online now
        @b:x sees @a:x: no; presence is off for everybody (presence.enabled: false)
        ");
        assert_snapshot!(decided("from_unknown", &json!({"state": null})), @"@b:x sees @a:x: no; nobody has told this server of a user @a:x");
        assert_snapshot!(decided("to_unknown", &json!({})), @"
        @a:x is online now
        @b:x sees @a:x: no; this server has no user @b:x (directory.static.users)
        ");
        assert_snapshot!(decided("neither_is_ours", &json!({"state": null})), @"@b:x sees @a:x: no; both are of other servers, which do not ask this one");
    }
}
